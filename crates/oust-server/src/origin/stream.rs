//! The body of an origin's answer.
//!
//! 1. Its place among the site's fetches is held until it ends or is dropped.
//! 2. An HTTP/1 connection goes back to the pool only when its answer was read to the end; else it is closed.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use tokio::runtime::{Handle, Id};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::dial::Outgoing;
use super::upstream::Upstream;

/// How long a connection may take to be ready again after its answer ended: the end of the request may still be on its way.
const SETTLE: Duration = Duration::from_secs(5);

/// The body of an answer. It fails when nothing comes for too long; trailers are dropped.
#[derive(Debug)]
pub(crate) struct Stream {
    incoming: Incoming,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waits: bool,
    hold: Hold,
}

/// What ends with the body.
#[derive(Debug)]
struct Hold {
    upstream: Arc<Upstream>,
    lease: Option<Lease>,
    permit: Option<OwnedSemaphorePermit>,
}

/// An HTTP/1 connection with an answer on it.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) runtime: Id,
    pub(super) sender: http1::SendRequest<Outgoing>,
}

impl Stream {
    pub(super) fn new(incoming: Incoming, limit: Duration, upstream: Arc<Upstream>, lease: Option<Lease>) -> Self {
        let mut hold = Hold { upstream, lease, permit: None };
        if incoming.is_end_stream() {
            hold.end();
        }
        Self { incoming, limit, timer: None, waits: false, hold }
    }

    /// Keeps a place among the site's fetches until the end.
    pub(super) fn holding(mut self, permit: Option<OwnedSemaphorePermit>) -> Self {
        if !self.incoming.is_end_stream() {
            self.hold.permit = permit;
        }
        self
    }

    /// The next bytes, `None` at the end. Cancel safe.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, StreamError>>> {
        loop {
            match Pin::new(&mut self.incoming).poll_frame(cx) {
                Poll::Ready(None) => {
                    self.hold.end();
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Ok(frame))) => {
                    self.waits = false;
                    if let Ok(data) = frame.into_data() {
                        if self.incoming.is_end_stream() {
                            self.hold.end();
                        }
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    self.hold.broken();
                    return Poll::Ready(Some(Err(StreamError::Transport(error))));
                }
                Poll::Pending => {
                    // The time runs only while there is nothing to do: a reader that takes its time is not the origin's fault.
                    let deadline = Instant::now() + self.limit;
                    let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
                    if !self.waits {
                        self.waits = true;
                        timer.as_mut().reset(deadline);
                    }
                    ready!(Future::poll(timer.as_mut(), cx));
                    self.hold.broken();
                    return Poll::Ready(Some(Err(StreamError::Stalled)));
                }
            }
        }
    }
}

impl Hold {
    fn end(&mut self) {
        self.permit = None;
        if let Some(lease) = self.lease.take() {
            lease.settle(&self.upstream);
        }
    }

    fn broken(&mut self) {
        self.permit = None;
        // Its connection is not to be used again.
        self.lease = None;
        self.upstream.meters.broken();
    }
}

impl Lease {
    fn settle(self, upstream: &Arc<Upstream>) {
        let Self { runtime, mut sender } = self;
        if sender.is_ready() {
            upstream.pool.give(runtime, sender);
        } else if !sender.is_closed()
            && let Ok(handle) = Handle::try_current()
        {
            let upstream = Arc::downgrade(upstream);
            drop(handle.spawn(async move {
                if let Ok(Ok(())) = tokio::time::timeout(SETTLE, sender.ready()).await
                    && let Some(upstream) = upstream.upgrade()
                {
                    upstream.pool.give(runtime, sender);
                }
            }));
        }
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.poll_data(cx).map(|data| data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

/// Why the body of an answer ended early.
#[derive(Debug)]
pub(crate) enum StreamError {
    /// The connection failed, or broke HTTP.
    Transport(hyper::Error),
    /// Nothing came for too long.
    Stalled,
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(error) => error.fmt(f),
            Self::Stalled => f.write_str("no progress within the time allowed"),
        }
    }
}

impl std::error::Error for StreamError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Transport(error) => Some(error),
            Self::Stalled => None,
        }
    }
}
