//! One stored object on disk: a fixed header, the variable metadata, the body. `docs/format.md` has the layout byte by byte.
//!
//! Invariants:
//!
//! 1. Decoding is total: whatever the bytes are, the answer is a record whose header sum is right, or an error. Nothing is read past what the
//!    lengths say, and no length is believed before the header's sum is right.
//! 2. A body is handed out only after its own sum was right, now or earlier in this process.
//! 3. A record begins at a multiple of [`ALIGN`] of its file and is a multiple of it long, as is its header; its body is aligned too.

use std::mem::size_of;
use std::ops::Range;

use bytes::Bytes;
use zerocopy::little_endian::{I64, U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::entry::Mark;

/// Records begin at multiples of this.
pub(crate) const ALIGN: u64 = 16;

/// Other major versions are not read.
pub(crate) const MAJOR: u8 = 1;

/// Later minor versions only lengthen the header.
pub(crate) const MINOR: u8 = 0;

const MAGIC: [u8; 4] = *b"oRec";

/// Length of the header this version writes.
pub(crate) const HEADER: u64 = 128;

const MUST_REVALIDATE: u8 = 1;
const NO_CACHE: u8 = 2;

/// What the store keeps of an object beside its bytes. Plain values; the store interprets none but the mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Number of the last rule the object was judged against when it was written.
    pub(crate) seq: u64,
    /// Mark it was written with.
    pub(crate) mark: Mark,
    /// When a soft purge took it, in milliseconds since the Unix epoch; meaningful with [`Mark::Soft`] and above.
    pub(crate) soft_at_ms: i64,
    /// Status code.
    pub(crate) status: u16,
    /// Never served stale.
    pub(crate) must_revalidate: bool,
    /// Validated before every use.
    pub(crate) no_cache: bool,
    /// When it had age 0, in milliseconds since the Unix epoch.
    pub(crate) born_ms: i64,
    /// When it expires, in milliseconds since the Unix epoch.
    pub(crate) fresh_until_ms: i64,
    /// RFC 5861 window in seconds.
    pub(crate) stale_while_revalidate_s: u32,
    /// RFC 5861 window in seconds.
    pub(crate) stale_if_error_s: u32,
}

/// An object to be written. Borrowed; the body may be in pieces.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordParts<'a> {
    pub(crate) meta: Meta,
    /// Canonical key text.
    pub(crate) key: &'a [u8],
    /// Encoded [`crate::vary::Vary`].
    pub(crate) vary: &'a [u8],
    /// Encoded [`crate::purge::Tags`].
    pub(crate) tags: &'a [u8],
    /// Encoded header fields.
    pub(crate) head: &'a [u8],
    pub(crate) body: &'a [Bytes],
}

impl RecordParts<'_> {
    pub(crate) fn body_len(&self) -> u64 {
        self.body.iter().map(|piece| len64(piece)).sum()
    }

    fn meta_len(&self) -> u64 {
        [self.key, self.vary, self.tags, self.head].into_iter().map(len64).sum()
    }

    /// Length of the whole record in its file.
    pub(crate) fn total(&self) -> u64 {
        align(align(HEADER.saturating_add(self.meta_len())).saturating_add(self.body_len()))
    }

    /// Whether all lengths fit their fields.
    pub(crate) fn is_encodable(&self) -> bool {
        let small = |bytes: &[u8]| u32::try_from(bytes.len()).is_ok();
        u16::try_from(self.key.len()).is_ok() && small(self.vary) && small(self.tags) && small(self.head)
    }
}

/// Where a record is and when it was written: what tells it from any other, and from the remains of an older file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) epoch: u64,
    pub(crate) segment: u32,
    pub(crate) ordinal: u32,
    /// Rises with every write of the tier, whatever the segment.
    pub(crate) write: u64,
}

#[derive(Debug, Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Header {
    magic: [u8; 4],
    major: u8,
    minor: u8,
    header_len: U16,
    total: U64,
    epoch: U64,
    segment: U32,
    ordinal: U32,
    write: U64,
    seq: U64,
    born_ms: I64,
    fresh_until_ms: I64,
    soft_at_ms: I64,
    body_len: U64,
    stale_while_revalidate_s: U32,
    stale_if_error_s: U32,
    key_len: U32,
    vary_len: U32,
    tags_len: U32,
    head_len: U32,
    status: U16,
    flags: u8,
    mark: u8,
    body_crc: U32,
    reserved: [u8; 12],
    header_crc: U32,
}

const _: () = assert!(size_of::<Header>() == 128);

/// Offset of the header's own sum, which it does not cover.
const CRC_AT: usize = 124;

/// Appends the record to `out`, padding included.
pub(crate) fn encode(parts: &RecordParts<'_>, place: Place, out: &mut Vec<u8>) {
    let start = out.len();
    encode_front(parts, place, out);
    for piece in parts.body {
        out.extend_from_slice(piece);
    }
    let total = usize::try_from(parts.total()).unwrap_or(usize::MAX);
    out.resize(start.saturating_add(total), 0);
}

/// Appends the record up to where its body begins: for bodies too large to be copied.
pub(crate) fn encode_front(parts: &RecordParts<'_>, place: Place, out: &mut Vec<u8>) {
    let body_crc = parts.body.iter().fold(0, |crc, piece| crc32c::crc32c_append(crc, piece));
    let len = |bytes: &[u8]| U32::new(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    let meta = &parts.meta;
    let mut header = Header {
        magic: MAGIC,
        major: MAJOR,
        minor: MINOR,
        header_len: U16::new(128),
        total: U64::new(parts.total()),
        epoch: U64::new(place.epoch),
        segment: U32::new(place.segment),
        ordinal: U32::new(place.ordinal),
        write: U64::new(place.write),
        seq: U64::new(meta.seq),
        born_ms: I64::new(meta.born_ms),
        fresh_until_ms: I64::new(meta.fresh_until_ms),
        soft_at_ms: I64::new(meta.soft_at_ms),
        body_len: U64::new(parts.body_len()),
        stale_while_revalidate_s: U32::new(meta.stale_while_revalidate_s),
        stale_if_error_s: U32::new(meta.stale_if_error_s),
        key_len: len(parts.key),
        vary_len: len(parts.vary),
        tags_len: len(parts.tags),
        head_len: len(parts.head),
        status: U16::new(meta.status),
        flags: if meta.must_revalidate { MUST_REVALIDATE } else { 0 } | if meta.no_cache { NO_CACHE } else { 0 },
        mark: meta.mark.bits(),
        body_crc: U32::new(body_crc),
        reserved: [0; 12],
        header_crc: U32::new(0),
    };
    let fields = header.as_bytes().get(..CRC_AT).unwrap_or_default();
    let crc =
        [parts.key, parts.vary, parts.tags, parts.head].into_iter().fold(crc32c::crc32c(fields), crc32c::crc32c_append);
    header.header_crc = U32::new(crc);
    out.extend_from_slice(header.as_bytes());
    for bytes in [parts.key, parts.vary, parts.tags, parts.head] {
        out.extend_from_slice(bytes);
    }
    let front = HEADER.saturating_add(parts.meta_len());
    let padding = usize::try_from(align(front).saturating_sub(front)).unwrap_or(0);
    out.resize(out.len().saturating_add(padding), 0);
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// Not the beginning of a record, or not the one that should be here.
    NotHere,
    /// Of a version this code cannot read.
    Version,
    /// The bytes end too early.
    Short,
    /// The sum over header and metadata is wrong, or the lengths contradict each other.
    Header,
}

/// Where the parts of a record are, its header and metadata verified. Offsets count from the record's beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decoded {
    pub(crate) place: Place,
    pub(crate) meta: Meta,
    pub(crate) key: Range<usize>,
    pub(crate) vary: Range<usize>,
    pub(crate) tags: Range<usize>,
    pub(crate) head: Range<usize>,
    pub(crate) body: Range<usize>,
    /// Length of the whole record.
    pub(crate) total: usize,
    body_crc: u32,
}

impl Decoded {
    /// Whether the body is the one that was written. O(body).
    pub(crate) fn body_is_sound(&self, bytes: &[u8]) -> bool {
        bytes.get(self.body.clone()).is_some_and(|body| crc32c::crc32c(body) == self.body_crc)
    }
}

/// Length the record at the beginning of `bytes` claims to have, from its fixed header alone; nothing but the magic is checked.
pub(crate) fn claimed_len(bytes: &[u8]) -> Result<u64, Damage> {
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Damage::Short)?;
    if header.magic != MAGIC {
        return Err(Damage::NotHere);
    }
    if header.major != MAJOR {
        return Err(Damage::Version);
    }
    Ok(header.total.get())
}

/// Reads header and metadata of the record at the beginning of `bytes`, which must hold all of it.
///
/// The body is not looked at: see [`Decoded::body_is_sound`].
pub(crate) fn decode(bytes: &[u8], epoch: u64, segment: u32, ordinal: u32) -> Result<Decoded, Damage> {
    let total = usize::try_from(claimed_len(bytes)?).map_err(|_| Damage::Short)?;
    decode_front(bytes.get(..total).ok_or(Damage::Short)?, epoch, segment, ordinal)
}

/// Length of a record up to the end of its metadata, as the fixed header at the beginning of `bytes` claims.
pub(crate) fn claimed_front(bytes: &[u8]) -> Result<u64, Damage> {
    claimed_len(bytes)?;
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Damage::Short)?;
    let parts = [header.key_len, header.vary_len, header.tags_len, header.head_len];
    Ok(parts.iter().fold(u64::from(header.header_len.get()), |sum, len| sum.saturating_add(u64::from(len.get()))))
}

/// As [`decode`], of bytes that need not hold more than header and metadata.
pub(crate) fn decode_front(bytes: &[u8], epoch: u64, segment: u32, ordinal: u32) -> Result<Decoded, Damage> {
    let total = usize::try_from(claimed_len(bytes)?).map_err(|_| Damage::Short)?;
    let (header, _) = Header::ref_from_prefix(bytes).map_err(|_| Damage::Short)?;
    let header_len = usize::from(header.header_len.get());
    if header_len < size_of::<Header>() || header_len % 16 != 0 {
        return Err(Damage::Header);
    }
    let mut at = header_len;
    let mut part = |len: u32| {
        let from = at;
        at = usize::try_from(len).ok().and_then(|len| from.checked_add(len)).ok_or(Damage::Header)?;
        Ok(from..at)
    };
    let key = part(header.key_len.get())?;
    let vary = part(header.vary_len.get())?;
    let tags = part(header.tags_len.get())?;
    let head = part(header.head_len.get())?;
    // Fields a later minor version has added are under the sum too.
    let fields = bytes.get(..CRC_AT).ok_or(Damage::Short)?;
    let rest = bytes.get(size_of::<Header>()..head.end).ok_or(Damage::Header)?;
    if crc32c::crc32c_append(crc32c::crc32c(fields), rest) != header.header_crc.get() {
        return Err(Damage::Header);
    }
    let place = Place {
        epoch: header.epoch.get(),
        segment: header.segment.get(),
        ordinal: header.ordinal.get(),
        write: header.write.get(),
    };
    if (place.epoch, place.segment, place.ordinal) != (epoch, segment, ordinal) {
        return Err(Damage::NotHere);
    }
    let body_at = head.end.checked_next_multiple_of(16).ok_or(Damage::Header)?;
    let body_len = usize::try_from(header.body_len.get()).map_err(|_| Damage::Header)?;
    let body_end = body_at.checked_add(body_len).ok_or(Damage::Header)?;
    if body_end.checked_next_multiple_of(16) != Some(total) {
        return Err(Damage::Header);
    }
    let meta = Meta {
        seq: header.seq.get(),
        mark: Mark::from_bits(u64::from(header.mark)),
        soft_at_ms: header.soft_at_ms.get(),
        status: header.status.get(),
        must_revalidate: header.flags & MUST_REVALIDATE != 0,
        no_cache: header.flags & NO_CACHE != 0,
        born_ms: header.born_ms.get(),
        fresh_until_ms: header.fresh_until_ms.get(),
        stale_while_revalidate_s: header.stale_while_revalidate_s.get(),
        stale_if_error_s: header.stale_if_error_s.get(),
    };
    Ok(Decoded { place, meta, key, vary, tags, head, body: body_at..body_end, total, body_crc: header.body_crc.get() })
}

/// The next multiple of [`ALIGN`].
pub(crate) fn align(len: u64) -> u64 {
    len.checked_next_multiple_of(ALIGN).unwrap_or(u64::MAX)
}

pub(crate) fn len64(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
