//! Differences between engine and specification that the targets found and that are not settled, each with nothing but the public
//! interface. `cargo test --no-default-features --test open -- --ignored`. When one is settled it moves to the engine's own tests.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use oust::clock::ManualClock;
use oust::freshness::Freshness;
use oust::{Action, Cache, Config, Fetch, Head, Key, Lookup, Purge, Selector};

fn setup() -> (Cache, Arc<ManualClock>, Key) {
    let clock = Arc::new(ManualClock::new(1_000_000_000));
    let cache = Config::new().background_sweep(false).clock(clock.clone()).build().expect("a cache");
    (cache, clock, Key::parse(b"http://h/a").expect("a key"))
}

fn head() -> Head {
    let mut headers = HeaderMap::new();
    headers.insert("etag", http::HeaderValue::from_static("\"1\""));
    Head::new(StatusCode::OK, headers)
}

fn promise(seconds: u64) -> Freshness {
    let mut freshness = Freshness::fresh_for(Duration::from_secs(seconds));
    freshness.stale_while_revalidate = Duration::from_secs(1000);
    freshness
}

#[test]
#[ignore = "open: the age of a response counts from the end of its body, not from when it was received (RFC 9111 4.2.3)"]
fn a_slow_body_does_not_stay_fresh_for_longer() {
    let (cache, clock, key) = setup();
    let none = HeaderMap::new();
    let writer = cache.fetch_alone(&key, &none, None).respond(head(), None, Some(promise(3)), &[]);
    clock.advance(Duration::from_secs(50));
    let _ = writer.finish();
    let found = cache.lookup(&key, &none);
    assert!(matches!(found, Lookup::Stale(..)), "50 s after it was received, fresh for 3 s: {found:?}");
}

#[test]
#[ignore = "open: after a soft purge a backward step of the clock makes the object fresh again (G1, G9, H13)"]
fn a_soft_purge_does_not_depend_on_the_clock() {
    let (cache, clock, key) = setup();
    let none = HeaderMap::new();
    let _ = cache.fetch_alone(&key, &none, None).respond(head(), None, Some(promise(3600)), &[]).finish();
    clock.advance(Duration::from_secs(50));
    let purge = Purge::new(Selector::Url("http://h/a".into())).action(Action::Soft);
    cache.purge(&purge).expect("accepted");
    clock.set(1_000_000_000 + 40_000);
    let found = cache.lookup(&key, &none);
    assert!(!matches!(found, Lookup::Hit(_)), "softly purged, yet fresh: {found:?}");
}

#[test]
#[ignore = "open: a 304 that makes the response not storable is shared with readers that joined (design: only if it may be stored)"]
fn a_304_that_may_not_be_stored_is_not_shared() {
    let (cache, clock, key) = setup();
    let none = HeaderMap::new();
    let _ = cache.fetch_alone(&key, &none, None).respond(head(), None, Some(promise(3)), &[]).finish();
    clock.advance(Duration::from_secs(10));
    let Lookup::Stale(hit, _) = cache.lookup(&key, &none) else { panic!("not stale") };
    let Fetch::Lead(ticket) = cache.fetch(&key, &none, Some(hit.clone())) else { panic!("not the leader") };
    let Fetch::Join(mut reader) = cache.fetch(&key, &none, Some(hit)) else { panic!("did not join") };
    let _ = ticket.not_modified(head(), None, &[]);
    let answer = reader.poll_answer(&mut Context::from_waker(Waker::noop()));
    let shown = format!("{answer:?}");
    assert!(shown.contains("Refetch"), "shared what may not be stored: {shown}");
}
