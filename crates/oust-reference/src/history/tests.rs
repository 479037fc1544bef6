//! Histories made by hand: for each clause one that violates it, and one beside it that does not.

use super::{Clause, Event, Fetch, History, Outcome, Purge, Request, Stop, Time};
use crate::model::Act;
use crate::selector::Selector;

const URL: &str = "http://h.test/d/a.jpg";
const SECOND: Time = 1_000_000;

/// A cache with a second tier, unless told otherwise.
fn cache(events: Vec<Event>) -> History {
    History { l2: true, vary: "x-kind".to_owned(), quiet: true, events }
}

/// A whole response of 160 bytes that took from `start` to `end`.
fn fetch(id: u64, start: Time, end: Time) -> Fetch {
    Fetch {
        id,
        asked_by: None,
        url: URL.to_owned(),
        variation: String::new(),
        variant: String::new(),
        tags: vec!["t".to_owned()],
        start,
        end: Some(end),
        status: 200,
        outcome: Outcome::Whole,
        length: 160,
        storable: true,
        while_revalidate: 0,
        if_error: 0,
        base: None,
    }
}

fn validation(id: u64, base: u64, start: Time, end: Time) -> Fetch {
    Fetch { status: 304, outcome: Outcome::NotModified(base), length: 0, base: Some(base), ..fetch(id, start, end) }
}

fn failure(id: u64, start: Time, end: Time) -> Fetch {
    Fetch { status: 0, outcome: Outcome::Failed, length: 0, ..fetch(id, start, end) }
}

/// A hit that took ten microseconds.
fn get(id: u64, start: Time, body: u64, exchange: u64) -> Request {
    Request {
        id,
        method: "GET".to_owned(),
        url: URL.to_owned(),
        variation: String::new(),
        variant: String::new(),
        peer: false,
        start,
        end: start + 10,
        status: 200,
        body: Some(body),
        exchange: Some(exchange),
        parts: vec![body],
        from: 0,
        bytes: 160,
        whole: true,
        hit: true,
        stale: false,
    }
}

fn error(id: u64, start: Time, status: u16) -> Request {
    Request { status, body: None, exchange: None, parts: Vec::new(), bytes: 0, hit: false, ..get(id, start, 0, 0) }
}

/// Of both tiers, acknowledged after ten microseconds.
fn purge(start: Time, act: Act) -> Purge {
    Purge {
        id: start,
        selectors: vec![Selector::Url(URL.into())],
        act,
        edge: true,
        l2: true,
        start,
        ack: Some(start + 10),
        durable: true,
    }
}

fn of(start: Time, act: Act, edge: bool, l2: bool) -> Purge {
    Purge { edge, l2, ..purge(start, act) }
}

fn stop(start: Time) -> Event {
    Event::Stop(Stop { start, end: start + 20, kill: true })
}

impl From<Fetch> for Event {
    fn from(fetch: Fetch) -> Self {
        Self::Fetch(fetch)
    }
}

impl From<Request> for Event {
    fn from(request: Request) -> Self {
        Self::Request(request)
    }
}

impl From<Purge> for Event {
    fn from(purge: Purge) -> Self {
        Self::Purge(purge)
    }
}

macro_rules! events {
    ($($event:expr),* $(,)?) => { vec![$(Event::from($event)),*] };
}

/// Exactly this clause is violated, and the explanation names what it is about. A file says the same.
#[track_caller]
fn bad(history: &History, clause: Clause) {
    let (violations, _) = history.check();
    let clauses: Vec<_> = violations.iter().map(|violation| violation.clause).collect();
    assert_eq!(clauses, [clause]);
    let told = violations[0].to_string();
    assert!(told.contains(clause.says()) && told.contains("request"), "{told}");
    for fetch in &violations[0].fetches {
        assert!(told.contains(&format!("fetch {} reaches the origin", fetch.id)), "{told}");
    }
    for purge in &violations[0].purges {
        assert!(told.contains(&format!("purge {} is acknowledged", purge.id)), "{told}");
    }
    assert_eq!(History::from_text(&history.to_text()).as_ref(), Ok(history));
}

#[track_caller]
fn good(history: &History) {
    let (violations, _) = history.check();
    assert!(violations.is_empty(), "{}", violations[0]);
    assert_eq!(History::from_text(&history.to_text()).as_ref(), Ok(history));
}

#[test]
fn g1_a_deleted_body_is_not_served() {
    bad(&cache(events![fetch(1, 10, 20), purge(100, Act::Delete), get(9, 111, 1, 1)]), Clause::Deleted);
    // A request that overlaps the purge, a fetch that does, a purge that was not acknowledged.
    good(&cache(events![fetch(1, 10, 20), purge(100, Act::Delete), get(9, 110, 1, 1)]));
    good(&cache(events![fetch(1, 100, 120), purge(100, Act::Delete), get(9, 130, 1, 1)]));
    let refused = Purge { ack: None, ..purge(100, Act::Delete) };
    good(&cache(events![fetch(1, 10, 20), refused, get(9, 130, 1, 1)]));
}

#[test]
fn g1_neither_by_head_nor_by_a_range_nor_by_a_304() {
    let answers = [
        Request { method: "HEAD".to_owned(), parts: Vec::new(), bytes: 0, ..get(9, 200, 1, 1) },
        Request { status: 206, from: 16, bytes: 32, ..get(9, 200, 1, 1) },
        Request { status: 304, parts: Vec::new(), bytes: 0, ..get(9, 200, 1, 1) },
    ];
    for answer in answers {
        good(&cache(events![fetch(1, 10, 20), answer.clone()]));
        bad(&cache(events![fetch(1, 10, 20), purge(100, Act::Delete), answer]), Clause::Deleted);
    }
}

#[test]
fn g3_a_304_does_not_bring_a_deleted_body_back() {
    let after = validation(2, 1, 120, 130);
    bad(&cache(events![fetch(1, 10, 20), after.clone(), purge(100, Act::Delete), get(9, 140, 1, 2)]), Clause::Deleted);
    good(&cache(events![fetch(1, 10, 20), after, purge(100, Act::Invalidate), get(9, 140, 1, 2)]));
}

#[test]
fn g1_an_invalidated_body_is_validated_first() {
    let purge = purge(100, Act::Invalidate);
    bad(&cache(events![fetch(1, 10, 20), purge.clone(), get(9, 200, 1, 1)]), Clause::NotValidated);
    good(&cache(events![fetch(1, 10, 20), purge.clone(), fetch(2, 120, 130), get(9, 200, 2, 2)]));
    let stale = Request { stale: true, ..get(9, 200, 1, 1) };
    let promised = Fetch { while_revalidate: SECOND, if_error: SECOND, ..fetch(1, 10, 20) };
    bad(&cache(events![promised, purge, failure(2, 120, 130), stale]), Clause::NotValidated);
}

#[test]
fn g3_a_validation_that_began_before_an_invalidate_is_none() {
    let purge = purge(100, Act::Invalidate);
    let early = validation(2, 1, 99, 150);
    bad(&cache(events![fetch(1, 10, 20), early, purge.clone(), get(9, 200, 1, 2)]), Clause::NotValidated);
    let late = validation(2, 1, 105, 150);
    good(&cache(events![fetch(1, 10, 20), late, purge, get(9, 200, 1, 2)]));
}

#[test]
fn g2_a_fill_under_way_is_for_nobody_who_comes_later() {
    bad(&cache(events![fetch(1, 10, 500), purge(100, Act::Delete), get(9, 200, 1, 1)]), Clause::Deleted);
    let waited = Request { end: 510, ..get(9, 50, 1, 1) };
    good(&cache(events![fetch(1, 10, 500), purge(100, Act::Delete), waited]));
}

#[test]
fn g2_whichever_tier_a_purge_names() {
    for (edge, l2) in [(true, false), (false, true)] {
        let purge = of(100, Act::Delete, edge, l2);
        bad(&cache(events![fetch(1, 10, 500), purge.clone(), get(9, 200, 1, 1)]), Clause::NotFenced);
        // Stored before the purge: the other tier may have it.
        good(&cache(events![fetch(1, 10, 90), purge, get(9, 200, 1, 1)]));
    }
}

#[test]
fn g3_a_validation_under_way_revives_nothing_whichever_tier() {
    let purge = of(100, Act::Invalidate, true, false);
    bad(
        &cache(events![fetch(1, 10, 20), validation(2, 1, 90, 150), purge.clone(), get(9, 200, 1, 2)]),
        Clause::NotFenced,
    );
    good(&cache(events![fetch(1, 10, 20), validation(2, 1, 90, 150), purge, get(9, 200, 1, 1)]));
}

#[test]
fn g4_the_second_tier_alone() {
    let purge = of(100, Act::Delete, false, true);
    // Memory may have it until the process ends.
    good(&cache(events![fetch(1, 10, 20), purge.clone(), get(9, 200, 1, 1)]));
    bad(&cache(events![fetch(1, 10, 20), purge, stop(150), get(9, 200, 1, 1)]), Clause::BackFromL2);
}

#[test]
fn g4_one_tier_after_the_other() {
    let (below, above) = (of(100, Act::Delete, false, true), of(120, Act::Delete, true, false));
    bad(&cache(events![fetch(1, 10, 20), below.clone(), above, get(9, 200, 1, 1)]), Clause::BackFromL2);
    let before = of(80, Act::Delete, true, false);
    good(&cache(events![fetch(1, 10, 20), before, below, get(9, 200, 1, 1)]));
}

#[test]
fn g5_a_kill_undoes_no_purge() {
    let purge = purge(100, Act::Delete);
    bad(&cache(events![fetch(1, 10, 20), purge.clone(), stop(150), get(9, 200, 1, 1)]), Clause::Deleted);
    let cut = Purge { ack: None, ..purge.clone() };
    good(&cache(events![fetch(1, 10, 20), cut, stop(105), get(9, 200, 1, 1)]));
    let lost = Purge { durable: false, ..purge };
    bad(&cache(events![fetch(1, 10, 20), lost.clone(), get(9, 149, 1, 1), stop(300)]), Clause::Deleted);
    good(&cache(events![fetch(1, 10, 20), lost, stop(150), get(9, 200, 1, 1)]));
}

#[test]
fn g5_memory_ends_with_the_process() {
    let events = events![fetch(1, 10, 20), stop(150), get(9, 200, 1, 1)];
    good(&cache(events.clone()));
    bad(&History { l2: false, ..cache(events) }, Clause::OutlastedMemory);
    let edge = of(100, Act::Delete, true, false);
    bad(&History { l2: false, ..cache(events![fetch(1, 10, 20), edge, get(9, 200, 1, 1)]) }, Clause::Deleted);
}

fn promised() -> Fetch {
    Fetch { while_revalidate: SECOND, if_error: 3 * SECOND, ..fetch(1, 10, 20) }
}

fn stale(start: Time) -> Request {
    Request { stale: true, ..get(9, start, 1, 1) }
}

#[test]
fn soft_is_never_fresh() {
    let purge = purge(100, Act::Soft);
    let asked = fetch(2, 210, 220);
    bad(&cache(events![promised(), purge.clone(), asked.clone(), get(9, 200, 1, 1)]), Clause::SoftAsFresh);
    good(&cache(events![promised(), purge.clone(), asked, stale(200)]));
    good(&cache(events![promised(), purge, validation(2, 1, 120, 130), get(9, 200, 1, 2)]));
}

#[test]
fn soft_is_not_for_peers() {
    let peer = Request { peer: true, ..stale(200) };
    let events = |request: Request| events![promised(), purge(100, Act::Soft), fetch(2, 210, 220), request];
    bad(&cache(events(peer)), Clause::SoftToPeer);
    good(&cache(events(stale(200))));
}

#[test]
fn soft_ends_with_its_windows() {
    let at = |start: Time| events![promised(), purge(100, Act::Soft), failure(2, start + 1, start + 2), stale(start)];
    bad(&cache(at(110 + 3 * SECOND + 1)), Clause::SoftTooLong);
    good(&cache(at(110 + 3 * SECOND)));
    let strict = events![fetch(1, 10, 20), purge(100, Act::Soft), failure(2, 201, 202), stale(200)];
    bad(&cache(strict), Clause::SoftTooLong);
}

#[test]
fn soft_on_error_needs_an_error() {
    let at = |fetched: Fetch| events![promised(), purge(100, Act::Soft), fetched, stale(2 * SECOND)];
    let start = 2 * SECOND + 1;
    bad(&cache(at(fetch(2, start, start + 1))), Clause::SoftWithoutError);
    good(&cache(at(failure(2, start, start + 1))));
    good(&cache(at(Fetch { status: 503, ..fetch(2, start, start + 1) })));
}

#[test]
fn soft_is_revalidated() {
    let events = events![promised(), purge(100, Act::Soft), stale(200)];
    bad(&cache(events.clone()), Clause::SoftNotRevalidated);
    let with = |more: Event| cache([events.clone(), vec![more]].concat());
    good(&with(fetch(2, 300, 400).into()));
    good(&with(Fetch { end: None, ..fetch(2, 150, 150) }.into()));
    good(&with(failure(2, 150, 160).into()));
    bad(&with(failure(2, 50, 60).into()), Clause::SoftNotRevalidated);
    good(&with(stop(300)));
    good(&History { quiet: false, ..cache(events.clone()) });
}

#[test]
fn the_strongest_of_several_wins() {
    let both = events![promised(), purge(100, Act::Delete), purge(150, Act::Soft), fetch(2, 210, 220), stale(200)];
    bad(&cache(both), Clause::Deleted);
}

#[test]
fn selectors_take_what_they_say() {
    let cases: [(Selector, bool); 12] = [
        (Selector::Pattern("http://h.test/d/*".into()), true),
        (Selector::Pattern("http://h.test/*".into()), false),
        (Selector::Pattern("http://h.test/**.jpg".into()), true),
        (Selector::Pattern("http://h.test/**.png".into()), false),
        (Selector::Glob("http://h.test/*a.jpg".into()), true),
        (Selector::Regex("http://h.test/d/[a-c]\\.jpg$".into()), true),
        (Selector::Regex("http://h.test/d/[b-c]\\.jpg$".into()), false),
        (Selector::Tag("t".into()), true),
        (Selector::Tag("u".into()), false),
        (Selector::Host("*.test".into()), true),
        (Selector::Host("test".into()), false),
        (Selector::All, true),
    ];
    for (selector, takes) in cases {
        let purge = Purge { selectors: vec![selector], ..purge(100, Act::Delete) };
        let history = cache(events![fetch(1, 10, 20), purge, get(9, 200, 1, 1)]);
        if takes { bad(&history, Clause::Deleted) } else { good(&history) }
    }
}

#[test]
fn a_key_and_a_variant_are_told_apart() {
    let of = Fetch { variation: "x-side=a".to_owned(), variant: "b".to_owned(), ..fetch(1, 10, 20) };
    let asked = Request { variation: "x-side=a".to_owned(), variant: "b".to_owned(), ..get(9, 200, 1, 1) };
    let key = || format!("{URL}@@x-side=a").into_bytes();
    let variant = |value: &str| Selector::Variant(key(), vec![("X-Kind".to_owned(), value.to_owned())]);
    let with = |selector| {
        let purge = Purge { selectors: vec![selector], ..purge(100, Act::Delete) };
        cache(events![of.clone(), purge, asked.clone()])
    };
    bad(&with(Selector::Key(key())), Clause::Deleted);
    good(&with(Selector::Key(URL.into())));
    bad(&with(variant("b")), Clause::Deleted);
    good(&with(variant("a")));
    good(&with(Selector::Variant(key(), Vec::new())));
    bad(&with(Selector::Url(URL.into())), Clause::Deleted);
}

#[test]
fn no_validator_of_a_deleted_body() {
    let asked = |act| {
        let again = Fetch { base: Some(1), asked_by: Some(9), ..fetch(2, 210, 220) };
        events![fetch(1, 10, 20), purge(100, act), again, get(9, 200, 2, 2)]
    };
    bad(&cache(asked(Act::Delete)), Clause::ValidatorOfDeleted);
    good(&cache(asked(Act::Invalidate)));
    good(&cache(asked(Act::Soft)));
}

#[test]
fn a_body_is_of_one_response() {
    let two = Request { parts: vec![1, 2], ..get(9, 200, 2, 2) };
    bad(&cache(events![fetch(1, 10, 20), fetch(2, 30, 40), two]), Clause::Mixed);
    let other = Request { parts: vec![1], ..get(9, 200, 2, 2) };
    bad(&cache(events![fetch(1, 10, 20), fetch(2, 30, 40), other]), Clause::Mixed);
    good(&cache(events![fetch(1, 10, 20), fetch(2, 30, 40), get(9, 200, 2, 2)]));
}

#[test]
fn a_complete_answer_has_all_bytes() {
    bad(&cache(events![fetch(1, 10, 20), Request { bytes: 144, ..get(9, 200, 1, 1) }]), Clause::WrongLength);
    let cut = Fetch { outcome: Outcome::Cut(80), ..fetch(1, 10, 20) };
    bad(&cache(events![cut.clone(), Request { bytes: 80, ..get(9, 200, 1, 1) }]), Clause::WrongLength);
    good(&cache(events![cut.clone(), Request { bytes: 80, whole: false, ..get(9, 200, 1, 1) }]));
    let range = Request { status: 206, from: 64, bytes: 32, ..get(9, 200, 1, 1) };
    bad(&cache(events![cut.clone(), range.clone()]), Clause::WrongLength);
    good(&cache(events![cut, Request { from: 16, ..range }]));
}

#[test]
fn an_answer_breaks_off_only_with_its_origin() {
    let short = Request { bytes: 80, whole: false, ..get(9, 200, 1, 1) };
    bad(&cache(events![fetch(1, 10, 20), short.clone()]), Clause::CutOff);
    good(&cache(events![fetch(1, 10, 20), short, stop(205)]));
}

#[test]
fn an_answer_is_of_what_was_asked_for() {
    for change in [
        Fetch { url: "http://h.test/d/b.jpg".to_owned(), ..fetch(1, 10, 20) },
        Fetch { variant: "a".to_owned(), ..fetch(1, 10, 20) },
        Fetch { variation: "x-side=a".to_owned(), ..fetch(1, 10, 20) },
    ] {
        let (violations, _) = cache(events![change, get(9, 200, 1, 1)]).check();
        assert!(!violations.is_empty() && violations.iter().all(|v| v.clause == Clause::OfAnother), "{violations:?}");
    }
}

#[test]
fn a_validation_is_of_its_own_body() {
    let events = |base| events![fetch(1, 10, 20), fetch(2, 30, 40), validation(3, base, 50, 60), get(9, 200, 2, 3)];
    bad(&cache(events(1)), Clause::WrongValidation);
    good(&cache(events(2)));
    bad(&cache(events![fetch(1, 10, 20), fetch(2, 30, 40), get(9, 200, 1, 2)]), Clause::WrongValidation);
}

#[test]
fn what_is_not_stored_is_not_shared() {
    let private = Fetch { storable: false, asked_by: Some(8), ..fetch(1, 10, 20) };
    bad(&cache(events![private.clone(), get(9, 15, 1, 1)]), Clause::Shared);
    good(&cache(events![private, get(8, 5, 1, 1)]));
}

#[test]
fn an_answer_names_what_the_origin_gave() {
    bad(&cache(events![get(9, 200, 1, 1)]), Clause::Unheard);
    bad(&cache(events![failure(1, 10, 20), get(9, 200, 1, 1)]), Clause::Unheard);
}

#[test]
fn an_error_has_a_reason() {
    for status in [0, 200, 502, 504] {
        bad(&cache(events![fetch(1, 190, 205), error(9, 200, status)]), Clause::ServerError);
        good(&cache(events![failure(1, 190, 205), error(9, 200, status)]));
        good(&cache(events![error(9, 200, status), stop(205)]));
    }
    let long_ago = failure(1, 10, 20);
    bad(&cache(events![long_ago, error(9, 60 * SECOND, 502)]), Clause::ServerError);
}

#[test]
fn forgetting_loses_no_rule() {
    for act in [Act::Delete, Act::Invalidate] {
        let mut checker = super::Checker::new(true, "x-kind");
        checker.fetch(fetch(1, 10, 20));
        for start in [100, 300, 200] {
            checker.purge(&purge(start, act));
        }
        checker.fetch(fetch(2, 250, 260));
        checker.fetch(fetch(3, 350, 360));
        checker.forget(1000);
        assert_eq!(checker.remembered(), (3, 1));
        for (body, holds) in [(1, false), (2, false), (3, true)] {
            let found = checker.request(&get(9, 2000, body, body), Time::MAX);
            assert_eq!(found.is_empty(), holds, "{found:?}");
        }
    }
    // What has been replaced over and over is forgotten; the newest are not.
    let mut checker = super::Checker::new(true, "x-kind");
    for id in 1..=100 {
        checker.fetch(fetch(id, id * 10, id * 10 + 5));
    }
    checker.forget(10_000);
    assert!(checker.remembered().0 < 40);
    assert!(checker.request(&get(9, 20_000, 100, 100), Time::MAX).is_empty());
}

#[test]
fn forgetting_keeps_what_a_restart_will_enforce() {
    let mut checker = super::Checker::new(true, "x-kind");
    checker.fetch(fetch(1, 10, 20));
    checker.fetch(fetch(2, 210, 220));
    checker.purge(&of(100, Act::Delete, false, true));
    checker.stop(Stop { start: 150, end: 160, kill: true });
    checker.purge(&of(200, Act::Delete, false, true));
    checker.forget(1000);
    assert!(!checker.request(&get(9, 2000, 1, 1), Time::MAX).is_empty(), "the purge of before the stop");
    assert!(checker.request(&get(9, 2000, 2, 2), Time::MAX).is_empty());
}
