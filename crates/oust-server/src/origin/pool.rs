//! Connections to one origin that wait for a request.
//!
//! 1. A connection is given only to requests of the runtime that drives it: another one may end at any time, or stand still.
//! 2. Nothing that is closed or has been idle for too long is given out.
//!
//! Lock: one, a leaf, held for a look-up.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hyper::client::conn::{http1, http2};
use tokio::runtime::Id;
use tokio::time::Instant;

use super::dial::{Outgoing, Sender};

/// How long a connection is kept without a request.
pub(super) const IDLE: Duration = Duration::from_secs(30);
/// Idle connections of one runtime to one origin.
const MAX_IDLE: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<HashMap<Id, Local>>);

/// The connections of one runtime.
#[derive(Debug, Default)]
struct Local {
    /// The one used last is last.
    idle: Vec<(Instant, http1::SendRequest<Outgoing>)>,
    shared: Option<(Instant, http2::SendRequest<Outgoing>)>,
}

impl Pool {
    /// A connection of this runtime, the one used last.
    pub(super) fn take(&self, runtime: Id) -> Option<Sender> {
        let now = Instant::now();
        self.with(|locals| {
            let local = locals.get_mut(&runtime)?;
            local.prune(now);
            if let Some((used, sender)) = &mut local.shared {
                *used = now;
                return Some(Sender::Many(sender.clone()));
            }
            while let Some((_, sender)) = local.idle.pop() {
                if sender.is_ready() {
                    return Some(Sender::One(sender));
                }
            }
            None
        })
    }

    /// Keeps a connection that has nothing to do.
    pub(super) fn give(&self, runtime: Id, sender: http1::SendRequest<Outgoing>) {
        if sender.is_closed() {
            return;
        }
        self.with(|locals| {
            let local = locals.entry(runtime).or_default();
            if local.idle.len() < MAX_IDLE {
                local.idle.push((Instant::now(), sender));
            }
        });
    }

    /// Keeps a connection for all requests of a runtime.
    pub(super) fn share(&self, runtime: Id, sender: http2::SendRequest<Outgoing>) {
        self.with(|locals| locals.entry(runtime).or_default().shared = Some((Instant::now(), sender)));
    }

    /// Lets go of what is closed or idle for too long, and of runtimes that have nothing.
    pub(super) fn prune(&self) {
        let now = Instant::now();
        self.with(|locals| {
            locals.retain(|_, local| {
                local.prune(now);
                local.shared.is_some() || !local.idle.is_empty()
            });
        });
    }

    fn with<T>(&self, f: impl FnOnce(&mut HashMap<Id, Local>) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.with(|locals| locals.values().map(|local| local.idle.len() + usize::from(local.shared.is_some())).sum())
    }
}

impl Local {
    fn prune(&mut self, now: Instant) {
        let stale = |used: &Instant| now.saturating_duration_since(*used) >= IDLE;
        self.idle.retain(|(used, sender)| !sender.is_closed() && !stale(used));
        // Its streams go on without us; only new ones need the sender.
        self.shared.take_if(|(used, sender)| sender.is_closed() || stale(used));
    }
}
