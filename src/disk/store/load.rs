//! Bringing segments back: the footers of sealed ones, a walk over the records of others.
//!
//! Newest segment first; any number of threads. Of two records with the same key and variant, or with the same key and other selecting fields,
//! the one with the higher write number stays (I5 of `docs/design.md`); keys and variants are compared by their bytes.

use std::collections::HashSet;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use super::footer::{self, Sealed, TRAILER, Trailer, View, read_file_header};
use super::index::{Entries, Entry};
use super::record::{self, ALIGN, Decoded, HEADER, len64};
use super::segment::{DATA_AT, Keys, OpenKey, PlaceOf, Places, Segment, Space, file_name, parse_name};
use super::types::{Judged, Loaded, RecordId};
use super::{Counters, Store, count, hashes_of, place, slot_of, variant_of};
use crate::disk::{File, Media};
use crate::entry::Mark;
use crate::vary::VaryRef;

/// The segments that have not been loaded.
#[derive(Debug)]
pub(super) struct Loading {
    /// By number; the last is next.
    left: Vec<Found>,
    /// Places in the table of those and of the ones being loaded.
    slots: HashSet<u32>,
    /// Those whose files could not be opened.
    pub(super) unopened: Vec<(u32, u32)>,
}

#[derive(Debug)]
struct Found {
    id: u32,
    sealed: bool,
    file: Arc<dyn File>,
    size: u64,
}

impl Loading {
    /// Lists the segment files, and the highest number among them. Their bytes are counted.
    pub(super) fn list(media: &dyn Media, space: &Space, counters: &Counters) -> io::Result<(Self, u32)> {
        let mut names: Vec<(u32, bool)> = media.list()?.iter().filter_map(|name| parse_name(name)).collect();
        // A sealed file before an open one of the same number: a crash amid a rename may leave both.
        names.sort_by_key(|&(id, sealed)| (id, !sealed));
        let mut twice = Vec::new();
        names.dedup_by(|later, first| {
            let same = later.0 == first.0;
            if same {
                twice.push(file_name(later.0, later.1));
            }
            same
        });
        for name in &twice {
            // It would come back once the other is gone.
            if media.remove(name).is_err() {
                count(&counters.io_errors);
            }
        }
        let highest = names.last().map_or(0, |(id, _)| *id);
        let mut left = Vec::with_capacity(names.len());
        let mut slots = HashSet::new();
        let mut unopened = Vec::new();
        for (id, sealed) in names {
            let opened = media.open(&file_name(id, sealed)).and_then(|file| file.size().map(|size| (file, size)));
            match opened {
                Ok((file, size)) if slots.insert(slot_of(id)) => {
                    space.total.fetch_add(size, Ordering::Relaxed);
                    left.push(Found { id, sealed, file, size });
                }
                _ => {
                    count(&counters.io_errors);
                    unopened.push((id, 0));
                }
            }
        }
        Ok((Self { left, slots, unopened }, highest))
    }

    pub(super) fn is_over(&self) -> bool {
        self.slots.is_empty()
    }

    /// Oldest segment first, which must come to the same.
    #[cfg(test)]
    pub(super) fn reverse(&mut self) {
        self.left.reverse();
    }

    pub(super) fn holds_slot(&self, slot: u32) -> bool {
        self.slots.contains(&slot)
    }
}

/// Why a file is no segment of this tier: the device failed, or it is foreign, torn or damaged.
type Rejected = Option<io::Error>;

impl Store {
    /// Loads all segments, newest first. Several threads may call it: each takes the next segment, and the last to finish ends the loading.
    ///
    /// `judge` is asked for every intact record: `None` means it is dead. `superseded` is told of those that lose to a newer write of their key, for
    /// the journal. Both may be called from any of the threads, under none of the store's locks. Files that are damaged, foreign or of another
    /// epoch are removed.
    pub(crate) fn load(
        &self,
        judge: &(dyn Fn(Loaded<'_>) -> Option<Judged> + Sync),
        superseded: &(dyn Fn(RecordId) + Sync),
    ) {
        loop {
            let next = self.loading.lock().left.pop();
            let Some(found) = next else { return };
            let (id, sealed, size) = (found.id, found.sealed, found.size);
            let read = if sealed { self.read_sealed(found) } else { self.read_open(found) };
            // The segment counts the file from now on, or nobody does.
            self.space.total.fetch_sub(size, Ordering::Relaxed);
            match read {
                Ok(segment) => self.adopt(Arc::new(segment), judge, superseded),
                Err(why) => {
                    if let Some(error) = why {
                        self.io_error(&error);
                    }
                    count(&self.counters.dropped_segments);
                    if !self.forget(id) {
                        self.condemn(id, 0);
                    }
                }
            }
            let over = {
                let mut loading = self.loading.lock();
                loading.slots.remove(&slot_of(id));
                loading.is_over()
            };
            if over {
                self.index.loaded();
                self.is_loading.store(false, Ordering::Release);
            }
        }
    }

    fn read_sealed(&self, found: Found) -> Result<Segment, Rejected> {
        if let Err(error) = found.file.freeze() {
            self.io_error(&error);
        }
        let (trailer, bytes) = read_footer(&*found.file, found.size, (self.options.epoch, found.id))?;
        let view = View::new(&bytes, trailer.count, trailer.tag_count).ok_or(None)?;
        let (sealed, places) = Sealed::new(trailer, &view, variant_of).ok_or(None)?;
        let keys = Keys::Sealed(Box::new(sealed));
        Ok(Segment::found((found.id, slot_of(found.id)), found.file, found.size, keys, places, &self.space))
    }

    fn read_open(&self, found: Found) -> Result<Segment, Rejected> {
        let expected = (self.options.epoch, found.id);
        let mut keys = Vec::new();
        let mut places = Places { each: Vec::new(), end: DATA_AT };
        walk(&*found.file, found.size, expected, &mut |range, bytes, decoded| {
            let slice = |range: &Range<usize>| bytes.get(range.clone()).unwrap_or_default();
            let vary = slice(&decoded.vary);
            let at = u32::try_from(range.start / ALIGN).unwrap_or(u32::MAX);
            places.each.push(PlaceOf { at, variant: variant_of(vary) });
            places.end = range.end;
            keys.push(OpenKey {
                key: slice(&decoded.key).into(),
                vary: vary.into(),
                tags: slice(&decoded.tags).into(),
                seq: decoded.meta.seq,
                write: decoded.place.write,
                mark: decoded.meta.mark,
                soft_at_ms: decoded.meta.soft_at_ms,
            });
        })?;
        if keys.is_empty() {
            return Err(None);
        }
        let ids = (found.id, slot_of(found.id));
        // A crash may have left the file shorter than it was made: the footer goes behind its end then.
        let costs = keys.iter().map(|key| footer::cost(&key.key, &key.vary, &key.tags));
        let needed = costs.fold(places.end.saturating_add(footer::OVERHEAD), u64::saturating_add);
        Ok(Segment::found(ids, found.file, found.size.max(needed), Keys::Open(keys), places, &self.space))
    }

    /// Puts a segment in service and its records in the index.
    fn adopt(
        &self,
        segment: Arc<Segment>,
        judge: &(dyn Fn(Loaded<'_>) -> Option<Judged> + Sync),
        superseded: &(dyn Fn(RecordId) + Sync),
    ) {
        self.publish(Arc::clone(&segment));
        let open = {
            let keys = segment.keys.read();
            match &*keys {
                Keys::Open(open) => Some(open.clone()),
                Keys::Sealed(_) => None,
            }
        };
        if let Some(open) = open {
            for (ordinal, key) in (0_u32..).zip(&open).collect::<Vec<_>>().into_iter().rev() {
                let loaded = Loaded { id: segment.id_of(ordinal), key: &key.key, vary: &key.vary, mark: key.mark };
                self.adopt_record(&segment, loaded, key.write, judge, superseded);
            }
            self.pending.lock().push_back(segment);
            self.seal_pending();
            return;
        }
        let footer = sealed_footer(&segment);
        let Ok((trailer, bytes)) = footer else {
            self.fail(&segment);
            return;
        };
        let Some(view) = View::new(&bytes, trailer.count, trailer.tag_count) else { return };
        for ordinal in (0..trailer.count).rev() {
            let Some(key) = view.key(ordinal) else { continue };
            let loaded = Loaded { id: segment.id_of(ordinal), key: key.key, vary: key.vary, mark: key.mark };
            self.adopt_record(&segment, loaded, key.write, judge, superseded);
        }
        if !segment.is_intact() {
            self.fail(&segment);
        }
    }

    fn adopt_record(
        &self,
        segment: &Arc<Segment>,
        loaded: Loaded<'_>,
        write: u64,
        judge: &(dyn Fn(Loaded<'_>) -> Option<Judged> + Sync),
        superseded: &(dyn Fn(RecordId) + Sync),
    ) {
        let id = loaded.id;
        let hashes = hashes_of(loaded.key);
        let judged = judge(loaded).filter(|judged| judged.mark != Mark::Dead && loaded.mark != Mark::Dead);
        let (Some((url_hash, key_hash)), Some(judged)) = (hashes, judged) else {
            segment.raise(id.ordinal, Mark::Dead, 0);
            return;
        };
        let mark = judged.mark.max(loaded.mark);
        if let Some(at_ms) = judged.mark_at_ms.filter(|_| judged.mark != Mark::None) {
            segment.raise(id.ordinal, judged.mark, at_ms);
        }
        let entry = Entry::new(segment.slot, id.ordinal, mark);
        loop {
            let seen = self.index.find(url_hash, key_hash);
            let (losers, wins) = self.rivals(&seen, &loaded, write);
            match self.index.load((url_hash, key_hash), wins.then_some(entry), &seen, &losers) {
                None => continue,
                Some(wanted) => {
                    if !wins || !wanted {
                        segment.raise(id.ordinal, Mark::Dead, 0);
                        superseded(id);
                    }
                    if wanted {
                        self.bury(&losers).for_each(superseded);
                    }
                    break;
                }
            }
        }
        // As after an append (invariant 3 of the store).
        let (mark, _) = segment.mark_of(id.ordinal);
        self.index.raise(url_hash, place(id), mark);
        if segment.leaving.load(Ordering::Acquire) {
            self.index.remove(url_hash, place(id));
        }
    }

    /// Which of the entries are older writes of the same, and whether none is a newer one.
    fn rivals(&self, seen: &Entries, loaded: &Loaded<'_>, write: u64) -> (Entries, bool) {
        let table = self.table.load_full();
        let (mut losers, mut wins) = (Entries::new(), true);
        for entry in seen {
            let Some(segment) = table.by_slot(entry.slot()) else { continue };
            let Some((key, vary, other)) = texts_of(segment, entry.ordinal()) else { continue };
            let same = vary == loaded.vary || !VaryRef(&vary).same_fields(VaryRef(loaded.vary));
            if key == loaded.key && same {
                if other < write { losers.push(*entry) } else { wins = false }
            }
        }
        (losers, wins)
    }
}

fn sealed_footer(segment: &Segment) -> io::Result<(Trailer, Bytes)> {
    let trailer = sealed_trailer(segment).ok_or(io::ErrorKind::InvalidData)?;
    let bytes = segment.file.bytes(trailer.footer.clone())?;
    Ok((trailer, bytes))
}

fn sealed_trailer(segment: &Segment) -> Option<Trailer> {
    match &*segment.keys.read() {
        Keys::Sealed(sealed) => Some(sealed.trailer.clone()),
        Keys::Open(_) => None,
    }
}

/// Key, vary and write number of one record.
fn texts_of(segment: &Segment, ordinal: u32) -> Option<(Vec<u8>, Vec<u8>, u64)> {
    if let Keys::Open(open) = &*segment.keys.read() {
        let key = open.get(usize::try_from(ordinal).ok()?)?;
        return Some((key.key.to_vec(), key.vary.to_vec(), key.write));
    }
    let trailer = sealed_trailer(segment)?;
    // Not the whole footer: a media that does not map would copy it for every rival.
    let entry = segment.file.bytes(trailer.entry(ordinal)?).ok()?;
    let (texts, write) = trailer.texts(&entry)?;
    let bytes = segment.file.bytes(texts.start..texts.end).ok()?;
    let (key, vary) = bytes.split_at_checked(texts.key_len)?;
    Some((key.to_vec(), vary.to_vec(), write))
}

/// The footer of a sealed file of this epoch and number, its sum verified.
pub(super) fn read_footer(file: &dyn File, size: u64, (epoch, id): (u64, u32)) -> Result<(Trailer, Bytes), Rejected> {
    let trailer_at = size.checked_sub(TRAILER).filter(|at| *at >= DATA_AT).ok_or(None)?;
    let header = file.bytes(0..DATA_AT).map_err(Some)?;
    let trailer = file.bytes(trailer_at..size).map_err(Some)?;
    let trailer = Trailer::decode(&trailer, size).ok_or(None)?;
    let own = read_file_header(&header) == Some((epoch, id)) && (trailer.epoch, trailer.segment) == (epoch, id);
    if !own {
        return Err(None);
    }
    let bytes = file.bytes(trailer.footer.clone()).map_err(Some)?;
    if crc32c::crc32c(&bytes) != trailer.footer_crc || len64(&bytes) < u64::from(trailer.count) {
        return Err(None);
    }
    Ok((trailer, bytes))
}

/// What [`walk`] calls: where the record is, its bytes, its parts.
type OnRecord<'a> = dyn FnMut(Range<u64>, &[u8], &Decoded) + 'a;

/// Calls `f` with each record of a file without a footer, up to the first that is not intact. Where that is; an error only if the device failed, or the file is
/// not of this epoch and number.
pub(super) fn walk(file: &dyn File, size: u64, (epoch, id): (u64, u32), f: &mut OnRecord<'_>) -> Result<u64, Rejected> {
    let mut header = vec![0; usize::try_from(DATA_AT).unwrap_or(0)];
    if size < DATA_AT {
        return Err(None);
    }
    file.read_at(0, &mut header).map_err(Some)?;
    if read_file_header(&header) != Some((epoch, id)) {
        return Err(None);
    }
    let mut at = DATA_AT;
    for ordinal in 0.. {
        let mut front = vec![0; usize::try_from(HEADER).unwrap_or(0)];
        if size.saturating_sub(at) < HEADER {
            break;
        }
        file.read_at(at, &mut front).map_err(Some)?;
        let Ok(total) = record::claimed_len(&front) else { break };
        if total < HEADER || total % ALIGN != 0 || total > size.saturating_sub(at) {
            break;
        }
        let mut bytes = vec![0; usize::try_from(total).unwrap_or(0)];
        file.read_at(at, &mut bytes).map_err(Some)?;
        let Ok(decoded) = record::decode(&bytes, epoch, id, ordinal) else { break };
        if !decoded.body_is_sound(&bytes) {
            break;
        }
        let end = at.saturating_add(total);
        f(at..end, &bytes, &decoded);
        at = end;
    }
    Ok(at)
}
