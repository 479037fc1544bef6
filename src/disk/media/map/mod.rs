//! A file mapped for reading.
//!
//! One of the two modules of the crate with unsafe code, the other is its child. `docs/unsafe.md` says what is relied on.
//!
//! 1. A mapping is in the register of [`fault`] from before its first byte is read until after its last.
//! 2. The memory is never written through the mapping. Another writer of the file is kept out by the lock and the mode of the directory.

#![allow(unsafe_code, reason = "mappings are foreign memory")]

mod fault;

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Advice, Mmap, MmapOptions};

pub use self::fault::install_sigbus_handler;
use self::fault::{Registered, page_size};

/// A whole file, mapped. Lives until the last view of it is dropped, whatever becomes of the file's name.
pub(super) struct Mapped {
    mapping: Arc<Mapping>,
    /// All of it; views are slices of this.
    whole: Bytes,
}

struct Mapping {
    // Dropped first: see invariant 1.
    registered: Registered,
    memory: Mmap,
}

/// Keeps a mapping alive for [`Bytes`].
struct Owner(Arc<Mapping>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0.memory
    }
}

impl Mapped {
    /// Maps the first `len` bytes of a file, at least one.
    ///
    /// # Errors
    ///
    /// `OutOfMemory` where there are too many mappings, and those of the file system.
    pub(super) fn new(file: &File, len: usize) -> io::Result<Self> {
        // SAFETY: the file is neither written nor cut while it is mapped (invariant 2); should the device lose a page all the same, touching it
        // is a signal, which ends the process or is answered in `fault`, and never undefined by the language alone.
        let memory = unsafe { MmapOptions::new().len(len).map(file) }?;
        let registered = Registered::new(memory.as_ptr().addr(), memory.len())
            .ok_or_else(|| io::Error::new(io::ErrorKind::OutOfMemory, "too many mapped files"))?;
        let mapping = Arc::new(Mapping { registered, memory });
        let whole = Bytes::from_owner(Owner(Arc::clone(&mapping)));
        Ok(Self { mapping, whole })
    }

    /// A view of a range; `None` if it is not all mapped.
    pub(super) fn view(&self, range: &Range<usize>) -> Option<Bytes> {
        self.whole.get(range.clone())?;
        Some(self.whole.slice(range.clone()))
    }

    /// Whether all pages of a range are in memory. About 1 us for 64 KiB.
    pub(super) fn is_warm(&self, range: &Range<usize>) -> bool {
        /// How many pages are asked for at once: 1 MiB of the usual ones.
        const AT_ONCE: usize = 256;
        let page = page_size();
        let end = range.end.min(self.whole.len());
        let mut start = range.start.checked_div(page).unwrap_or(0).saturating_mul(page);
        while start < end {
            let len = end.saturating_sub(start).min(page.saturating_mul(AT_ONCE));
            let mut resident = [0; AT_ONCE];
            let address = self.mapping.memory.as_ptr().wrapping_add(start).cast_mut().cast();
            // SAFETY: `address` is a page's first byte, since mappings begin at one and `start` is a multiple of a page; the kernel writes one
            // byte for each page of `len` bytes, at most `AT_ONCE`.
            let failed = unsafe { libc::mincore(address, len, resident.as_mut_ptr()) };
            let pages = resident.iter().take(len.div_ceil(page));
            if failed != 0 || pages.copied().any(|page| page & 1 == 0) {
                return false;
            }
            start = start.saturating_add(len);
        }
        true
    }

    /// Reads a range from the device. Where that fails, touching it would have been a signal.
    ///
    /// # Errors
    ///
    /// `EFAULT` where a page could not be read or is past the end, `EINVAL` before Linux 5.14.
    pub(super) fn populate(&self, range: &Range<usize>) -> io::Result<()> {
        let len = range.end.saturating_sub(range.start);
        // One request to the device for all of it; populating alone would read page after page.
        self.mapping.memory.advise_range(Advice::WillNeed, range.start, len)?;
        self.mapping.memory.advise_range(Advice::PopulateRead, range.start, len)
    }

    /// Says that a page could not be brought back.
    pub(super) fn poison(&self) {
        self.mapping.registered.poison();
    }

    /// Whether all pages could be brought back so far. What was copied from a view before is what the device held if this is true.
    pub(super) fn is_intact(&self) -> bool {
        !self.mapping.registered.is_poisoned()
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mapped").field("len", &self.whole.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod provoke;
