//! The second tier under the purge protocol: objects in segments on disk, purges and marks in a journal.
//!
//! `crate::disk` keeps bytes; what they mean while purges come in is decided here. The steps are those of `docs/design.md`: [`read`] is lookup and
//! promotion, [`write`] demotion and second-hit copies, [`sweep`] ends what rules take and retires them, [`open`] recovers.
//!
//! Invariants, besides those of the memory tier:
//!
//! 1. `swept_upto` (I1): every record has been judged by every rule up to it. It is on disk before it rises here, and every mark of a record before it.
//! 2. A record's effective stamp is the larger of its own and `swept_upto`. Marks of records are set by sweeps and by commits of their key alone; a
//!    lookup that judges a record writes nothing.
//! 3. A record is dead in memory first, then in the journal, both under the append lock or the lock of its shard: sweeps wait for who is in between.
//! 4. I5: of a (key, variant) at most one record is in the index, and every other one is dead in the journal before the next acknowledgement.
//!
//! Lock order: the store's append lock, a shard of the memory tier, a shard of the store's index, the journal's buffer.

pub(crate) mod codec;
pub(crate) mod history;
mod inspect;
mod open;
mod pool;
mod read;
mod scope;
pub(crate) mod sites;
mod stats;
mod sweep;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use std::time::Instant;

pub(crate) use open::{Options, Recovered, Threads};
pub use read::Deferred;
pub use stats::{L2State, L2Stats};

use self::pool::Pool;
use self::sweep::Todo;
use self::write::Rate;
use crate::disk::journal::{Entry, Journal};
use crate::disk::store::{Store, Which, variant_of};
use crate::disk::{Media, RecordId};
use crate::edge::leaving::Outbox;
use crate::entry::Mark;
use crate::sync::{AtomicBool, AtomicU64 as Ordered, Mutex, point};

/// The second tier of a cache.
#[derive(Debug)]
pub(crate) struct L2 {
    pub(crate) media: Arc<dyn Media>,
    /// Held by whoever writes a kept file.
    pub(crate) keeping: Mutex<()>,
    capacity: u64,
    pub(crate) store: Arc<Store>,
    pub(crate) journal: Journal,
    /// Every record has been judged by every rule up to this one.
    pub(crate) swept_upto: Ordered,
    /// The way of entries to the writer.
    pub(crate) outbox: Arc<Outbox>,
    /// Whether what is on disk is still being read in.
    loading: AtomicBool,
    pool: Pool,
    todo: Mutex<Todo>,
    rate: Mutex<Rate>,
    /// When something was written last.
    idle_since: Mutex<Instant>,
    /// The purge history on disk.
    pub(crate) history: history::Log,
    /// Held by who writes what waits, so that a flush does not pass by what a thread has in hand.
    writing: Mutex<()>,
    /// Errors of the device that flushes have told of.
    told_errors: AtomicU64,
    /// Condemnations of segments that the journal knows.
    told_condemned: AtomicU64,
    /// Why what was on disk was discarded, if it was.
    notice: Option<String>,
    pub(crate) counters: Counters,
}

/// Figures of the tier's traffic.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) hits: AtomicU64,
    pub(crate) cold: AtomicU64,
    pub(crate) busy: AtomicU64,
    pub(crate) promoted: AtomicU64,
    pub(crate) written: AtomicU64,
    pub(crate) not_written: AtomicU64,
    pub(crate) read_errors: AtomicU64,
    /// Objects that the device, or want of room there, kept from being written.
    pub(crate) append_errors: AtomicU64,
    pub(crate) sync_errors: AtomicU64,
}

impl L2 {
    /// Why what was on disk was discarded, if it was.
    pub(crate) fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Keeps the rules by which keys are made from now on. What they change has been purged.
    pub(crate) fn keep_sites(&self, rules: &sites::Rules) -> std::io::Result<()> {
        let _one = self.keeping.lock();
        sites::write(&*self.media, rules)
    }

    /// The rules by which the stored keys were made, if they are known.
    pub(crate) fn kept_sites(&self) -> Option<sites::Rules> {
        sites::read(&*self.media)
    }

    /// Whether what is on disk is still being read in: lookups miss what is not there yet, and no rule is retired.
    pub(crate) fn is_loading(&self) -> bool {
        self.loading.load(Ordering::Acquire)
    }

    /// Ends the records of a key that a response with these `Vary` selectors replaces: the same variant, and those that vary on other fields.
    /// Called under the shard's lock; reads nothing from the disk. On disk with the next acknowledgement.
    pub(crate) fn supersede(&self, url_hash: u64, key_hash: u64, vary: crate::vary::VaryRef<'_>) {
        let which = Which::Variant(key_hash, variant_of(vary.as_bytes()));
        let ended = self.store.supersede(url_hash, which);
        point("l2:superseded");
        self.bury(&ended);
        self.bury_condemned();
    }

    /// Ends every record of a URL. Called under the shard's lock; on disk with the next acknowledgement.
    pub(crate) fn end_url(&self, url_hash: u64) -> usize {
        let ended = self.store.supersede(url_hash, Which::Url);
        self.bury(&ended);
        self.bury_condemned();
        ended.len()
    }

    /// Tells the journal of segments that could not be removed. Their records are in no index, so that what ends from now on would not find them, and
    /// they may be back after a restart. One load nearly always.
    pub(crate) fn bury_condemned(&self) {
        let count = self.store.condemnations();
        if self.told_condemned.load(Ordering::Acquire) != count {
            self.store.condemned().into_iter().for_each(|segment| self.bury_segment(segment));
            self.told_condemned.fetch_max(count, Ordering::AcqRel);
        }
    }

    /// Tells the journal that every record of a segment is dead: its file may outlive it.
    fn bury_segment(&self, segment: u32) {
        self.bury(&[RecordId { segment, ordinal: WHOLE }]);
    }

    /// Tells the journal that records are dead, so that no restart brings them back.
    pub(super) fn bury(&self, records: &[RecordId]) {
        for &record in records {
            self.journal.append(Entry::Mark { record, mark: Mark::Dead.bits(), at_ms: 0 });
        }
    }
}

/// Bodies longer than this belong to the second tier alone: they get segments of their own, and are not promoted.
pub(crate) const LARGE: u64 = 16 << 20;

/// Stands in the journal for all records of a segment.
pub(crate) const WHOLE: u32 = u32::MAX;

/// Numbers that are reserved ahead of the newest rule: more than the purges that can be between asking and publishing.
pub(crate) const AHEAD: u64 = 1 << 18;
