//! What ends a sealed segment: an index of its records, the sorted key block, the tag table, and the trailer that says where they are.
//! `docs/format.md` has it byte by byte.
//!
//! Invariants:
//!
//! 1. A footer is used only after its sum was right; reading it is total all the same, since a mapped page may change later.
//! 2. `order` lists the ordinals by key text, equal texts by ordinal; the key block lies in that order.
//! 3. The tag table is sorted by hash, then ordinal. What it names is compared with the record's own tags.

use std::mem::size_of;
use std::ops::Range;

use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::filter::Filter;
use super::record::{ALIGN, MAJOR, MINOR, align, len64};
use super::segment::{DATA_AT, OpenKey, PlaceOf, Places};
use super::types::Scope;
use crate::entry::Mark;
use crate::key::hash::hash;
use crate::purge::TagsRef;

/// Length of the trailer, which ends the file.
pub(crate) const TRAILER: u64 = 64;

const TRAILER_MAGIC: [u8; 4] = *b"oEnd";
const FILE_MAGIC: [u8; 4] = *b"oSeg";

/// The first [`DATA_AT`] bytes of a file.
#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct FileHeader {
    magic: [u8; 4],
    major: u8,
    minor: u8,
    header_len: U16,
    epoch: U64,
    segment: U32,
    reserved: [u8; 40],
    crc: U32,
}

const _: () = assert!(size_of::<FileHeader>() == 64);

/// The beginning of a segment file.
pub(crate) fn file_header(epoch: u64, segment: u32) -> Vec<u8> {
    let mut header = FileHeader {
        magic: FILE_MAGIC,
        major: MAJOR,
        minor: MINOR,
        header_len: U16::new(64),
        epoch: U64::new(epoch),
        segment: U32::new(segment),
        reserved: [0; 40],
        crc: U32::new(0),
    };
    header.crc = U32::new(crc32c::crc32c(header.as_bytes().get(..60).unwrap_or_default()));
    header.as_bytes().to_vec()
}

/// The epoch and number a file says it is of; `None` if it is no segment of a version that can be read.
pub(crate) fn read_file_header(bytes: &[u8]) -> Option<(u64, u32)> {
    let (header, _) = FileHeader::ref_from_prefix(bytes).ok()?;
    let sum = crc32c::crc32c(bytes.get(..60)?);
    (header.magic == FILE_MAGIC && header.major == MAJOR && header.crc.get() == sum)
        .then(|| (header.epoch.get(), header.segment.get()))
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTrailer {
    magic: [u8; 4],
    major: u8,
    minor: u8,
    trailer_len: U16,
    segment: U32,
    count: U32,
    epoch: U64,
    footer_at: U64,
    footer_len: U64,
    data_end: U64,
    tag_count: U32,
    footer_crc: U32,
    reserved: [u8; 4],
    crc: U32,
}

const _: () = assert!(size_of::<RawTrailer>() == 64);

/// Where the footer is and what it should sum to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trailer {
    pub(crate) epoch: u64,
    pub(crate) segment: u32,
    pub(crate) count: u32,
    pub(crate) tag_count: u32,
    pub(crate) footer: Range<u64>,
    pub(crate) data_end: u64,
    pub(crate) footer_crc: u32,
}

impl Trailer {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut raw = RawTrailer {
            magic: TRAILER_MAGIC,
            major: MAJOR,
            minor: MINOR,
            trailer_len: U16::new(64),
            segment: U32::new(self.segment),
            count: U32::new(self.count),
            epoch: U64::new(self.epoch),
            footer_at: U64::new(self.footer.start),
            footer_len: U64::new(self.footer.end.saturating_sub(self.footer.start)),
            data_end: U64::new(self.data_end),
            tag_count: U32::new(self.tag_count),
            footer_crc: U32::new(self.footer_crc),
            reserved: [0; 4],
            crc: U32::new(0),
        };
        raw.crc = U32::new(crc32c::crc32c(raw.as_bytes().get(..60).unwrap_or_default()));
        raw.as_bytes().to_vec()
    }

    /// Where an entry is in the file.
    pub(crate) fn entry(&self, ordinal: u32) -> Option<Range<u64>> {
        let at = self.footer.start.checked_add(u64::from(ordinal).checked_mul(ENTRY)?)?;
        (ordinal < self.count).then(|| at..at.saturating_add(ENTRY))
    }

    /// Where key and selecting fields of an entry are in the file, and its write number.
    pub(crate) fn texts(&self, entry: &[u8]) -> Option<(Texts, u64)> {
        let (entry, _) = RawEntry::ref_from_prefix(entry).ok()?;
        let tags_at = u64::from(self.count).checked_mul(ENTRY + 4)?.checked_next_multiple_of(ALIGN)?;
        let keys_at = self.footer.start.checked_add(tags_at)?.checked_add(u64::from(self.tag_count) * 16)?;
        let start = keys_at.checked_add(u64::from(entry.keys_at.get()))?;
        let len = u64::from(entry.key_len.get()).checked_add(u64::from(entry.vary_len.get()))?;
        let end = start.checked_add(len).filter(|end| *end <= self.footer.end)?;
        Some((Texts { start, end, key_len: usize::from(entry.key_len.get()) }, entry.write.get()))
    }

    /// Reads the last [`TRAILER`] bytes of a file of `size` bytes. `None` unless its sum is right and its ranges lie in the file.
    pub(crate) fn decode(bytes: &[u8], size: u64) -> Option<Self> {
        let (raw, _) = RawTrailer::ref_from_prefix(bytes).ok()?;
        let sum = crc32c::crc32c(bytes.get(..60)?);
        if raw.magic != TRAILER_MAGIC || raw.major != MAJOR || raw.crc.get() != sum {
            return None;
        }
        let footer = raw.footer_at.get()..raw.footer_at.get().checked_add(raw.footer_len.get())?;
        let data_end = raw.data_end.get();
        let fits = (DATA_AT..=footer.start).contains(&data_end) && footer.end <= size.checked_sub(TRAILER)?;
        fits.then(|| Self {
            epoch: raw.epoch.get(),
            segment: raw.segment.get(),
            count: raw.count.get(),
            tag_count: raw.tag_count.get(),
            footer,
            data_end,
            footer_crc: raw.footer_crc.get(),
        })
    }
}

/// Key and selecting fields in the file, and where the one ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) key_len: usize,
}

/// Length of an entry.
const ENTRY: u64 = 48;

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawEntry {
    at: U32,
    len: U32,
    seq: U64,
    write: U64,
    soft_at_ms: I64,
    keys_at: U32,
    key_len: U16,
    mark: u8,
    reserved: u8,
    vary_len: U32,
    tags_len: U32,
}

const _: () = assert!(size_of::<RawEntry>() == 48);

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawTag {
    hash: U64,
    ordinal: U32,
    reserved: U32,
}

/// Most bytes the footer can need for one more record.
pub(crate) fn cost(key: &[u8], vary: &[u8], tags: &[u8]) -> u64 {
    let tag_count = u64::try_from(TagsRef::from_stored(tags).iter().count()).unwrap_or(u64::MAX);
    let texts = len64(key).saturating_add(len64(vary)).saturating_add(len64(tags));
    texts.saturating_add(48 + 4).saturating_add(tag_count.saturating_mul(16))
}

/// What the footer needs beside its records: padding and the trailer.
pub(crate) const OVERHEAD: u64 = TRAILER + 2 * ALIGN;

/// Hash of a tag as the format has it: FNV-1a over its bytes, 64 bits. Found tags are compared, so collisions cost time only.
pub(crate) fn tag_hash(tag: &[u8]) -> u64 {
    tag.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What a footer says of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FooterKey<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) vary: &'a [u8],
    pub(crate) tags: &'a [u8],
    pub(crate) seq: u64,
    pub(crate) write: u64,
    pub(crate) mark: Mark,
    pub(crate) soft_at_ms: i64,
    /// Offset in the file.
    pub(crate) at: u64,
    /// Bytes in the file.
    pub(crate) len: u64,
}

/// The footer's bytes for these records, and how many tags it has.
pub(crate) fn build(keys: &[OpenKey], places: &Places) -> (Vec<u8>, u32) {
    let mut order: Vec<u32> = (0..u32::try_from(keys.len()).unwrap_or(u32::MAX)).collect();
    let of = |ordinal: u32| usize::try_from(ordinal).ok().and_then(|at| keys.get(at));
    order.sort_by(|a, b| of(*a).map(|key| &key.key).cmp(&of(*b).map(|key| &key.key)).then(a.cmp(b)));
    let mut block = Vec::new();
    let mut starts = vec![0_u32; keys.len()];
    for &ordinal in &order {
        let Some(key) = of(ordinal) else { continue };
        if let Some(start) = usize::try_from(ordinal).ok().and_then(|at| starts.get_mut(at)) {
            *start = u32::try_from(block.len()).unwrap_or(u32::MAX);
        }
        for bytes in [&key.key, &key.vary, &key.tags] {
            block.extend_from_slice(bytes);
        }
    }
    let mut tags: Vec<(u64, u32)> = Vec::new();
    let mut out = Vec::with_capacity(keys.len() * 64 + block.len());
    for ((ordinal, key), start) in (0_u32..).zip(keys).zip(starts) {
        tags.extend(TagsRef::from_stored(&key.tags).iter().map(|tag| (tag_hash(tag), ordinal)));
        let range = places.range(ordinal).unwrap_or(0..0);
        let len32 = |bytes: &[u8]| U32::new(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        let units = |bytes: u64| U32::new(u32::try_from(bytes / ALIGN).unwrap_or(u32::MAX));
        let entry = RawEntry {
            at: units(range.start),
            len: units(range.end - range.start),
            seq: U64::new(key.seq),
            write: U64::new(key.write),
            soft_at_ms: I64::new(key.soft_at_ms),
            keys_at: U32::new(start),
            key_len: U16::new(u16::try_from(key.key.len()).unwrap_or(u16::MAX)),
            mark: key.mark.bits(),
            reserved: 0,
            vary_len: len32(&key.vary),
            tags_len: len32(&key.tags),
        };
        out.extend_from_slice(entry.as_bytes());
    }
    order.iter().for_each(|&ordinal| out.extend_from_slice(U32::new(ordinal).as_bytes()));
    out.resize(out.len().next_multiple_of(16), 0);
    tags.sort_unstable();
    for &(hash, ordinal) in &tags {
        let tag = RawTag { hash: U64::new(hash), ordinal: U32::new(ordinal), reserved: U32::new(0) };
        out.extend_from_slice(tag.as_bytes());
    }
    out.extend_from_slice(&block);
    (out, u32::try_from(tags.len()).unwrap_or(u32::MAX))
}

/// A footer, its parts found but nothing in them believed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    entries: &'a [RawEntry],
    order: &'a [U32],
    tags: &'a [RawTag],
    keys: &'a [u8],
}

impl<'a> View<'a> {
    /// Cuts a footer into its parts; `None` if it is too short for them.
    pub(crate) fn new(bytes: &'a [u8], count: u32, tag_count: u32) -> Option<Self> {
        let count = usize::try_from(count).ok()?;
        let (entries, rest) = <[RawEntry]>::ref_from_prefix_with_elems(bytes, count).ok()?;
        let (order, _) = <[U32]>::ref_from_prefix_with_elems(rest, count).ok()?;
        let tags_at = count.checked_mul(size_of::<RawEntry>() + 4)?.checked_next_multiple_of(16)?;
        let rest = bytes.get(tags_at..)?;
        let (tags, keys) = <[RawTag]>::ref_from_prefix_with_elems(rest, usize::try_from(tag_count).ok()?).ok()?;
        Some(Self { entries, order, tags, keys })
    }

    /// One record.
    pub(crate) fn key(&self, ordinal: u32) -> Option<FooterKey<'a>> {
        let entry = self.entries.get(usize::try_from(ordinal).ok()?)?;
        let rest = self.keys.get(usize::try_from(entry.keys_at.get()).ok()?..)?;
        let (key, rest) = rest.split_at_checked(usize::from(entry.key_len.get()))?;
        let (vary, rest) = rest.split_at_checked(usize::try_from(entry.vary_len.get()).ok()?)?;
        let (tags, _) = rest.split_at_checked(usize::try_from(entry.tags_len.get()).ok()?)?;
        Some(FooterKey {
            key,
            vary,
            tags,
            seq: entry.seq.get(),
            write: entry.write.get(),
            mark: Mark::from_bits(u64::from(entry.mark)),
            soft_at_ms: entry.soft_at_ms.get(),
            at: u64::from(entry.at.get()) * ALIGN,
            len: u64::from(entry.len.get()) * ALIGN,
        })
    }

    /// Calls `f` with every record in a scope; bodies are not touched. O(log records + matches).
    pub(crate) fn visit(&self, scope: Scope<'_>, f: &mut dyn FnMut(u32, FooterKey<'a>)) {
        match scope {
            Scope::Everything => self.run(0, |_| true, f),
            Scope::Under(prefix) => self.run(self.first_from(prefix), |key| key.starts_with(prefix), f),
            Scope::Exact(url) => {
                self.run(self.first_from(url), |key| key == url, f);
                let varied = [url, b"@@"].concat();
                self.run(self.first_from(&varied), |key| key.starts_with(&varied), f);
            }
            Scope::Tag(tag) => {
                let hash = tag_hash(tag);
                let from = self.tags.partition_point(|entry| entry.hash.get() < hash);
                for entry in self.tags.get(from..).unwrap_or_default() {
                    if entry.hash.get() != hash {
                        break;
                    }
                    if let Some(key) = self.key(entry.ordinal.get())
                        && TagsRef::from_stored(key.tags).contains(tag)
                    {
                        f(entry.ordinal.get(), key);
                    }
                }
            }
        }
    }

    /// The first place in the order whose text is not below `text`.
    fn first_from(&self, text: &[u8]) -> usize {
        self.order.partition_point(|ordinal| self.key(ordinal.get()).is_some_and(|key| key.key < text))
    }

    fn run(&self, from: usize, within: impl Fn(&[u8]) -> bool, f: &mut dyn FnMut(u32, FooterKey<'a>)) {
        for ordinal in self.order.get(from..).unwrap_or_default() {
            let Some(key) = self.key(ordinal.get()) else { continue };
            if !within(key.key) {
                break;
            }
            f(ordinal.get(), key);
        }
    }
}

/// What memory keeps of a footer: where it is, and what lets a sweep pass the segment by.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) trailer: Trailer,
    first: Box<[u8]>,
    last: Box<[u8]>,
    /// Hosts, and hosts with their first directory.
    directories: Filter,
    tags: Filter,
}

impl Sealed {
    /// Reads a whole footer once. `None` if a record cannot be read, or places overlap or leave gaps.
    pub(crate) fn new(trailer: Trailer, view: &View<'_>, variant: impl Fn(&[u8]) -> u32) -> Option<(Self, Places)> {
        let (mut directories, mut tags, mut each) = (Vec::new(), Vec::new(), Vec::new());
        let mut end = DATA_AT;
        for ordinal in 0..trailer.count {
            let key = view.key(ordinal)?;
            if key.at != end || key.len == 0 {
                return None;
            }
            end = end.checked_add(key.len)?;
            each.push(PlaceOf { at: u32::try_from(key.at / ALIGN).ok()?, variant: variant(key.vary) });
            tags.extend(TagsRef::from_stored(key.tags).iter().map(hash));
        }
        if end != trailer.data_end {
            return None;
        }
        // In key order neighbours share directories, so most repetitions go at once.
        let mut previous: Option<&[u8]> = None;
        for ordinal in view.order {
            let key = view.key(ordinal.get())?.key;
            if previous.is_some_and(|previous| previous > key) {
                return None;
            }
            previous = Some(key);
            for hash in directories_of(key).into_iter().flatten() {
                if !directories.ends_with(&[hash]) {
                    directories.push(hash);
                }
            }
        }
        let text = |ordinal: Option<&U32>| {
            ordinal.and_then(|ordinal| view.key(ordinal.get())).map_or_else(Box::default, |key| Box::from(key.key))
        };
        let filter = |mut hashes: Vec<u64>| {
            hashes.sort_unstable();
            hashes.dedup();
            Filter::new(&hashes)
        };
        let (first, last) = (text(view.order.first()), text(view.order.last()));
        let sealed = Self { trailer, first, last, directories: filter(directories), tags: filter(tags) };
        each.shrink_to_fit();
        Some((sealed, Places { each, end }))
    }

    /// Whether a record of the scope may be in the segment. False is certain.
    pub(crate) fn may_hold(&self, scope: Scope<'_>) -> bool {
        match scope {
            Scope::Everything => true,
            Scope::Tag(tag) => self.tags.may_hold(hash(tag)),
            Scope::Under(prefix) | Scope::Exact(prefix) => {
                let below = *self.first > *prefix && !self.first.starts_with(prefix);
                let above = *self.last < *prefix;
                let known = directories_of(prefix).into_iter().flatten().all(|hash| self.directories.may_hold(hash));
                !below && !above && known
            }
        }
    }

    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.first.len() + self.last.len() + self.directories.memory() + self.tags.memory()
    }
}

/// Hashes of `scheme://authority/` and of that with the text up to the next slash, as far as the text has them. What is a directory is decided by
/// slashes alone, so that a prefix of a text has the directories of the text or fewer.
fn directories_of(text: &[u8]) -> [Option<u64>; 2] {
    let slash = |from: usize| {
        let rest = text.get(from..)?;
        memchr::memchr(b'/', rest).map(|at| from.saturating_add(at).saturating_add(1))
    };
    let root = memchr::memmem::find(text, b"://").and_then(|at| slash(at.saturating_add(3)));
    let first = root.and_then(slash);
    [root, first].map(|end| end.and_then(|end| text.get(..end)).map(hash))
}

/// The end of records under the alignment of the footer.
pub(crate) fn footer_at(size: u64, footer_len: u64) -> Option<u64> {
    let at = size.checked_sub(TRAILER)?.checked_sub(align(footer_len))?;
    Some(at / ALIGN * ALIGN)
}
