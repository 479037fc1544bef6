//! Where fills run: the seam to an async runtime.

use std::future::Future;
use std::time::Duration;

/// What the middleware needs of an async runtime.
pub trait Runtime: Clone + Send + Sync + 'static {
    /// A timer.
    type Sleep: Future<Output = ()> + Send + 'static;

    /// Runs a task to its end, whatever becomes of who started it.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);

    /// Runs what may block, such as a purge that waits for a disk, where it holds nothing up. `None` if it panicked.
    fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send;

    /// Ready after `time`.
    fn sleep(&self, time: Duration) -> Self::Sleep;
}

/// The tokio runtime in whose context the middleware is called. Implements [`Runtime`] with the feature `tokio`, which is on by default.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tokio;

#[cfg(feature = "tokio")]
impl Runtime for Tokio {
    type Sleep = tokio::time::Sleep;

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        drop(tokio::spawn(task));
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        tokio::task::spawn_blocking(work).await.ok()
    }

    fn sleep(&self, time: Duration) -> Self::Sleep {
        tokio::time::sleep(time)
    }
}
