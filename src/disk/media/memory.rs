//! Files in memory: for tests, and for embedders without a disk.
//!
//! 1. `used` is the sum of the lengths of all files that have a name or an open handle, and never above `limit`.
//! 2. A write never changes bytes that were handed out.
//!
//! Lock order: the names, then the contents of one file.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use super::image::{check_name, end_of, extend, frozen, read, slice, write};
use super::{File, Identity, Media};

/// A directory in memory. Clones are the same directory; it is gone with the last of them.
///
/// Nothing survives the process, so syncs have nothing to do. The bytes of a frozen file are views without copy.
#[derive(Clone)]
pub struct Memory {
    names: Arc<Mutex<BTreeMap<String, Arc<Inode>>>>,
    room: Arc<Room>,
}

impl Memory {
    /// An empty directory that may take all memory there is.
    pub fn new() -> Self {
        Self::with_limit(u64::MAX)
    }

    /// An empty directory whose files are at most `limit` bytes long together. What would pass that fails with `StorageFull`.
    ///
    /// A removed file counts until its last handle is dropped; bytes handed out keep its memory, but do not count.
    pub fn with_limit(limit: u64) -> Self {
        Self { names: Arc::default(), room: Arc::new(Room { limit, used: AtomicU64::new(0) }) }
    }

    /// Length of all files together, in bytes.
    pub fn used(&self) -> u64 {
        self.room.used.load(Ordering::Relaxed)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory").field("used", &self.used()).field("limit", &self.room.limit).finish_non_exhaustive()
    }
}

impl Media for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names.lock().keys().cloned().collect())
    }

    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn File>> {
        check_name(name)?;
        let mut names = self.names.lock();
        if names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let inode = Arc::new(Inode::new(Arc::clone(&self.room)));
        inode.grow(&mut inode.contents.write(), len)?;
        names.insert(name.to_owned(), Arc::clone(&inode));
        Ok(Arc::new(MemoryFile::new(inode)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        check_name(name)?;
        let inode = self.names.lock().get(name).cloned().ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(MemoryFile::new(inode)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        let mut names = self.names.lock();
        let inode = names.remove(from).ok_or(ErrorKind::NotFound)?;
        let replaced = names.insert(to.to_owned(), inode);
        drop(names);
        drop(replaced);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        let removed = self.names.lock().remove(name);
        removed.map(drop).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }
}

/// How much all files may hold together.
struct Room {
    limit: u64,
    used: AtomicU64,
}

impl Room {
    fn take(&self, len: u64) -> io::Result<()> {
        let took = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(len).filter(|used| *used <= self.limit)
        });
        took.map(drop).map_err(|_| ErrorKind::StorageFull.into())
    }

    fn give(&self, len: u64) {
        self.used.fetch_sub(len, Ordering::Relaxed);
    }
}

/// What a file is, whatever its name.
struct Inode {
    number: u64,
    contents: RwLock<Contents>,
    room: Arc<Room>,
}

#[derive(Default)]
struct Contents {
    /// The bytes, unless shared.
    own: Vec<u8>,
    /// The bytes, while views of them may be about.
    shared: Option<Bytes>,
}

impl Contents {
    fn as_slice(&self) -> &[u8] {
        self.shared.as_deref().unwrap_or(&self.own)
    }

    /// The bytes to write to; a copy if there are views (invariant 2).
    fn own(&mut self) -> &mut Vec<u8> {
        if let Some(shared) = self.shared.take() {
            self.own = Vec::from(shared);
        }
        &mut self.own
    }

    fn share(&mut self) {
        if self.shared.is_none() {
            self.shared = Some(Bytes::from(std::mem::take(&mut self.own)));
        }
    }

    fn len(&self) -> u64 {
        u64::try_from(self.as_slice().len()).unwrap_or(u64::MAX)
    }
}

impl Inode {
    fn new(room: Arc<Room>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Self { number, contents: RwLock::default(), room }
    }

    /// Makes `contents`, which is its own, at least `len` bytes long.
    fn grow(&self, contents: &mut Contents, len: u64) -> io::Result<()> {
        let more = len.saturating_sub(contents.len());
        if more > 0 {
            self.room.take(more)?;
            extend(contents.own(), len).inspect_err(|_| self.room.give(more))?;
        }
        Ok(())
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        self.room.give(self.contents.get_mut().len());
    }
}

struct MemoryFile {
    inode: Arc<Inode>,
    frozen: AtomicBool,
}

impl MemoryFile {
    fn new(inode: Arc<Inode>) -> Self {
        Self { inode, frozen: AtomicBool::new(false) }
    }
}

impl fmt::Debug for MemoryFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryFile").field("inode", &self.inode.number).finish_non_exhaustive()
    }
}

impl File for MemoryFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.inode.contents.read().len())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.frozen.load(Ordering::Relaxed) {
            return Err(frozen());
        }
        if bytes.is_empty() {
            return Ok(());
        }
        let mut contents = self.inode.contents.write();
        self.inode.grow(&mut contents, end_of(offset, bytes.len())?)?;
        write(contents.own(), offset, bytes)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        read(self.inode.contents.read().as_slice(), offset, into)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn freeze(&self) -> io::Result<()> {
        self.frozen.store(true, Ordering::Relaxed);
        self.inode.contents.write().share();
        Ok(())
    }

    fn bytes(&self, range: Range<u64>) -> io::Result<Bytes> {
        let contents = self.inode.contents.read();
        let view = slice(contents.as_slice(), &range)?;
        Ok(match &contents.shared {
            Some(shared) if !view.is_empty() => shared.slice_ref(view),
            _ => Bytes::copy_from_slice(view),
        })
    }

    fn is_warm(&self, _range: Range<u64>) -> bool {
        true
    }

    fn is_intact(&self) -> bool {
        true
    }

    /// Unlike that of any other file of this process.
    fn identity(&self) -> io::Result<Option<Identity>> {
        Ok(Some(Identity { inode: self.inode.number, born_ns: self.inode.number }))
    }
}
