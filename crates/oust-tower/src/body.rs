//! Bodies on their way to a client.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use oust::cache::{self, FillReader};
use pin_project_lite::pin_project;

use super::cut::Cut;
use super::error::{BodyError, BoxError};

pin_project! {
    /// A response body of the middleware: stored, in flight, ours, or passed on from the inner service's `B`.
    ///
    /// Of what is passed on trailers are kept; of what is stored or shared they are not.
    ///
    /// # Cancel safety
    ///
    /// Dropping it ends this reading and nothing else, unless it is passed on.
    pub struct Body<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    // Small, so that a hit is moved about in little: what is rare is boxed.
    #[project = Projected]
    enum Kind<B> {
        Empty,
        // At hand: what is still to be sent, and its length.
        Chunks { chunks: cache::Chunks, left: u64 },
        // A text of ours.
        Text { text: Bytes },
        // A fill in progress, with the length still to come if the origin told it.
        Fill { reading: Box<Reading>, left: Option<u64> },
        // Ranges of either.
        Cut { cut: Box<Cut> },
        Pass { #[pin] body: B },
    }
}

/// A reader of a fill.
struct Reading {
    reader: FillReader,
    /// The last chunk, kept back until the fill has ended: whoever has read a response whole finds it stored.
    last: Option<Bytes>,
}

impl Reading {
    fn poll_chunk(&mut self, left: &mut Option<u64>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            if self.last.is_some() {
                // All that was announced is here: how the fill ends is nothing to this client any more.
                drop(ready!(self.reader.poll_chunk(cx)));
            }
            if let Some(chunk) = self.last.take() {
                *left = Some(0);
                return Poll::Ready(Some(Ok(chunk)));
            }
            match ready!(self.reader.poll_chunk(cx)) {
                None => return Poll::Ready(None),
                Some(Err(_)) => return Poll::Ready(Some(Err(BodyError::BROKEN))),
                Some(Ok(chunk)) if *left == u64::try_from(chunk.len()).ok() => self.last = Some(chunk),
                Some(Ok(chunk)) => {
                    *left = left.map(|left| left.saturating_sub(chunk.len() as u64));
                    return Poll::Ready(Some(Ok(chunk)));
                }
            }
        }
    }
}

impl<B> Body<B> {
    /// No body.
    pub fn empty() -> Self {
        Self { kind: Kind::Empty }
    }

    /// A text.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self { kind: Kind::Text { text: text.into() } }
    }

    /// A body of the inner service, as it is.
    pub fn pass(body: B) -> Self {
        Self { kind: Kind::Pass { body } }
    }

    pub(crate) fn stored(chunks: cache::Chunks, len: u64) -> Self {
        Self { kind: Kind::Chunks { chunks, left: len } }
    }

    pub(crate) fn fill(reader: FillReader, left: Option<u64>) -> Self {
        Self { kind: Kind::Fill { reading: Box::new(Reading { reader, last: None }), left } }
    }

    pub(crate) fn cut(cut: Cut) -> Self {
        Self { kind: Kind::Cut { cut: Box::new(cut) } }
    }
}

impl<B> http_body::Body for Body<B>
where
    B: http_body::Body<Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.project().kind.project() {
            Projected::Empty => Poll::Ready(None),
            Projected::Text { text } => Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(std::mem::take(text))))),
            Projected::Chunks { chunks, left } => Poll::Ready(chunks.next().map(|chunk| {
                *left = left.saturating_sub(chunk.len() as u64);
                Ok(Frame::data(chunk))
            })),
            Projected::Fill { reading, left } => {
                reading.poll_chunk(left, cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
            }
            Projected::Cut { cut } => cut.poll_chunk(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data))),
            Projected::Pass { body } => body.poll_frame(cx).map(|frame| {
                frame.map(|frame| {
                    let whole = |mut data: B::Data| data.copy_to_bytes(data.remaining());
                    frame.map(|frame| frame.map_data(whole)).map_err(BodyError::passed)
                })
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Text { text } => text.is_empty(),
            Kind::Chunks { chunks, .. } => chunks.len() == 0,
            Kind::Fill { left, .. } => *left == Some(0),
            Kind::Cut { cut } => cut.left() == 0,
            Kind::Pass { body } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Text { text } => SizeHint::with_exact(text.len() as u64),
            Kind::Chunks { left, .. } | Kind::Fill { left: Some(left), .. } => SizeHint::with_exact(*left),
            Kind::Fill { left: None, .. } => SizeHint::default(),
            Kind::Cut { cut } => SizeHint::with_exact(cut.left()),
            Kind::Pass { body } => body.size_hint(),
        }
    }
}

impl<B> Default for Body<B> {
    fn default() -> Self {
        Self::empty()
    }
}

impl<B> fmt::Debug for Body<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            Kind::Empty => "Body::Empty",
            Kind::Text { .. } => "Body::Text",
            Kind::Chunks { .. } => "Body::Stored",
            Kind::Fill { .. } => "Body::Fill",
            Kind::Cut { .. } => "Body::Ranges",
            Kind::Pass { .. } => "Body::Passed",
        })
    }
}
