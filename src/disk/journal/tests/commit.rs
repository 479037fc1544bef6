//! Group commit.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};

use super::*;
use crate::disk::{File, Identity};

/// A media whose syncs wait while it is shut.
#[derive(Debug, Clone)]
struct Gate {
    media: Crash,
    door: Arc<(Mutex<Door>, Condvar)>,
}

#[derive(Debug, Default)]
struct Door {
    shut: bool,
    waiting: usize,
}

impl Gate {
    fn shut(&self, shut: bool) {
        self.door.0.lock().shut = shut;
        self.door.1.notify_all();
    }

    /// Waits until somebody stands before the door.
    fn wait(&self) {
        let mut door = self.door.0.lock();
        while door.waiting == 0 {
            self.door.1.wait(&mut door);
        }
    }
}

impl Media for Gate {
    fn list(&self) -> io::Result<Vec<String>> {
        self.media.list()
    }

    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn File>> {
        let file = self.media.create(name, len)?;
        Ok(Arc::new(GateFile { file, gate: self.clone() }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.media.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.media.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.media.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.media.sync_dir()
    }
}

#[derive(Debug)]
struct GateFile {
    file: Arc<dyn File>,
    gate: Gate,
}

impl File for GateFile {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.write_at(offset, bytes)
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_at(offset, into)
    }

    fn sync(&self) -> io::Result<()> {
        let (door, moved) = &*self.gate.door;
        let mut door = door.lock();
        door.waiting += 1;
        moved.notify_all();
        while door.shut {
            moved.wait(&mut door);
        }
        door.waiting -= 1;
        drop(door);
        self.file.sync()
    }

    fn freeze(&self) -> io::Result<()> {
        self.file.freeze()
    }

    fn bytes(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.file.bytes(range)
    }

    fn is_warm(&self, range: Range<u64>) -> bool {
        self.file.is_warm(range)
    }

    fn is_intact(&self) -> bool {
        self.file.is_intact()
    }

    fn identity(&self) -> io::Result<Option<Identity>> {
        self.file.identity()
    }
}

fn gated() -> (Gate, Journal) {
    let gate = Gate { media: Crash::new(), door: Arc::default() };
    let journal = Journal::open(Arc::new(gate.clone()), &options()).unwrap().0;
    (gate, journal)
}

#[test]
fn all_who_wait_share_one_sync() {
    const OTHERS: u64 = 8;
    let (gate, journal) = gated();
    let before = gate.media.count(Operation::Sync);
    gate.shut(true);
    let appended = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| journal.sync(purge(&journal, 1, b"first")).unwrap());
        gate.wait();
        let others: Vec<_> = (0..OTHERS)
            .map(|n| {
                let (journal, appended) = (&journal, &appended);
                scope.spawn(move || {
                    // While a sync is under way: an append waits for none.
                    let position = purge(journal, 2 + n, b"other");
                    appended.fetch_add(1, Ordering::SeqCst);
                    journal.sync(position).unwrap();
                    assert!(journal.is_durable(position));
                })
            })
            .collect();
        while appended.load(Ordering::SeqCst) < others.len() {
            thread::yield_now();
        }
        assert!(journal.stats().pending_bytes > 0, "figures wait for nothing");
        gate.shut(false);
    });
    assert_eq!(gate.media.count(Operation::Sync), before + 2, "one for the first, one for all others");
    assert_eq!(open(&gate.media.crash(5)).1.purges.len(), 9);
}

#[test]
fn a_failed_sync_fails_for_all_whose_entries_it_took() {
    const OTHERS: usize = 6;
    let (gate, journal) = gated();
    gate.shut(true);
    let appended = AtomicUsize::new(0);
    thread::scope(|scope| {
        scope.spawn(|| journal.sync(purge(&journal, 1, b"first")).unwrap_err());
        gate.wait();
        for n in 0..OTHERS {
            let (journal, appended) = (&journal, &appended);
            scope.spawn(move || {
                let position = purge(journal, 2 + u64::try_from(n).unwrap(), b"other");
                appended.fetch_add(1, Ordering::SeqCst);
                let error = journal.sync(position).unwrap_err();
                assert!(error.to_string().contains("journal-00000000000000"), "{error}");
                assert!(std::error::Error::source(&error).is_some());
            });
        }
        while appended.load(Ordering::SeqCst) < OTHERS {
            thread::yield_now();
        }
        gate.media.fail_all(Operation::Sync, crate::disk::media::Failure::Io);
        gate.shut(false);
    });
    assert!(journal.stats().failed);
    gate.media.heal();
    journal.sync(purge(&journal, 100, b"last")).unwrap();
    assert!(!journal.stats().failed);
    assert_eq!(open(&gate.media.crash(5)).1.purges.len(), OTHERS + 2, "what could not be acknowledged stays in force");
}

#[test]
fn g5_files_roll_while_many_append() {
    const THREADS: u32 = 4;
    const EACH: u32 = 300;
    let media = Crash::new();
    let (journal, _) = open(&media);
    let tier = Arc::new(Tier::default());
    journal.attach(Arc::clone(&tier) as Arc<dyn Checkpoint>);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (journal, tier) = (&journal, &tier);
            scope.spawn(move || {
                for n in 0..EACH {
                    let record = RecordId { segment: thread, ordinal: n };
                    tier.0.lock().insert(record, (3, 1));
                    let position = journal.append(Entry::Mark { record, mark: 3, at_ms: 1 });
                    if n % 7 == 0 {
                        journal.sync(position).unwrap();
                    }
                }
                tier.0.lock().insert(RecordId { segment: thread, ordinal: EACH }, (3, 7));
                journal.sync(journal.append(mark(thread, EACH, 3))).unwrap();
            });
        }
        let seq = &journal;
        scope.spawn(move || {
            for n in 1..=200 {
                seq.reserve(n).unwrap();
                seq.sync(purge(seq, n, &[7; 40])).unwrap();
                seq.append(Entry::Swept { upto: n.saturating_sub(3) });
            }
        });
    });
    assert!(journal.stats().rolls > 3);
    let replayed = open(&media.crash(9)).1;
    assert_eq!(seqs(&replayed).last(), Some(&(200, 200)));
    for thread in 0..THREADS {
        let ordinals: Vec<u32> = replayed.marks[&thread].iter().map(|mark| mark.0).collect();
        assert_eq!(ordinals, (0..=EACH).collect::<Vec<_>>());
    }
}

#[test]
fn a_leader_that_panics_passes_the_turn_on() {
    struct Panics;
    impl Checkpoint for Panics {
        fn marks(&self, _: &mut dyn FnMut(RecordId, u8, u64)) {
            panic!("a tier's own fault");
        }
    }
    let media = Crash::new();
    let (journal, _) = open(&media);
    journal.attach(Arc::new(Panics));
    let large = purge(&journal, 1, &[1; 4000]);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| journal.sync(large)));
    assert!(caught.is_err() && !journal.is_durable(large));
    journal.attach(Arc::new(Tier::default()));
    journal.sync(large).unwrap();
    assert_eq!(open(&media.crash(1)).1.purges.len(), 1);
}
