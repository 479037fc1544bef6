//! Ranges of a whole body, stored or in flight.
//!
//! Invariants:
//!
//! 1. `left` is the length of all pieces that are still to be sent.
//! 2. Spans of a fill ascend and do not overlap: what has passed cannot be read again.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use oust::cache::FillReader;

use super::error::BodyError;

/// A body made of spans of another, with texts between them.
#[derive(Debug)]
pub(crate) struct Cut {
    pieces: VecDeque<Piece>,
    left: u64,
    source: Source,
}

/// A part of a cut.
#[derive(Debug)]
pub(crate) enum Piece {
    /// A text: part head or boundary.
    Text(Bytes),
    /// Bytes `from..to` of the whole.
    Span {
        /// The first byte.
        from: u64,
        /// The byte after the last.
        to: u64,
    },
}

#[derive(Debug)]
enum Source {
    Stored {
        chunks: Vec<Bytes>,
        /// The chunk that was last read, and where it begins.
        at: (usize, u64),
    },
    Fill {
        reader: FillReader,
        /// What was read and not yet sent, and where it begins.
        held: Bytes,
        pos: u64,
    },
    Over,
}

impl Cut {
    /// Of a stored body. Its pieces share the stored memory.
    pub(crate) fn stored(pieces: impl IntoIterator<Item = Piece>, chunks: Vec<Bytes>) -> Self {
        Self::new(pieces, Source::Stored { chunks, at: (0, 0) })
    }

    /// Of a fill, by a reader that has read nothing. The caller has seen to it that [`ascend`] holds.
    pub(crate) fn fill(pieces: impl IntoIterator<Item = Piece>, reader: FillReader) -> Self {
        Self::new(pieces, Source::Fill { reader, held: Bytes::new(), pos: 0 })
    }

    fn new(pieces: impl IntoIterator<Item = Piece>, source: Source) -> Self {
        let pieces: VecDeque<Piece> = pieces.into_iter().collect();
        let left = pieces.iter().map(Piece::len).sum();
        Self { pieces, left, source }
    }

    /// Bytes still to be sent.
    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    pub(crate) fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let chunk = loop {
            match self.pieces.front_mut() {
                None => {
                    // A fill has one reader less from here on.
                    self.source = Source::Over;
                    return Poll::Ready(None);
                }
                Some(Piece::Text(text)) => {
                    let text = std::mem::take(text);
                    self.pieces.pop_front();
                    if !text.is_empty() {
                        break text;
                    }
                }
                Some(Piece::Span { from, to }) if *from >= *to => {
                    self.pieces.pop_front();
                }
                Some(Piece::Span { from, to }) => {
                    let Some(chunk) = ready!(self.source.poll_span(*from, *to, cx)) else {
                        self.pieces.clear();
                        self.source = Source::Over;
                        return Poll::Ready(Some(Err(BodyError::BROKEN)));
                    };
                    *from += chunk.len() as u64;
                    break chunk;
                }
            }
        };
        self.left = self.left.saturating_sub(chunk.len() as u64);
        if self.left == 0 {
            self.source = Source::Over;
        }
        Poll::Ready(Some(Ok(chunk)))
    }
}

impl Piece {
    fn len(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Span { from, to } => to.saturating_sub(*from),
        }
    }
}

impl Source {
    /// Some bytes that begin at `from` and end at or before `to`; `None` if there are none.
    fn poll_span(&mut self, from: u64, to: u64, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self {
            Self::Over => Poll::Ready(None),
            Self::Stored { chunks, at } => {
                if from < at.1 {
                    *at = (0, 0);
                }
                Poll::Ready(loop {
                    let Some(chunk) = chunks.get(at.0) else { break None };
                    if let Some(piece) = slice(chunk, at.1, from, to) {
                        break Some(piece);
                    }
                    *at = (at.0 + 1, at.1 + chunk.len() as u64);
                })
            }
            Self::Fill { reader, held, pos } => loop {
                if let Some(piece) = slice(held, *pos, from, to) {
                    return Poll::Ready(Some(piece));
                }
                *pos += held.len() as u64;
                *held = Bytes::new();
                match ready!(reader.poll_chunk(cx)) {
                    Some(Ok(chunk)) => *held = chunk,
                    Some(Err(_)) | None => return Poll::Ready(None),
                }
            },
        }
    }
}

/// What `chunk`, which begins at `begin`, has of `from..to`, if it has the byte at `from`.
fn slice(chunk: &Bytes, begin: u64, from: u64, to: u64) -> Option<Bytes> {
    let first = usize::try_from(from.checked_sub(begin)?).ok().filter(|&first| first < chunk.len())?;
    let last = usize::try_from(to.saturating_sub(begin)).unwrap_or(usize::MAX).min(chunk.len());
    (first < last).then(|| chunk.slice(first..last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(cut: &mut Cut) -> Vec<u8> {
        let mut out = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        while let Poll::Ready(Some(chunk)) = cut.poll_chunk(&mut cx) {
            out.extend_from_slice(&chunk.expect("the chunks have it"));
        }
        out
    }

    #[test]
    fn every_span_of_every_cutting_is_what_a_slice_says() {
        let whole = b"0123456789";
        for step in 1..=10 {
            let chunks: Vec<Bytes> = whole.chunks(step).map(Bytes::copy_from_slice).collect();
            for from in 0..10_u64 {
                for to in from..=10 {
                    // And back again: stored bodies are read in any order.
                    let pieces = [
                        Piece::Span { from, to },
                        Piece::Text(Bytes::from_static(b"|")),
                        Piece::Span { from: 0, to: from },
                    ];
                    let mut cut = Cut::stored(pieces, chunks.clone());
                    let mut expected = whole[from as usize..to as usize].to_vec();
                    expected.push(b'|');
                    expected.extend_from_slice(&whole[..from as usize]);
                    assert_eq!(cut.left(), expected.len() as u64);
                    assert_eq!(sent(&mut cut), expected);
                    assert_eq!(cut.left(), 0);
                }
            }
        }
    }

    #[test]
    fn a_span_that_is_not_there_is_an_error() {
        let mut cut = Cut::stored([Piece::Span { from: 2, to: 9 }], vec![Bytes::from_static(b"0123")]);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(matches!(cut.poll_chunk(&mut cx), Poll::Ready(Some(Ok(chunk))) if chunk == "23"));
        assert!(matches!(cut.poll_chunk(&mut cx), Poll::Ready(Some(Err(_)))));
        assert!(matches!(cut.poll_chunk(&mut cx), Poll::Ready(None)));
    }
}
