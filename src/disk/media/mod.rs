//! The seam between the second tier and a file system.
//!
//! Durability as POSIX has it, no more: what was written to a file is safe once [`File::sync`] has returned, a name once [`Media::sync_dir`]
//! has. Until then any of it may be lost, in any order and in part.
//!
//! [`Directory`] is a real directory, [`Memory`] holds files in memory, [`Crash`] simulates the loss of power.

#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::arithmetic_side_effects))]

mod crash;
#[cfg(target_os = "linux")]
mod directory;
mod image;
#[cfg(target_os = "linux")]
mod map;
mod memory;

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

#[doc(hidden)]
pub use crash::{Crash, Failure, Operation};
#[cfg(target_os = "linux")]
pub use directory::{Access, Directory, OpenError};
#[cfg(target_os = "linux")]
pub use map::install_sigbus_handler;
pub use memory::Memory;

/// A directory of files.
///
/// Names are plain file names of at most 255 bytes; `lock` is taken, and what is no name is `InvalidInput`. Every method may be called from any thread.
pub trait Media: Debug + Send + Sync {
    /// The names of all files, in no order.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Creates a file of `len` zero bytes whose space is reserved: writing within it does not fail for want of space.
    ///
    /// # Errors
    ///
    /// `AlreadyExists`, `StorageFull`, and those of the file system. Nothing is left behind after an error.
    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn File>>;

    /// Opens a file that exists, for reading and writing.
    ///
    /// # Errors
    ///
    /// `NotFound`, and those of the file system.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Renames a file; one of the new name is replaced.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a name. Open handles and bytes of the file stay good.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all creations, renames and removals so far durable.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    fn sync_dir(&self) -> io::Result<()>;
}

/// An open file. Its length never changes but by a write past its end.
pub trait File: Debug + Send + Sync {
    /// Length in bytes.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    fn size(&self) -> io::Result<u64>;

    /// Writes all of `bytes` at `offset`. Not durable before [`sync`](Self::sync).
    ///
    /// # Errors
    ///
    /// `PermissionDenied` once this handle was [frozen](Self::freeze), and those of the file system; part of it may have been written then.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Fills `into` from `offset` on.
    ///
    /// # Errors
    ///
    /// `UnexpectedEof` past the end, and those of the file system.
    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Makes everything written so far durable. After an error nothing is known of any write since the last success.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    fn sync(&self) -> io::Result<()>;

    /// Says that the file will not be written again, so that it may be mapped.
    ///
    /// # Errors
    ///
    /// Those of the file system; the file can be read all the same.
    fn freeze(&self) -> io::Result<()>;

    /// The bytes of a range: a view of the mapped file where the media maps and the file is [frozen](Self::freeze), a copy else. May wait for
    /// the device unless [`is_warm`](Self::is_warm).
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at).
    fn bytes(&self, range: Range<u64>) -> io::Result<Bytes>;

    /// Whether reading the range would not wait for the device, as far as can be told. A guess, not a promise.
    fn is_warm(&self, range: Range<u64>) -> bool;

    /// The [`bytes`](Self::bytes) of a range if it [`is_warm`](Self::is_warm), `None` else; to be made one question where each is a call of the system.
    ///
    /// # Errors
    ///
    /// As [`bytes`](Self::bytes).
    fn warm_bytes(&self, range: Range<u64>) -> io::Result<Option<Bytes>> {
        if self.is_warm(range.clone()) { self.bytes(range).map(Some) } else { Ok(None) }
    }

    /// Whether what was handed out as views is what the device holds. False forever once a page could not be brought back; views may then hold
    /// zeros, and whoever copied from one asks this before using the copy.
    fn is_intact(&self) -> bool;

    /// What tells this file from any copy of it; `None` where the file system cannot say.
    ///
    /// # Errors
    ///
    /// Those of the file system.
    fn identity(&self) -> io::Result<Option<Identity>>;
}

/// Inode and time of birth: a copy of a file has others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "implementations of Media make it")]
pub struct Identity {
    /// Inode number.
    pub inode: u64,
    /// When the inode was made, in nanoseconds since the Unix epoch.
    pub born_ns: u64,
}

#[cfg(test)]
mod tests;
