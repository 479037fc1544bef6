//! The threads that serve: each has a runtime of its own, of one thread.

use std::thread;

use tokio::sync::{mpsc, watch};

use super::{Answer, Figures, Listeners};

/// Threads that serve until they are told to stop.
#[derive(Debug)]
pub(crate) struct Workers {
    ended: mpsc::UnboundedReceiver<Result<(), String>>,
    running: usize,
}

impl Workers {
    /// Starts a thread for each of `listeners`.
    ///
    /// # Errors
    ///
    /// The system has no more threads or descriptors. Those that were started stop when `stop` does.
    pub(crate) fn start<A: Answer>(
        listeners: Vec<Listeners<A>>,
        stop: &watch::Receiver<bool>,
    ) -> Result<Self, std::io::Error> {
        let (tell, ended) = mpsc::unbounded_channel();
        let mut running = 0;
        for (index, listeners) in listeners.into_iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .thread_name(format!("oust-{index}-blocking"))
                .enable_all()
                .build()?;
            let (stop, tell) = (stop.clone(), Told(Some(tell.clone())));
            // Detached: what a drain does not wait for must not be waited for here.
            drop(thread::Builder::new().name(format!("oust-{index}")).spawn(move || {
                Figures::settle(index);
                let result = runtime.block_on(listeners.serve(stop));
                tell.end(result);
                // Fills nobody waits for do not keep the thread.
                runtime.shutdown_background();
            })?);
            running += 1;
        }
        Ok(Self { ended, running })
    }

    /// Waits until a thread ends that was not told to, and tells why. Cancel safe.
    pub(crate) async fn failed(&mut self) -> String {
        while let Some(ended) = self.ended.recv().await {
            self.running = self.running.saturating_sub(1);
            if let Err(error) = ended {
                return error;
            }
        }
        "no thread is left".to_owned()
    }

    /// Waits until all have ended.
    pub(crate) async fn ended(&mut self) {
        while self.running > 0 {
            match self.ended.recv().await {
                Some(ended) => {
                    self.running -= 1;
                    if let Err(error) = ended {
                        tracing::error!(error, "a thread failed");
                    }
                }
                None => return,
            }
        }
    }
}

/// Tells how a thread ended, whichever way.
struct Told(Option<mpsc::UnboundedSender<Result<(), String>>>);

impl Told {
    fn end(mut self, result: Result<(), String>) {
        if let Some(tell) = self.0.take() {
            drop(tell.send(result));
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            drop(tell.send(Err("a thread ended by a panic".to_owned())));
        }
    }
}
