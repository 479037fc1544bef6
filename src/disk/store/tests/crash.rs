//! H9: power lost at any change, then a restart.

use std::collections::HashMap;

use super::*;
use crate::disk::media::{Crash, Operation};

/// A few hundred operations; power goes at one of their changes. What comes back is intact, and everything sealed before does.
fn run(seed: u64, changes: u64) -> u64 {
    let mut random = Random(seed);
    let media = Crash::new();
    if changes > 0 {
        media.power_off_at(random.below(changes));
    }
    let store = open(&media, StoreOptions { buffer: 1 << random.below(14), ..options() });
    // Per key the stamp that is durable, and all that were ever written.
    let mut durable: HashMap<String, u64> = HashMap::new();
    let mut written: HashMap<String, Vec<u64>> = HashMap::new();
    let mut since: HashMap<String, u64> = HashMap::new();
    let mut dropped = false;
    for seq in 1..120 {
        let text = format!("http://h/{}", random.below(30));
        match random.below(20) {
            0 => {
                store.seal();
                if !media.is_off() && store.stats().dropped_segments == 0 {
                    durable.extend(since.drain());
                }
            }
            1 if random.below(4) == 0 => dropped |= store.evict_oldest(&mut |_, _| None, &|_| (), &|_| ()).is_some(),
            2 => drop(store.supersede(key(&text).url_hash(), Which::Url)),
            3 => store.seal_pending(),
            _ => {
                if try_put(&store, &text, &[], &tags(&["t"]), seq).is_ok() {
                    since.insert(text.clone(), seq);
                }
                written.entry(text).or_default().push(seq);
            }
        }
    }
    let all = media.count(Operation::Change);
    media.power_off();
    drop(store);
    let after = media.crash(seed);
    for _ in 0..2 {
        // The second time everything is sealed.
        let store = reopen(&after, options());
        for n in 0..30 {
            let text = format!("http://h/{n}");
            let found = seqs(&store, &text);
            assert!(found.len() <= 1, "I5");
            assert!(found.iter().all(|seq| written.get(&text).is_some_and(|all| all.contains(seq))));
            if let Some(sealed) = durable.get(&text).filter(|_| !dropped) {
                assert!(found.first().is_some_and(|seq| seq >= sealed), "seed {seed}: {text} was durable");
            }
        }
        assert!(after.names().iter().all(|name| name.ends_with(".seg")), "{:?}", after.names());
        let whole = inspect(&after, &|_| false).unwrap();
        assert!(whole.iter().all(|found| found.footer && found.damaged == 0 && !found.failed));
        // It goes on.
        let fresh = format!("http://h/fresh{}", store.segments().len());
        put(&store, &fresh, 7);
        store.seal();
        assert_eq!(seqs(&store, &fresh), [7]);
    }
    all
}

#[test]
fn h9_after_a_crash_at_any_change_only_intact_records_come_back_and_all_that_were_sealed() {
    let changes = run(0, 0);
    assert!(changes > 20);
    for seed in 1..=1200 {
        run(seed, changes);
    }
}
