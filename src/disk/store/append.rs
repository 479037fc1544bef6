//! Writing: the append lock and what is done under it, and the sealing of full segments outside it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::footer::{self, Sealed, Trailer, View};
use super::index::{Entry, LIMIT};
use super::record::{self, ALIGN, HEADER, Place, RecordParts};
use super::segment::{DATA_AT, Keys, OpenKey, PlaceOf, Segment, file_name};
use super::types::{AppendError, Appended};
use super::{Store, count, hashes_of, place, replaces, slot_of, variant_of};
use crate::entry::Mark;
use crate::sync::MutexGuard;

/// Segments that wait to be sealed; one more, and the appender seals them itself.
const MAX_PENDING: usize = 2;

/// Writes are cut at multiples of this.
const WRITE_UNIT: usize = 4096;

/// Write numbers of a process begin above any of an earlier one: no segment holds more records than this.
const WRITES_PER_SEGMENT: u64 = LIMIT as u64;

/// What the append lock protects.
#[derive(Debug)]
pub(crate) struct Writer {
    open: Option<Open>,
    next_id: u32,
    next_write: u64,
    scratch: Vec<u8>,
}

/// The segment that takes records.
#[derive(Debug)]
struct Open {
    segment: Arc<Segment>,
    /// Where the next record goes.
    end: u64,
    /// What the footer may need, trailer included.
    footer: u64,
    records: u32,
}

impl Writer {
    pub(super) fn new(next_id: u32) -> Self {
        let next_write = u64::from(next_id).saturating_mul(WRITES_PER_SEGMENT);
        Self { open: None, next_id, next_write, scratch: Vec::new() }
    }
}

/// The append lock, held.
///
/// Dropping it releases the lock and nothing else: call [`Store::seal_pending`] now and then, outside all locks.
#[derive(Debug)]
pub(crate) struct Appender<'a> {
    store: &'a Store,
    writer: MutexGuard<'a, Writer>,
}

impl<'a> Appender<'a> {
    pub(super) fn new(store: &'a Store, writer: MutexGuard<'a, Writer>) -> Self {
        Self { store, writer }
    }

    /// Appends an object and puts it in the index in place of the records it replaces: those of the same key and variant, and those of the key
    /// that vary on other fields. It can be found and read when this returns; it is durable once its segment is sealed.
    ///
    /// Asks `still` when the bytes are written, before the record enters the index; what it returns is held until the record is there. With `None` the
    /// record is dead from the start.
    ///
    /// Copies the object into the buffer; writes when that is full, creates a file when the segment is. A full tier loses its oldest segments,
    /// without reinsertion, those in use excepted.
    ///
    /// # Errors
    ///
    /// Nothing of the object is in the index then. After [`AppendError::Io`] the segment that was being written is gone, as it is where
    /// [`Appended::kept`] is false; of one that was [`Withdrawn`](AppendError::Withdrawn) the journal is to be told.
    pub(crate) fn append_under<G>(
        &mut self,
        parts: &RecordParts<'_>,
        still: impl FnOnce() -> Option<G>,
    ) -> Result<Appended, AppendError> {
        let store = self.store;
        let (url_hash, key_hash) = hashes_of(parts.key).ok_or(AppendError::Unencodable)?;
        if !parts.is_encodable() {
            return Err(AppendError::Unencodable);
        }
        let total = parts.total();
        let footer = footer::cost(parts.key, parts.vary, parts.tags);
        let alone = DATA_AT.saturating_add(total).saturating_add(footer).saturating_add(footer::OVERHEAD);
        let write = self.writer.next_write;
        self.writer.next_write = write.saturating_add(1);
        let (segment, ordinal) = if parts.body_len() > store.options.large || alone > store.options.segment_size {
            (self.write_large(parts, write, alone)?, 0)
        } else {
            self.write_small(parts, write, (total, footer))?
        };
        let id = segment.id_of(ordinal);
        let Some(_held) = still() else {
            segment.raise(ordinal, Mark::Dead, 0);
            return Err(AppendError::Withdrawn(id));
        };
        let variant = variant_of(parts.vary);
        let table = store.table.load();
        let entry = Entry::new(slot_of(segment.id), ordinal, parts.meta.mark);
        let removed = store.index.insert(url_hash, key_hash, entry, |old| {
            let own = table.by_slot(old.slot()).and_then(|segment| segment.variant(old.ordinal()));
            own.is_none_or(|own| replaces(variant, own))
        });
        drop(table);
        // Its sum was made from these bytes; what comes back from the device is checked again.
        store.index.verify(url_hash, place(id));
        // Invariant 3: whoever marked it before it was in the index did so in the segment.
        let (mark, _) = segment.mark_of(ordinal);
        store.index.raise(url_hash, place(id), mark);
        // What has left the index is dead, whatever became of the new one: nobody would find it to end it.
        let superseded = store.bury(&removed).collect();
        if segment.leaving.load(Ordering::Acquire) {
            store.index.remove(url_hash, place(id));
            return Ok(Appended { id, superseded, kept: false });
        }
        count(&store.counters.appended);
        store.counters.appended_bytes.fetch_add(total, Ordering::Relaxed);
        Ok(Appended { id, superseded, kept: true })
    }

    fn write_small(
        &mut self,
        parts: &RecordParts<'_>,
        write: u64,
        (total, footer): (u64, u64),
    ) -> Result<(Arc<Segment>, u32), AppendError> {
        let store = self.store;
        let fits = |open: &Open| {
            let needed = open.end.saturating_add(total).saturating_add(open.footer).saturating_add(footer);
            needed <= open.segment.size && open.records < LIMIT - 1 && !open.segment.leaving.load(Ordering::Acquire)
        };
        if !self.writer.open.as_ref().is_some_and(fits) {
            self.rotate();
            let segment = self.create(store.options.segment_size)?;
            self.writer.open = Some(Open { segment, end: DATA_AT, footer: footer::OVERHEAD, records: 0 });
        }
        let Writer { open: Some(open), scratch, .. } = &mut *self.writer else { return Err(AppendError::Full) };
        let ordinal = open.records;
        let at = Place { epoch: store.options.epoch, segment: open.segment.id, ordinal, write };
        scratch.clear();
        record::encode(parts, at, scratch);
        // Bytes first, so that whoever sees the place can read it.
        open.segment.push(scratch);
        note(&open.segment, parts, write, open.end..open.end.saturating_add(total));
        open.end = open.end.saturating_add(total);
        open.footer = open.footer.saturating_add(footer);
        open.records = open.records.saturating_add(1);
        let segment = Arc::clone(&open.segment);
        if segment.unwritten() >= store.options.buffer
            && let Err(error) = segment.flush(WRITE_UNIT)
        {
            self.writer.open = None;
            store.fail(&segment);
            return Err(AppendError::Io(error));
        }
        Ok((segment, ordinal))
    }

    /// An object with a file of its own: written at once, piece by piece, sealed with the others.
    fn write_large(&mut self, parts: &RecordParts<'_>, write: u64, size: u64) -> Result<Arc<Segment>, AppendError> {
        if size / ALIGN > u64::from(u32::MAX) {
            return Err(AppendError::Unencodable);
        }
        let store = self.store;
        let segment = self.create(size.next_multiple_of(4096))?;
        let mut front = footer::file_header(store.options.epoch, segment.id);
        let place = Place { epoch: store.options.epoch, segment: segment.id, ordinal: 0, write };
        record::encode_front(parts, place, &mut front);
        let written = segment.file.write_at(0, &front).and_then(|()| {
            let mut at = record::len64(&front);
            for piece in parts.body {
                segment.file.write_at(at, piece)?;
                at = at.saturating_add(record::len64(piece));
            }
            Ok(())
        });
        if let Err(error) = written {
            store.fail(&segment);
            return Err(AppendError::Io(error));
        }
        let end = DATA_AT.saturating_add(parts.total());
        segment.written_to(end);
        note(&segment, parts, write, DATA_AT..end);
        store.pending.lock().push_back(Arc::clone(&segment));
        self.bound_pending();
        Ok(segment)
    }

    /// Sets the open segment aside to be sealed, if it holds anything. Whether it did.
    pub(super) fn rotate(&mut self) -> bool {
        let Some(open) = self.writer.open.take_if(|open| open.records > 0) else { return false };
        self.store.pending.lock().push_back(open.segment);
        self.bound_pending();
        true
    }

    fn bound_pending(&self) {
        if self.store.pending.lock().len() > MAX_PENDING {
            self.store.seal_pending();
        }
    }

    /// A new file of `size` bytes, its name durable, in the table of segments.
    fn create(&mut self, size: u64) -> Result<Arc<Segment>, AppendError> {
        let store = self.store;
        store.make_room(size)?;
        let mut retried = false;
        loop {
            let id = self.writer.next_id;
            self.writer.next_id = id.checked_add(1).ok_or(AppendError::Full)?;
            if store.table.load().by_slot(slot_of(id)).is_some() || store.loading.lock().holds_slot(slot_of(id)) {
                continue;
            }
            let created = store.media.create(&file_name(id, false), size);
            let file = match created {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    if retried || !store.evict_any() {
                        return Err(AppendError::Full);
                    }
                    retried = true;
                    continue;
                }
                Err(error) => {
                    store.io_error(&error);
                    return Err(AppendError::Io(error));
                }
            };
            let header = footer::file_header(store.options.epoch, id);
            let segment = Arc::new(Segment::open(id, slot_of(id), file, size, header, &store.space));
            store.publish(Arc::clone(&segment));
            if let Err(error) = store.media.sync_dir() {
                store.fail(&segment);
                return Err(AppendError::Io(error));
            }
            return Ok(segment);
        }
    }
}

/// Adds a record that can be read to what lookups and sweeps see.
fn note(segment: &Segment, parts: &RecordParts<'_>, write: u64, range: std::ops::Range<u64>) {
    {
        let mut places = segment.places.write();
        let at = u32::try_from(range.start / ALIGN).unwrap_or(u32::MAX);
        places.each.push(PlaceOf { at, variant: variant_of(parts.vary) });
        places.end = range.end;
    }
    if let Keys::Open(keys) = &mut *segment.keys.write() {
        keys.push(OpenKey {
            key: parts.key.into(),
            vary: parts.vary.into(),
            tags: parts.tags.into(),
            seq: parts.meta.seq,
            write,
            mark: parts.meta.mark,
            soft_at_ms: parts.meta.soft_at_ms,
        });
    }
}

impl Store {
    /// Seals the open segment if it holds anything, and whatever else waits. For idle times and before the end.
    pub(crate) fn seal(&self) {
        self.appender().rotate();
        self.seal_pending();
    }

    /// Makes everything appended so far durable without sealing the open segment.
    pub(super) fn write_out(&self) {
        self.seal_pending();
        // Under the append lock, as every flush: a buffer's worth at most.
        let appender = self.appender();
        let Some(open) = appender.writer.open.as_ref().map(|open| Arc::clone(&open.segment)) else { return };
        let flushed = open.flush(1);
        drop(appender);
        if let Err(error) = flushed.and_then(|()| open.file.sync()) {
            self.io_error(&error);
        }
    }

    /// Seals the segments that are full: footer, sync, rename. Takes milliseconds; appends and lookups go on meanwhile.
    pub(crate) fn seal_pending(&self) {
        let _sealing = self.sealing.lock();
        loop {
            let next = self.pending.lock().pop_front();
            let Some(segment) = next else { return };
            if segment.leaving.load(Ordering::Acquire) {
                continue;
            }
            match self.seal_one(&segment) {
                Ok(()) => count(&self.counters.sealed),
                Err(_) => self.fail(&segment),
            }
        }
    }

    /// Whether [`Store::seal_pending`] has something to do.
    pub(crate) fn wants_sealing(&self) -> bool {
        !self.pending.lock().is_empty()
    }

    pub(super) fn seal_one(&self, segment: &Segment) -> io::Result<()> {
        segment.flush(1)?;
        let (bytes, trailer) = {
            let keys = segment.keys.read();
            let Keys::Open(keys) = &*keys else { return Ok(()) };
            let places = segment.places.read();
            let (bytes, tag_count) = footer::build(keys, &places);
            let at = footer::footer_at(segment.size, record::len64(&bytes)).filter(|at| *at >= places.end);
            let at = at.ok_or(io::ErrorKind::StorageFull)?;
            let trailer = Trailer {
                epoch: self.options.epoch,
                segment: segment.id,
                count: u32::try_from(keys.len()).unwrap_or(u32::MAX),
                tag_count,
                footer: at..at.saturating_add(record::len64(&bytes)),
                data_end: places.end,
                footer_crc: crc32c::crc32c(&bytes),
            };
            (bytes, trailer)
        };
        segment.file.write_at(trailer.footer.start, &bytes)?;
        segment.file.write_at(segment.size.saturating_sub(footer::TRAILER), &trailer.encode())?;
        segment.file.sync()?;
        {
            let mut name = segment.name.lock();
            if name.retired {
                return Ok(());
            }
            self.media.rename(&file_name(segment.id, false), &file_name(segment.id, true))?;
            name.sealed = true;
        }
        self.media.sync_dir()?;
        if let Err(error) = segment.file.freeze() {
            // Read without a map, then.
            self.io_error(&error);
        }
        let view = View::new(&bytes, trailer.count, trailer.tag_count).ok_or(io::ErrorKind::InvalidData)?;
        let (sealed, _) = Sealed::new(trailer, &view, variant_of).ok_or(io::ErrorKind::InvalidData)?;
        segment.places.write().each.shrink_to_fit();
        *segment.keys.write() = Keys::Sealed(Box::new(sealed));
        Ok(())
    }

    /// Evicts until a file of `size` bytes fits.
    fn make_room(&self, size: u64) -> Result<(), AppendError> {
        let capacity = self.options.capacity;
        while self.space.total.load(Ordering::Relaxed).saturating_add(size) > capacity {
            if size > capacity {
                return Err(AppendError::Full);
            }
            if !self.evict_any() {
                if !self.wants_sealing() {
                    return Err(AppendError::Full);
                }
                self.seal_pending();
            }
        }
        Ok(())
    }
}

const _: () = assert!(HEADER.is_multiple_of(ALIGN) && DATA_AT.is_multiple_of(ALIGN));
