//! Where fills run: on the thread of the client that leads them, which they go on telling what the origin says before its answer.

use std::future::Future;
use std::time::Duration;

use oust_tower::{Runtime, Tokio};

use crate::listen::Interim;

/// Tokio, with tasks that know their client.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fills;

impl Runtime for Fills {
    type Sleep = <Tokio as Runtime>::Sleep;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        match Interim::client() {
            Some(client) => Tokio.spawn(client.scope(task)),
            None => Tokio.spawn(task),
        }
    }

    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send {
        Tokio.blocking(work)
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        Tokio.sleep(time)
    }
}
