//! The second tier under the protocol: each guarantee by a schedule, with a directory in memory that can lose power.

mod crossings;
mod strange;

use super::*;
use crate::config::L2Config;
use crate::disk::media::Crash;
use crate::purge::PurgeErrorKind;

pub(super) const EDGE: Layers = Layers { edge: true, l2: false };
pub(super) const L2: Layers = Layers { edge: false, l2: true };

/// A cache over a directory; nothing happens in it by itself.
pub(super) struct Deep {
    pub(super) rig: Rig,
    pub(super) media: Arc<Crash>,
}

impl std::ops::Deref for Deep {
    type Target = Rig;
    fn deref(&self) -> &Rig {
        &self.rig
    }
}

pub(super) fn deep() -> Deep {
    on(Crash::new(), |config| config)
}

pub(super) fn on(media: Crash, with: impl FnOnce(L2Config) -> L2Config) -> Deep {
    let (clock, media) = (Arc::new(ManualClock::new(1_000_000_000)), Arc::new(media));
    let l2 = with(L2Config::media(media.clone(), 32 << 20).segment_size(1 << 20));
    let config = crate::Config::new().edge_size(16 << 20).shards(1).background_sweep(false).clock(clock.clone());
    let cache = config.l2(l2).build().unwrap();
    Deep { rig: Rig { cache, clock }, media }
}

impl Deep {
    /// Stores it in both tiers.
    pub(super) fn keep(&self, url: &str, body: &'static str) {
        self.store(url, body);
        self.settle(url);
    }

    /// Asks for it once more, which has it written.
    pub(super) fn settle(&self, url: &str) {
        assert!(self.hits(url), "{url}");
        self.cache.flush().unwrap();
    }

    /// Stores it in the second tier alone.
    pub(super) fn sink(&self, url: &str, body: &'static str) {
        self.keep(url, body);
        self.leave_edge(url);
    }

    pub(super) fn leave_edge(&self, url: &str) {
        self.purge_from(Selector::Url(url.into()), Action::Delete, EDGE);
        self.cache.sweep();
    }

    pub(super) fn purge_from(&self, selector: Selector, action: Action, layers: Layers) -> PurgeRecord {
        self.cache.purge(&Purge::new(selector).action(action).layers(layers)).unwrap()
    }

    pub(super) fn body(&self, url: &str) -> Option<Vec<u8>> {
        match self.look(url) {
            Lookup::Hit(hit) => Some(hit.body().collect::<Vec<_>>().concat()),
            _ => None,
        }
    }

    pub(super) fn in_edge(&self, url: &str) -> bool {
        self.cache.engine.edge.shards()[0].table.read().of_key(key(url).hash(), url.as_bytes()).next().is_some()
    }

    pub(super) fn in_l2(&self, url: &str) -> bool {
        let key = key(url);
        let l2 = self.cache.engine.l2.as_ref().unwrap();
        !l2.store.find(key.url_hash(), key.hash()).is_empty()
    }

    /// What is there after the power went, with everything unsynced lost or kept as the seed says.
    pub(super) fn crashed(&self, seed: u64) -> Self {
        on(self.media.crash(seed), |config| config)
    }

    /// What is there after an orderly end.
    pub(super) fn restarted(self) -> Self {
        let media = Arc::clone(&self.media);
        drop(self);
        on(media.crash(0), |config| config)
    }
}

#[test]
fn an_object_is_served_from_the_second_tier_and_comes_back_on_its_second_hit() {
    let deep = deep();
    deep.sink(A, "a");
    assert!(!deep.in_edge(A) && deep.in_l2(A));
    assert_eq!(deep.body(A).unwrap(), b"a");
    assert!(!deep.in_edge(A));
    assert_eq!(deep.body(A).unwrap(), b"a");
    assert!(deep.in_edge(A) && deep.in_l2(A));
    deep.cache.validate().unwrap();
}

#[test]
fn g1_a_purge_takes_both_layers_at_once_and_for_good() {
    for swept in [false, true] {
        let deep = deep();
        deep.keep(A, "a");
        deep.sink(B, "b");
        deep.purge(Selector::Pattern("http://h/d/*".into()));
        if swept {
            deep.cache.sweep();
            assert!(!deep.in_l2(A) && !deep.in_l2(B));
        }
        assert!(!deep.hits(A) && !deep.hits(B));
        deep.cache.validate().unwrap();
    }
}

#[test]
fn layers_are_what_they_say() {
    let deep = deep();
    deep.keep(A, "a");
    deep.purge_from(Selector::Url(A.into()), Action::Delete, EDGE);
    assert_eq!(deep.body(A).unwrap(), b"a", "an edge-only rule leaves the second tier alone");
    deep.cache.sweep();
    assert!(!deep.in_edge(A) && deep.in_l2(A));
    let record = deep.purge_from(Selector::Url(A.into()), Action::Delete, L2);
    assert!(!deep.hits(A));
    deep.cache.sweep();
    let record = deep.cache.purge_record(record.id).unwrap();
    assert_eq!((record.l2.objects, record.edge.objects, record.durable), (1, 0, true));
}

#[test]
fn g4_what_the_second_tier_was_purged_of_does_not_return_to_it_from_the_edge() {
    for swept in [false, true] {
        let deep = deep();
        deep.keep(A, "a");
        deep.purge_from(Selector::Url(A.into()), Action::Delete, L2);
        if swept {
            deep.cache.sweep();
        }
        assert_eq!(deep.body(A).unwrap(), b"a", "the edge was not named");
        // Used for the first time again, as far as the count goes.
        deep.cache.engine.edge.shards()[0].table.read().in_slot(0).unwrap().set_frequency(0);
        deep.look(A);
        deep.cache.flush().unwrap();
        deep.cache.sweep();
        deep.leave_edge(A);
        assert!(!deep.hits(A), "swept: {swept}");
    }
}

#[test]
fn h5_a_promotion_is_fenced() {
    for (action, layers) in
        [(Action::Delete, BOTH), (Action::Delete, L2), (Action::Invalidate, L2), (Action::Soft, BOTH)]
    {
        for swept in [false, true] {
            let deep = deep();
            deep.sink(A, "a");
            assert!(deep.hits(A));
            let cache = deep.cache.clone();
            at("promote:before-lock", move || {
                cache.purge(&Purge::new(Selector::Url(A.into())).action(action).layers(layers)).unwrap();
                if swept {
                    cache.sweep();
                }
            });
            deep.look(A);
            assert!(!deep.hits(A), "{action:?} {layers:?} {swept}");
            deep.cache.sweep();
            assert!(!deep.hits(A), "{action:?} {layers:?} {swept}");
            deep.cache.validate().unwrap();
        }
    }
}

#[test]
fn a_live_edge_only_rule_does_not_end_what_is_promoted_past_it() {
    let deep = deep();
    deep.keep(A, "a");
    deep.purge_from(Selector::Url(A.into()), Action::Delete, EDGE);
    deep.look(A);
    deep.look(A);
    deep.look(A);
    assert!(deep.hits(A));
    deep.cache.sweep();
    assert!(deep.hits(A));
}

#[test]
fn a_promotion_reads_what_was_swept_before_the_entry() {
    let deep = deep();
    deep.sink(A, "a");
    assert!(deep.hits(A));
    deep.purge_from(Selector::Url(A.into()), Action::Invalidate, L2);
    // A sweep that has passed the shards, and goes on between the two loads of a promotion.
    let (passed, has_passed) = mpsc::channel();
    let (go, goes) = mpsc::channel();
    let (stands, has_stopped) = mpsc::channel();
    let cache = deep.cache.clone();
    let sweep = std::thread::spawn(move || {
        at("l2:sweep-passed", move || {
            passed.send(()).unwrap();
            goes.recv().unwrap();
        });
        // Before it vouches for its marks it waits for the promotion's shard.
        at("l2:sweep-blocked", move || stands.send(()).unwrap());
        cache.sweep();
    });
    has_passed.recv().unwrap();
    let engine = &deep.cache.engine;
    let l2 = engine.l2.as_ref().unwrap();
    let candidate = l2.store.find(key(A).url_hash(), key(A).hash())[0];
    let record = l2.store.read(&candidate).unwrap();
    at("promote:swept-loaded", move || {
        go.send(()).unwrap();
        has_stopped.recv().unwrap();
    });
    engine.promote_now(l2, &key(A), &candidate, &record);
    sweep.join().unwrap();
    deep.cache.sweep();
    assert!(!deep.hits(A));
}

#[test]
fn a_lookup_reads_what_was_swept_before_the_entry() {
    let deep = deep();
    deep.sink(A, "a");
    let cache = deep.cache.clone();
    at("l2:swept-loaded", move || {
        cache.purge(&Purge::new(Selector::Url(A.into()))).unwrap();
        cache.sweep();
    });
    // It may have begun before the purge; the next has not.
    deep.look(A);
    assert!(!deep.hits(A));
    // One that begins after the purge, while it is swept: what the sweep vouches for then was not asked of the mark that was read before.
    deep.sink(B, "b");
    deep.purge_url(B);
    let cache = deep.cache.clone();
    at("l2:entry-loaded", move || cache.sweep());
    assert!(!deep.hits(B));
}

#[test]
fn g4_a_demotion_is_judged_when_it_is_written() {
    for (action, layers) in
        [(Action::Delete, BOTH), (Action::Delete, EDGE), (Action::Delete, L2), (Action::Invalidate, BOTH)]
    {
        for swept in [false, true] {
            let deep = deep();
            deep.store(A, "a");
            deep.look(A);
            deep.evict();
            assert!(!deep.in_edge(A));
            deep.purge_from(Selector::Url(A.into()), action, layers);
            if swept {
                deep.cache.sweep();
            }
            deep.cache.flush().unwrap();
            assert!(!deep.hits(A), "{action:?} {layers:?} {swept}");
            deep.cache.sweep();
            assert!(!deep.hits(A), "{action:?} {layers:?} {swept}");
            deep.cache.validate().unwrap();
        }
    }
}

#[test]
fn a_demotion_carries_its_mark() {
    let deep = deep();
    deep.store(A, "a");
    deep.look(A);
    deep.purge_from(Selector::Url(A.into()), Action::Invalidate, EDGE);
    deep.cache.sweep();
    deep.evict();
    deep.cache.flush().unwrap();
    assert!(deep.in_l2(A));
    assert!(matches!(deep.look(A), Lookup::MustValidate(_, Reason::PurgedInvalidate)));
}

#[test]
fn a_purge_while_a_record_is_written_takes_it() {
    let deep = deep();
    deep.store(A, "a");
    deep.look(A);
    let cache = deep.cache.clone();
    at("write:appended", move || {
        cache.purge(&Purge::new(Selector::Url(A.into()))).unwrap();
    });
    deep.cache.flush().unwrap();
    assert!(!deep.hits(A));
    deep.cache.sweep();
    assert!(!deep.hits(A) && !deep.in_l2(A));
}

#[test]
fn a_sweep_waits_for_what_was_judged_before_its_rules() {
    let deep = deep();
    deep.store(A, "a");
    deep.look(A);
    let (judged, is_judged) = mpsc::channel();
    let (go, goes) = mpsc::channel();
    let cache = deep.cache.clone();
    let write = std::thread::spawn(move || {
        at("write:judged", move || {
            judged.send(()).unwrap();
            goes.recv().unwrap();
        });
        cache.flush().unwrap();
    });
    is_judged.recv().unwrap();
    deep.purge_from(Selector::Url(A.into()), Action::Delete, L2);
    let (stands, has_stopped) = mpsc::channel();
    let (asked, cache) = (stands.clone(), deep.cache.clone());
    let sweep = std::thread::spawn(move || {
        at("l2:append-blocked", move || stands.send(()).unwrap());
        // One that does not wait comes this far, and has seen nothing to mark.
        at("l2:sweep-marked", move || asked.send(()).unwrap_or_default());
        cache.sweep();
    });
    has_stopped.recv().unwrap();
    go.send(()).unwrap();
    write.join().unwrap();
    sweep.join().unwrap();
    assert!(!deep.in_l2(A));
    deep.leave_edge(A);
    assert!(!deep.hits(A));
}

#[test]
fn i5_a_newer_response_ends_what_is_stored_queued_or_being_written() {
    // Stored.
    let deep = deep();
    deep.keep(A, "old");
    deep.leave_edge(A);
    deep.store(A, "new");
    deep.leave_edge(A);
    assert_eq!(deep.body(A), None);
    // Queued.
    let deep = self::deep();
    deep.store(A, "old");
    deep.look(A);
    deep.evict();
    deep.store(A, "new");
    deep.cache.flush().unwrap();
    deep.leave_edge(A);
    assert_ne!(deep.body(A).as_deref(), Some(&b"old"[..]));
    // Being written.
    let deep = self::deep();
    deep.store(A, "old");
    deep.look(A);
    let cache = deep.cache.clone();
    at("write:appended", move || {
        let rig = Rig { cache, clock: Arc::new(ManualClock::new(0)) };
        let ticket = rig.cache.fetch_alone(&key(A), &HeaderMap::new(), None);
        assert_eq!(rig.finish(ticket, "new"), Admit::Stored);
    });
    deep.cache.flush().unwrap();
    deep.leave_edge(A);
    assert_ne!(deep.body(A).as_deref(), Some(&b"old"[..]));
    let again = deep.restarted();
    assert_ne!(again.body(A).as_deref(), Some(&b"old"[..]));
}

#[test]
fn a_large_object_is_kept_in_the_second_tier_alone() {
    let (clock, media) = (Arc::new(ManualClock::new(1_000_000_000)), Arc::new(Crash::new()));
    let l2 = L2Config::media(media, 128 << 20).segment_size(1 << 20);
    let config = crate::Config::new().edge_size(64 << 20).shards(1).background_sweep(false).clock(clock.clone());
    let deep = Rig { cache: config.l2(l2).build().unwrap(), clock };
    let body = bytes::Bytes::from(vec![7; 17 << 20]);
    let mut fill = deep.lead(A).respond(head(&[]), None, fresh(), &[]);
    fill.write(body.clone());
    assert_eq!(fill.finish(), Admit::Stored);
    assert!(deep.hits(A));
    deep.cache.flush().unwrap();
    assert_eq!(deep.cache.stats().objects, 0);
    for _ in 0..4 {
        let Lookup::Hit(hit) = deep.look(A) else { panic!("not there") };
        assert!(hit.body().collect::<Vec<_>>().concat() == body);
    }
    assert_eq!(deep.cache.stats().objects, 0);
    deep.purge_url(A);
    assert!(!deep.hits(A));
    deep.cache.sweep();
    assert!(!deep.hits(A));
}

#[test]
fn an_unsafe_method_ends_what_is_on_its_way_to_the_second_tier() {
    let deep = deep();
    deep.store(A, "a");
    deep.look(A);
    deep.evict();
    deep.cache.end_url(&key(A));
    deep.cache.flush().unwrap();
    assert!(!deep.hits(A));
}

#[test]
fn an_unsafe_method_ends_its_url_in_both_tiers() {
    let deep = deep();
    deep.sink(A, "a");
    deep.keep("http://h/d/a.png@@v=1", "v");
    deep.sink(B, "b");
    assert!(deep.cache.end_url(&key(A)) >= 2);
    assert!(!deep.hits(A) && !deep.hits("http://h/d/a.png@@v=1"));
    assert_eq!(deep.body(B).unwrap(), b"b");
    let again = deep.restarted();
    assert!(!again.hits(A) && again.hits(B));
}

#[test]
fn g3_a_304_revives_nothing_that_was_purged_from_the_second_tier() {
    for layers in [BOTH, EDGE, L2] {
        for newer in [false, true] {
            let deep = deep();
            deep.sink(A, "a");
            let Lookup::Hit(base) = deep.look(A) else { panic!() };
            let Fetch::Lead(ticket) = deep.cache.fetch(&key(A), &HeaderMap::new(), Some(base)) else { panic!() };
            if newer {
                let ticket = deep.cache.fetch_alone(&key(A), &HeaderMap::new(), None);
                assert_eq!(deep.finish(ticket, "new"), Admit::Stored);
            } else {
                deep.purge_from(Selector::Url(A.into()), Action::Delete, layers);
            }
            let (_, admit) = ticket.not_modified(head(&[]), fresh(), &[]).unwrap();
            assert_ne!(admit, Admit::Stored, "{layers:?} {newer}");
            if newer {
                assert_eq!(deep.body(A).unwrap(), b"new");
            }
        }
    }
    // Unpurged, it is stored again, in memory of the first tier's own.
    let deep = deep();
    deep.sink(A, "a");
    let Lookup::Hit(base) = deep.look(A) else { panic!() };
    let Fetch::Lead(ticket) = deep.cache.fetch(&key(A), &HeaderMap::new(), Some(base)) else { panic!() };
    assert_eq!(ticket.not_modified(head(&[]), fresh(), &[]).unwrap().1, Admit::Stored);
    assert!(deep.in_edge(A) && !deep.in_l2(A));
    assert_eq!(deep.body(A).unwrap(), b"a");
}

#[test]
fn g5_an_acknowledged_purge_outlives_every_crash_swept_or_not() {
    for seed in 0..40 {
        for swept in [false, true] {
            let deep = deep();
            deep.sink(A, "a");
            deep.sink(B, "b");
            deep.cache.flush().unwrap();
            deep.purge(Selector::Pattern("http://h/d/*.png".into()));
            if swept {
                deep.cache.sweep();
                assert_eq!(deep.cache.stats().live_rules, 0);
            }
            let again = deep.crashed(seed);
            assert!(!again.hits(A), "seed {seed} swept {swept}");
            assert_eq!(again.body(B).unwrap(), b"b", "seed {seed} swept {swept}");
            again.cache.sweep();
            assert!(!again.hits(A) && again.hits(B), "seed {seed} swept {swept}");
            again.cache.validate().unwrap();
            let once_more = again.crashed(seed + 1);
            assert!(!once_more.hits(A) && once_more.hits(B), "seed {seed} swept {swept}");
        }
    }
}

#[test]
fn a_revived_invalidate_stays_one() {
    for swept in [false, true] {
        for action in [Action::Invalidate, Action::Soft] {
            let deep = deep();
            deep.sink(A, "a");
            deep.purge_from(Selector::Url(A.into()), action, BOTH);
            if swept {
                deep.cache.sweep();
            }
            let again = deep.restarted();
            let Lookup::MustValidate(hit, reason) = again.look(A) else { panic!("{action:?} {swept}") };
            assert_eq!(hit.body().collect::<Vec<_>>().concat(), b"a");
            let expected = if action == Action::Soft { Reason::PurgedSoft } else { Reason::PurgedInvalidate };
            assert_eq!(reason, expected);
        }
    }
}

#[test]
fn g5_no_ack_without_a_journal_unless_asked_for() {
    use crate::disk::media::{Failure, Operation};
    use crate::purge::Durability;
    let deep = deep();
    deep.sink(A, "a");
    deep.sink(B, "b");
    deep.media.fail_all(Operation::Sync, Failure::Io);
    let purge = Purge::new(Selector::Url(A.into()));
    assert_eq!(deep.cache.purge(&purge).unwrap_err().kind(), PurgeErrorKind::NotDurable);
    assert!(!deep.hits(A), "in force until a restart");
    let record = deep.cache.purge(&purge.clone().durability(Durability::Memory)).unwrap();
    assert!(!record.durable);
    deep.cache.sweep();
    assert!(!deep.hits(A) && deep.hits(B), "goes on serving");
    assert!(deep.cache.stats().live_rules > 0, "nothing retires that is not on disk");
    deep.media.heal();
    assert!(deep.cache.purge(&purge).unwrap().durable);
    deep.cache.sweep();
    assert_eq!(deep.cache.stats().live_rules, 0);
    let again = deep.crashed(7);
    assert!(!again.hits(A) && again.hits(B));
}

#[test]
fn h28_no_number_is_given_out_twice() {
    let deep = deep();
    deep.sink(B, "b");
    deep.media.fail_all(crate::disk::media::Operation::Sync, crate::disk::media::Failure::Io);
    let purge = Purge::new(Selector::Url(A.into()));
    deep.cache.purge(&purge).unwrap_err();
    let unacknowledged = deep.cache.stats().seq;
    let again = deep.crashed(3);
    assert!(again.purge_url(A).id.seq > unacknowledged);
    assert_eq!(again.cache.stats().seq, again.cache.purge_records(None, 1)[0].id.seq);
}

#[test]
fn h12_a_copied_directory_is_discarded_unless_adopted() {
    let deep = deep();
    deep.sink(A, "a");
    drop(deep.rig.cache.flush());
    let copied = on(deep.media.copy(), |config| config);
    assert!(!copied.hits(A));
    assert!(copied.cache.l2_notice().unwrap().contains("journal"));
    let adopted = on(deep.media.copy(), |config| config.adopt(true));
    assert!(adopted.hits(A));
    let distrusted = on(deep.media.crash(0), |config| config.distrust(true));
    assert!(!distrusted.hits(A));
}

#[test]
fn sites_that_change_over_a_restart_end_what_they_name() {
    use crate::site::{KeyPolicy, Query, Site, Sites};
    let deep = deep();
    deep.sink(A, "a");
    deep.sink("http://other/a", "o");
    let media = deep.media.crash(0);
    drop(deep);
    let site = Site::new(["h"]).policy(KeyPolicy::new().query(Query::Drop));
    let sites = Sites::new([site, Site::new(["*"])]).unwrap();
    let l2 = L2Config::media(Arc::new(media), 32 << 20).segment_size(1 << 20);
    let clock = Arc::new(ManualClock::new(1_000_000_000));
    let config = crate::Config::new().edge_size(16 << 20).shards(1).background_sweep(false).clock(clock.clone());
    let cache = config.sites(sites).l2(l2).build().unwrap();
    let rig = Rig { cache, clock };
    assert!(!rig.hits(A));
    assert!(rig.hits("http://other/a"));
}

#[test]
fn sites_that_change_while_the_disk_fails_leave_nothing_of_one_policy_to_another() {
    use crate::disk::media::{Failure, Operation};
    use crate::site::{KeyPolicy, Query, Site, Sites};
    let deep = deep();
    let site = Site::new(["h"]).policy(KeyPolicy::new().query(Query::Drop));
    // The second of two renames: the new rules are not written.
    let renames = deep.media.count(Operation::Rename);
    deep.media.fail(Operation::Rename, renames + 1, Failure::Io);
    deep.cache.set_sites(Sites::new([site, Site::new(["*"])]).unwrap()).unwrap();
    deep.sink(A, "of any query");
    deep.sink("http://other/a", "o");
    // A start with the old ones.
    let again = deep.crashed(0);
    assert!(!again.hits(A));
    assert!(again.hits("http://other/a"));
}

#[test]
fn a_flush_makes_the_end_of_what_was_replaced_or_ended_durable() {
    for seed in 0..40 {
        let deep = deep();
        deep.sink(A, "old");
        deep.sink(B, "b");
        // Not asked for again, so that it is not written itself.
        deep.store(A, "new");
        deep.cache.end_url(&key(B));
        deep.cache.flush().unwrap();
        let again = deep.crashed(seed);
        assert!(!again.hits(A) && !again.hits(B), "seed {seed}");
    }
}

#[test]
fn a_flush_tells_of_errors_once() {
    use crate::disk::media::{Failure, Operation};
    let deep = deep();
    deep.store(A, "a");
    deep.look(A);
    deep.media.fail_all(Operation::Write, Failure::Io);
    deep.cache.flush().unwrap_err();
    deep.media.heal();
    deep.store(B, "b");
    deep.settle(B);
    let again = deep.crashed(1);
    assert!(again.hits(B));
}

#[test]
fn g5_a_segment_that_cannot_be_removed_keeps_its_marks() {
    use crate::disk::media::{Failure, Operation};
    let deep = deep();
    deep.sink(A, "a");
    deep.purge_from(Selector::Url(A.into()), Action::Invalidate, BOTH);
    deep.cache.sweep();
    assert_eq!(deep.cache.stats().live_rules, 0);
    deep.media.fail_all(Operation::Remove, Failure::Io);
    let engine = &deep.cache.engine;
    engine.evict_segment(engine.l2.as_ref().unwrap()).unwrap();
    deep.media.heal();
    deep.purge_url(B);
    let again = deep.crashed(2);
    assert!(!again.hits(A), "what the eviction told the journal has undone a purge");
}

#[test]
fn what_ends_while_its_segment_cannot_be_removed_stays_ended() {
    use crate::disk::media::{Failure, Operation};
    let deep = deep();
    deep.sink(A, "a");
    deep.sink(B, "b");
    deep.media.fail_all(Operation::Remove, Failure::Io);
    let l2 = deep.cache.engine.l2.as_ref().unwrap();
    for segment in l2.store.segments() {
        assert!(l2.store.drop_segment(segment.id));
    }
    deep.media.heal();
    deep.cache.end_url(&key(A));
    deep.store(B, "new");
    deep.purge_url("http://h/other");
    let again = deep.crashed(3);
    assert!(!again.hits(A) && !again.hits(B));
}

#[test]
fn a_304_stores_no_body_that_the_disk_has_lost() {
    let deep = deep();
    deep.sink(
        A,
        "a body that is long enough to be served from the map, where pages may turn out to be lost. ".repeat(40).leak(),
    );
    let Lookup::Hit(base) = deep.look(A) else { panic!() };
    let Fetch::Lead(ticket) = deep.cache.fetch(&key(A), &HeaderMap::new(), Some(base)) else { panic!() };
    for name in deep.media.names() {
        deep.media.poison(&name);
    }
    assert_ne!(ticket.not_modified(head(&[]), fresh(), &[]).unwrap().1, Admit::Stored);
}

impl Deep {
    /// Evicts everything.
    fn evict(&self) {
        while self.cache.engine.edge.evict_any() {}
    }
}
