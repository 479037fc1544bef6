//! The durable log of a cache directory: purges, marks of stored records, what is swept, and which numbers may be given out.
//!
//! One log for all of it, so that one fsync puts all of it in order. It is opaque to rules: a purge's payload is bytes. What is appended is at
//! once part of the state that a checkpoint writes; [`Journal::sync`] makes it durable. A file begins with a checkpoint, so the newest whole
//! file is all that recovery needs. `docs/format.md` has the bytes.
//!
//! Invariants:
//!
//! 1. Entries are on disk in the order of their positions, without gaps; of two, the later is never there without the earlier.
//! 2. `durable` rises to a position only when everything up to it is synced in a file that counts, under a name that is synced.
//! 3. A file that any operation failed on is never written again: the kernel may have dropped what it could not write, and say so only once.
//!    Until a new file holds everything appended so far, nothing more is acknowledged.
//! 4. No number above the durable reservation is given out; after an unclean stop numbers go on above it, so none is given out twice.
//! 5. A file is not written after it was opened: opening makes a new one.
//!
//! Lock order: `turn`; `writer`, then `log`, then `stats`. `turn` is never held with another. Only `writer`, the committing leader's own, is
//! held during I/O.

mod commit;
mod error;
mod live;
mod record;
mod replay;
mod stats;
mod writer;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::disk::Media;
pub(crate) use crate::disk::RecordId;
use crate::sync::{AtomicU64, Condvar, Mutex};

pub(crate) use self::error::{JournalError, OpenError};
pub(crate) use self::live::LivePurge;
pub(crate) use self::record::{FRAME, Fields, Frame, put, seal};
pub(crate) use self::replay::{FileState, damage, inspect};
pub(crate) use self::stats::JournalStats;
pub(crate) use self::writer::random;

use self::commit::Turn;
use self::live::Live;
use self::record::{MAX_PAYLOAD, kind};
use self::replay::Survey;
use self::writer::Writer;

/// What is appended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Entry<'a> {
    /// One batch of rules with consecutive numbers; all of it is replayed or nothing. Batches are appended in the order of their numbers.
    Purge {
        /// First number.
        first: u64,
        /// Last number.
        last: u64,
        /// The rules; at most 256 MiB.
        payload: &'a [u8],
    },
    /// The mark of a record: a verdict, a supersession, a dead bit. Of several the strongest counts, of equals the first.
    Mark {
        /// Which.
        record: RecordId,
        /// 1 soft, 2 invalidate, 3 dead.
        mark: u8,
        /// When, in milliseconds since the Unix epoch.
        at_ms: u64,
    },
    /// Every rule up to here is swept in every layer: those rules are retired.
    Swept {
        /// The number.
        upto: u64,
    },
    /// A segment is gone: its marks are forgotten. Its owner has forgotten them before, and appends none later.
    Dropped {
        /// Number of the segment.
        segment: u32,
    },
}

/// How far the log goes: what [`Journal::sync`] waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(u64);

impl Position {
    /// Of what could not be appended.
    const NEVER: Self = Self(u64::MAX);
}

/// How a journal is opened.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Length of a file in bytes; longer where a checkpoint takes over half of it.
    pub(crate) limit: u64,
    /// Numbers reserved at a time.
    pub(crate) block: u64,
    /// Start anew whatever is there.
    pub(crate) distrust: bool,
    /// Accept a directory that was moved or copied. Of two copies, only one may ever be used.
    pub(crate) adopt: bool,
}

impl Default for Options {
    /// 64 MiB: read in a tenth of a second at start. 2^20 numbers: a purge in a million waits for a reservation, and 2^42 restarts use them up.
    fn default() -> Self {
        Self { limit: 64 << 20, block: 1 << 20, distrust: false, adopt: false }
    }
}

/// Who keeps the marks once [attached](Journal::attach).
pub(crate) trait Checkpoint: Send + Sync {
    /// Gives out every mark of every segment there is: record, mark, instant. Marks set by other threads meanwhile may be missed, provided they
    /// are appended after they are set.
    ///
    /// Called by the thread that commits, with no lock of the journal's that [`Journal::append`] takes. So it may take locks under which
    /// others append, but none under which anybody syncs.
    fn marks(&self, out: &mut dyn FnMut(RecordId, u8, u64));
}

/// What a journal held when it was opened.
#[derive(Debug)]
pub(crate) struct Replayed {
    /// 53 random bits; new whenever the journal starts anew. Segments of another epoch are to be discarded.
    pub(crate) epoch: u64,
    /// The first number that may be given out.
    pub(crate) next_seq: u64,
    /// Every rule up to here is swept in every layer.
    pub(crate) swept_upto: u64,
    /// Rules above that, in order.
    pub(crate) purges: Vec<LivePurge>,
    /// By segment: ordinal, mark and instant, each ordinal once and rising.
    pub(crate) marks: HashMap<u32, Vec<(u32, u8, u64)>>,
    /// The highest segment ever mentioned; of a distrusted journal, as far as it could be read.
    pub(crate) max_segment: u32,
    /// Whether there was no journal.
    pub(crate) fresh: bool,
    /// Why the journal that was there is not trusted, if so: this one started anew.
    pub(crate) distrust: Option<String>,
}

/// The durable log of a cache directory.
///
/// Owned by the tier; shared by any number of threads. It has no thread of its own: who waits in [`sync`](Self::sync) first does the I/O for all.
/// Costs the bytes of live purges and of what is not written yet; while a new file is made, also 17 bytes for each live mark.
pub(crate) struct Journal {
    epoch: u64,
    block: u64,
    /// Position up to which everything is durable.
    durable: AtomicU64,
    /// Numbers up to here may be given out.
    reserved: AtomicU64,
    /// When a number above this is given out, the next block is asked for.
    ahead: AtomicU64,
    turn: Mutex<Turn>,
    turned: Condvar,
    writer: Mutex<Writer>,
    log: Mutex<Log>,
    stats: Mutex<JournalStats>,
}

/// The appending side.
struct Log {
    live: Live,
    source: Option<Arc<dyn Checkpoint>>,
    /// Records not taken by a commit yet, not sealed.
    pending: Vec<u8>,
    /// Position of the newest entry.
    last: u64,
    /// Whether the last entry is that the journal was closed.
    closed: bool,
}

impl Journal {
    /// Opens the journal of a directory, or starts one, and replays it. When it returns, a new file is durable and counts.
    ///
    /// # Errors
    ///
    /// Those of the media; the directory is then as good as it was. Damage is no error, but [`Replayed::distrust`].
    pub(crate) fn open(media: Arc<dyn Media>, options: &Options) -> Result<(Self, Replayed), OpenError> {
        let mut survey = if options.distrust {
            let distrust = Some("told not to trust it".to_owned());
            Survey { ids: replay::ids(&*media)?, distrust, ..Survey::default() }
        } else {
            Survey::of(&*media, options.adopt)?
        };
        let random = || random().map_err(|e| OpenError::new("choose an epoch for", "the journal", e));
        let contents = survey.contents.take();
        let fresh = contents.is_none() && survey.distrust.is_none();
        let previous = contents.as_ref().map_or(0, |contents| contents.header.id);
        let last = contents.as_ref().map_or(0, |contents| contents.position);
        let (epoch, mut live, closed) = match contents {
            Some(contents) => (contents.header.epoch, contents.live, contents.closed),
            None => ((random()? >> 11).max(1), Live::new(), Some(0)),
        };
        live.max_segment = live.max_segment.max(survey.max_segment);
        let given = closed.unwrap_or(live.reserved_upto).max(live.max_seq).max(live.swept_upto);
        live.reserved_upto = given.saturating_add(options.block);
        let replayed = Replayed {
            epoch,
            next_seq: given.saturating_add(1),
            swept_upto: live.swept_upto,
            purges: live.purges.iter().cloned().collect(),
            marks: live
                .marks
                .iter()
                .flatten()
                .map(|(&segment, marks)| (segment, marks.iter().map(|(&o, &(mark, at))| (o, mark, at)).collect()))
                .collect(),
            max_segment: live.max_segment,
            fresh,
            distrust: survey.distrust,
        };
        let journal = Self {
            epoch,
            block: options.block.max(1),
            durable: AtomicU64::new(last),
            reserved: AtomicU64::new(0),
            ahead: AtomicU64::new(given.saturating_add(options.block / 2)),
            turn: Mutex::new(Turn::default()),
            turned: Condvar::new(),
            writer: Mutex::new(Writer::new(media, options.limit, &survey.ids, previous)),
            log: Mutex::new(Log { live, source: None, pending: Vec::new(), last, closed: false }),
            stats: Mutex::new(JournalStats::default()),
        };
        journal.commit()?;
        Ok((journal, replayed))
    }

    /// Hands the keeping of marks to the tier, which has set those that were replayed, and those appended since.
    pub(crate) fn attach(&self, source: Arc<dyn Checkpoint>) {
        let mut log = self.log.lock();
        log.source = Some(source);
        log.live.marks = None;
    }

    /// Appends an entry, in the order of calls. Microseconds; never waits for I/O. The tier has set a mark before it appends it.
    pub(crate) fn append(&self, entry: Entry<'_>) -> Position {
        self.append_all(&[entry])
    }

    /// Appends entries one behind the other. After a crash a beginning of them may be there, but each as a whole. What is too large is refused
    /// when it is synced, and so are the others with it.
    pub(crate) fn append_all(&self, entries: &[Entry<'_>]) -> Position {
        if entries.is_empty() {
            return Position(0);
        }
        if entries.iter().any(|entry| matches!(entry, Entry::Purge { payload, .. } if payload.len() > MAX_PAYLOAD)) {
            return Position::NEVER;
        }
        let mut log = self.log.lock();
        for entry in entries {
            log.live.apply(entry);
        }
        log.closed = false;
        let last = log.last;
        log.last = live::put_entries(&mut log.pending, last, entries);
        Position(log.last)
    }

    /// Waits until everything up to a position is durable. Who comes first writes and syncs for all who wait.
    ///
    /// # Errors
    ///
    /// When a write, a sync or the making of a file failed: the entries may or may not be on disk. They stay part of the state, and the next call
    /// begins with a new file that holds them all.
    pub(crate) fn sync(&self, upto: Position) -> Result<(), JournalError> {
        if self.is_durable(upto) {
            return Ok(());
        }
        if upto == Position::NEVER {
            return Err(JournalError::too_large());
        }
        self.wait_or_lead(upto.0)
    }

    /// Makes durable what was appended so far; nothing if all of it is.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync).
    pub(crate) fn flush(&self) -> Result<(), JournalError> {
        let last = Position(self.log.lock().last);
        self.sync(last)
    }

    /// Whether everything up to a position is durable.
    pub(crate) fn is_durable(&self, position: Position) -> bool {
        position.0 <= self.durable.load(Ordering::Acquire)
    }

    /// Makes sure that numbers up to `seq` may be given out. One load nearly always; at the half of a block the next is asked for, to be durable
    /// with whatever is synced next.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync); the number must not be given out then.
    pub(crate) fn reserve(&self, seq: u64) -> Result<(), JournalError> {
        if seq <= self.reserved.load(Ordering::Acquire) {
            if seq > self.ahead.load(Ordering::Relaxed) {
                self.extend(seq);
            }
            return Ok(());
        }
        let position = self.extend(seq);
        self.sync(position)
    }

    /// Appends that the journal ends cleanly and that `last_seq` was the last number given out, and syncs. The next open goes on at the number
    /// after it, unless something is appended or reserved later.
    ///
    /// # Errors
    ///
    /// As [`sync`](Self::sync); the next open then goes on behind the reservation.
    pub(crate) fn close(&self, last_seq: u64) -> Result<(), JournalError> {
        for _ in 0..2 {
            let position = {
                let mut log = self.log.lock();
                log.closed = true;
                log.put_u64(kind::CLOSED, last_seq)
            };
            self.sync(position)?;
            let log = self.log.lock();
            // Whoever wants another number has to write that down first. No commit from before this one can raise it again.
            self.reserved.store(0, Ordering::Release);
            if log.closed {
                break;
            }
            // The file was full and a checkpoint took the place of the record, which is no clean end; the new file has room. Or somebody
            // appends still.
        }
        Ok(())
    }

    /// Figures. Waits for no I/O: those of the file are as of the last commit.
    pub(crate) fn stats(&self) -> JournalStats {
        let (live_purges, pending_bytes) = {
            let log = self.log.lock();
            (log.live.purges.len(), log.pending.len())
        };
        JournalStats { live_purges, pending_bytes, ..self.stats.lock().clone() }
    }

    /// Asks for numbers up to `seq` and a block more, and gives the position at which they may be given out.
    fn extend(&self, seq: u64) -> Position {
        let mut log = self.log.lock();
        let half = self.block / 2;
        if log.closed || log.live.reserved_upto < seq.saturating_add(half) {
            let upto = log.live.reserved_upto.max(seq).saturating_add(self.block);
            log.closed = false;
            log.live.reserved_upto = upto;
            self.ahead.store(upto.saturating_sub(half), Ordering::Relaxed);
            return log.put_u64(kind::RESERVED, upto);
        }
        Position(log.last)
    }
}

impl Log {
    fn put_u64(&mut self, kind: u8, value: u64) -> Position {
        self.last += 1;
        record::put_u64(&mut self.pending, kind, self.last, value);
        Position(self.last)
    }
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("epoch", &self.epoch).field("stats", &self.stats()).finish_non_exhaustive()
    }
}
