//! Bodies on their way to a client or an origin.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use oust::cache::{FillReader, Hit};
use tokio::time::{Instant, Sleep};

use crate::origin::{Stream, StreamError};

/// A body of any source.
#[derive(Debug)]
pub(crate) enum Body {
    /// None.
    Empty,
    /// Chunks that are at hand.
    Chunks {
        /// What is still to be sent.
        chunks: VecDeque<Bytes>,
        /// Its length.
        left: u64,
    },
    /// A fill in progress, with the length of the whole if the origin told it.
    Fill {
        /// The reading end.
        reader: FillReader,
        /// Bytes that are still to come.
        left: Option<u64>,
        /// The last chunk, kept back until the fill has ended: whoever has read a response whole finds it stored.
        last: Option<Bytes>,
    },
    /// Passed through.
    Stream(Timed),
    /// An origin's.
    Answer(Stream),
}

impl Body {
    /// A text of ours.
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        let text = text.into();
        let left = u64::try_from(text.len()).unwrap_or(u64::MAX);
        Self::Chunks { chunks: VecDeque::from([text]), left }
    }

    /// A stored body.
    pub(crate) fn stored(hit: &Hit) -> Self {
        Self::Chunks { chunks: hit.body().into(), left: hit.body_len() }
    }

    /// An origin's body.
    pub(crate) fn answer(stream: Stream) -> Self {
        if http_body::Body::is_end_stream(&stream) { Self::Empty } else { Self::Answer(stream) }
    }

    /// A body that is passed through; it fails when `limit` goes by without progress.
    pub(crate) fn stream(incoming: Incoming, limit: Duration) -> Self {
        if http_body::Body::is_end_stream(&incoming) { Self::Empty } else { Self::Stream(Timed::new(incoming, limit)) }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match &mut *self {
            Self::Empty => Poll::Ready(None),
            Self::Chunks { chunks, left } => Poll::Ready(chunks.pop_front().map(|chunk| {
                *left = left.saturating_sub(chunk.len() as u64);
                Ok(Frame::data(chunk))
            })),
            Self::Fill { reader, left, last } => loop {
                if last.is_some() {
                    // All that was announced is here: how the fill ends is nothing to this client any more.
                    drop(ready!(reader.poll_chunk(cx)));
                }
                if let Some(chunk) = last.take() {
                    *left = Some(0);
                    return Poll::Ready(Some(Ok(Frame::data(chunk))));
                }
                match ready!(reader.poll_chunk(cx)) {
                    None => return Poll::Ready(None),
                    Some(Err(_)) => return Poll::Ready(Some(Err(BodyError::Broken))),
                    Some(Ok(chunk)) if *left == u64::try_from(chunk.len()).ok() => *last = Some(chunk),
                    Some(Ok(chunk)) => {
                        *left = left.map(|left| left.saturating_sub(chunk.len() as u64));
                        return Poll::Ready(Some(Ok(Frame::data(chunk))));
                    }
                }
            },
            Self::Stream(timed) => timed.poll_data(cx).map(|data| data.map(|data| data.map(Frame::data))),
            Self::Answer(stream) => {
                stream.poll_data(cx).map(|data| data.map(|data| data.map(Frame::data).map_err(BodyError::Origin)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Chunks { chunks, .. } => chunks.is_empty(),
            Self::Fill { left, .. } => *left == Some(0),
            Self::Stream(timed) => http_body::Body::is_end_stream(&timed.incoming),
            Self::Answer(stream) => http_body::Body::is_end_stream(stream),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Chunks { left, .. } => SizeHint::with_exact(*left),
            Self::Fill { left: Some(left), .. } => SizeHint::with_exact(*left),
            Self::Fill { left: None, .. } => SizeHint::default(),
            Self::Stream(timed) => http_body::Body::size_hint(&timed.incoming),
            Self::Answer(stream) => http_body::Body::size_hint(stream),
        }
    }
}

/// An incoming body that fails when nothing comes for too long. Trailers are dropped.
#[derive(Debug)]
pub(crate) struct Timed {
    incoming: Incoming,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    armed: bool,
}

impl Timed {
    pub(crate) fn new(incoming: Incoming, limit: Duration) -> Self {
        Self { incoming, limit, timer: Box::pin(tokio::time::sleep(limit)), armed: false }
    }

    /// The next bytes, `None` at the end.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            match http_body::Body::poll_frame(Pin::new(&mut self.incoming), cx) {
                Poll::Ready(frame) => {
                    self.armed = false;
                    return Poll::Ready(match frame {
                        None => None,
                        Some(Err(error)) => Some(Err(BodyError::Transport(error))),
                        Some(Ok(frame)) => match frame.into_data() {
                            Ok(data) => Some(Ok(data)),
                            Err(_) => continue,
                        },
                    });
                }
                Poll::Pending => {
                    // The timer runs only while there is nothing to do: a reader that takes its time is not the sender's fault.
                    if !self.armed {
                        self.armed = true;
                        let deadline = Instant::now() + self.limit;
                        self.timer.as_mut().reset(deadline);
                    }
                    ready!(Future::poll(self.timer.as_mut(), cx));
                    return Poll::Ready(Some(Err(BodyError::Stalled)));
                }
            }
        }
    }
}

/// Why a body ended early.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// The connection it came from failed.
    Transport(hyper::Error),
    /// The origin's answer broke off.
    Origin(StreamError),
    /// Nothing came for too long.
    Stalled,
    /// The fill that was read broke.
    Broken,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Origin(error) => error.fmt(f),
            Self::Stalled => f.write_str("no progress within the time allowed"),
            Self::Broken => f.write_str("the fetch that was read broke off"),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport(error) => Some(error),
            Self::Origin(error) => Some(error),
            Self::Stalled | Self::Broken => None,
        }
    }
}
