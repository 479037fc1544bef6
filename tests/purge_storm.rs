//! 1,000 purges a second of anything, retired as they are swept, while the origin takes 50 ms: fills are still stored, and what was not purged
//! is hit as often as without purges. In virtual time, so that it is the same every time.

#![allow(clippy::unwrap_used, reason = "a failure here is the test's")]

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use oust::clock::ManualClock;
use oust::freshness::Freshness;
use oust::{Action, Admit, Config, Fetch, FillTicket, Head, Key, Lookup, Purge, Selector};

const ORIGIN_MS: u64 = 50;
const REQUESTS_PER_MS: u64 = 20;
const KEYS: u64 = 5000;
const MILLISECONDS: u64 = 4000;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A purge of any kind that takes none of the requested keys, though it names their host, their directories or their tags' neighbours.
fn other(random: &mut Random) -> Purge {
    let n = random.below(1 << 20);
    let d = random.below(50);
    let selector = match random.below(10) {
        0 => Selector::Url(format!("http://h/d{d}/gone{n}")),
        1 => Selector::Key(format!("http://h/d{d}/k{n}@@device=mobile")),
        2 => Selector::Pattern(format!("http://h/d{d}/gone{n}/**")),
        3 => Selector::Pattern(format!("http://h/d{d}/*.gone{n}")),
        4 => Selector::Pattern(format!("http://h/d{d}/gone{n}*")),
        5 => Selector::Glob(format!("http://h/*gone{n}")),
        6 => Selector::Regex(format!("http://h/d{d}/gone[0-9]+{n}$")),
        7 => Selector::Host(format!("h{n}")),
        8 => Selector::Tag(format!("gone{n}")),
        _ => Selector::Variant { key: format!("http://h/gone{n}"), headers: vec![("accept".into(), "x".into())] },
    };
    let action = [Action::Delete, Action::Invalidate, Action::Soft][random.below(3) as usize];
    Purge::new(selector).action(action)
}

/// Hit ratio and stored share of fills.
fn run(purges: bool) -> (f64, f64) {
    let clock = Arc::new(ManualClock::new(1 << 40));
    let config = Config::new().edge_size(64 << 20).background_sweep(false).clock(clock.clone());
    let cache = config.build().unwrap();
    let none = HeaderMap::new();
    let mut random = Random(1);
    let mut purge_random = Random(2);
    let mut in_flight: VecDeque<(u64, FillTicket)> = VecDeque::new();
    let (mut hits, mut asked, mut stored, mut filled) = (0, 0, 0, 0);
    for now in 0..MILLISECONDS {
        clock.advance(Duration::from_millis(1));
        while in_flight.front().is_some_and(|(due, _)| *due <= now) {
            let (_, ticket) = in_flight.pop_front().unwrap();
            let head = Head::new(StatusCode::OK, HeaderMap::new());
            let fresh = Freshness::fresh_for(Duration::from_secs(2));
            filled += 1;
            stored += u64::from(ticket.respond(head, None, Some(fresh), &[b"site", b"gone"]).finish() == Admit::Stored);
        }
        for _ in 0..REQUESTS_PER_MS {
            // Squared: some keys are much hotter than others.
            let at = random.below(KEYS) * random.below(KEYS) / KEYS;
            let key = Key::parse(format!("http://h/d{}/k{at}", at % 50).as_bytes()).unwrap();
            asked += 1;
            match cache.lookup(&key, &none) {
                Lookup::Hit(_) => hits += 1,
                Lookup::MustValidate(..) | Lookup::Miss(_) => {
                    if let Fetch::Lead(ticket) = cache.fetch(&key, &none, None) {
                        in_flight.push_back((now + ORIGIN_MS, ticket));
                    }
                }
                other => panic!("{other:?}"),
            }
        }
        if purges {
            cache.purge(&other(&mut purge_random)).unwrap();
            cache.sweep();
            assert!(cache.stats().live_rules == 0, "retired as they are swept");
        }
    }
    (hits as f64 / asked as f64, stored as f64 / filled as f64)
}

#[test]
fn fills_are_stored_and_hits_stay_hits_under_a_storm_of_purges() {
    let (calm, calm_stored) = run(false);
    let (storm, storm_stored) = run(true);
    assert!(calm > 0.5 && calm_stored == 1.0, "the rig works: {calm} {calm_stored}");
    assert!(storm_stored == 1.0, "{storm_stored} of the fills are stored under purges");
    assert!((calm - storm).abs() < 0.01, "hit ratio {storm} under purges, {calm} without");
}
