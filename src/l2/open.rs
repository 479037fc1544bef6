//! Opening a second tier: what is on disk comes back under the rules that are still in force.
//!
//! Order (G5, H11): the journal is replayed; its live rules are published again under their old numbers; only then is anything looked up, while
//! the segments are still being read in. What the journal cannot vouch for is not used: with a damaged or copied one everything stored is
//! discarded.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::history::Log;
use super::pool::Pool;
use super::sweep::Todo;
use super::write::Rate;
use super::{Counters, L2, WHOLE, codec};
use crate::cache::Engine;
use crate::config::BuildError;
use crate::disk::journal::{self, Checkpoint, Journal, LivePurge, Replayed};
use crate::disk::store::{Judged, Loaded, Store, StoreOptions};
use crate::disk::{Media, RecordId};
use crate::edge::leaving::Outbox;
use crate::entry::Mark;
use crate::purge::history::Record;
use crate::purge::rules::Prepared;
use crate::purge::{Compiled, Purge, Selector, Shape};
use crate::sync::{AtomicBool, AtomicU64 as Ordered, Mutex, thread};

/// Share of the memory tier that may wait to be written.
const WAITING_SHARE: u64 = 16;

/// A journal file is this share of the tier's capacity, in these bounds; it comes on top of it.
const JOURNAL_SHARE: u64 = 64;
const SMALLEST_JOURNAL: u64 = 1 << 20;
const LARGEST_JOURNAL: u64 = 64 << 20;

/// How long the writer waits before it looks around.
const WRITER_ROUND: Duration = Duration::from_secs(1);

/// Validated settings of a second tier.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) media: Arc<dyn Media>,
    pub(crate) capacity: u64,
    pub(crate) segment_size: u64,
    pub(crate) distrust: bool,
    pub(crate) adopt: bool,
    pub(crate) write_rate: u64,
    pub(crate) readers: usize,
}

/// What a journal said, for the cache to go on from.
#[derive(Debug)]
pub(crate) struct Recovered {
    replayed: Replayed,
    /// Purges that the history on disk knows, in the order of their numbers.
    history: Vec<Arc<Record>>,
}

impl Recovered {
    /// Rules up to the first number are retired; the second is the newest ever given out.
    pub(crate) fn numbers(&self) -> (u64, u64) {
        (self.replayed.swept_upto, self.replayed.next_seq.saturating_sub(1))
    }

    /// Whether nothing that was stored before is left.
    pub(crate) fn is_fresh(&self) -> bool {
        self.replayed.fresh || self.replayed.distrust.is_some()
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.replayed.epoch
    }
}

impl L2 {
    /// Opens or makes the tier of a directory. Nothing stored is read yet.
    pub(crate) fn open(options: Options, edge_size: u64) -> Result<(Self, Recovered), BuildError> {
        let failed = |what: &str, error: &dyn std::error::Error| {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            BuildError::storage(format!("{what}: {error}{cause}"))
        };
        let journal_options = journal::Options {
            limit: (options.capacity / JOURNAL_SHARE).clamp(SMALLEST_JOURNAL, LARGEST_JOURNAL),
            distrust: options.distrust,
            adopt: options.adopt,
            ..journal::Options::default()
        };
        let (journal, replayed) = Journal::open(Arc::clone(&options.media), &journal_options)
            .map_err(|error| failed("the journal of the second tier cannot be opened", &error))?;
        let store_options = StoreOptions {
            segment_size: options.segment_size,
            first_segment: replayed.max_segment.saturating_add(1),
            ..StoreOptions::new(options.capacity, replayed.epoch)
        };
        let store = Store::open(Arc::clone(&options.media), store_options)
            .map_err(|error| failed("the second tier cannot be opened", &error))?;
        let pool = Pool::start(options.readers)
            .map_err(|error| failed("a thread of the second tier could not be started", &error))?;
        let (history, known) = Log::open(&*options.media, replayed.epoch);
        let l2 = Self {
            media: options.media,
            keeping: Mutex::new(()),
            capacity: options.capacity,
            store: Arc::new(store),
            journal,
            swept_upto: Ordered::new(replayed.swept_upto),
            outbox: Arc::new(Outbox::new(edge_size / WAITING_SHARE)),
            loading: AtomicBool::new(true),
            pool,
            todo: Mutex::new(Todo::default()),
            rate: Mutex::new(Rate::new(options.write_rate)),
            idle_since: Mutex::new(Instant::now()),
            history,
            writing: Mutex::new(()),
            told_errors: AtomicU64::new(0),
            told_condemned: AtomicU64::new(0),
            notice: replayed.distrust.clone(),
            counters: Counters::default(),
        };
        Ok((l2, Recovered { replayed, history: known }))
    }

    /// Reads in what is stored, newest segment first, each record with the mark the journal has for it.
    fn load(&self, marks: HashMap<u32, Vec<(u32, u8, u64)>>) {
        let marks: HashMap<u32, HashMap<u32, Judged>> = marks
            .into_iter()
            .map(|(segment, marks)| {
                let mut strongest: HashMap<u32, Judged> = HashMap::new();
                for (ordinal, mark, at_ms) in marks {
                    let judged = Judged {
                        mark: Mark::from_bits(u64::from(mark.min(3))),
                        mark_at_ms: Some(i64::try_from(at_ms).unwrap_or(i64::MAX)),
                    };
                    let held = strongest.entry(ordinal).or_insert(judged);
                    if judged.mark > held.mark {
                        *held = judged;
                    }
                }
                (segment, strongest)
            })
            .collect();
        let judge = |loaded: Loaded<'_>| {
            let own = Judged { mark: loaded.mark, mark_at_ms: None };
            let of_segment = marks.get(&loaded.id.segment);
            if of_segment.is_some_and(|marks| marks.contains_key(&WHOLE)) {
                return None;
            }
            let said = of_segment.and_then(|marks| marks.get(&loaded.id.ordinal)).copied();
            Some(said.filter(|said| said.mark > own.mark).unwrap_or(own)).filter(|judged| judged.mark != Mark::Dead)
        };
        let load = || self.store.load(&judge, &|superseded| self.bury(&[superseded]));
        // Both cores of a small machine are not to be kept from serving: one thread reads, and another helps.
        #[cfg(not(oust_shuttle))]
        thread::scope(|threads| {
            // Without it, it takes longer.
            drop(thread::Builder::new().name("oust-load".into()).spawn_scoped(threads, load));
            load();
        });
        #[cfg(oust_shuttle)]
        load();
        // What could not be opened or removed: nothing that replaces what it holds could end it.
        self.bury_condemned();
        // From here on the marks are the store's to give.
        self.journal.attach(Arc::new(Marks(Arc::clone(&self.store))));
        self.loading.store(false, Ordering::Release);
    }
}

/// The store's marks, for the journal's checkpoints.
#[derive(Debug)]
struct Marks(Arc<Store>);

impl Checkpoint for Marks {
    fn marks(&self, out: &mut dyn FnMut(RecordId, u8, u64)) {
        self.0.marks(&mut |segment, ordinal, mark, at_ms| {
            out(RecordId { segment, ordinal }, mark.bits(), u64::try_from(at_ms).unwrap_or(0));
        });
        // After the marks: a segment that left the table before is among these, or gone.
        for segment in self.0.condemned() {
            out(RecordId { segment, ordinal: WHOLE }, Mark::Dead.bits(), 0);
        }
    }
}

impl Engine {
    /// Puts the rules of the journal back into force, then starts the threads of the tier; without `background` segments are read in before this
    /// returns, and nothing else happens by itself.
    pub(crate) fn resume(self: &Arc<Self>, recovered: Recovered, background: bool) -> Result<Threads, BuildError> {
        let Replayed { purges, marks, swept_upto, .. } = recovered.replayed;
        let (swept, unswept): (Vec<_>, Vec<_>) =
            recovered.history.into_iter().partition(|record| record.last <= swept_upto);
        for record in swept {
            if record.progress().swept_ms == 0 {
                // When, was not written any more.
                record.set_swept(self.base_ms);
            }
            self.history.push(record);
        }
        // Those the journal does not know were never acknowledged as durable, and are not in force any more.
        let mut unswept: HashMap<u64, _> = unswept.into_iter().map(|record| (record.last, record)).collect();
        for purge in purges {
            let known = unswept.remove(&purge.last);
            self.restore(&purge, known);
        }
        let mut threads = Threads { engine: Arc::downgrade(self), handles: Vec::new() };
        let failed = |error: std::io::Error| {
            BuildError::new(format!("a thread of the second tier could not be started: {error}"))
        };
        if !background {
            self.l2.iter().for_each(|l2| l2.load(marks.clone()));
            return Ok(threads);
        }
        let engine = Arc::clone(self);
        let load = move || {
            if let Some(l2) = &engine.l2 {
                l2.load(marks);
                // What was published meanwhile has not been swept there.
                engine.wake_sweeper();
            }
        };
        threads.start("oust-load", load).map_err(failed)?;
        let engine = Arc::clone(self);
        let write = move || {
            if let Some(l2) = &engine.l2 {
                while engine.write_waiting(l2, WRITER_ROUND) {}
            }
        };
        threads.start("oust-write", write).map_err(failed)?;
        Ok(threads)
    }

    /// A rule that can no longer be read, or is refused by sites that have changed, takes everything: too much rather than too little.
    fn restore(&self, purge: &LivePurge, known: Option<Arc<Record>>) {
        let LivePurge { first, last, ref payload } = *purge;
        let rules = last.saturating_sub(first).saturating_add(1);
        // One rule with the last number takes all that any of them would, however many the record says there are.
        let (number, (purge, created_ms)) = codec::decode(payload)
            .filter(|(purge, _)| u64::try_from(purge.selectors.len()) == Ok(rules))
            .map_or_else(|| (last, (Purge::new(Selector::All), 0)), |purge| (first, purge));
        let sites = self.sites();
        let compile = |selector: &Selector| {
            let parts = selector.compile(&sites).unwrap_or_else(|_| vec![Compiled { shape: Shape::All }]);
            Prepared { parts, action: purge.action, layers: purge.layers }
        };
        let batch = purge.selectors.iter().map(compile).collect();
        let known = known.filter(|known| known.first == first && known.progress().swept_ms == 0);
        let record = known.unwrap_or_else(|| Arc::new(Record::new(self.epoch(), (first, last), &purge, created_ms)));
        record.set_durable();
        self.history.push(Arc::clone(&record));
        self.rules.restore(batch, number, &record);
    }
}

/// The threads of a second tier; with the last handle of the cache they end, and what is in memory alone is written.
#[derive(Debug)]
pub(crate) struct Threads {
    engine: Weak<Engine>,
    handles: Vec<thread::JoinHandle<()>>,
}

impl Threads {
    fn start(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        self.handles.push(thread::Builder::new().name(name.into()).spawn(run)?);
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        let engine = self.engine.upgrade();
        let l2 = engine.as_ref().and_then(|engine| engine.l2.as_ref());
        if let Some(l2) = l2 {
            l2.outbox.close();
        }
        for thread in self.handles.drain(..) {
            // One that panicked has said so.
            drop(thread.join());
        }
        if let (Some(engine), Some(l2)) = (&engine, l2) {
            l2.pool.close();
            l2.store.seal();
            l2.history.close(&*l2.media, &engine.history);
            // Numbers go on where they are only if all of them are known to be on disk; otherwise the next start skips a block.
            drop(l2.journal.close(engine.rules.load().seq));
        }
    }
}
