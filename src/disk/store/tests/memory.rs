//! The index, and what an object costs.

use super::index::{Entry, Index};
use super::*;
use crate::disk::media::Memory;

#[test]
fn an_index_of_a_million_stays_under_24_bytes_an_object_and_finds_each() {
    let index = Index::new();
    let mut worst: f64 = 0.0;
    for n in 0..1_000_000_u32 {
        let hash = Random(u64::from(n)).next();
        index.insert(hash, hash, Entry::new(n >> 16, n & 0xffff, Mark::None), |_| false);
        if n > 500_000 && n % 50_000 == 0 {
            worst = worst.max(index.bytes() as f64 / f64::from(n));
        }
    }
    worst = worst.max(index.bytes() as f64 / 1_000_000.0);
    assert!(worst <= 24.0, "{worst}");
    assert_eq!(index.len(), 1_000_000);
    for n in (0..1_000_000_u32).step_by(37) {
        let hash = Random(u64::from(n)).next();
        assert!(index.find(hash, hash).iter().any(|entry| (entry.slot(), entry.ordinal()) == (n >> 16, n & 0xffff)));
    }
}

#[test]
fn entries_survive_growth_and_removal_in_any_order() {
    let index = Index::new();
    let mut random = Random(8);
    let mut model = std::collections::HashMap::new();
    for n in 0..40_000_u32 {
        // Few distinct hashes, all in one shard, so that each has several entries.
        let hash = Random(random.below(6000)).next() & !0xff;
        if random.below(3) == 0 {
            let removed = index.remove_if(hash, |_, _| true).len();
            assert_eq!(removed, model.remove(&hash).map_or(0, |all: Vec<u32>| all.len()));
        } else {
            index.insert(hash, 0, Entry::new(0, n, Mark::None), |_| false);
            model.entry(hash).or_default().push(n);
        }
    }
    index.validate();
    for (hash, mut all) in model {
        let mut found: Vec<u32> = index.find(hash, 0).iter().map(|entry| entry.ordinal()).collect();
        found.sort_unstable();
        all.sort_unstable();
        assert_eq!(found, all);
    }
    index.remove_slot(0);
    assert_eq!(index.len(), 0);
    index.validate();
}

#[test]
fn an_object_costs_under_32_bytes_of_memory_once_sealed() {
    let media = Memory::new();
    let size = 2 << 20;
    let store = open(&media, StoreOptions { segment_size: size, capacity: 64 * size, ..options() });
    let objects = 40_000;
    for n in 0..objects {
        let text = format!("http://h{}/d{}/{n}", n % 20, n % 7);
        let parts = RecordParts { meta: meta(1), key: text.as_bytes(), vary: &[], tags: &[], head: b"", body: &[] };
        append(&store, &parts).unwrap();
        store.seal_pending();
    }
    store.seal();
    assert_eq!(store.stats().objects, objects);
    let each = store.stats().memory_bytes as f64 / objects as f64;
    // The 256 shards' own bytes count for more here than among a million.
    assert!(each <= 33.0, "{each}");
}
