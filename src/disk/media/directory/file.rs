//! An open file of a directory.

use std::io::{self, ErrorKind, IoSliceMut};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rustix::fs::{AtFlags, StatxFlags, statx};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::{Access, Root};
use crate::disk::media::image::{end_of, frozen, length, past_end};
use crate::disk::media::map::Mapped;
use crate::disk::{File, Identity};

#[derive(Debug)]
pub(super) struct DirectoryFile {
    file: std::fs::File,
    frozen: AtomicBool,
    mapped: OnceLock<Mapped>,
    root: Arc<Root>,
}

impl DirectoryFile {
    pub(super) fn new(root: Arc<Root>, fd: OwnedFd) -> Self {
        Self { file: fd.into(), frozen: AtomicBool::new(false), mapped: OnceLock::new(), root }
    }

    /// The mapping, if it has all of a range and no page of it was lost.
    fn mapped(&self, range: &Range<u64>) -> Option<(&Mapped, Range<usize>)> {
        let mapped = self.mapped.get().filter(|mapped| mapped.is_intact())?;
        Some((mapped, usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?))
    }

    fn copy(&self, range: &Range<u64>) -> io::Result<Bytes> {
        let len = length(range)?;
        // Before any memory is taken: the range may be what a damaged record says.
        if range.end > self.size()? {
            return Err(past_end());
        }
        let mut copy = Vec::new();
        copy.try_reserve_exact(len).map_err(|_| ErrorKind::OutOfMemory)?;
        copy.resize(len, 0);
        self.file.read_exact_at(&mut copy, range.start)?;
        Ok(copy.into())
    }

    /// Asks the file system for one byte of some pages, not to wait for any.
    fn probe(&self, range: &Range<u64>) -> bool {
        /// A probe costs about 0.7 us.
        const PROBES: u64 = 8;
        let len = range.end.saturating_sub(range.start);
        let step = len.div_ceil(PROBES).max(4096);
        let last = range.end.checked_sub(1).filter(|_| len > 0);
        let steps = (0..PROBES).map_while(|probe| step.checked_mul(probe).filter(|at| *at < len));
        for at in steps.map(|at| range.start.saturating_add(at)).chain(last) {
            match preadv2(&self.file, &mut [IoSliceMut::new(&mut [0])], at, ReadWriteFlags::NOWAIT) {
                Ok(1) => {}
                Err(Errno::OPNOTSUPP) => return self.probe_mapped(range),
                _ => return false,
            }
        }
        true
    }

    /// The same where the file system knows no such read, such as tmpfs. Nothing is touched, so nothing can be lost.
    fn probe_mapped(&self, range: &Range<u64>) -> bool {
        let len = self.size().ok().filter(|len| range.end <= *len).and_then(|len| usize::try_from(len).ok());
        let mapped = len.filter(|len| *len > 0).and_then(|len| Mapped::new(&self.file, len).ok());
        let place = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
        mapped.zip(place).is_some_and(|(mapped, (start, end))| mapped.is_warm(&(start..end)))
    }
}

impl File for DirectoryFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.root.check_writable()?;
        if self.frozen.load(Ordering::Relaxed) {
            return Err(frozen());
        }
        end_of(offset, bytes.len())?;
        self.file.write_all_at(bytes, offset).map_err(|error| match error.kind() {
            ErrorKind::QuotaExceeded => ErrorKind::StorageFull.into(),
            _ => error,
        })
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        end_of(offset, into.len()).map_err(|_| past_end())?;
        self.file.read_exact_at(into, offset)
    }

    fn sync(&self) -> io::Result<()> {
        if self.root.read_only { Ok(()) } else { self.file.sync_data() }
    }

    fn freeze(&self) -> io::Result<()> {
        self.frozen.store(true, Ordering::Relaxed);
        if self.root.access == Access::Mmap && self.mapped.get().is_none() {
            let len = usize::try_from(self.size()?).map_err(|_| ErrorKind::OutOfMemory)?;
            if len > 0 {
                let mapped = Mapped::new(&self.file, len)?;
                // Another thread may have been first; then that one's is used.
                drop(self.mapped.set(mapped));
            }
        }
        Ok(())
    }

    fn bytes(&self, range: Range<u64>) -> io::Result<Bytes> {
        length(&range)?;
        let Some((mapped, place)) = self.mapped(&range) else { return self.copy(&range) };
        let Some(view) = mapped.view(&place) else { return self.copy(&range) };
        if mapped.is_warm(&place) || mapped.populate(&place).is_ok() {
            return Ok(view);
        }
        // A read says what is wrong, and whether anything is: the kernel may be too old to populate.
        self.copy(&range).inspect_err(|_| mapped.poison())
    }

    fn is_warm(&self, range: Range<u64>) -> bool {
        match self.mapped(&range) {
            Some((mapped, place)) => mapped.is_warm(&place),
            None => self.probe(&range),
        }
    }

    fn warm_bytes(&self, range: Range<u64>) -> io::Result<Option<Bytes>> {
        length(&range)?;
        let Some((mapped, place)) = self.mapped(&range) else {
            return if self.probe(&range) { self.copy(&range).map(Some) } else { Ok(None) };
        };
        Ok(mapped.view(&place).filter(|_| mapped.is_warm(&place)))
    }

    fn is_intact(&self) -> bool {
        self.mapped.get().is_none_or(Mapped::is_intact)
    }

    fn identity(&self) -> io::Result<Option<Identity>> {
        match statx(&self.file, c"", AtFlags::EMPTY_PATH, StatxFlags::INO | StatxFlags::BTIME) {
            Ok(found) => {
                let born = found.stx_btime;
                let seconds = u64::try_from(born.tv_sec)
                    .ok()
                    .filter(|_| StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::BTIME));
                let born_ns = seconds
                    .and_then(|seconds| seconds.checked_mul(1_000_000_000))
                    .and_then(|ns| ns.checked_add(u64::from(born.tv_nsec)));
                Ok(born_ns.map(|born_ns| Identity { inode: found.stx_ino, born_ns }))
            }
            Err(Errno::NOSYS) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }
}
