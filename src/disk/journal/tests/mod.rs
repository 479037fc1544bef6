//! What the journal promises, on media that lose power, fail, and wait.

mod commit;
mod crashes;
mod damage;
mod directory;
mod failures;
mod format;
mod numbers;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::record::HEADER;
use super::replay::Reading;
use super::writer::file_name;
use super::{Checkpoint, Entry, FileState, Journal, Options, Position, RecordId, Replayed, inspect};
use crate::disk::Media;
use crate::disk::media::{Crash, Operation};

/// Files so small that journals roll.
fn options() -> Options {
    Options { limit: 2048, block: 64, ..Options::default() }
}

fn open_with(media: &Crash, options: &Options) -> (Journal, Replayed) {
    Journal::open(Arc::new(media.clone()), options).unwrap()
}

fn open(media: &Crash) -> (Journal, Replayed) {
    open_with(media, &options())
}

fn purge(journal: &Journal, seq: u64, payload: &[u8]) -> Position {
    journal.append(Entry::Purge { first: seq, last: seq, payload })
}

fn mark(segment: u32, ordinal: u32, mark: u8) -> Entry<'static> {
    Entry::Mark { record: RecordId { segment, ordinal }, mark, at_ms: 7 }
}

fn seqs(replayed: &Replayed) -> Vec<(u64, u64)> {
    replayed.purges.iter().map(|purge| (purge.first, purge.last)).collect()
}

/// The bytes of the newest file, and its number.
fn newest(media: &Crash) -> (u64, Vec<u8>) {
    let id = super::replay::ids(media).unwrap()[0];
    let file = media.open(&file_name(id)).unwrap();
    let mut bytes = vec![0; usize::try_from(file.size().unwrap()).unwrap()];
    file.read_at(0, &mut bytes).unwrap();
    (id, bytes)
}

/// A tier's marks.
#[derive(Default)]
struct Tier(parking_lot::Mutex<BTreeMap<RecordId, (u8, u64)>>);

impl Checkpoint for Tier {
    fn marks(&self, out: &mut dyn FnMut(RecordId, u8, u64)) {
        for (&record, &(mark, at_ms)) in self.0.lock().iter() {
            out(record, mark, at_ms);
        }
    }
}

#[test]
fn a_directory_without_a_journal_gets_one() {
    let media = Crash::new();
    let (journal, replayed) = open(&media);
    assert!(replayed.fresh && replayed.distrust.is_none());
    assert_eq!((replayed.next_seq, replayed.swept_upto, replayed.max_segment), (1, 0, 0));
    assert!(replayed.purges.is_empty() && replayed.marks.is_empty());
    assert!(replayed.epoch != 0 && replayed.epoch < 1 << 53);
    assert_eq!(journal.epoch, replayed.epoch);
    assert_eq!(media.names(), ["journal-0000000000000001.log"]);
    let other = open(&Crash::new()).1;
    assert_ne!(other.epoch, replayed.epoch, "an epoch is random");
}

#[test]
fn g5_what_was_synced_is_replayed_in_order() {
    let media = Crash::new();
    let (journal, first) = open(&media);
    for seq in 1..=9 {
        purge(&journal, seq * 2, format!("rule {seq}").as_bytes());
    }
    journal.append(Entry::Purge { first: 20, last: 29, payload: b"" });
    journal.append(Entry::Swept { upto: 5 });
    let all = [mark(3, 9, 1), mark(3, 1, 2), mark(3, 9, 3), mark(3, 9, 2), mark(4, 0, 3), mark(9, 0, 1)];
    journal.append_all(&all);
    journal.append(Entry::Dropped { segment: 4 });
    let last = journal.append(Entry::Dropped { segment: 12 });
    assert!(!journal.is_durable(last));
    journal.sync(last).unwrap();
    assert!(journal.is_durable(last));
    drop(journal);

    for seed in 0..8 {
        let replayed = open(&media.crash(seed)).1;
        assert_eq!((replayed.epoch, replayed.fresh, &replayed.distrust), (first.epoch, false, &None));
        assert_eq!(seqs(&replayed), [(6, 6), (8, 8), (10, 10), (12, 12), (14, 14), (16, 16), (18, 18), (20, 29)]);
        assert_eq!(&replayed.purges[0].payload[..], b"rule 3");
        assert_eq!(replayed.swept_upto, 5);
        assert_eq!(replayed.max_segment, 12);
        let marks = HashMap::from([(3, vec![(1, 2, 7), (9, 3, 7)]), (9, vec![(0, 1, 7)])]);
        assert_eq!(replayed.marks, marks, "the strongest mark counts; a dropped segment has none");
    }
}

#[test]
fn h10_a_checkpoint_takes_the_marks_of_the_tier() {
    let media = Crash::new();
    let (journal, _) = open(&media);
    journal.append_all(&[mark(1, 1, 1), mark(1, 2, 3)]);
    let tier = Arc::new(Tier::default());
    tier.0
        .lock()
        .extend([(RecordId { segment: 1, ordinal: 1 }, (1, 7)), (RecordId { segment: 1, ordinal: 2 }, (3, 7))]);
    journal.attach(Arc::clone(&tier) as Arc<dyn Checkpoint>);
    for ordinal in 0..10_000 {
        tier.0.lock().insert(RecordId { segment: 2, ordinal }, (3, 7));
        journal.append(mark(2, ordinal, 3));
        if ordinal % 500 == 0 {
            journal.sync(journal.append(mark(2, ordinal, 3))).unwrap();
        }
    }
    journal.sync(purge(&journal, 1, b"")).unwrap();
    assert!(journal.stats().rolls > 2);
    let replayed = open(&media.crash(1)).1;
    assert_eq!(replayed.marks[&1], [(1, 1, 7), (2, 3, 7)]);
    assert_eq!(replayed.marks[&2].len(), 10_000);
}

#[test]
fn files_stay_few_and_short_whatever_is_appended() {
    let media = Crash::new();
    let (journal, _) = open(&media);
    for seq in 1..500 {
        journal.sync(purge(&journal, seq, &[0; 100])).unwrap();
        journal.append(Entry::Swept { upto: seq });
        assert_eq!(media.names().len(), 1);
        assert_eq!(journal.stats().reserved_bytes, 2048);
    }
    let stats = journal.stats();
    assert!(stats.rolls > 20 && stats.syncs > 499 && stats.files == 1 && !stats.failed);
    assert_eq!(stats.sync_times.iter().sum::<u64>(), stats.syncs);
    assert_eq!(stats.live_purges, 0);
    assert!(stats.bytes <= 2048 && stats.pending_bytes > 0);
}

#[test]
fn an_entry_larger_than_a_file_gets_a_larger_file() {
    let media = Crash::new();
    let (journal, _) = open(&media);
    let payload = vec![5; 100_000];
    journal.sync(purge(&journal, 1, &payload)).unwrap();
    drop(journal);
    assert_eq!(&open(&media).1.purges[0].payload[..], payload);
}

#[test]
fn an_entry_that_no_record_can_hold_is_refused() {
    let journal = open(&Crash::new()).0;
    let never = purge(&journal, 1, &vec![0; super::record::MAX_PAYLOAD + 1]);
    assert!(!journal.is_durable(never));
    assert!(journal.sync(never).unwrap_err().to_string().contains("over 256 MiB"));
    journal.sync(purge(&journal, 1, b"")).unwrap();
}

#[test]
fn inspecting_writes_nothing() {
    let media = Crash::new();
    assert!(inspect(&media).unwrap().files.is_empty());
    let (journal, replayed) = open(&media);
    journal.append_all(&[mark(1, 1, 1), mark(2, 1, 1)]);
    journal.append(Entry::Purge { first: 1, last: 4, payload: b"x" });
    journal.close(4).unwrap();
    let changes = media.count(Operation::Change);
    let inspection = inspect(&media).unwrap();
    assert_eq!(media.count(Operation::Change), changes);
    assert!(inspection.distrust.is_none());
    let FileState::Whole { header, purges, marks, closed: Some(4), torn: false, .. } = &inspection.files[0].state
    else {
        panic!("{inspection:?}");
    };
    assert_eq!((header.epoch, purges.len(), marks.len()), (replayed.epoch, 1, 2));
    assert!(inspect(&media.copy()).unwrap().distrust.is_some());
}

#[test]
fn other_files_are_left_alone() {
    let media = Crash::new();
    for name in ["journal-1.log", "journal-00000000000000Ff.log", "segment-0000000000000001.seg", "journal.log"] {
        media.create(name, 10).unwrap();
    }
    drop(open(&media));
    drop(open(&media));
    assert_eq!(media.names().len(), 5);
}
