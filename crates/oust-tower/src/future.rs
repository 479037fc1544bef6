//! The future of an answer.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;

use super::body::Body;

/// The answer to one request. A hit is in it from the start: neither a task nor an allocation was needed for it.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<B> {
    state: State<B>,
}

enum State<B> {
    Ready(Option<Response<Body<B>>>),
    Working(Pin<Box<dyn Future<Output = Response<Body<B>>> + Send>>),
}

impl<B> ResponseFuture<B> {
    pub(crate) fn ready(response: Response<Body<B>>) -> Self {
        Self { state: State::Ready(Some(response)) }
    }

    pub(crate) fn working(work: impl Future<Output = Response<Body<B>>> + Send + 'static) -> Self {
        Self { state: State::Working(Box::pin(work)) }
    }
}

// A response that is at hand is moved out, never pinned.
impl<B> Unpin for ResponseFuture<B> {}

impl<B> Future for ResponseFuture<B> {
    type Output = Result<Response<Body<B>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            // Polled again after it was ready, it has nothing to say, like any future.
            State::Ready(response) => response.take().map_or(Poll::Pending, |response| Poll::Ready(Ok(response))),
            State::Working(work) => work.as_mut().poll(cx).map(Ok),
        }
    }
}

impl<B> fmt::Debug for ResponseFuture<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ready = matches!(self.state, State::Ready(_));
        f.debug_struct("ResponseFuture").field("ready", &ready).finish_non_exhaustive()
    }
}
