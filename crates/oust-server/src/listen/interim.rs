//! Interim answers (1xx, RFC 9110 15.2): what an origin says before its answer, told to the HTTP/1.1 client whose request asks it.
//!
//! hyper's server can send none, so their heads are written beside it, by the connection itself ([`Guarded`](super::io::Guarded)).
//!
//! Invariants:
//!
//! 1. A head is written only where hyper has nothing left to write, which it shows by flushing, and the answer that the head precedes is held back until
//!    then: heads stand between messages, before the answer to the request they are for, in the order in which they came.
//! 2. What comes for a request that has its answer is dropped, whoever still holds an [`Interim`] of it.
//! 3. No more than [`MAX_WAITING`] bytes wait for a client; what does not fit is dropped whole.
//!
//! Lock: one, a leaf.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use ::http::header::{self, HeaderValue};
use ::http::{HeaderMap, StatusCode};
use oust_tower::fields;

/// Bytes of heads that wait for one client.
const MAX_WAITING: usize = 64 << 10;

tokio::task_local! {
    /// The client this task works for, if it can be told anything.
    static CLIENT: Option<Interim>;
}

/// A client that waits for its answer.
#[derive(Debug, Clone)]
pub(crate) struct Interim {
    desk: Arc<Desk>,
    turn: u64,
}

impl Interim {
    /// The client this task works for, if it can be told anything: it speaks HTTP/1.1.
    pub(crate) fn client() -> Option<Self> {
        let client = CLIENT.try_with(Clone::clone).ok().flatten()?;
        client.desk.asked.store(true, Ordering::Relaxed);
        Some(client)
    }

    /// Does `work` for this client.
    pub(crate) fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        CLIENT.scope(Some(self), work)
    }

    /// Tells it an interim answer, without what is for one connection only. It gets no 100, which only answers what was asked of us, and no 101, which
    /// is no interim answer.
    pub(crate) fn tell(&self, status: StatusCode, headers: &HeaderMap) {
        if !status.is_informational() || matches!(status.as_u16(), 100 | 101) {
            return;
        }
        let head = encode(status, headers);
        let waker = {
            let mut state = self.desk.lock();
            if self.desk.turn.load(Ordering::Relaxed) != self.turn || state.heads.len() + head.len() > MAX_WAITING {
                return;
            }
            state.heads.extend_from_slice(&head);
            self.desk.waiting.store(true, Ordering::Release);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn encode(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let mut headers = headers.clone();
    fields::strip_hop_by_hop(&mut headers);
    // It has no body (RFC 9110 8.6).
    headers.remove(header::CONTENT_LENGTH);
    headers.append(header::VIA, HeaderValue::from_static("1.1 oust"));
    let mut head = format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or("")).into_bytes();
    for (name, value) in &headers {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

/// What one connection's client is to be told, request after request.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// Whether anybody holds an [`Interim`] of the request in hand. Most requests are answered without.
    asked: AtomicBool,
    /// Whether there is something to write.
    waiting: AtomicBool,
    /// Which request is in hand; changed under the lock only.
    turn: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    heads: Vec<u8>,
    /// The connection's task, if it waits for more heads or for these to be taken.
    waker: Option<Waker>,
}

impl Desk {
    /// Answers a request. `can_be_told`: whether its client may get interim answers, which takes HTTP/1.1 (RFC 9110 15.2).
    pub(super) async fn answer<F: Future>(self: &Arc<Self>, can_be_told: bool, answering: F) -> F::Output {
        let client = can_be_told.then(|| Interim { desk: self.clone(), turn: self.turn.load(Ordering::Relaxed) });
        let mut answering = pin!(CLIENT.scope(client, answering));
        let mut answer = None;
        poll_fn(move |cx| {
            if answer.is_none() {
                match answering.as_mut().poll(cx) {
                    Poll::Ready(ready) => {
                        answer = Some(ready);
                        self.close();
                    }
                    Poll::Pending => {
                        self.wait(cx);
                        return Poll::Pending;
                    }
                }
            }
            if self.is_written(cx) { answer.take().map_or(Poll::Pending, Poll::Ready) } else { Poll::Pending }
        })
        .await
    }

    /// Heads to be written now. Called where hyper has nothing left to write.
    pub(super) fn take(&self) -> Option<Vec<u8>> {
        if !self.waiting.load(Ordering::Acquire) {
            return None;
        }
        let (heads, waker) = {
            let mut state = self.lock();
            self.waiting.store(false, Ordering::Relaxed);
            (std::mem::take(&mut state.heads), state.waker.take())
        };
        // The answer waits for this.
        if let Some(waker) = waker {
            waker.wake();
        }
        (!heads.is_empty()).then_some(heads)
    }

    /// The request in hand has its answer.
    fn close(&self) {
        if self.asked.swap(false, Ordering::Relaxed) {
            let _state = self.lock();
            self.turn.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wait(&self, cx: &Context<'_>) {
        if self.asked.load(Ordering::Relaxed) {
            self.lock().waker = Some(cx.waker().clone());
        }
    }

    /// Whether nothing is left to be written before the answer.
    fn is_written(&self, cx: &Context<'_>) -> bool {
        if !self.waiting.load(Ordering::Acquire) {
            return true;
        }
        let mut state = self.lock();
        state.waker = Some(cx.waker().clone());
        state.heads.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::task::ready;

    use super::*;

    fn context() -> Context<'static> {
        Context::from_waker(Waker::noop())
    }

    fn told(status: u16) -> impl Fn(&Interim) {
        move |client| client.tell(StatusCode::from_u16(status).expect("a status"), &HeaderMap::new())
    }

    #[test]
    fn an_answer_waits_until_what_precedes_it_is_taken() {
        let desk = Arc::new(Desk::default());
        let late = std::cell::RefCell::new(None);
        let mut answer = pin!(desk.answer(true, async {
            let client = Interim::client().expect("a client");
            told(103)(&client);
            late.replace(Some(client));
        }));
        assert!(answer.as_mut().poll(&mut context()).is_pending());
        let client = late.take().expect("a client");
        told(102)(&client);
        let heads = String::from_utf8(desk.take().expect("a head")).expect("text");
        assert_eq!(
            heads, "HTTP/1.1 103 Early Hints\r\nvia: 1.1 oust\r\n\r\n",
            "what comes after the answer is dropped"
        );
        assert!(answer.as_mut().poll(&mut context()).is_ready());
        told(102)(&client);
        assert_eq!(desk.take(), None);
    }

    #[test]
    fn heads_are_taken_while_the_answer_is_awaited() {
        let desk = Arc::new(Desk::default());
        let mut first = true;
        let mut answer = pin!(desk.answer(
            true,
            poll_fn(|_| {
                told(102)(&Interim::client().expect("a client"));
                let ready = if std::mem::take(&mut first) { Poll::Pending } else { Poll::Ready(()) };
                ready!(ready);
                Poll::Ready(())
            })
        ));
        for _ in 0..2 {
            assert!(answer.as_mut().poll(&mut context()).is_pending());
            assert!(desk.take().is_some());
        }
        assert!(answer.as_mut().poll(&mut context()).is_ready());
    }

    #[test]
    fn nobody_is_told_who_cannot_be_or_too_much() {
        let desk = Arc::new(Desk::default());
        assert!(Interim::client().is_none());
        let mut none = pin!(desk.answer(false, async { assert!(Interim::client().is_none()) }));
        assert!(none.as_mut().poll(&mut context()).is_ready());
        let mut many = pin!(desk.answer(true, async {
            let client = Interim::client().expect("a client");
            let mut headers = HeaderMap::new();
            headers.insert("x", HeaderValue::from_str(&"y".repeat(MAX_WAITING / 3)).expect("a value"));
            (0..4).for_each(|_| client.tell(StatusCode::EARLY_HINTS, &headers));
            for status in [100, 101, 200] {
                told(status)(&client);
            }
        }));
        assert!(many.as_mut().poll(&mut context()).is_pending());
        let heads = String::from_utf8(desk.take().expect("heads")).expect("text");
        assert_eq!(heads.matches("HTTP/1.1 ").count(), 2);
        assert!(many.as_mut().poll(&mut context()).is_ready());
    }

    #[test]
    fn a_head_is_without_what_is_for_one_connection() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "x-hop"),
            ("x-hop", "1"),
            ("content-length", "5"),
            ("transfer-encoding", "chunked"),
            ("link", "</a>"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let text = String::from_utf8(encode(StatusCode::EARLY_HINTS, &headers)).expect("text");
        assert_eq!(text, "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\nvia: 1.1 oust\r\n\r\n");
    }
}
