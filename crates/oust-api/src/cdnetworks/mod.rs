//! CDNetworks CDN Pro.

pub(crate) mod pattern;

use crate::account::AccountError;
use crate::api::{Callback, Shared};
use crate::call::{Call, Reply};

/// The dialect's state.
#[derive(Debug)]
pub(crate) struct Dialect {}

impl Dialect {
    pub(crate) fn new(shared: &Shared, tasks: usize) -> Result<Self, AccountError> {
        let _ = (shared, tasks);
        Ok(Self {})
    }

    /// The answer, if the path is one of this dialect's.
    pub(crate) fn handle(&self, shared: &Shared, call: &Call<'_>) -> Option<Reply> {
        let _ = (shared, call);
        None
    }

    /// Callbacks that are due.
    pub(crate) fn due(&self, shared: &Shared, now_ms: u64) -> Vec<Callback> {
        let _ = (shared, now_ms);
        Vec::new()
    }

    /// The outcome of a callback.
    pub(crate) fn done(&self, id: u64, delivered: bool, now_ms: u64) {
        let _ = (id, delivered, now_ms);
    }
}
