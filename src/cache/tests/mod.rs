//! The guarantees, each by a schedule that a broken protocol fails (`tests/sabotage.py` breaks it line by line and expects these to fail).
//!
//! A hook set with [`at`] runs at a named point of the operation that follows, on the same thread: one interleaving, every time. Where an
//! operation must wait for another's lock, a second thread runs it and tells when it is blocked.

mod history;
mod keep;
mod l2;
mod questions;
mod readers;
mod sweeps;

use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode};

use parking_lot::Mutex;

use super::*;
use crate::clock::ManualClock;
use crate::freshness::Freshness;
use crate::purge::{Action, Layers, PurgeState};
use crate::sync::at;

const A: &str = "http://h/d/a.png";
const B: &str = "http://h/d/b.css";
const BOTH: Layers = Layers { edge: true, l2: true };

struct Rig {
    cache: Cache,
    clock: Arc<ManualClock>,
}

fn rig() -> Rig {
    sized(64 << 20)
}

fn sized(bytes: u64) -> Rig {
    sharded(bytes, 1)
}

fn sharded(bytes: u64, shards: usize) -> Rig {
    let clock = Arc::new(ManualClock::new(1_000_000_000));
    let config = crate::Config::new().edge_size(bytes).shards(shards).background_sweep(false).clock(clock.clone());
    Rig { cache: config.build().unwrap(), clock }
}

fn key(url: &str) -> Key {
    Key::parse(url.as_bytes()).unwrap()
}

fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
    fields.iter().map(|&(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
}

fn head(fields: &[(&'static str, &'static str)]) -> Head {
    Head::new(StatusCode::OK, headers(fields))
}

fn fresh() -> Option<Freshness> {
    Some(Freshness::fresh_for(Duration::from_secs(60)))
}

fn now_or_never<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    match poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(ready) => Some(ready),
        Poll::Pending => None,
    }
}

impl Rig {
    fn lead(&self, url: &str) -> FillTicket {
        self.lead_with(url, &HeaderMap::new())
    }

    fn lead_with(&self, url: &str, request: &HeaderMap) -> FillTicket {
        match self.cache.fetch(&key(url), request, None) {
            Fetch::Lead(ticket) => ticket,
            other => panic!("does not lead: {other:?}"),
        }
    }

    fn store(&self, url: &str, body: &'static str) {
        assert_eq!(self.finish(self.lead(url), body), Admit::Stored);
    }

    fn store_with(&self, url: &str, request: &HeaderMap, head: Head, tags: &[&[u8]], body: &'static str) {
        let mut fill = self.lead_with(url, request).respond(head, None, fresh(), tags);
        fill.write(body.into());
        assert_eq!(fill.finish(), Admit::Stored);
    }

    fn finish(&self, ticket: FillTicket, body: &'static str) -> Admit {
        let mut fill = ticket.respond(head(&[]), None, fresh(), &[]);
        fill.write(body.into());
        fill.finish()
    }

    fn purge(&self, selector: Selector) -> PurgeRecord {
        self.cache.purge(&Purge::new(selector)).unwrap()
    }

    fn purge_url(&self, url: &str) -> PurgeRecord {
        self.purge(Selector::Url(url.into()))
    }

    fn look(&self, url: &str) -> Lookup {
        match self.cache.lookup(&key(url), &HeaderMap::new()) {
            Lookup::Deferred(deferred) => deferred.wait(),
            found => found,
        }
    }

    fn hits(&self, url: &str) -> bool {
        matches!(self.look(url), Lookup::Hit(_))
    }

    fn body(&self, url: &str, request: &HeaderMap) -> Option<String> {
        match self.cache.lookup(&key(url), request) {
            Lookup::Hit(hit) => Some(String::from_utf8(hit.body().collect::<Vec<_>>().concat()).unwrap()),
            _ => None,
        }
    }

    fn check(&self) {
        self.cache.validate().unwrap();
    }
}

/// Runs `work` on another thread; returns once it is done or waits for a shard's lock.
fn beside(cache: &Cache, work: impl FnOnce(&Cache) + Send + 'static) -> std::thread::JoinHandle<()> {
    let (tell, told) = mpsc::channel();
    let cache = cache.clone();
    let thread = std::thread::spawn(move || {
        let blocked = tell.clone();
        at("sweep:blocked", move || blocked.send(()).unwrap());
        work(&cache);
        tell.send(()).ok();
    });
    told.recv().unwrap();
    thread
}

// ===== G1: effective at ack =====

#[test]
fn g1_every_selector_ends_what_it_takes_and_nothing_else() {
    let tagged = [b"t".as_slice()];
    let cases: Vec<(Selector, bool)> = vec![
        (Selector::Url(A.into()), false),
        (Selector::Url("any://h/d/a.png".into()), false),
        (Selector::Key(A.into()), false),
        (Selector::Variant { key: A.into(), headers: vec![] }, false),
        (Selector::Pattern("http://h/d/*".into()), true),
        (Selector::Pattern("http://h/**".into()), true),
        (Selector::Pattern("http://h/d/*.png".into()), false),
        (Selector::Pattern("http://h/d/a*".into()), false),
        (Selector::Pattern("http://h/d/a**g".into()), false),
        (Selector::Glob("http://h/*png".into()), false),
        (Selector::Regex("http://h/d/a.png$".into()), false),
        (Selector::Host("h".into()), true),
        (Selector::Host("h:80".into()), true),
        (Selector::Tag("t".into()), false),
        (Selector::All, true),
    ];
    for (selector, both) in cases {
        for sweep in [false, true] {
            let rig = rig();
            rig.store_with(A, &HeaderMap::new(), head(&[]), &tagged, "a");
            rig.store(B, "b");
            rig.store("http://other.h/d/a.png", "other");
            let purged = rig.purge(selector.clone());
            if sweep {
                rig.cache.sweep();
                rig.check();
                let record = rig.cache.purge_record(purged.id).unwrap();
                let others = u64::from(selector == Selector::All);
                assert_eq!(record.edge.objects, 1 + u64::from(both) + others, "{selector:?}");
                assert_eq!(record.state, PurgeState::Swept);
            }
            assert!(!rig.hits(A), "{selector:?} swept={sweep}");
            assert_eq!(rig.hits(B), !both, "{selector:?} swept={sweep}");
            assert_eq!(rig.hits("http://other.h/d/a.png"), selector != Selector::All, "{selector:?}");
            rig.store(A, "new");
            assert!(rig.hits(A), "{selector:?} ends what is newer");
        }
    }
}

#[test]
fn g1_lookup_that_loads_the_entry_before_a_sweep_ends_it() {
    for point in ["lookup:swept-loaded", "lookup:entry-loaded", "judge:snapshot-loaded"] {
        let rig = rig();
        rig.store(A, "old");
        rig.purge_url(A);
        let cache = rig.cache.clone();
        at(point, move || cache.sweep());
        assert!(!rig.hits(A), "{point}");
    }
}

#[test]
fn g1_lookup_while_the_sweep_is_on_its_way() {
    for point in ["sweep:sealed", "sweep:passed", "sweep:chunk", "sweep:swept"] {
        let rig = rig();
        rig.store(A, "old");
        rig.store(B, "other");
        rig.purge(Selector::Pattern("http://h/d/*.png".into()));
        let (cache, seen) = (rig.cache.clone(), Arc::new(Mutex::new(None)));
        let see = seen.clone();
        at(point, move || {
            let hit = |url| matches!(cache.lookup(&key(url), &HeaderMap::new()), Lookup::Hit(_));
            *see.lock() = Some((hit(A), hit(B)));
        });
        rig.cache.sweep();
        assert_eq!(*seen.lock(), Some((false, true)), "{point}: what matches is gone, what does not is a hit");
    }
}

#[test]
fn g1_a_batch_is_seen_whole_or_not_at_all() {
    let rig = rig();
    rig.store(A, "a");
    rig.store(B, "b");
    let (cache, seen) = (rig.cache.clone(), Arc::new(Mutex::new(None)));
    let see = seen.clone();
    at("publish:rule", move || {
        let hit = |url| matches!(cache.lookup(&key(url), &HeaderMap::new()), Lookup::Hit(_));
        *see.lock() = Some((hit(A), hit(B)));
    });
    rig.cache.purge(&Purge::batch(vec![Selector::Url(A.into()), Selector::Url(B.into())])).unwrap();
    assert_eq!(*seen.lock(), Some((true, true)));
    assert!(!rig.hits(A) && !rig.hits(B));
}

#[test]
fn g1_a_newer_soft_rule_does_not_hide_an_older_delete() {
    let rig = rig();
    rig.store(A, "a");
    rig.purge_url(A);
    rig.cache.purge(&Purge::new(Selector::Url(A.into())).action(Action::Soft)).unwrap();
    assert!(matches!(rig.look(A), Lookup::Miss(Reason::PurgedDelete)));
}

#[test]
fn g4_an_edge_only_rule_does_not_hide_the_l2_half_of_an_older_one() {
    let rig = rig();
    let engine = &rig.cache.engine;
    rig.purge_url(A);
    rig.cache.purge(&Purge::new(Selector::Url(A.into())).layers(Layers { edge: true, l2: false })).unwrap();
    let a = key(A);
    let subject = crate::purge::Subject { key: a.as_ref(), vary: None, tags: crate::purge::TagsRef::default() };
    let verdict = engine.rules.load().judge(&subject, 0);
    assert_eq!(verdict.edge, Some((Action::Delete, 2)));
    assert_eq!(verdict.l2, Some((Action::Delete, 1)));
}

#[test]
fn g1_a_hit_in_a_threads_front_is_checked_too() {
    let rig = rig();
    rig.store(A, "a");
    // Often enough for the front to hold it.
    (0..1000).for_each(|_| assert!(rig.hits(A)));
    rig.purge_url(A);
    assert!(!rig.hits(A));
    rig.cache.sweep();
    assert!(!rig.hits(A));
}

#[test]
fn g1_what_was_evicted_is_not_vouched_for_by_a_later_sweep() {
    let rig = rig();
    rig.store(A, "a");
    (0..1000).for_each(|_| assert!(rig.hits(A)));
    {
        let mut table = rig.cache.engine.edge.lock(&key(A));
        let entry = table.iter().next().unwrap().clone();
        rig.cache.engine.edge.unlink(&mut table, &entry);
    }
    rig.purge_url(A);
    // The index does not know the entry any more: only its own mark can end it in the front.
    rig.cache.engine.edge.shards()[0].swept_upto.store(1, std::sync::atomic::Ordering::Release);
    assert!(!rig.hits(A));
}

// ===== G2: beats fills in flight (H1, H2, H3) =====

#[test]
fn h1_a_fill_begun_before_a_purge_is_not_stored() {
    for sweep in [false, true] {
        for layers in [BOTH, Layers { edge: true, l2: false }] {
            for action in [Action::Delete, Action::Invalidate, Action::Soft] {
                let rig = rig();
                let ticket = rig.lead(A);
                rig.cache.purge(&Purge::new(Selector::Url(A.into())).action(action).layers(layers)).unwrap();
                if sweep {
                    rig.cache.sweep();
                }
                assert_eq!(rig.finish(ticket, "old"), Admit::Skipped(Reason::PurgeFenced));
                assert!(matches!(rig.look(A), Lookup::Miss(Reason::UriMiss)));
                rig.check();
            }
        }
    }
}

#[test]
fn h1_a_purge_at_any_step_of_a_commit() {
    for point in ["commit:before-lock", "commit:stored"] {
        for sweep in [false, true] {
            let rig = rig();
            let ticket = rig.lead(A);
            let cache = rig.cache.clone();
            at(point, move || {
                cache.purge(&Purge::new(Selector::Url(A.into()))).unwrap();
                if sweep {
                    cache.sweep();
                }
            });
            rig.finish(ticket, "old");
            assert!(!rig.hits(A), "{point} sweep={sweep}");
            rig.cache.sweep();
            assert!(!rig.hits(A), "{point} sweep={sweep}");
            rig.check();
        }
    }
}

#[test]
fn h1_a_sweep_waits_for_commits_that_judged_by_an_older_snapshot() {
    for point in ["commit:judged", "link:indexed"] {
        let rig = rig();
        let ticket = rig.lead(A);
        let (cache, thread) = (rig.cache.clone(), Arc::new(Mutex::new(None)));
        let keep = thread.clone();
        at(point, move || {
            *keep.lock() = Some(beside(&cache, |cache| {
                cache.purge(&Purge::new(Selector::Pattern("http://h/d/*".into()))).unwrap();
                cache.sweep();
            }));
        });
        rig.finish(ticket, "old");
        let thread = thread.lock().take().unwrap();
        thread.join().unwrap();
        assert!(!rig.hits(A), "{point}");
        rig.check();
    }
}

#[test]
fn h3_a_request_after_the_ack_does_not_join_a_fill_begun_before() {
    for sweep in [false, true] {
        let rig = rig();
        let none = HeaderMap::new();
        let ticket = rig.lead(A);
        let mut own = ticket.reader();
        let Fetch::Join(mut before) = rig.cache.fetch(&key(A), &none, None) else { panic!("joins") };
        rig.purge_url(A);
        if sweep {
            rig.cache.sweep();
        }
        let second = rig.lead(A);
        assert_eq!(rig.finish(ticket, "old"), Admit::Skipped(Reason::PurgeFenced));
        // Those who waited before the purge get the response.
        for reader in [&mut own, &mut before] {
            assert!(matches!(now_or_never(|cx| reader.poll_answer(cx)), Some(Answer::Head(_))));
            assert_eq!(now_or_never(|cx| reader.poll_chunk(cx)), Some(Some(Ok("old".into()))));
            assert_eq!(now_or_never(|cx| reader.poll_chunk(cx)), Some(None));
        }
        assert_eq!(rig.finish(second, "new"), Admit::Stored);
        assert_eq!(rig.body(A, &none).as_deref(), Some("new"));
        rig.check();
    }
}

#[test]
fn h3_tags_are_known_only_with_the_response() {
    for sweep in [false, true] {
        let rig = rig();
        let none = HeaderMap::new();
        let ticket = rig.lead(A);
        let Fetch::Join(mut before) = rig.cache.fetch(&key(A), &none, None) else { panic!("joins") };
        rig.purge(Selector::Tag("t".into()));
        if sweep {
            rig.cache.sweep();
        }
        // Nobody can know yet whether the response carries the tag: it joins, and is sent away when it does.
        let Fetch::Join(mut after) = rig.cache.fetch(&key(A), &none, None) else { panic!("joins") };
        let mut fill = ticket.respond(head(&[]), None, fresh(), &[b"t"]);
        fill.write("old".into());
        assert_eq!(fill.finish(), Admit::Skipped(Reason::PurgeFenced));
        assert!(matches!(now_or_never(|cx| before.poll_answer(cx)), Some(Answer::Head(_))));
        assert!(matches!(now_or_never(|cx| after.poll_answer(cx)), Some(Answer::Refetch(_))));

        let other = rig.lead(B);
        rig.purge(Selector::Tag("t".into()));
        rig.cache.sweep();
        let fill = other.respond(head(&[]), None, fresh(), &[b"u"]);
        assert_eq!(fill.finish(), Admit::Stored, "a response without the tag is stored");
        rig.check();
    }
}

#[test]
fn g6_fills_are_stored_under_a_stream_of_other_purges() {
    let rig = rig();
    let ticket = rig.lead(A);
    for n in 0..100 {
        rig.purge_url(&format!("http://h/d/other{n}"));
        rig.purge(Selector::Tag(format!("t{n}")));
        rig.purge(Selector::Pattern(format!("http://h/d/x{n}*")));
        rig.cache.sweep();
        rig.check();
    }
    assert_eq!(rig.cache.stats().low_water, 300);
    assert_eq!(rig.finish(ticket, "kept"), Admit::Stored);
    assert!(rig.hits(A));
}

#[test]
fn h26_a_sweep_leaves_what_is_newer_than_the_rule() {
    let rig = rig();
    rig.store(A, "old");
    rig.purge(Selector::Pattern("http://h/d/*".into()));
    rig.store(A, "new");
    rig.cache.sweep();
    assert_eq!(rig.body(A, &HeaderMap::new()).as_deref(), Some("new"));
    // And one that comes while the sweep is between its index and its table.
    rig.purge(Selector::Pattern("http://h/d/*".into()));
    let other = Rig { cache: rig.cache.clone(), clock: rig.clock.clone() };
    at("sweep:chunk", move || other.store(A, "newer"));
    rig.cache.sweep();
    assert_eq!(rig.body(A, &HeaderMap::new()).as_deref(), Some("newer"));
    rig.check();
}

// ===== G3: beats revalidations in flight (H4) =====

fn expired(rig: &Rig) -> Hit {
    rig.store(A, "old");
    rig.clock.advance(Duration::from_secs(61));
    match rig.look(A) {
        Lookup::MustValidate(hit, Reason::Expired) => hit,
        other => panic!("{other:?}"),
    }
}

#[test]
fn h4_a_304_that_answers_a_request_sent_before_the_purge_revives_nothing() {
    for action in [Action::Delete, Action::Invalidate, Action::Soft] {
        for sweep in [false, true] {
            let rig = rig();
            let base = expired(&rig);
            let Fetch::Lead(ticket) = rig.cache.fetch(&key(A), &HeaderMap::new(), Some(base)) else { panic!() };
            assert!(ticket.base().is_some());
            rig.cache.purge(&Purge::new(Selector::Url(A.into())).action(action)).unwrap();
            if sweep {
                rig.cache.sweep();
            }
            let (hit, admit) = ticket.not_modified(head(&[]), fresh(), &[]).unwrap();
            assert_eq!(hit.body_slice(), Some(b"old".as_slice()), "who asked before the purge gets it");
            assert_eq!(admit, Admit::Skipped(Reason::PurgeFenced));
            assert!(!rig.hits(A), "{action:?} sweep={sweep}");
            rig.check();
        }
    }
}

#[test]
fn h4_a_304_to_a_request_sent_after_an_invalidate_revives_the_body() {
    let rig = rig();
    rig.store(A, "kept");
    rig.cache.purge(&Purge::new(Selector::Url(A.into())).action(Action::Invalidate)).unwrap();
    let Lookup::MustValidate(base, Reason::PurgedInvalidate) = rig.look(A) else { panic!() };
    assert!(!base.may_serve_on_error());
    let Fetch::Lead(ticket) = rig.cache.fetch(&key(A), &HeaderMap::new(), Some(base)) else { panic!() };
    assert_eq!(ticket.not_modified(head(&[]), fresh(), &[]).unwrap().1, Admit::Stored);
    assert_eq!(rig.body(A, &HeaderMap::new()).as_deref(), Some("kept"));
    rig.cache.sweep();
    assert!(rig.hits(A), "the sweep of the older rule leaves the validated response alone");
    rig.check();
}

#[test]
fn h4_a_delete_leaves_no_validators_to_a_later_request() {
    for sweep in [false, true] {
        let rig = rig();
        let base = expired(&rig);
        rig.purge_url(A);
        if sweep {
            rig.cache.sweep();
        }
        let Fetch::Lead(ticket) = rig.cache.fetch(&key(A), &HeaderMap::new(), Some(base)) else { panic!() };
        assert!(ticket.base().is_none(), "a plain fetch");
    }
}

#[test]
fn h4_a_304_for_a_response_that_was_replaced_stores_nothing() {
    let rig = rig();
    let base = expired(&rig);
    let ticket = rig.cache.fetch_alone(&key(A), &HeaderMap::new(), Some(base));
    rig.finish(rig.cache.fetch_alone(&key(A), &HeaderMap::new(), None), "newer");
    assert_eq!(ticket.not_modified(head(&[]), fresh(), &[]).unwrap().1, Admit::Skipped(Reason::Superseded));
    assert_eq!(rig.body(A, &HeaderMap::new()).as_deref(), Some("newer"));
}

// ===== actions =====

#[test]
fn soft_expires_now_and_keeps_the_stale_windows() {
    let rig = rig();
    let mut windows = Freshness::fresh_for(Duration::from_secs(60));
    windows.stale_while_revalidate = Duration::from_secs(10);
    windows.stale_if_error = Duration::from_secs(20);
    rig.lead(A).respond(head(&[]), None, Some(windows), &[]).finish();
    rig.clock.advance(Duration::from_secs(5));
    rig.cache.purge(&Purge::new(Selector::Url(A.into())).action(Action::Soft)).unwrap();
    rig.clock.advance(Duration::from_secs(3));
    let Lookup::Stale(hit, Reason::PurgedSoft) = rig.look(A) else { panic!("stale") };
    // The age is the true one (H7); the time to live counts from the purge.
    assert_eq!((hit.age().as_secs(), hit.ttl()), (8, -3));
    rig.clock.advance(Duration::from_secs(8));
    let Lookup::MustValidate(hit, Reason::PurgedSoft) = rig.look(A) else { panic!("past the window") };
    assert!(hit.may_serve_on_error());
    rig.clock.advance(Duration::from_secs(10));
    let Lookup::MustValidate(hit, _) = rig.look(A) else { panic!() };
    assert!(!hit.may_serve_on_error());
}

#[test]
fn ages_count_from_the_head_however_long_the_body_takes() {
    let rig = rig();
    let fill = rig.lead(A).respond(head(&[]), None, fresh(), &[]);
    rig.clock.advance(Duration::from_secs(59));
    assert_eq!(fill.finish(), Admit::Stored);
    let Lookup::Hit(hit) = rig.look(A) else { panic!("fresh for another second") };
    assert_eq!((hit.age().as_secs(), hit.ttl()), (59, 1));
    rig.clock.advance(Duration::from_secs(1));
    assert!(!rig.hits(A));
}

#[test]
fn g9_a_softly_purged_object_is_not_fresh_again_when_the_clock_is_set_back() {
    let rig = rig();
    rig.store(A, "a");
    rig.clock.advance(Duration::from_secs(50));
    rig.cache.purge(&Purge::new(Selector::Url(A.into())).action(Action::Soft)).unwrap();
    rig.clock.set(1_000_000_000 + 40_000);
    assert!(matches!(rig.look(A), Lookup::MustValidate(_, Reason::PurgedSoft)));
}

#[test]
fn a_304_that_may_not_be_stored_is_not_shared() {
    let rig = rig();
    let base = expired(&rig);
    let none = HeaderMap::new();
    let Fetch::Lead(ticket) = rig.cache.fetch(&key(A), &none, Some(base.clone())) else { panic!() };
    let mut own = ticket.reader();
    let Fetch::Join(mut joined) = rig.cache.fetch(&key(A), &none, Some(base)) else { panic!() };
    ticket.not_modified(head(&[]), None, &[]);
    assert!(matches!(now_or_never(|cx| own.poll_answer(cx)), Some(Answer::Validated(_))));
    assert!(matches!(now_or_never(|cx| joined.poll_answer(cx)), Some(Answer::Refetch(Reason::Uncacheable))));
}

#[test]
fn g9_clock_steps_do_not_change_what_a_purge_took() {
    let rig = rig();
    rig.store(A, "old");
    rig.clock.set(1_000_000_000 - 3_600_000);
    rig.purge_url(A);
    assert!(!rig.hits(A));
    rig.store(A, "new");
    rig.clock.set(1_000_000_000 + 3_600_000);
    rig.purge_url(B);
    rig.clock.set(1_000_000_000 - 3_600_000);
    rig.cache.sweep();
    assert!(rig.hits(A));
}

// ===== G6, H8: variants =====

#[test]
fn h8_variants_are_kept_apart_and_purged_together() {
    let rig = rig();
    let (gzip, br) = (headers(&[("accept-encoding", "gzip")]), headers(&[("accept-encoding", "br")]));
    let vary = || head(&[("vary", "Accept-Encoding")]);
    rig.store_with(A, &gzip, vary(), &[], "gzip");
    rig.store_with(A, &br, vary(), &[], "br");
    assert_eq!(rig.body(A, &gzip).as_deref(), Some("gzip"));
    assert_eq!(rig.body(A, &br).as_deref(), Some("br"));
    assert!(matches!(rig.look(A), Lookup::Miss(Reason::VaryMiss)));
    let one = vec![("Accept-Encoding".to_owned(), "gzip".to_owned())];
    rig.purge(Selector::Variant { key: A.into(), headers: one });
    assert_eq!(rig.body(A, &gzip), None);
    assert_eq!(rig.body(A, &br).as_deref(), Some("br"));
    rig.store_with(A, &gzip, vary(), &[], "gzip");
    rig.cache.sweep();
    assert_eq!(rig.body(A, &br).as_deref(), Some("br"));
    rig.purge_url(A);
    assert_eq!((rig.body(A, &gzip), rig.body(A, &br)), (None, None));
    rig.cache.sweep();
    assert_eq!(rig.cache.stats().objects, 0);
    rig.check();
}

#[test]
fn h8_a_variation_is_purged_with_its_url_but_not_with_a_sibling() {
    let rig = rig();
    for v in ["http://h/p", "http://h/p@@c=1", "http://h/p@@c=2", "http://h/p?q"] {
        rig.store(v, "x");
    }
    rig.purge(Selector::Key("http://h/p@@c=1".into()));
    assert!(!rig.hits("http://h/p@@c=1") && rig.hits("http://h/p@@c=2") && rig.hits("http://h/p"));
    rig.purge_url("http://h/p");
    assert!(!rig.hits("http://h/p@@c=2") && !rig.hits("http://h/p") && rig.hits("http://h/p?q"));
    rig.cache.sweep();
    assert_eq!(rig.cache.stats().objects, 1);
    rig.check();
}

#[test]
fn h23_an_uncacheable_mark_lets_requests_through_until_it_is_purged() {
    let rig = rig();
    let none = HeaderMap::new();
    let ticket = rig.lead(A);
    let Fetch::Join(mut joined) = rig.cache.fetch(&key(A), &none, None) else { panic!() };
    let private = ticket.respond(head(&[]), None, None, &[]);
    assert!(matches!(now_or_never(|cx| joined.poll_answer(cx)), Some(Answer::Refetch(Reason::Uncacheable))));
    drop(private);
    let (first, second) = (rig.lead(A), rig.lead(A));
    drop((first, second));
    rig.purge_url(A);
    let _leads = rig.lead(A);
    assert!(matches!(rig.cache.fetch(&key(A), &none, None), Fetch::Join(_)), "collapsed again");
    rig.check();
}

// ===== fills =====

#[test]
fn a_whole_response_is_stored_in_one_step_and_fenced_alike() {
    let rig = rig();
    let freshness = Freshness::fresh_for(Duration::from_secs(60));
    let ticket = rig.lead(A);
    let Fetch::Join(mut joined) = rig.cache.fetch(&key(A), &HeaderMap::new(), None) else { panic!() };
    assert_eq!(ticket.store(head(&[]), "whole".into(), freshness.clone(), &[b"t"]), Admit::Stored);
    assert_eq!(rig.body(A, &HeaderMap::new()).as_deref(), Some("whole"));
    assert!(matches!(now_or_never(|cx| joined.poll_answer(cx)), Some(Answer::Head(_))));
    assert_eq!(now_or_never(|cx| joined.poll_chunk(cx)), Some(Some(Ok("whole".into()))));
    assert_eq!(now_or_never(|cx| joined.poll_chunk(cx)), Some(None));
    let ticket = rig.cache.fetch_alone(&key(A), &HeaderMap::new(), None);
    rig.purge(Selector::Tag("t".into()));
    rig.cache.sweep();
    assert_eq!(ticket.store(head(&[]), "old".into(), freshness, &[b"t"]), Admit::Skipped(Reason::PurgeFenced));
    assert!(!rig.hits(A));
    assert_eq!(rig.cache.stats().fills, 0);
    rig.check();
}

#[test]
fn a_broken_fill_stores_nothing_and_tells_its_readers() {
    let rig = rig();
    let ticket = rig.lead(A);
    let mut reader = ticket.reader();
    let mut fill = ticket.respond(head(&[]), None, fresh(), &[]);
    fill.write("half".into());
    drop(fill);
    assert!(matches!(now_or_never(|cx| reader.poll_chunk(cx)), Some(Some(Ok(_)))));
    assert_eq!(now_or_never(|cx| reader.poll_chunk(cx)), Some(Some(Err(FillBroken))));
    assert!(!rig.hits(A));
    assert_eq!(rig.cache.stats().fills, 0);
    assert_eq!(rig.cache.stats().fill_bytes, 0);
}

#[test]
fn a_fill_that_outgrows_the_cache_keeps_a_window() {
    let rig = sized(2 << 20);
    let ticket = rig.lead(A);
    let (mut fast, mut slow) = (ticket.reader(), ticket.reader());
    let mut fill = ticket.respond(head(&[]), None, fresh(), &[]);
    let chunk = bytes::Bytes::from(vec![7_u8; 64 << 10]);
    let mut written = 0;
    while now_or_never(|cx| fill.poll_ready(cx)).is_some() && written < 100 {
        fill.write(chunk.clone());
        assert!(matches!(now_or_never(|cx| fast.poll_chunk(cx)), Some(Some(Ok(_)))));
        written += 1;
    }
    assert!(written < 100, "the slow reader holds the writer back");
    fill.cut_laggards();
    assert!(now_or_never(|cx| fill.poll_ready(cx)).is_some());
    assert_eq!(now_or_never(|cx| slow.poll_chunk(cx)), Some(Some(Err(FillBroken))));
    assert!(matches!(fill.finish(), Admit::Skipped(Reason::TooLarge | Reason::NoRoom)));
    assert_eq!(now_or_never(|cx| fast.poll_chunk(cx)), Some(None));
    rig.check();
}

// ===== the tier =====

#[test]
fn capacity_is_kept_at_every_moment() {
    let rig = sized(4 << 20);
    let body = bytes::Bytes::from(vec![1_u8; 3000]);
    for n in 0..20_000_u32 {
        let url = format!("http://h{}/d{}/{n}", n % 7, n % 100);
        let size = 100 + (n as usize * 37) % 2900;
        let mut fill = rig.lead(&url).respond(head(&[]), None, fresh(), &[b"t"]);
        fill.write(body.slice(..size));
        fill.finish();
        let stats = rig.cache.stats();
        assert!(stats.bytes <= stats.capacity + stats.capacity / 50, "{stats:?}");
        if n % 1000 == 0 {
            rig.check();
        }
    }
    assert!(rig.cache.stats().objects > 1000);
    rig.purge(Selector::All);
    rig.cache.sweep();
    rig.check();
    assert_eq!(rig.cache.stats().objects, 0);
    assert_eq!(rig.cache.stats().pinned_bytes, 0);
}

#[test]
fn large_bodies_are_kept_in_chunks() {
    let rig = rig();
    let mut fill = rig.lead(A).respond(head(&[]), None, fresh(), &[]);
    for n in 0..50_u8 {
        fill.write(vec![n; 10_000].into());
    }
    assert_eq!(fill.finish(), Admit::Stored);
    let Lookup::Hit(hit) = rig.look(A) else { panic!() };
    assert_eq!(hit.body_len(), 500_000);
    assert_eq!(hit.body().collect::<Vec<_>>().concat()[499_999], 49);
    rig.purge_url(A);
    rig.cache.sweep();
    assert!(rig.cache.stats().pinned_bytes > 500_000, "a reader holds it");
    drop(hit);
    assert_eq!(rig.cache.stats().pinned_bytes, 0);
}

#[test]
fn many_threads_may_use_a_cache_and_drop_it() {
    let cache = crate::Config::new().edge_size(16 << 20).build().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..64 {
            let cache = cache.clone();
            scope.spawn(move || {
                for n in 0..200 {
                    let url = key(&format!("http://h/{}/{}", thread % 8, n % 20));
                    let none = HeaderMap::new();
                    if let Lookup::Miss(_) = cache.lookup(&url, &none)
                        && let Fetch::Lead(ticket) = cache.fetch(&url, &none, None)
                    {
                        ticket.respond(head(&[]), None, fresh(), &[]).finish();
                    }
                    if n % 50 == 0 {
                        cache.purge(&Purge::new(Selector::Pattern(format!("http://h/{}/*", thread % 8)))).unwrap();
                    }
                }
            });
        }
    });
    cache.sweep();
    cache.validate().unwrap();
    let engine = Arc::downgrade(&cache.engine);
    drop(cache);
    assert!(engine.upgrade().is_none(), "the sweeper has ended and everything is freed");
}

// ===== G7, G10: bounded, accounted =====

#[test]
fn g7_live_rules_are_capped_but_a_host_or_everything_can_always_be_purged() {
    let clock = Arc::new(ManualClock::new(0));
    let cache = crate::Config::new().max_rules(2).max_batch(3).background_sweep(false).clock(clock).build().unwrap();
    let url = |n: u32| Selector::Url(format!("http://h/{n}"));
    cache.purge(&Purge::batch(vec![url(1), url(2)])).unwrap();
    let refused = cache.purge(&Purge::new(url(3))).unwrap_err();
    assert_eq!(refused.limit(), Some(("max_rules", 2)));
    cache.purge(&Purge::new(Selector::Host("h".into()))).unwrap();
    cache.purge(&Purge::new(Selector::All)).unwrap();
    cache.sweep();
    cache.purge(&Purge::new(url(3))).unwrap();
    let long = cache.purge(&Purge::batch((0..4).map(url).collect())).unwrap_err();
    assert_eq!(long.limit(), Some(("max_batch", 3)));
    assert!(cache.purge(&Purge::batch(vec![])).is_err());
    assert_eq!(cache.stats().seq, 5, "a refused purge takes no number");
}

#[test]
fn g7_swept_rules_are_freed() {
    let rig = rig();
    for n in 0..1000 {
        rig.purge_url(&format!("http://h/{n}"));
        assert!(rig.cache.stats().live_rules <= 1);
        rig.cache.sweep();
    }
    let stats = rig.cache.stats();
    assert_eq!((stats.seq, stats.low_water, stats.live_rules), (1000, 1000, 0));
}

#[test]
fn g10_every_object_is_counted_once_whoever_ends_it() {
    let rig = rig();
    rig.store(A, "a");
    rig.store(B, "b");
    let purged = rig.purge(Selector::Pattern("http://h/d/*".into()));
    assert!(!rig.hits(A));
    rig.cache.sweep();
    let record = rig.cache.purge_record(purged.id).unwrap();
    assert_eq!(record.edge.objects, 2);
    assert!(record.edge.bytes > 0);
    assert_eq!(rig.cache.purge_records(None, 10).len(), 1);
}

#[test]
fn explain_and_objects_tell_without_changing() {
    let rig = rig();
    rig.store(A, "a");
    rig.store(B, "b");
    rig.store("http://h/d/e/c", "c");
    let explain = |s: Selector| rig.cache.explain(&Purge::new(s), Duration::from_secs(9)).unwrap();
    assert_eq!(explain(Selector::Pattern("http://h/d/*".into())).edge.objects, 2);
    assert_eq!(explain(Selector::Pattern("http://h/d/**".into())).edge.objects, 3);
    assert_eq!(explain(Selector::Host("h".into())).edge.objects, 3);
    assert_eq!(explain(Selector::Url(A.into())).sample, [A]);
    let listed = rig.cache.objects(&Selector::Url(A.into())).unwrap();
    assert_eq!((listed.len(), listed[0].verdict.as_str(), listed[0].mark), (1, "hit", "none"));
    rig.purge_url(A);
    let listed = rig.cache.objects(&Selector::Url(A.into())).unwrap();
    assert!(listed.is_empty() || listed[0].mark == "dead");
    assert!(rig.hits(B));
}
