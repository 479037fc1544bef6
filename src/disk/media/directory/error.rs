//! Why a directory cannot be used.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Why a directory cannot be used. Its text names the directory and says what to do.
#[derive(Debug)]
pub struct OpenError {
    path: PathBuf,
    kind: Kind,
    source: Option<io::Error>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Locked,
    ReadOnly,
    /// The mode bits.
    Writable(u32),
    /// The owner.
    Foreign(u32),
    /// The file system.
    NoReserve(String),
    /// What could not be done.
    Failed(&'static str),
}

impl OpenError {
    pub(super) fn new(path: &Path, kind: Kind) -> Self {
        Self { path: path.to_owned(), kind, source: None }
    }

    /// An error of the system in `doing` something.
    pub(super) fn system(path: &Path, doing: &'static str, errno: Errno) -> Self {
        let kind = match errno {
            Errno::ROFS => Kind::ReadOnly,
            Errno::WOULDBLOCK => Kind::Locked,
            _ => Kind::Failed(doing),
        };
        Self { path: path.to_owned(), kind, source: Some(errno.into()) }
    }

    /// Whether another process, or another part of this one, has the directory.
    pub fn is_locked(&self) -> bool {
        self.kind == Kind::Locked
    }

    /// Whether the file system is read-only.
    pub fn is_read_only(&self) -> bool {
        self.kind == Kind::ReadOnly
    }

    /// Whether other users may write to the directory.
    pub fn is_insecure(&self) -> bool {
        matches!(self.kind, Kind::Writable(_) | Kind::Foreign(_))
    }

    /// Whether the file system cannot reserve space for a file.
    pub fn is_unsupported(&self) -> bool {
        matches!(self.kind, Kind::NoReserve(_))
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.path.display())?;
        match &self.kind {
            Kind::Locked => f.write_str("the directory is in use by another process"),
            Kind::ReadOnly => f.write_str("the file system is read-only"),
            Kind::Writable(mode) => {
                write!(f, "other users may write to the directory (mode {mode:04o}); make it 0700")
            }
            Kind::Foreign(owner) => {
                write!(f, "the directory belongs to another user (uid {owner}), who may write to it")
            }
            Kind::NoReserve(system) => write!(f, "the file system ({system}) does not support fallocate"),
            Kind::Failed(doing) => write!(f, "cannot {doing}"),
        }
    }
}

impl Error for OpenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source as _)
    }
}
