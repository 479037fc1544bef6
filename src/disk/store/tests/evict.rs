//! Capacity, pins, reinsertion, failures of the device.

use super::*;
use crate::disk::media::{Crash, Failure, Memory, Operation};

fn small(segments: u64) -> StoreOptions {
    StoreOptions { capacity: segments * (16 << 10), ..options() }
}

#[test]
fn capacity_holds_whatever_is_appended() {
    let media = Memory::new();
    let store = open(&media, small(5));
    for n in 0..600 {
        put(&store, &format!("http://h/{n}"), n + 1);
        store.seal_pending();
        assert!(media.used() <= 5 * (16 << 10) && store.stats().disk_bytes == media.used());
    }
    let stats = store.stats();
    assert!(stats.evicted_segments > 10 && stats.io_errors == 0);
    let found = (0..600).filter(|n| !get(&store, &format!("http://h/{n}")).is_empty()).count();
    assert_eq!(u64::try_from(found).unwrap(), stats.objects);
    assert_eq!(seqs(&store, "http://h/599"), [600]);
    store.index.validate();
}

#[test]
fn h27_a_reader_keeps_its_bytes_and_its_space_counts_until_it_ends() {
    let media = Memory::new();
    let store = open(&media, small(4));
    let id = put(&store, "http://h/held", 2).id;
    store.seal();
    let record = get(&store, "http://h/held").pop().unwrap();
    let body = record.body();
    drop(record);
    assert!(drop_segment(&store, id.segment) && !drop_segment(&store, id.segment));
    assert!(get(&store, "http://h/held").is_empty());
    assert_eq!((store.stats().pinned_bytes, store.stats().disk_bytes), (16 << 10, 16 << 10));
    for n in 0..200 {
        put(&store, &format!("http://h/{n}"), 1);
        store.seal_pending();
        assert!(store.stats().disk_bytes <= 4 * (16 << 10));
    }
    assert_eq!(body, body_of(b"http://h/held", 2));
    drop(body);
    assert_eq!(store.stats().pinned_bytes, 0);
}

#[test]
fn a_tier_that_is_all_in_use_refuses_and_recovers() {
    let media = Memory::new();
    let store = open(&media, small(3));
    let mut held = Vec::new();
    let mut refused = false;
    for n in 0..200 {
        match try_put(&store, &format!("http://h/{n}"), &[], &[], 1) {
            Ok(_) => {
                store.seal();
                held.extend(get(&store, &format!("http://h/{n}")));
            }
            Err(error) => {
                assert!(matches!(error, AppendError::Full));
                refused = true;
                break;
            }
        }
    }
    assert!(refused && held.len() == 3);
    drop(held);
    put(&store, "http://h/again", 1);
    assert_eq!(seqs(&store, "http://h/again"), [1]);
}

#[test]
fn no_space_on_the_device_evicts_once_and_then_refuses() {
    let media = Memory::with_limit(3 * (16 << 10));
    let store = open(&media, small(100));
    for n in 0..300 {
        put(&store, &format!("http://h/{n}"), 1);
        store.seal_pending();
    }
    assert!(store.stats().evicted_segments > 3);
    let full = Memory::with_limit(10);
    let store = open(&full, small(100));
    assert!(matches!(try_put(&store, "http://h/x", &[], &[], 1), Err(AppendError::Full)));
}

#[test]
fn eviction_is_oldest_first_and_what_was_hit_is_written_anew_as_judged() {
    let media = Memory::new();
    let store = open(&media, small(8));
    let old = put(&store, "http://h/hit", 2).id;
    put(&store, "http://h/not-hit", 2);
    put(&store, "http://h/refused", 2);
    store.seal();
    put(&store, "http://h/later", 2);
    store.seal();
    for name in ["hit", "refused"] {
        let key = key(&format!("http://h/{name}"));
        store.bump_hit(&store.find(key.url_hash(), key.hash())[0]);
    }
    let mut asked = 0;
    let evicted = store.evict_oldest(
        &mut |candidate: &Candidate, record: &Record| {
            asked += 1;
            assert_eq!((candidate.id.segment, candidate.hits), (old.segment, 1));
            (record.key() == b"http://h/hit").then_some(Reinsert { seq: 2, mark: Mark::Soft, soft_at_ms: 66 })
        },
        &|_| (),
        &|_| (),
    );
    let evicted = evicted.unwrap();
    assert_eq!((evicted.segment, evicted.reinserted, asked), (old.segment, 1, 2));
    let record = get(&store, "http://h/hit").pop().unwrap();
    assert!(id_of(&record).segment > old.segment);
    assert_eq!((record.meta().mark, record.meta().soft_at_ms), (Mark::Soft, 66));
    assert!(get(&store, "http://h/not-hit").is_empty() && get(&store, "http://h/refused").is_empty());
    assert_eq!(seqs(&store, "http://h/later"), [2]);
    assert_eq!(store.stats().objects, 2);
}

#[test]
fn a_device_that_fails_costs_its_segment_and_nothing_else() {
    let media = Crash::new();
    let store = open(&media, options());
    put(&store, "http://h/a", 1);
    store.seal();
    put(&store, "http://h/b", 1);
    store.seal();
    let a = key("http://h/a");
    let candidate = store.find(a.url_hash(), a.hash())[0];
    media.fail(Operation::Read, media.count(Operation::Read), Failure::Io);
    assert!(matches!(store.read(&candidate), Err(ReadError::Io(_))));
    assert!(matches!(store.read(&candidate), Err(ReadError::Gone)));
    assert_eq!((store.stats().dropped_segments, store.stats().objects), (1, 1));
    assert_eq!(seqs(&store, "http://h/b"), [1]);
    for operation in [Operation::Create, Operation::Write, Operation::Sync, Operation::Rename, Operation::SyncDir] {
        media.fail_all(operation, Failure::Io);
        for n in 0..40 {
            let _refused = try_put(&store, &format!("http://h/x{n}"), &[], &[], 1);
        }
        store.seal();
        media.heal();
        store.index.validate();
        put(&store, "http://h/c", 1);
        store.seal();
        assert_eq!((seqs(&store, "http://h/b"), seqs(&store, "http://h/c")), (vec![1], vec![1]), "{operation:?}");
    }
}

#[test]
fn h10_a_name_that_cannot_be_removed_is_reported_dead_until_it_is() {
    let media = Crash::new();
    let store = open(&media, options());
    let id = put(&store, "http://h/a", 1).id;
    put(&store, "http://h/b", 1);
    store.seal();
    media.fail_all(Operation::Remove, Failure::Io);
    assert!(drop_segment(&store, id.segment));
    let marks = |store: &Store| {
        let mut marks = Vec::new();
        store.marks(&mut |segment, ordinal, mark, _| marks.push((segment, ordinal, mark)));
        marks
    };
    assert_eq!(marks(&store), [(id.segment, 0, Mark::Dead), (id.segment, 1, Mark::Dead)]);
    assert_eq!(store.condemned(), [id.segment]);
    drop(store);
    media.fail_all(Operation::Open, Failure::Io);
    let store = reopen(&media, options());
    assert_eq!(store.condemned(), [id.segment]);
    media.heal();
    let other = put(&store, "http://h/c", 1).id;
    store.seal();
    assert!(drop_segment(&store, other.segment));
    assert!(marks(&store).is_empty() && media.names().is_empty() && store.condemned().is_empty());
}

#[test]
fn a_lost_page_drops_the_segment_at_the_next_sweep() {
    let media = Crash::new();
    let store = open(&media, options());
    let id = put(&store, "http://h/a", 1).id;
    store.seal();
    assert!(media.poison(&media.names()[0]));
    assert!(!get(&store, "http://h/a")[0].is_intact());
    assert!(!store.visit(id.segment, Scope::Everything, &mut |_| {}));
    assert!(get(&store, "http://h/a").is_empty() && store.stats().objects == 0);
}
