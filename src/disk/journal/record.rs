//! The bytes of a journal file: its header and its records. `docs/format.md` has the same byte by byte.
//!
//! Everything is little-endian. Decoding is total: any bytes give a value or `None`, never a panic.
//!
//! A record is found by the file's own random `salt`, half of which stands before each record and all of which is part of each checksum. So
//! bytes inside a payload, which clients may choose, do not pass for a record.

use crc32c::{crc32c, crc32c_append};

use super::RecordId;
use crate::disk::Identity;

/// Bytes of a file's header.
pub(super) const HEADER: usize = 128;
/// Bytes of a record before its payload.
pub(crate) const FRAME: usize = 32;
/// Bytes of one mark.
pub(super) const MARK: usize = 17;
/// Marks of one record at most.
pub(super) const MARKS: usize = 4096;
/// Bytes of a purge's payload at most.
pub(super) const MAX_PAYLOAD: usize = 256 << 20;

/// The highest number a file may name. A stamp shares its word with a mark, and blocks of numbers are reserved above this.
pub(super) const MAX_NUMBER: u64 = 1 << 60;

const MAGIC: [u8; 8] = *b"OUSTJRNL";
pub(super) const MAJOR: u16 = 1;
const MINOR: u16 = 0;

/// Kinds of records. From `OPTIONAL` on a reader skips what it does not know; below it must refuse the file.
pub(super) mod kind {
    pub(in super::super) const STATE: u8 = 1;
    pub(in super::super) const END: u8 = 2;
    pub(in super::super) const PURGE: u8 = 3;
    pub(in super::super) const MARKS: u8 = 4;
    pub(in super::super) const SWEPT: u8 = 5;
    pub(in super::super) const DROPPED: u8 = 6;
    pub(in super::super) const RESERVED: u8 = 7;
    pub(in super::super) const CLOSED: u8 = 8;
    pub(in super::super) const OPTIONAL: u8 = 128;
}

/// The header of a file, written and synced before anything else of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    /// Number of the file, as in its name.
    pub(crate) id: u64,
    /// Epoch of all numbers in it.
    pub(crate) epoch: u64,
    /// The file's own identity when it was made.
    pub(crate) identity: Option<Identity>,
    /// As of the checkpoint.
    pub(crate) swept_upto: u64,
    /// As of the checkpoint.
    pub(crate) reserved_upto: u64,
    /// The file whose place this one takes, 0 if none.
    pub(crate) previous: u64,
    /// Position of the checkpoint; records after it count on from there.
    pub(crate) position: u64,
    /// Bytes reserved for the file; it is never shorter.
    pub(crate) len: u64,
    /// Random; see the module.
    pub(crate) salt: u64,
    /// Where records begin.
    pub(crate) begin: u32,
}

/// Why a header cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderFault {
    /// Not a header, or its checksum is wrong.
    Unreadable,
    /// A header of another major version; its checksum may be right by this version's rules, or not.
    Major { major: u16, sound: bool },
}

impl Header {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&MAJOR.to_le_bytes());
        out.extend_from_slice(&MINOR.to_le_bytes());
        out.extend_from_slice(&self.begin.to_le_bytes());
        let (known, identity) = match self.identity {
            Some(identity) => (1, identity),
            None => (0, Identity { inode: 0, born_ns: 0 }),
        };
        for field in [
            self.id,
            self.epoch,
            known,
            identity.inode,
            identity.born_ns,
            self.swept_upto,
            self.reserved_upto,
            self.previous,
            self.position,
            self.len,
            self.salt,
        ] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.resize(HEADER - 4, 0);
        out.extend_from_slice(&crc32c(&out).to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderFault> {
        let unreadable = HeaderFault::Unreadable;
        let (body, rest) = bytes.split_at_checked(HEADER - 4).ok_or(unreadable)?;
        let sound = Fields(rest).u32() == Some(crc32c(body));
        let mut fields = Fields(body);
        if fields.take(MAGIC.len()) != Some(&MAGIC) {
            return Err(unreadable);
        }
        let major = fields.u16().ok_or(unreadable)?;
        if major != MAJOR {
            return Err(HeaderFault::Major { major, sound });
        }
        if !sound {
            return Err(unreadable);
        }
        let decoded = (|| {
            fields.u16()?;
            let begin = fields.u32()?;
            let (id, epoch, known) = (fields.u64()?, fields.u64()?, fields.u64()?);
            let identity = Identity { inode: fields.u64()?, born_ns: fields.u64()? };
            Some(Self {
                id,
                epoch,
                identity: (known == 1).then_some(identity),
                swept_upto: fields.u64()?,
                reserved_upto: fields.u64()?,
                previous: fields.u64()?,
                position: fields.u64()?,
                len: fields.u64()?,
                salt: fields.u64()?,
                begin,
            })
        })();
        decoded.filter(|header| usize::try_from(header.begin).is_ok_and(|begin| begin >= HEADER)).ok_or(unreadable)
    }
}

/// A record whose checksum is right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) position: u64,
    pub(crate) synced_upto: u64,
    pub(crate) kind: u8,
    pub(crate) payload: &'a [u8],
    /// Offset of what follows.
    pub(crate) next: usize,
}

impl<'a> Frame<'a> {
    /// The record at an offset, if one is there.
    pub(crate) fn at(bytes: &'a [u8], offset: usize, salt: u64) -> Option<Self> {
        let record = bytes.get(offset..)?;
        let mut fields = Fields(record);
        if fields.u32()? != marker(salt) {
            return None;
        }
        let crc = fields.u32()?;
        let length = usize::try_from(fields.u32()?).ok()?;
        let kind = fields.u8()?;
        fields.take(3)?;
        let (position, synced_upto) = (fields.u64()?, fields.u64()?);
        let payload = fields.take(length)?;
        let covered = record.get(8..FRAME.checked_add(length)?)?;
        let next = offset.checked_add(FRAME)?.checked_add(length)?;
        (checksum(salt, covered) == crc).then_some(Self { position, synced_upto, kind, payload, next })
    }

    /// Whether a record at or behind an offset says that `position` had been synced when it was written.
    pub(crate) fn witness(bytes: &'a [u8], offset: usize, salt: u64, position: u64) -> bool {
        let marker = marker(salt).to_le_bytes();
        let behind = bytes.get(offset..).unwrap_or_default();
        memchr::memmem::find_iter(behind, &marker)
            .filter_map(|found| Self::at(behind, found, salt))
            .any(|frame| frame.synced_upto >= position)
    }
}

/// Appends a record whose checksum, marker and `synced_upto` are still to be set by [`seal`]. `payload` writes `length` bytes.
pub(crate) fn put(out: &mut Vec<u8>, kind: u8, position: u64, length: usize, payload: impl FnOnce(&mut Vec<u8>)) {
    out.reserve(FRAME + length);
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(&[kind, 0, 0, 0]);
    out.extend_from_slice(&position.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    let begin = out.len();
    payload(out);
    debug_assert_eq!(out.len(), begin + length, "a record is as long as it says");
}

/// Appends a record of one number.
pub(super) fn put_u64(out: &mut Vec<u8>, kind: u8, position: u64, value: u64) {
    put(out, kind, position, 8, |out| out.extend_from_slice(&value.to_le_bytes()));
}

/// Makes records that [`put`] wrote ready for the file of `salt`.
pub(crate) fn seal(mut records: &mut [u8], salt: u64, synced_upto: u64) {
    while let Some(length) = records.get(8..12).and_then(|length| Fields(length).u32()) {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let Some((record, rest)) = records.split_at_mut_checked(FRAME.saturating_add(length)) else {
            debug_assert!(false, "records are whole");
            return;
        };
        if let Some((head, covered)) = record.split_at_mut_checked(8) {
            if let Some(field) = covered.get_mut(16..24) {
                field.copy_from_slice(&synced_upto.to_le_bytes());
            }
            let crc = u64::from(checksum(salt, covered));
            head.copy_from_slice(&(u64::from(marker(salt)) | crc << 32).to_le_bytes());
        }
        records = rest;
    }
}

/// One mark as it is on disk.
pub(super) fn put_mark(out: &mut Vec<u8>, record: RecordId, mark: u8, at_ms: u64) {
    out.extend_from_slice(&record.segment.to_le_bytes());
    out.extend_from_slice(&record.ordinal.to_le_bytes());
    out.push(mark);
    out.extend_from_slice(&at_ms.to_le_bytes());
}

fn marker(salt: u64) -> u32 {
    u32::try_from(salt & u64::from(u32::MAX)).unwrap_or_default()
}

fn checksum(salt: u64, covered: &[u8]) -> u32 {
    crc32c_append(crc32c(&salt.to_le_bytes()), covered)
}

/// Fields read one after the other; `None` at the end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }
}
