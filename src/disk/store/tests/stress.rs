//! Readers, a writer, an evictor and a sweeper at once. What is checked holds whatever the schedule was.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::disk::media::Memory;

#[test]
fn everybody_at_once_and_never_a_wrong_body() {
    let media = Memory::new();
    let store = open(&media, StoreOptions { capacity: 10 * (16 << 10), ..options() });
    let done = AtomicBool::new(false);
    let keys: Vec<String> = (0..80).map(|n| format!("http://h/d{}/{n}", n % 4)).collect();
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (store, done, keys) = (&store, &done, &keys);
            scope.spawn(move || {
                let mut random = Random(reader);
                while !done.load(Ordering::Relaxed) {
                    let text = &keys[usize::try_from(random.below(80)).unwrap()];
                    let key = key(text);
                    for candidate in store.find(key.url_hash(), key.hash()) {
                        store.bump_hit(&candidate);
                        check(store.read(&candidate), text);
                    }
                }
            });
        }
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if store.wants_eviction() {
                    store.evict_oldest(
                        &mut |_, record| {
                            let seq = record.meta().seq;
                            Some(Reinsert { seq, mark: Mark::None, soft_at_ms: 0 })
                        },
                        &|_| (),
                        &|_| (),
                    );
                }
                for info in store.segments() {
                    store.visit(info.id, Scope::Under(b"http://h/d3/"), &mut |visited| {
                        let (url_hash, _) = hashes_of(visited.key).unwrap();
                        store.set_mark(url_hash, visited.id, Mark::Dead, 0);
                    });
                }
                std::thread::yield_now();
            }
        });
        let mut random = Random(9);
        for seq in 1..6000 {
            let text = &keys[usize::try_from(random.below(80)).unwrap()];
            match try_put(&store, text, &[], &tags(&["t"]), seq) {
                Ok(_) | Err(AppendError::Full | AppendError::Io(_)) => {}
                Err(error) => panic!("{error}"),
            }
            if random.below(9) == 0 {
                let gone = key(&keys[usize::try_from(random.below(80)).unwrap()]);
                store.supersede(gone.url_hash(), Which::Url);
            }
            store.seal_pending();
        }
        done.store(true, Ordering::Relaxed);
    });
    store.index.validate();
    let mut found = 0;
    for text in &keys {
        let records = get(&store, text);
        assert!(records.len() <= 1, "I5");
        found += u64::try_from(records.len()).unwrap();
    }
    let stats = store.stats();
    assert_eq!(stats.objects, found, "the index names nothing that cannot be read");
    assert_eq!((stats.damaged, stats.io_errors, stats.pinned_bytes), (0, 0, 0));
    assert!(stats.disk_bytes <= 10 * (16 << 10) && stats.disk_bytes == media.used());
}
