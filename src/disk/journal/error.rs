//! Why a journal cannot be opened, or written.

use std::fmt;
use std::io;
use std::sync::Arc;

/// Why a journal cannot be opened. Damage is no error: it is [`Replayed::distrust`](super::Replayed::distrust).
#[derive(Debug, Clone)]
pub(crate) struct OpenError(JournalError);

impl OpenError {
    pub(super) fn new(operation: &'static str, file: impl Into<String>, source: io::Error) -> Self {
        Self(JournalError::new(operation, file, source))
    }
}

impl From<JournalError> for OpenError {
    fn from(error: JournalError) -> Self {
        Self(error)
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source()
    }
}

/// Why entries are not known to be durable. They may be on disk all the same; they stay in force in memory, and the next sync tries again
/// with a new file.
#[derive(Debug, Clone)]
pub(crate) struct JournalError {
    kind: Kind,
    operation: &'static str,
    file: Arc<str>,
    /// Shared by all who waited for one write.
    source: Option<Arc<io::Error>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Io,
    Full,
    TooLarge,
    Broken,
}

impl JournalError {
    pub(super) fn new(operation: &'static str, file: impl Into<String>, source: io::Error) -> Self {
        let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        let kind = if full { Kind::Full } else { Kind::Io };
        Self { kind, operation, file: file.into().into(), source: Some(Arc::new(source)) }
    }

    pub(super) fn too_large() -> Self {
        Self { kind: Kind::TooLarge, operation: "append to", file: "the journal".into(), source: None }
    }

    pub(super) fn broken(operation: &'static str) -> Self {
        Self { kind: Kind::Broken, operation, file: "the journal".into(), source: None }
    }

    /// Whether the device has no space left.
    pub(crate) fn is_full(&self) -> bool {
        self.kind == Kind::Full
    }
}

impl fmt::Display for JournalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}", self.operation, self.file)?;
        // The source is not repeated: a report prints it after this.
        match self.kind {
            Kind::TooLarge => f.write_str(": the entry is over 256 MiB"),
            Kind::Broken => f.write_str(": what was to be made durable was never appended, or its writer panicked"),
            Kind::Io | Kind::Full => Ok(()),
        }
    }
}

impl std::error::Error for JournalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
