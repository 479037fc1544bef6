//! The purge history on disk: what was purged comes back after a restart, with what became of it.
//!
//! One append-only file, `history.log`, of the journal's kind of records; `docs/format.md` has its bytes. It is told of purges and written by the
//! thread that writes objects: no purge and no sweep waits for it. The rules in force are the journal's; nothing here decides what is served.
//!
//! 1. A file is written only by the process that made it, and never after an error: a new one with all of the history takes its place.
//! 2. Of a file that is damaged nothing is used, but a notice is given; a tail that was cut off is no damage.
//! 3. What the file holds is bounded: [`LARGEST`] bytes, and when it is made no more than the history in memory.
//!
//! Lock order: `writer`, then `todo`, then the history's.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::codec;
use crate::disk::journal::{FRAME, Fields, Frame, put, random, seal};
use crate::disk::{File, Media, kept};
use crate::purge::Purge;
use crate::purge::history::{History, Progress, Record};
use crate::sync::Mutex;

/// The file.
pub(crate) const NAME: &str = "history.log";

const MAGIC: [u8; 8] = *b"OUSTHIST";
const MAJOR: u16 = 1;
const MINOR: u16 = 0;
const HEADER: usize = 64;

/// Bytes of a file.
const LARGEST: u64 = 64 << 20;
const SMALLEST: u64 = 1 << 20;
/// Bytes of records that a new file begins with at most: the rest is for what comes.
const MOST_AT_FIRST: u64 = 48 << 20;
/// A purge that takes more is not kept.
const MOST_OF_ONE: u64 = 16 << 20;
/// Bytes that purges which wait to be written may hold; with more, a new file is made instead.
const MOST_WAITING: u64 = 16 << 20;
/// Bytes written at a time.
const CHUNK: usize = 1 << 20;

const PURGE: u8 = 1;
const PROGRESS: u8 = 2;
/// From here on a reader passes over kinds it does not know.
const OPTIONAL: u8 = 128;

/// The file and what waits to be written to it.
#[derive(Debug)]
pub(crate) struct Log {
    epoch: u64,
    todo: Mutex<Todo>,
    writer: Mutex<Option<Open>>,
    notice: Option<String>,
    errors: AtomicU64,
}

#[derive(Debug, Default)]
struct Todo {
    notes: Vec<(Note, Arc<Record>)>,
    bytes: u64,
    /// Too much to say one by one.
    all: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Note {
    /// It is not in the file.
    New,
    /// It has got on.
    Changed,
}

/// A file that this process has made.
#[derive(Debug)]
struct Open {
    file: Arc<dyn File>,
    salt: u64,
    len: u64,
    /// Where the next record goes. All before is synced.
    at: u64,
    /// Of the last record.
    position: u64,
}

impl Log {
    /// Reads the file of a directory: the purges of this epoch, in order. Damage and errors are a notice.
    pub(crate) fn open(media: &dyn Media, epoch: u64) -> (Self, Vec<Arc<Record>>) {
        let read = match kept::load(media, NAME) {
            Ok(None) => Ok(Vec::new()),
            Ok(Some(bytes)) => read(&bytes, Some(epoch)).map(|found| found.records),
            Err(error) => Err(error.to_string()),
        };
        let (records, notice) = match read {
            Ok(records) => (records, None),
            Err(reason) => (Vec::new(), Some(format!("{NAME}: {reason}"))),
        };
        let (todo, writer) = (Mutex::default(), Mutex::default());
        (Self { epoch, todo, writer, notice, errors: AtomicU64::new(0) }, records)
    }

    /// Why the history that was on disk is lost, if it is.
    pub(crate) fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Attempts to write that failed.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }

    /// Has a purge written with the next [`write`](Self::write). Waits for no I/O.
    pub(crate) fn note(&self, note: Note, record: &Arc<Record>) {
        let mut todo = self.todo.lock();
        if todo.all {
            return;
        }
        todo.bytes = todo.bytes.saturating_add(record.bytes_held());
        todo.notes.push((note, Arc::clone(record)));
        if todo.bytes > MOST_WAITING {
            *todo = Todo { all: true, ..Todo::default() };
        }
    }

    /// Writes what was noted and syncs it. After an error the next call makes a new file.
    pub(crate) fn write(&self, media: &dyn Media, history: &History) {
        let mut writer = self.writer.lock();
        let todo = std::mem::take(&mut *self.todo.lock());
        if todo.notes.is_empty() && !todo.all {
            return;
        }
        let appended = match writer.as_mut().filter(|_| !todo.all) {
            Some(open) => open.append(&todo.notes),
            None => Ok(false),
        };
        let written = match appended {
            Ok(true) => Ok(()),
            Ok(false) => self.compact(media, history).map(|open| *writer = Some(open)),
            Err(error) => Err(error),
        };
        if written.is_err() {
            *writer = None;
            *self.todo.lock() = Todo { all: true, ..Todo::default() };
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes everything that is known when the cache ends.
    pub(crate) fn close(&self, media: &dyn Media, history: &History) {
        for record in history.list(None, usize::MAX).iter().filter(|record| record.progress().swept_ms == 0) {
            self.note(Note::Changed, record);
        }
        self.write(media, history);
    }

    /// Makes a new file with all of the history that fits.
    fn compact(&self, media: &dyn Media, history: &History) -> io::Result<Open> {
        let mut total = 0_u64;
        let mut records = Vec::new();
        for record in history.list(None, usize::MAX) {
            let mut encoded = Vec::new();
            put_purge(&mut encoded, 0, &record);
            let len = u64::try_from(encoded.len()).unwrap_or(u64::MAX);
            if len > MOST_OF_ONE {
                continue;
            }
            if total.saturating_add(len) > MOST_AT_FIRST {
                break;
            }
            total = total.saturating_add(len);
            records.push(record);
        }
        records.reverse();
        let salt = random()?;
        let len = total.saturating_mul(2).next_multiple_of(SMALLEST).clamp(SMALLEST, LARGEST);
        let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
        let mut at = u64::try_from(HEADER).unwrap_or(u64::MAX);
        let file = kept::replace(media, NAME, len, &mut |file| {
            file.write_at(0, &header(self.epoch, salt, count, len))?;
            let mut chunk = Vec::new();
            let mut records = (1..).zip(&records).peekable();
            while let Some((position, record)) = records.next() {
                put_purge(&mut chunk, position, record);
                if chunk.len() >= CHUNK || records.peek().is_none() {
                    seal(&mut chunk, salt, 0);
                    file.write_at(at, &chunk)?;
                    at = at.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
                    chunk.clear();
                }
            }
            Ok(())
        })?;
        Ok(Open { file, salt, len, at, position: count })
    }
}

impl Open {
    /// Appends and syncs; false if there is no room.
    fn append(&mut self, notes: &[(Note, Arc<Record>)]) -> io::Result<bool> {
        let mut bytes = Vec::new();
        let mut position = self.position;
        for (note, record) in notes {
            let begin = bytes.len();
            match note {
                Note::New => put_purge(&mut bytes, position.saturating_add(1), record),
                Note::Changed => put_progress(&mut bytes, position.saturating_add(1), record),
            }
            if u64::try_from(bytes.len().saturating_sub(begin)).unwrap_or(u64::MAX) > MOST_OF_ONE {
                bytes.truncate(begin);
            } else {
                position = position.saturating_add(1);
            }
            if self.at.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX)) > self.len {
                return Ok(false);
            }
        }
        seal(&mut bytes, self.salt, self.position);
        self.file.write_at(self.at, &bytes)?;
        self.file.sync()?;
        self.at = self.at.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.position = position;
        Ok(true)
    }
}

fn header(epoch: u64, salt: u64, count: u64, len: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&MAJOR.to_le_bytes());
    out.extend_from_slice(&MINOR.to_le_bytes());
    out.extend_from_slice(&u32::try_from(HEADER).unwrap_or(u32::MAX).to_le_bytes());
    for field in [epoch, salt, count, len] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.resize(HEADER - 4, 0);
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out
}

fn put_purge(out: &mut Vec<u8>, position: u64, record: &Record) {
    let (selectors, layers) = (&record.selectors, record.layers);
    let purge = codec::encode(selectors, record.action, layers, &record.by, record.created_ms);
    put(out, PURGE, position, 16 + PROGRESS_LEN + purge.len(), |out| {
        out.extend_from_slice(&record.first.to_le_bytes());
        out.extend_from_slice(&record.last.to_le_bytes());
        push(out, record.progress());
        out.extend_from_slice(&purge);
    });
}

fn put_progress(out: &mut Vec<u8>, position: u64, record: &Record) {
    put(out, PROGRESS, position, 8 + PROGRESS_LEN, |out| {
        out.extend_from_slice(&record.last.to_le_bytes());
        push(out, record.progress());
    });
}

const PROGRESS_LEN: usize = 49;

fn push(out: &mut Vec<u8>, progress: Progress) {
    let Progress { started_ms, swept_ms, edge, l2, durable } = progress;
    for field in [started_ms, swept_ms, edge.objects, edge.bytes, l2.objects, l2.bytes] {
        out.extend_from_slice(&field.to_le_bytes());
    }
    out.push(u8::from(durable));
}

fn progress(fields: &mut Fields<'_>) -> Option<Progress> {
    let mut progress = Progress { started_ms: fields.u64()?, swept_ms: fields.u64()?, ..Progress::default() };
    for count in [&mut progress.edge, &mut progress.l2] {
        (count.objects, count.bytes) = (fields.u64()?, fields.u64()?);
    }
    progress.durable = fields.u8()? != 0;
    Some(progress)
}

/// What a file holds.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) epoch: u64,
    /// In the order of their numbers; none if the epoch is not the one asked for.
    pub(crate) records: Vec<Arc<Record>>,
}

/// Reads a file; any bytes give its purges, or why it is damaged.
pub(crate) fn read(bytes: &[u8], wanted: Option<u64>) -> Result<Found, String> {
    let damaged = |what: &str| Err(format!("damaged: {what}"));
    let Some((mut fields, begin)) = bytes.split_at_checked(HEADER - 4).and_then(|(body, rest)| {
        let sound = Fields(rest).u32()? == crc32c::crc32c(body) && body.starts_with(&MAGIC);
        let mut fields = Fields(body.get(8..)?);
        let known = fields.u16()? == MAJOR;
        fields.u16()?;
        let begin = usize::try_from(fields.u32()?).ok()?;
        (sound && known).then_some((fields, begin))
    }) else {
        return damaged("its header is not known");
    };
    let (Some(epoch), Some(salt), Some(count), Some(len)) = (fields.u64(), fields.u64(), fields.u64(), fields.u64())
    else {
        return damaged("its header is not known");
    };
    if wanted.is_some_and(|wanted| wanted != epoch) {
        return Ok(Found { epoch, records: Vec::new() });
    }
    if u64::try_from(bytes.len()).is_ok_and(|size| size < len) {
        return damaged("it is cut short");
    }
    let mut purges: BTreeMap<u64, (u64, Purge, u64, Progress)> = BTreeMap::new();
    let mut at = begin;
    for position in 1.. {
        let Some(frame) = Frame::at(bytes, at, salt).filter(|frame| frame.position == position) else {
            if position <= count || Frame::witness(bytes, at, salt, position) {
                return Err(format!("damaged: a record that had been synced, at byte {at}"));
            }
            break;
        };
        let applied = match frame.kind {
            PURGE => purge_of(frame.payload).map(|(last, purge)| drop(purges.insert(last, purge))),
            PROGRESS => {
                let mut fields = Fields(frame.payload);
                fields.u64().and_then(|last| {
                    let progress = progress(&mut fields)?;
                    // One that is not there was too large, or has been forgotten.
                    purges.get_mut(&last).into_iter().for_each(|purge| purge.3 = progress);
                    Some(())
                })
            }
            OPTIONAL.. => Some(()),
            _ => None,
        };
        if applied.is_none() {
            return Err(format!("damaged: a record is not known, at byte {at}"));
        }
        at = frame.next;
    }
    let record = |(last, (first, purge, created_ms, progress))| {
        Arc::new(Record::restored(epoch, (first, last), &purge, created_ms, progress))
    };
    Ok(Found { epoch, records: purges.into_iter().map(record).collect() })
}

/// A purge by its last number: the first, what it was, when it was made, and what became of it.
fn purge_of(payload: &[u8]) -> Option<(u64, (u64, Purge, u64, Progress))> {
    let mut fields = Fields(payload);
    let (first, last) = (fields.u64()?, fields.u64()?);
    let progress = progress(&mut fields)?;
    let (purge, created_ms) = codec::decode(fields.0)?;
    (first != 0 && first <= last).then_some((last, (first, purge, created_ms, progress)))
}

const _: () = assert!(FRAME == 32, "as the format says");
