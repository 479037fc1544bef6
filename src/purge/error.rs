//! Why a selector is refused.

use std::borrow::Cow;
use std::fmt;

use super::{PurgeError, PurgeErrorKind};
use crate::key::KeyError;

/// Why a selector is refused: what is wrong, at which byte of its text, and which limit was passed.
#[derive(Debug, Clone)]
pub struct SelectorError {
    kind: Kind,
    message: Cow<'static, str>,
    position: Option<usize>,
    limit: Option<(&'static str, u64)>,
    source: Option<KeyError>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Malformed,
    OverBudget,
    TooLarge,
}

impl SelectorError {
    pub(crate) fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: Kind::Malformed, message: message.into(), position: None, limit: None, source: None }
    }

    /// A budget of work or memory is passed.
    pub(crate) fn over_budget(name: &'static str, limit: usize) -> Self {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let message = Cow::Borrowed("the selector is over a budget");
        Self { kind: Kind::OverBudget, message, position: None, limit: Some((name, limit)), source: None }
    }

    /// A text is too long.
    pub(crate) fn too_large(name: &'static str, limit: usize) -> Self {
        let message = Cow::Borrowed("the selector is too long");
        Self { kind: Kind::TooLarge, message, ..Self::over_budget(name, limit) }
    }

    pub(crate) fn at(mut self, position: usize) -> Self {
        self.position = Some(position);
        self
    }

    /// Whether the text is not what a selector of its kind may be.
    pub fn is_malformed(&self) -> bool {
        self.kind == Kind::Malformed
    }

    /// Whether the text is well-formed, but passes a budget: see [`SelectorError::limit`].
    pub fn is_over_budget(&self) -> bool {
        self.kind == Kind::OverBudget
    }

    /// Whether the text, or the key it names, is too long.
    pub fn is_too_large(&self) -> bool {
        self.kind == Kind::TooLarge
    }

    /// Byte of the selector's text at which it went wrong.
    pub fn position(&self) -> Option<usize> {
        self.position
    }

    /// The limit that was passed: its name and value.
    pub fn limit(&self) -> Option<(&'static str, u64)> {
        self.limit
    }

    /// As the error of a purge whose selector number `index` it is.
    pub(crate) fn into_purge_error(self, index: usize) -> PurgeError {
        PurgeError {
            kind: match self.kind {
                Kind::Malformed => PurgeErrorKind::Malformed,
                Kind::OverBudget => PurgeErrorKind::OverBudget,
                Kind::TooLarge => PurgeErrorKind::TooLarge,
            },
            selector: Some(index),
            position: self.position,
            limit: self.limit,
            message: self.to_string(),
        }
    }
}

impl From<KeyError> for SelectorError {
    fn from(error: KeyError) -> Self {
        Self {
            kind: if error.is_too_long() { Kind::TooLarge } else { Kind::Malformed },
            message: Cow::Borrowed(""),
            position: error.position(),
            limit: error.limit(),
            source: Some(error),
        }
    }
}

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            return source.fmt(f);
        }
        f.write_str(&self.message)?;
        if let Some((name, limit)) = self.limit {
            write!(f, " (limit: {limit} {name})")?;
        }
        if let Some(position) = self.position {
            write!(f, " at byte {position}")?;
        }
        Ok(())
    }
}

// The key's error is the message, so it is not a source as well: a report would print it twice.
impl std::error::Error for SelectorError {}
