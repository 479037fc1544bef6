//! Which operation fails.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};

/// A kind of operation of a [`Crash`](super::Crash) media; operations of a kind are numbered from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Operation {
    /// [`Media::list`](crate::disk::Media::list).
    List,
    /// [`Media::create`](crate::disk::Media::create).
    Create,
    /// [`Media::open`](crate::disk::Media::open).
    Open,
    /// [`Media::rename`](crate::disk::Media::rename).
    Rename,
    /// [`Media::remove`](crate::disk::Media::remove).
    Remove,
    /// [`Media::sync_dir`](crate::disk::Media::sync_dir).
    SyncDir,
    /// [`File::write_at`](crate::disk::File::write_at).
    Write,
    /// [`File::read_at`](crate::disk::File::read_at) and [`File::bytes`](crate::disk::File::bytes).
    Read,
    /// [`File::sync`](crate::disk::File::sync).
    Sync,
    /// Each that changes something: creations, renames, removals, writes and both syncs share these numbers.
    Change,
}

impl Operation {
    fn changes(self) -> bool {
        !matches!(self, Self::List | Self::Open | Self::Read)
    }
}

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// `EIO`.
    Io,
    /// `ENOSPC`.
    Full,
}

impl Failure {
    fn error(self) -> io::Error {
        // Both numbers are the same on every Unix.
        io::Error::from_raw_os_error(match self {
            Self::Io => 5,
            Self::Full => 28,
        })
    }
}

/// What becomes of an operation.
pub(super) enum Outcome {
    /// It is done.
    Done,
    /// It fails, as far as the caller can tell.
    Failed(io::Error),
    /// Power is lost while it is under way.
    Cut(io::Error),
}

#[derive(Default)]
pub(super) struct Faults {
    counts: BTreeMap<Operation, u64>,
    once: BTreeMap<(Operation, u64), Failure>,
    always: BTreeMap<Operation, Failure>,
    cut: Option<u64>,
    pub(super) off: bool,
}

impl Faults {
    pub(super) fn count(&self, operation: Operation) -> u64 {
        self.counts.get(&operation).copied().unwrap_or(0)
    }

    pub(super) fn fail(&mut self, operation: Operation, number: u64, failure: Failure) {
        self.once.insert((operation, number), failure);
    }

    pub(super) fn fail_all(&mut self, operation: Operation, failure: Failure) {
        self.always.insert(operation, failure);
    }

    pub(super) fn heal(&mut self) {
        self.once.clear();
        self.always.clear();
    }

    pub(super) fn cut_at(&mut self, change: u64) {
        self.cut = Some(change);
    }

    /// Numbers an operation that comes now and says what becomes of it.
    pub(super) fn meet(&mut self, operation: Operation) -> Outcome {
        if let Err(error) = self.powered() {
            return Outcome::Failed(error);
        }
        let number = self.number(operation);
        let mut failure = self.met(operation, number);
        if operation.changes() {
            let change = self.number(Operation::Change);
            failure = failure.or_else(|| self.met(Operation::Change, change));
            if self.cut == Some(change) {
                self.off = true;
                return Outcome::Cut(off());
            }
        }
        failure.map_or(Outcome::Done, |failure| Outcome::Failed(failure.error()))
    }

    /// # Errors
    ///
    /// When power is off.
    pub(super) fn powered(&self) -> io::Result<()> {
        if self.off { Err(off()) } else { Ok(()) }
    }

    fn number(&mut self, operation: Operation) -> u64 {
        let count = self.counts.entry(operation).or_default();
        let number = *count;
        *count = count.saturating_add(1);
        number
    }

    fn met(&self, operation: Operation, number: u64) -> Option<Failure> {
        self.once.get(&(operation, number)).or_else(|| self.always.get(&operation)).copied()
    }
}

fn off() -> io::Error {
    io::Error::new(ErrorKind::NotConnected, "the power is off")
}
