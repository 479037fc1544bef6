//! Schedules in which an operation of the second tier crosses a sweep, an error of the device or the end of the power.

use super::*;
use crate::disk::media::{Failure, Operation};

/// A body that is read as a view of its segment.
static LONG: [u8; 20_000] = [b'x'; 20_000];

impl Deep {
    fn l2(&self) -> &L2 {
        self.cache.engine.l2.as_ref().unwrap()
    }

    /// Stores it as one more process would, whatever the clock.
    fn renew(cache: &Cache, url: &str, body: &'static str) {
        let rig = Rig { cache: cache.clone(), clock: Arc::new(ManualClock::new(0)) };
        let ticket = rig.cache.fetch_alone(&key(url), &HeaderMap::new(), None);
        assert_eq!(rig.finish(ticket, body), Admit::Stored);
    }
}

#[test]
fn h10_what_a_response_replaces_is_dead_on_disk_before_the_rules_that_took_it_retire() {
    for seed in 0..4 {
        let deep = deep();
        deep.sink(A, "old");
        deep.purge_url(A);
        let (go, goes) = mpsc::channel();
        let (started, starts) = mpsc::channel();
        let (cache, release) = (deep.cache.clone(), go.clone());
        // A commit that has ended the record in memory, and has not told the journal, while a sweep passes.
        at("l2:sweep-passed", move || {
            let (stopped, has_stopped) = mpsc::channel();
            let commit = std::thread::spawn(move || {
                at("l2:superseded", move || {
                    stopped.send(()).unwrap();
                    goes.recv().unwrap();
                });
                Deep::renew(&cache, A, "new");
            });
            has_stopped.recv().unwrap();
            started.send(commit).unwrap();
        });
        at("l2:sweep-blocked", move || release.send(()).unwrap());
        deep.cache.sweep();
        let again = deep.crashed(seed);
        let _late = go.send(());
        starts.recv().unwrap().join().unwrap();
        assert!(!again.hits(A), "seed {seed}");
    }
}

#[test]
fn h10_what_an_eviction_ends_is_dead_on_disk_before_the_rules_that_took_it_retire() {
    for withdrawn in [false, true] {
        let deep = deep();
        deep.sink(A, "old");
        assert!(deep.hits(A));
        let cache = deep.cache.clone();
        if withdrawn {
            at("evict:judged", move || {
                cache.end_url(&key(A));
            });
        }
        let (cache, media) = (deep.cache.clone(), Arc::clone(&deep.media));
        let (image, images) = mpsc::channel();
        at(if withdrawn { "evict:withdrawn" } else { "evict:reinserted" }, move || {
            cache.purge(&Purge::new(Selector::Url(A.into()))).unwrap();
            cache.sweep();
            cache.engine.l2.as_ref().unwrap().store.seal();
            image.send(media.crash(0)).unwrap();
        });
        deep.cache.engine.evict_segment(deep.l2()).unwrap();
        let again = on(images.recv().unwrap(), |config| config);
        assert!(!again.hits(A), "withdrawn: {withdrawn}");
    }
}

#[test]
fn h10_marks_outlive_an_evicted_file_that_cannot_be_removed() {
    let deep = deep();
    deep.sink(A, "a");
    deep.purge_from(Selector::Url(A.into()), Action::Delete, L2);
    deep.cache.sweep();
    assert_eq!(deep.cache.stats().live_rules, 0);
    deep.media.fail_all(Operation::Remove, Failure::Io);
    deep.cache.engine.evict_segment(deep.l2()).unwrap();
    deep.purge_url(B);
    let again = deep.crashed(0);
    assert!(!again.hits(A));
}

#[test]
fn i5_what_was_replaced_before_a_flush_does_not_come_back() {
    let deep = deep();
    deep.sink(A, "old");
    deep.store(A, "new");
    deep.cache.flush().unwrap();
    assert_eq!(deep.l2().journal.stats().pending_bytes, 0, "nothing waits in memory for a purge to come");
    let again = deep.crashed(0);
    assert_ne!(again.body(A).as_deref(), Some(&b"old"[..]));
}

#[test]
fn an_unpurged_object_is_demoted_though_a_sweep_ends_meanwhile() {
    let deep = deep();
    deep.store(A, "a");
    deep.look(A);
    deep.purge_url(B);
    let cache = deep.cache.clone();
    at("sweep:passed", move || while cache.engine.edge.evict_any() {});
    deep.cache.sweep();
    deep.cache.flush().unwrap();
    assert_eq!(deep.body(A).as_deref(), Some(&b"a"[..]));
}

#[test]
fn a_304_stores_no_body_that_the_device_has_lost() {
    let deep = deep();
    let mut fill = deep.lead(A).respond(head(&[]), None, fresh(), &[]);
    fill.write(LONG[..].into());
    assert_eq!(fill.finish(), Admit::Stored);
    deep.settle(A);
    deep.leave_edge(A);
    let Lookup::Hit(base) = deep.look(A) else { panic!() };
    let Fetch::Lead(ticket) = deep.cache.fetch(&key(A), &HeaderMap::new(), Some(base)) else { panic!() };
    let names = deep.media.names();
    let segment = names.iter().find(|name| name.ends_with(".seg")).unwrap();
    assert!(deep.media.poison(segment));
    let (_, admit) = ticket.not_modified(head(&[]), fresh(), &[]).unwrap();
    assert_ne!(admit, Admit::Stored);
    assert!(!deep.in_edge(A));
}

#[test]
fn what_was_stored_under_new_sites_is_not_found_under_the_old_ones_after_a_crash() {
    use crate::site::{KeyPolicy, Query, Site, Sites};
    let deep = deep();
    let (cache, media) = (deep.cache.clone(), Arc::clone(&deep.media));
    let (image, images) = mpsc::channel();
    at("sites:purged", move || {
        Deep::renew(&cache, A, "new");
        assert!(matches!(cache.lookup(&key(A), &HeaderMap::new()), Lookup::Hit(_)));
        cache.flush().unwrap();
        image.send(media.crash(0)).unwrap();
    });
    let site = Site::new(["h"]).policy(KeyPolicy::new().query(Query::Drop));
    deep.cache.set_sites(Sites::new([site, Site::new(["*"])]).unwrap()).unwrap();
    let again = on(images.recv().unwrap(), |config| config);
    assert!(!again.hits(A));
}
