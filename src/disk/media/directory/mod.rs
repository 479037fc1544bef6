//! A directory of a Linux file system.
//!
//! 1. While a [`Directory`] or a file of it is open, no other process has the directory open for writing: it holds a lock.
//! 2. Only its owner may write to it: a file that is cut from outside would lose the pages that are mapped.
//! 3. A file that exists has its space, since one whose space could not be reserved is removed again.

mod error;
mod file;

use std::ffi::CStr;
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, Dir, FallocateFlags, FileType, FlockOperation, Mode, OFlags, fallocate, flock, fstat, fstatfs,
    fstatvfs, fsync, mkdirat, openat, renameat, statat, unlinkat,
};
use rustix::io::{Errno, retry_on_intr};

use self::error::Kind;
pub use self::error::OpenError;
use self::file::DirectoryFile;
use super::image::{LOCK, check_name};
use super::{File, Media};

/// How the bytes of a frozen file are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are these two ways")]
pub enum Access {
    /// As views of the mapped file, without copy. A page that the device cannot bring back is a signal:
    /// see [`install_sigbus_handler`](super::install_sigbus_handler).
    Mmap,
    /// As copies; an error of the device is an error.
    Pread,
}

/// A directory of a file system, held by one process.
///
/// Costs two descriptors, and one for each open file.
#[derive(Debug)]
pub struct Directory {
    root: Arc<Root>,
}

impl Directory {
    /// Opens a directory, which is made if only its last part is missing, and locks it until this and all its files are dropped.
    ///
    /// # Errors
    ///
    /// Where another process has it, where it cannot be written to or others than its owner can, where its file system cannot reserve space.
    pub fn open(path: impl AsRef<Path>, access: Access) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let failed = |doing| move |errno| OpenError::system(path, doing, errno);
        make(path).map_err(failed("make the directory"))?;
        let directory = open_directory(path).map_err(failed("open the directory"))?;
        check_owner(path, &directory)?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = retry_on_intr(|| openat(&directory, LOCK, flags, FILE_MODE)).map_err(failed("open its lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(failed("lock the directory"))?;
        match retry_on_intr(|| fallocate(&lock, FallocateFlags::KEEP_SIZE, 0, 1)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(OpenError::new(path, Kind::NoReserve(file_system(&directory)))),
            // A full disk is no reason not to serve what it holds.
            Ok(()) | Err(Errno::NOSPC | Errno::DQUOT) => {
                let root = Root { directory, path: path.to_owned(), lock: Some(lock), access, read_only: false };
                Ok(Self { root: Arc::new(root) })
            }
            Err(errno) => Err(failed("reserve space")(errno)),
        }
    }

    /// Opens a directory that no process has open for writing, to look at it. All changes fail with `ReadOnlyFilesystem`; nothing is mapped.
    ///
    /// # Errors
    ///
    /// Where there is none, where a process has it, and those of the file system.
    pub(crate) fn inspect(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let failed = |doing| move |errno| OpenError::system(path, doing, errno);
        let directory = open_directory(path).map_err(failed("open the directory"))?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = match retry_on_intr(|| openat(&directory, LOCK, flags, Mode::empty())) {
            // Such as a backup without it: there is none who could hold it.
            Err(Errno::NOENT) => None,
            opened => Some(opened.map_err(failed("open its lock"))?),
        };
        if let Some(lock) = &lock {
            flock(lock, FlockOperation::NonBlockingLockShared).map_err(failed("lock the directory"))?;
        }
        let root = Root { directory, path: path.to_owned(), lock, access: Access::Pread, read_only: true };
        Ok(Self { root: Arc::new(root) })
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        &self.root.path
    }

    /// What a process inherits that is just being started.
    #[cfg(test)]
    pub(crate) fn inherited_lock(&self) -> Option<OwnedFd> {
        self.root.lock.as_ref()?.try_clone().ok()
    }

    fn file(&self, fd: OwnedFd) -> Arc<dyn File> {
        Arc::new(DirectoryFile::new(Arc::clone(&self.root), fd))
    }
}

impl Media for Directory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.root.directory)? {
            let entry = entry?;
            let Some(name) = entry.file_name().to_str().ok().filter(|name| check_name(name).is_ok()) else { continue };
            if self.root.is_file(entry.file_type(), entry.file_name()) {
                names.push(name.to_owned());
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn File>> {
        check_name(name)?;
        self.root.check_writable()?;
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = retry_on_intr(|| openat(&self.root.directory, name, flags, FILE_MODE)).map_err(full)?;
        if let Err(error) = reserve(&fd, len) {
            // Should this fail too, the file is as empty as one that a crash left here.
            unlinkat(&self.root.directory, name, AtFlags::empty()).unwrap_or_default();
            return Err(error);
        }
        Ok(self.file(fd))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        check_name(name)?;
        let access = if self.root.read_only { OFlags::RDONLY } else { OFlags::RDWR };
        // A pipe of that name must not make this wait.
        let flags = access | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = retry_on_intr(|| openat(&self.root.directory, name, flags, Mode::empty()))?;
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(io::Error::new(ErrorKind::InvalidInput, format!("not a file: {name:?}")));
        }
        Ok(self.file(fd))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        check_name(from)?;
        check_name(to)?;
        self.root.check_writable()?;
        renameat(&self.root.directory, from, &self.root.directory, to).map_err(full)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_name(name)?;
        self.root.check_writable()?;
        Ok(unlinkat(&self.root.directory, name, AtFlags::empty())?)
    }

    fn sync_dir(&self) -> io::Result<()> {
        if self.root.read_only { Ok(()) } else { Ok(retry_on_intr(|| fsync(&self.root.directory))?) }
    }
}

/// What a directory and its open files share.
struct Root {
    directory: OwnedFd,
    path: PathBuf,
    /// Held as long as anyone may write.
    lock: Option<OwnedFd>,
    access: Access,
    read_only: bool,
}

impl Drop for Root {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            // Closing it would do, but for a process that another thread is just starting: until it executes its program it has the lock too. Nothing can
            // be done about a failure, and closing follows.
            let _ = flock(lock, FlockOperation::Unlock);
        }
    }
}

impl Root {
    fn check_writable(&self) -> io::Result<()> {
        if self.read_only { Err(ErrorKind::ReadOnlyFilesystem.into()) } else { Ok(()) }
    }

    /// Whether a directory entry is a file; some file systems do not say so in the entry.
    fn is_file(&self, listed: FileType, name: &CStr) -> bool {
        match listed {
            FileType::RegularFile => true,
            FileType::Unknown => statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW)
                .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::RegularFile),
            _ => false,
        }
    }
}

impl fmt::Debug for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, access, read_only, .. } = self;
        write!(f, "{} ({access:?}{})", path.display(), if *read_only { ", read-only" } else { "" })
    }
}

const FILE_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Makes the directory unless there is one. It is there after a crash too.
fn make(path: &Path) -> Result<(), Errno> {
    match mkdirat(CWD, path, Mode::RWXU) {
        Ok(()) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            retry_on_intr(|| fsync(&open_directory(parent.unwrap_or_else(|| Path::new(".")))?))
        }
        Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn open_directory(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    retry_on_intr(|| openat(CWD, path, flags, Mode::empty()))
}

/// Refuses a directory that someone else may write to (invariant 2).
fn check_owner(path: &Path, directory: &OwnedFd) -> Result<(), OpenError> {
    let found = fstat(directory).map_err(|errno| OpenError::system(path, "look at the directory", errno))?;
    let owner = found.st_uid;
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(OpenError::new(path, Kind::Foreign(owner)));
    }
    let mode = Mode::from_raw_mode(found.st_mode);
    if mode.intersects(Mode::WGRP | Mode::WOTH) {
        return Err(OpenError::new(path, Kind::Writable(mode.as_raw_mode())));
    }
    Ok(())
}

/// Reserves space for all of a new file.
fn reserve(fd: &OwnedFd, len: u64) -> io::Result<()> {
    if len == 0 {
        return Ok(());
    }
    // Some file systems take all there is before they say that it is not enough, and others find the disk full meanwhile.
    let system = fstatvfs(fd)?;
    if system.f_blocks > 0 && system.f_bavail.saturating_mul(system.f_frsize) < len {
        return Err(ErrorKind::StorageFull.into());
    }
    retry_on_intr(|| fallocate(fd, FallocateFlags::empty(), 0, len)).map_err(|errno| match errno {
        Errno::OPNOTSUPP | Errno::NOSYS => {
            let message = format!("the file system ({}) does not support fallocate", file_system(fd));
            io::Error::new(ErrorKind::Unsupported, message)
        }
        errno => full(errno),
    })
}

/// A quota that is used up is a disk that is full.
fn full(errno: Errno) -> io::Error {
    if errno == Errno::DQUOT { ErrorKind::StorageFull.into() } else { errno.into() }
}

/// The name of a file system, for people.
fn file_system(fd: &OwnedFd) -> String {
    let number = fstatfs(fd).map(|system| system.f_type).unwrap_or(0);
    match number {
        0x2fc1_2fc1 => "zfs".to_owned(),
        0x6969 => "nfs".to_owned(),
        0x0102_1997 => "9p".to_owned(),
        0x6573_5546 => "fuse".to_owned(),
        0x4d44 => "vfat".to_owned(),
        0x8584_58f6 => "ramfs".to_owned(),
        _ => format!("type {number:#x}"),
    }
}
