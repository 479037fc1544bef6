//! Operations that fail (invariant 3).

use super::*;
use crate::disk::media::Failure;

/// Appends, syncs and rolls; a sync that fails is tried again once. Gives which purges were acknowledged at all, or `None` if it could not open.
fn scenario(media: &Crash) -> Option<Vec<u64>> {
    let (journal, replayed) = Journal::open(Arc::new(media.clone()), &options()).ok()?;
    let mut acknowledged = Vec::new();
    for seq in replayed.next_seq..replayed.next_seq + 30 {
        if journal.reserve(seq).is_err() {
            journal.reserve(seq).unwrap();
        }
        let position = purge(&journal, seq, &[9; 100]);
        if journal.sync(position).is_err() {
            assert!(!journal.is_durable(position));
            assert!(journal.stats().failed);
            journal.sync(position).unwrap();
        }
        acknowledged.push(seq);
        if seq % 8 == 0 {
            journal.append(Entry::Swept { upto: seq - 4 });
        }
    }
    Some(acknowledged)
}

#[test]
fn g5_any_operation_may_fail_and_nothing_acknowledged_is_lost() {
    let counted = Crash::new();
    scenario(&counted).unwrap();
    let kinds =
        [Operation::List, Operation::Create, Operation::Remove, Operation::SyncDir, Operation::Write, Operation::Sync];
    for operation in kinds {
        let count = counted.count(operation);
        assert!(count > 0);
        for number in 0..count {
            for failure in [Failure::Io, Failure::Full] {
                let media = Crash::new();
                media.fail(operation, number, failure);
                let acknowledged = scenario(&media);
                for seed in 0..3 {
                    let after = media.crash(seed);
                    let replayed = open(&after).1;
                    let context = format!("{operation:?} {number} {failure:?} {seed}");
                    assert_eq!(replayed.distrust, None, "{context}");
                    let Some(acknowledged) = &acknowledged else { continue };
                    let live: Vec<u64> =
                        acknowledged.iter().copied().filter(|seq| *seq > replayed.swept_upto).collect();
                    assert_eq!(seqs(&replayed).iter().map(|purge| purge.0).collect::<Vec<_>>(), live, "{context}");
                    assert!(replayed.next_seq > *acknowledged.last().unwrap());
                    // What is left over of files is gone after the next start.
                    assert_eq!(after.names().len(), 1, "{context}");
                }
            }
        }
    }
}

#[test]
fn g5_a_sync_that_fails_once_and_then_succeeds_acknowledges_nothing_that_was_lost() {
    let media = Crash::new();
    let (journal, _) = open(&media);
    media.fail(Operation::Sync, media.count(Operation::Sync), Failure::Io);
    let first = purge(&journal, 1, b"in doubt");
    let error = journal.sync(first).unwrap_err();
    assert_eq!(error.to_string(), "cannot sync journal-0000000000000001.log");
    assert!(!error.is_full());
    journal.sync(purge(&journal, 2, b"later")).unwrap();
    assert!(journal.is_durable(first), "the new file holds it");
    for seed in 0..32 {
        assert_eq!(seqs(&open(&media.crash(seed)).1), [(1, 1), (2, 2)]);
    }
}

#[test]
fn a_full_disk_fails_purges_only_when_a_file_is_full() {
    let media = Crash::new();
    let (journal, _) = open(&media);
    media.set_limit(2048);
    let mut seq = 1;
    let error = loop {
        match journal.sync(purge(&journal, seq, &[1; 64])) {
            Ok(()) => seq += 1,
            Err(error) => break error,
        }
    };
    assert!(seq > 10 && error.is_full(), "{error}");
    assert!(journal.sync(purge(&journal, seq + 1, b"")).unwrap_err().is_full());
    media.set_limit(1 << 20);
    journal.sync(purge(&journal, seq + 2, b"")).unwrap();
    assert_eq!(seqs(&open(&media.crash(0)).1).len(), usize::try_from(seq).unwrap() + 2);
}

#[test]
fn a_nearly_full_disk_takes_a_smaller_file() {
    let media = Crash::new();
    let large = Options { limit: 1 << 20, ..options() };
    media.set_limit(256 << 10);
    let journal = open_with(&media, &large).0;
    assert!(journal.stats().reserved_bytes < 128 << 10);
    journal.sync(purge(&journal, 1, b"")).unwrap();

    let media = Crash::new();
    media.set_limit(1024);
    let error = Journal::open(Arc::new(media), &large).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(source.kind(), std::io::ErrorKind::StorageFull);
}

#[test]
fn an_open_that_fails_leaves_what_was_there() {
    let media = Crash::new();
    let (journal, _) = open(&media);
    journal.sync(purge(&journal, 1, b"")).unwrap();
    drop(journal);
    for operation in [Operation::Create, Operation::Write, Operation::Sync, Operation::SyncDir, Operation::Read] {
        media.fail_all(operation, Failure::Io);
        let error = Journal::open(Arc::new(media.clone()), &options()).unwrap_err();
        assert!(std::error::Error::source(&error).is_some());
        media.heal();
        for seed in 0..4 {
            assert_eq!(seqs(&open(&media.crash(seed)).1), [(1, 1)]);
        }
    }
    assert_eq!(seqs(&open(&media).1), [(1, 1)]);
}
