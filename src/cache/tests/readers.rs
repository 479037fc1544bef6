//! What a second look at the fills found, each as it was found: races with readers, bytes that somebody still holds, bounds.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::task::Wake;

use bytes::Bytes;

use super::*;

fn store_tagged(rig: &Rig, url: &str, body: Bytes, tags: &[&[u8]]) -> Admit {
    let mut fill = rig.lead(url).respond(head(&[]), None, fresh(), tags);
    fill.write(body);
    fill.finish()
}

struct Inline(Mutex<Option<FillReader>>, AtomicBool);
impl Wake for Inline {
    fn wake(self: Arc<Self>) {
        // An executor that is shut down drops the task, and its reader with it, when it is woken.
        drop(self.0.lock().take());
        self.1.store(true, SeqCst);
    }
}

#[test]
fn g3_a_304_with_other_tags_does_not_revive_what_a_purge_of_the_old_tags_took() {
    for action in [Action::Delete, Action::Invalidate, Action::Soft] {
        for sweep in [false, true] {
            let rig = rig();
            store_tagged(&rig, A, "old".into(), &[b"v1"]);
            rig.clock.advance(Duration::from_secs(61));
            let Lookup::MustValidate(base, _) = rig.cache.lookup(&key(A), &HeaderMap::new()) else { panic!() };
            let Fetch::Lead(ticket) = rig.cache.fetch(&key(A), &HeaderMap::new(), Some(base)) else { panic!() };
            rig.cache.purge(&Purge::new(Selector::Tag("v1".into())).action(action)).unwrap();
            if sweep {
                rig.cache.sweep();
            }
            let Fetch::Join(mut after) = rig.cache.fetch(&key(A), &HeaderMap::new(), None) else { continue };
            let (_, admit) = ticket.not_modified(head(&[]), fresh(), &[b"v2"]).unwrap();
            assert!(!rig.hits(A), "{action:?} sweep={sweep}: {admit:?}");
            let answer = now_or_never(|cx| after.poll_answer(cx));
            assert!(matches!(answer, Some(Answer::Refetch(_))), "{action:?} sweep={sweep}: {answer:?}");
        }
    }
}

#[test]
fn what_the_slow_reader_of_a_fill_holds_stays_charged_when_the_fill_is_refused() {
    let clock = Arc::new(ManualClock::new(1_000_000_000));
    let cache = crate::Config::new()
        .edge_size(64 << 20)
        .max_object(8 << 20)
        .shards(1)
        .background_sweep(false)
        .clock(clock)
        .build()
        .unwrap();
    let ticket = cache.fetch_alone(&key(A), &HeaderMap::new(), None);
    let slow = ticket.reader();
    let mut fill = ticket.respond(head(&[]), None, fresh(), &[]);
    while fill.refused().is_none() {
        assert!(now_or_never(|cx| fill.poll_ready(cx)).is_some());
        fill.write(vec![7; 64 << 10].into());
    }
    let bytes = cache.stats().bytes;
    assert!(bytes > 8 << 20, "8 MiB are held for the slow reader, {bytes} bytes are charged");
    drop((slow, fill));
    assert!(cache.stats().bytes < 1 << 20, "{:?}", cache.stats());
}

#[test]
fn what_the_slow_reader_of_a_finished_fill_holds_stays_charged() {
    for chunk in [64 << 10, 1 << 10] {
        let rig = rig();
        let ticket = rig.lead(A);
        let slow = ticket.reader();
        let mut fill = ticket.respond(head(&[]), None, fresh(), &[]);
        (0..(8 << 20) / chunk).for_each(|_| fill.write(vec![7; chunk].into()));
        assert_eq!(fill.finish(), Admit::Stored);
        rig.purge(Selector::All);
        rig.cache.sweep();
        let bytes = rig.cache.stats().bytes;
        assert!(bytes > 8 << 20, "8 MiB are held for the slow reader, {bytes} bytes are charged (chunks of {chunk})");
        drop(slow);
        assert!(rig.cache.stats().bytes < 1 << 20, "{:?}", rig.cache.stats());
    }
}

#[test]
fn a_body_keeps_its_bytes_charged_when_its_hit_is_gone() {
    let rig = rig();
    store_tagged(&rig, A, vec![1; 500_000].into(), &[]);
    let Lookup::Hit(hit) = rig.cache.lookup(&key(A), &HeaderMap::new()) else { panic!() };
    let body: Vec<_> = hit.body().collect();
    drop(hit);
    rig.purge(Selector::All);
    rig.cache.sweep();
    let held = rig.cache.stats().bytes;
    assert!(held > 500_000, "a reader holds {} bytes, {held} are charged", body[0].len());
}

#[test]
fn many_request_fields_in_a_variant_selector_are_refused() {
    let rig = rig();
    let headers = (0..40_000).map(|n| (format!("x-{n}"), String::new())).collect();
    assert!(rig.cache.purge(&Purge::new(Selector::Variant { key: A.into(), headers })).is_err());
}

#[test]
fn any_time_budget_will_do() {
    rig().cache.explain(&Purge::new(Selector::All), Duration::MAX).unwrap();
}

#[test]
fn a_waker_may_drop_the_reader() {
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || {
        let rig = rig();
        let ticket = rig.lead(A);
        let mut reader = ticket.reader();
        let task = Arc::new(Inline(Mutex::new(None), AtomicBool::new(false)));
        let waker = Waker::from(task.clone());
        assert!(reader.poll_answer(&mut Context::from_waker(&waker)).is_pending());
        *task.0.lock() = Some(reader);
        ticket.respond(head(&[]), None, fresh(), &[]).finish();
        done.send(task.1.load(SeqCst)).unwrap();
    });
    assert_eq!(finished.recv_timeout(Duration::from_secs(5)), Ok(true), "deadlock");
}

#[test]
fn polling_again_does_not_add_wakers() {
    struct Count(AtomicU64);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    let rig = rig();
    let ticket = rig.lead(A);
    let mut reader = ticket.reader();
    let count = Arc::new(Count(AtomicU64::new(0)));
    let waker = Waker::from(count.clone());
    for _ in 0..1000 {
        assert!(reader.poll_answer(&mut Context::from_waker(&waker)).is_pending());
    }
    assert!(Arc::strong_count(&count) <= 4, "{} wakers are kept for one reader", Arc::strong_count(&count) - 2);
    drop(ticket);
}

#[test]
fn a_304_that_was_fenced_lends_no_validators() {
    let rig = rig();
    store_tagged(&rig, A, "old".into(), &[]);
    rig.clock.advance(Duration::from_secs(61));
    let Lookup::MustValidate(base, _) = rig.cache.lookup(&key(A), &HeaderMap::new()) else { panic!() };
    let ticket = rig.cache.fetch_alone(&key(A), &HeaderMap::new(), Some(base));
    rig.purge(Selector::Url(A.into()));
    rig.cache.sweep();
    let (hit, admit) = ticket.not_modified(head(&[]), fresh(), &[]).unwrap();
    assert_eq!(admit, Admit::Skipped(Reason::PurgeFenced));
    let again = rig.cache.fetch_alone(&key(A), &HeaderMap::new(), Some(hit));
    assert!(again.base().is_none(), "a delete took it");
}

#[test]
fn shards_share_evictions() {
    let rig = sharded(8 << 20, 8);
    for n in 0..60_000 {
        store_tagged(&rig, &format!("http://h/{}/{n}", n % 9973), vec![1; 500].into(), &[]);
    }
    let lens: Vec<usize> = rig.cache.engine.edge.shards().iter().map(|s| s.table.read().len()).collect();
    let mean = lens[1..].iter().sum::<usize>() / 7;
    assert!(lens[0] * 2 > mean, "{lens:?}");
}

#[test]
fn one_eviction_does_not_walk_all_objects_under_the_lock() {
    let rig = rig();
    for n in 0..5000 {
        let url = format!("http://h/d/{n}");
        store_tagged(&rig, &url, Bytes::new(), &[]);
        (0..3).for_each(|_| assert!(rig.hits(&url)));
    }
    let edge = &rig.cache.engine.edge;
    edge.shards()[0].table.write().victim().unwrap();
    let moved = edge.shards()[0].table.read().iter().filter(|e| e.in_main()).count();
    assert!(moved <= 256, "{moved} entries moved in one hold of the lock");
}

#[test]
fn a_reader_does_not_free_the_retired_rules() {
    let rig = rig();
    rig.purge(Selector::Url(A.into()));
    let record = rig.cache.engine.history.of_rule(1).unwrap();
    let snapshot = rig.cache.engine.rules.load();
    rig.cache.sweep();
    let before = Arc::strong_count(&record);
    drop(snapshot);
    assert_eq!(Arc::strong_count(&record), before, "the lookup that held the snapshot freed its rules");
    rig.cache.sweep();
    assert!(Arc::strong_count(&record) < before);
}

#[test]
fn a_304_for_a_large_object_does_not_empty_the_cache() {
    let rig = sized(8 << 20);
    store_tagged(&rig, A, vec![1; 5 << 20].into(), &[]);
    for n in 0..100 {
        assert_eq!(store_tagged(&rig, &format!("http://h/d/{n}"), vec![1; 1000].into(), &[]), Admit::Stored);
    }
    rig.clock.advance(Duration::from_secs(61));
    let Lookup::MustValidate(base, _) = rig.cache.lookup(&key(A), &HeaderMap::new()) else { panic!() };
    let ticket = rig.cache.fetch_alone(&key(A), &HeaderMap::new(), Some(base));
    let (_, admit) = ticket.not_modified(head(&[]), fresh(), &[]).unwrap();
    assert_eq!((admit, rig.cache.stats().objects), (Admit::Stored, 101));
}

#[test]
fn a_mark_beside_an_expired_object() {
    let rig = rig();
    store_tagged(&rig, A, "old".into(), &[]);
    rig.clock.advance(Duration::from_secs(61));
    drop(rig.lead(A).respond(head(&[]), None, None, &[]));
    let _one = rig.lead(A);
    assert!(
        matches!(rig.cache.fetch(&key(A), &HeaderMap::new(), None), Fetch::Lead(_)),
        "queues behind a private response"
    );
}

#[test]
fn a_fill_that_waits_keeps_only_the_rules_it_owes_an_answer() {
    let rig = rig();
    let waits = rig.lead(A);
    rig.purge(Selector::Regex("http://other/x{50}(a|b){50}y$".into()));
    rig.purge(Selector::Tag("t".into()));
    rig.cache.sweep();
    rig.cache.sweep();
    let record = rig.cache.engine.history.of_rule(1).unwrap();
    assert_eq!(
        Arc::strong_count(&record),
        2,
        "besides the history's, a rule that no fill can owe an answer to is held"
    );
    drop(waits);
}

#[test]
fn a_waker_that_is_replaced_may_drop_a_reader() {
    struct Holds(#[expect(dead_code, reason = "dropped with the waker")] FillReader);
    impl Wake for Holds {
        fn wake(self: Arc<Self>) {}
    }
    let (done, finished) = mpsc::channel();
    std::thread::spawn(move || {
        let rig = rig();
        let ticket = rig.lead(A);
        let mut reader = ticket.reader();
        let first = Waker::from(Arc::new(Holds(ticket.reader())));
        assert!(reader.poll_answer(&mut Context::from_waker(&first)).is_pending());
        drop(first);
        assert!(reader.poll_answer(&mut Context::from_waker(Waker::noop())).is_pending());
        done.send(()).unwrap();
    });
    assert!(finished.recv_timeout(Duration::from_secs(5)).is_ok(), "deadlock");
}

#[test]
fn an_unsafe_method_ends_its_url_and_fences_fills() {
    let rig = rig();
    for url in ["http://h/a", "http://h/a@@v=1", "http://h/ab"] {
        rig.store(url, "old");
    }
    let fill = rig.lead("http://h/a@@v=2");
    let other = rig.lead("http://h/ac");
    assert_eq!(rig.cache.end_url(&key("http://h/a@@any")), 2);
    assert!(!rig.hits("http://h/a") && !rig.hits("http://h/a@@v=1") && rig.hits("http://h/ab"));
    assert!(matches!(rig.cache.fetch(&key("http://h/a@@v=2"), &HeaderMap::new(), None), Fetch::Lead(_)));
    assert_eq!(rig.finish(fill, "old"), Admit::Skipped(Reason::PurgeFenced));
    assert_eq!(rig.finish(other, "other"), Admit::Stored);
    assert_eq!(rig.cache.stats().live_rules, 0);
    rig.cache.validate().unwrap();
}

/// A reader joins what streams, and nothing that a purge took (H3).
#[test]
fn what_streams_is_joined_until_a_purge_takes_it() {
    let rig = rig();
    let none = HeaderMap::new();
    let ticket = rig.cache.fetch_alone(&key(A), &none, None);
    assert!(rig.cache.join(&key(A), &none).is_none(), "no head yet");
    let ticket = ticket.reopen(&headers(&[("x", "1")]));
    assert!(rig.cache.join(&key(A), &headers(&[("x", "1")])).is_none(), "no head yet");
    let fresh = Some(Freshness::fresh_for(Duration::from_secs(60)));
    let mut fill = ticket.respond(head(&[("vary", "x")]), None, fresh, &[b"t"]);
    assert!(rig.cache.join(&key(A), &none).is_none(), "another variant");
    let mut reader = rig.cache.join(&key(A), &headers(&[("x", "1")])).unwrap();
    fill.write("a".into());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(matches!(reader.poll_answer(&mut cx), Poll::Ready(Answer::Head(_))));
    assert!(matches!(reader.poll_chunk(&mut cx), Poll::Ready(Some(Ok(chunk))) if chunk == "a"));
    rig.cache.purge(&Purge::new(Selector::Tag("t".into()))).unwrap();
    assert!(rig.cache.join(&key(A), &headers(&[("x", "1")])).is_none(), "taken");
    assert_eq!(fill.finish(), Admit::Skipped(Reason::PurgeFenced));
    rig.cache.validate().unwrap();
}

/// What is reopened is stored for the fields it was reopened with, and still answers to the rules that came before (H1).
#[test]
fn a_reopened_fill_keeps_its_stamp() {
    for selector in [Selector::Tag("t".into()), Selector::Url(A.into()), Selector::Tag("other".into())] {
        let rig = rig();
        let ticket = rig.cache.fetch_alone(&key(A), &headers(&[("x", "1")]), None);
        let kept = selector == Selector::Tag("other".into());
        rig.cache.purge(&Purge::new(selector)).unwrap();
        rig.cache.sweep();
        let ticket = ticket.reopen(&headers(&[("x", "2")]));
        let fresh = Freshness::fresh_for(Duration::from_secs(60));
        let admit = ticket.store(head(&[("vary", "x")]), "a".into(), fresh, &[b"t"]);
        assert_eq!(admit == Admit::Stored, kept);
        assert_eq!(matches!(rig.cache.lookup(&key(A), &headers(&[("x", "2")])), Lookup::Hit(_)), kept);
        assert!(matches!(rig.cache.lookup(&key(A), &headers(&[("x", "1")])), Lookup::Miss(_)));
        rig.cache.validate().unwrap();
    }
}

/// A ticket since a moment is fenced by every purge after it, and by any that is retired meanwhile (H1, I2).
#[test]
fn a_ticket_since_a_moment_answers_for_the_time_between() {
    for (url, swept, stored) in [(A, false, false), (B, false, true), (A, true, false), (B, true, false)] {
        let rig = rig();
        let before = rig.cache.stamp();
        rig.cache.purge(&Purge::new(Selector::Url(url.into()))).unwrap();
        if swept {
            rig.cache.sweep();
        }
        let ticket = rig.cache.fetch_alone_since(&key(A), &HeaderMap::new(), None, before);
        rig.cache.validate().unwrap();
        let fresh = Freshness::fresh_for(Duration::from_secs(60));
        assert_eq!(ticket.store(head(&[]), "a".into(), fresh, &[]) == Admit::Stored, stored);
    }
}
