//! Bodies of clients.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

/// A client's body on its way to an origin.
#[derive(Debug, Default)]
pub(crate) enum Body {
    /// None.
    #[default]
    Empty,
    /// A text of a test.
    #[cfg(test)]
    Text(Bytes),
    /// Passed through.
    Stream(Timed),
}

impl Body {
    /// A text of a test.
    #[cfg(test)]
    pub(crate) fn text(text: impl Into<Bytes>) -> Self {
        Self::Text(text.into())
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
            #[cfg(test)]
            Self::Text(text) => Poll::Ready((!text.is_empty()).then(|| Ok(Frame::data(std::mem::take(text))))),
            Self::Stream(timed) => timed.poll_data(cx).map(|data| data.map(|data| data.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            #[cfg(test)]
            Self::Text(text) => text.is_empty(),
            Self::Stream(timed) => http_body::Body::is_end_stream(&timed.incoming),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            #[cfg(test)]
            Self::Text(text) => SizeHint::with_exact(text.len() as u64),
            Self::Stream(timed) => http_body::Body::size_hint(&timed.incoming),
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
    /// Nothing came for too long.
    Stalled,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Stalled => f.write_str("no progress within the time allowed"),
        }
    }
}

impl std::error::Error for BodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport(error) => Some(error),
            Self::Stalled => None,
        }
    }
}
