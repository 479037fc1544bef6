//! Limits of connections, which a reload may change: time limits for connections to come, their number at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use crate::config::Server;

/// Largest head of a request, in bytes; beyond it the answer is 431.
pub(crate) const MAX_HEAD: usize = 32 << 10;
/// Streams of one HTTP/2 connection at once.
pub(super) const MAX_STREAMS: u32 = 128;
/// Streams a client may open and reset before they were answered (CVE-2023-44487).
pub(super) const MAX_RESETS: usize = 32;
/// Streams that ended by the client's faults (CVE-2025-8671).
pub(super) const MAX_FAULTS: usize = 64;
/// What an HTTP/2 client may send of a body, and of all bodies of its connection, before it is read.
pub(super) const STREAM_WINDOW: u32 = 128 << 10;
pub(super) const CONNECTION_WINDOW: u32 = 1 << 20;
/// What is held of an answer that an HTTP/2 client does not take.
pub(super) const SEND_BUFFER: usize = 64 << 10;

/// Time limits of one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    pub(super) header: Duration,
    pub(super) body: Duration,
    pub(super) idle: Duration,
}

/// The limits of a set of listeners.
#[derive(Debug)]
pub(crate) struct Limits {
    times: ArcSwap<Times>,
    gate: Arc<Gate>,
}

impl Limits {
    pub(crate) fn new(server: &Server) -> Self {
        let gate = Gate { open: AtomicUsize::new(0), most: AtomicUsize::new(0), ended: Notify::new() };
        gate.most.store(server.max_connections, Ordering::Relaxed);
        Self { times: ArcSwap::from_pointee(times(server)), gate: Arc::new(gate) }
    }

    /// From now on these hold, for time limits on new connections. Connections beyond a lower number stay.
    pub(crate) fn set(&self, server: &Server) {
        self.times.store(Arc::new(times(server)));
        self.gate.most.store(server.max_connections, Ordering::Relaxed);
        self.gate.ended.notify_waiters();
    }

    pub(super) fn times(&self) -> Times {
        **self.times.load()
    }

    /// Waits until one more connection may be served.
    pub(super) async fn enter(&self) -> Place {
        loop {
            // Made first, so that an end in between is not missed.
            let ended = self.gate.ended.notified();
            let most = self.gate.most.load(Ordering::Relaxed);
            let more = |open: usize| (open < most).then_some(open + 1);
            if let Ok(before) = self.gate.open.fetch_update(Ordering::AcqRel, Ordering::Acquire, more) {
                if before + 1 < most {
                    // Two ends in one moment are one notification: whoever enters passes it on while there is room.
                    self.gate.ended.notify_one();
                }
                return Place(self.gate.clone());
            }
            ended.await;
        }
    }
}

fn times(server: &Server) -> Times {
    Times { header: server.header_timeout, body: server.body_timeout, idle: server.keep_alive_timeout }
}

#[derive(Debug)]
struct Gate {
    open: AtomicUsize,
    most: AtomicUsize,
    ended: Notify,
}

/// One connection's place among those that may be open.
#[derive(Debug)]
pub(super) struct Place(Arc<Gate>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn now<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn places_are_as_many_as_the_limit_says_and_a_reload_changes_it() {
        let mut server = Server { max_connections: 1, ..Server::default() };
        let limits = Limits::new(&server);
        let first = now(pin!(limits.enter())).expect("there is room");
        let mut second = pin!(limits.enter());
        assert!(now(second.as_mut()).is_none());
        drop(first);
        let second = now(second).expect("room again");
        let mut third = pin!(limits.enter());
        assert!(now(third.as_mut()).is_none());
        server.max_connections = 2;
        limits.set(&server);
        let third = now(third).expect("a higher limit");
        server.max_connections = 1;
        limits.set(&server);
        drop(second);
        assert!(now(pin!(limits.enter())).is_none(), "a lower limit holds for those that come");
        drop(third);
    }
}
