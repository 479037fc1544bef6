//! Medianova.

pub(crate) mod pattern;

use crate::account::AccountError;
use crate::api::Shared;
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
}
