//! Whole exchanges through the freshness policy: against the crate `http-cache-semantics` where both mean the same, and against what must hold
//! of any exchange.
//!
//! What is left out of the comparison, and why:
//!
//! - methods but GET: only answers to GET are stored here;
//! - statuses that one of the two has no rules for; 206;
//! - `Cache-Control` in more than one line, directives that are repeated, upper case, quoted arguments, arguments that are no number, white space
//!   beside the `=`: the crate compares names by their case, drops all quotes and takes repetition for `must-revalidate`;
//! - `proxy-revalidate` (the crate: never fresh), `immutable` (the crate: fresh for a day), `must-understand`, RFC 5861, RFC 9213: not in the crate,
//!   or against the RFC there;
//! - field names in `private` and `no-cache`: not in the crate;
//! - `Pragma` in a response: the crate reads it as `no-cache`, which RFC 9111 5.4 does not;
//! - a `Date` before the receipt: the crate does not count it as age (4.2.3); dates in old forms, which it does not read;
//! - `Last-Modified` without a stated lifetime: the crate's tenth has no bound and is a 32-bit fraction;
//! - `Set-Cookie` beside `s-maxage`: `docs/http.md` says why that may be stored here;
//! - fields before which they differ in kind: `Age` beyond 2^31, lists in `Age`, two `Expires`;
//! - `min-fresh` beside `max-stale`: the crate takes what is stale for fresh for 0 seconds more, here that is less than `min-fresh=0` asks for;
//! - `max-stale` with a number: the crate wants less staleness than that, 5.2.1.2 no more than that; and beside `s-maxage`, which forbids stale use
//!   (5.2.2.10) and in the crate does not; and with `max-age`, beyond which it gives nothing here either;
//! - a response that states no lifetime: the crate calls it storable with none, which is not stored here.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use http_cache_semantics::{CacheOptions, CachePolicy};
use oust::freshness::{
    Assessment, Demand, Directives, Exchange, Freshness, MAX_DELTA, Policy, RequestDirectives, strip_unstorable,
};
use oust_reference::Entropy;

use crate::dates::made;
use crate::directives::lines;

/// Sunday, 6 November 1994, 08:49:37 UTC.
const NOW: u64 = 784_111_777;
const STATUSES: [u16; 14] = [200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414, 501];
const OTHERS: [u16; 12] = [206, 304, 416, 429, 451, 500, 502, 503, 599, 418, 201, 511];
const NUMBERS: [u32; 8] = [0, 1, 9, 10, 60, 3600, MAX_DELTA - 1, MAX_DELTA];

/// One exchange and a later request.
pub fn freshness(data: &[u8]) {
    let mut entropy = Entropy::new(data);
    if entropy.one_in(2) { agreeing(&mut entropy) } else { anything(&mut entropy) }
}

fn received() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn date(second: u64) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second))
}

fn put(fields: &mut HeaderMap, name: HeaderName, text: &str) {
    if let Ok(value) = HeaderValue::from_str(text) {
        fields.append(name, value);
    }
}

/// The subset on which both agree.
fn agreeing(entropy: &mut Entropy<'_>) {
    let number = |entropy: &mut Entropy<'_>| match entropy.below(2) {
        0 => entropy.pick(&NUMBERS),
        _ => u32::from(entropy.byte()),
    };
    let mut request = HeaderMap::new();
    if entropy.one_in(6) {
        put(&mut request, header::AUTHORIZATION, "Basic eDp5");
    }
    if entropy.one_in(12) {
        put(&mut request, header::CACHE_CONTROL, "no-store");
    }
    let mut response = HeaderMap::new();
    let mut control = Vec::new();
    for (name, takes_number, rare) in [
        ("max-age", true, 2),
        ("s-maxage", true, 4),
        ("no-store", false, 12),
        ("no-cache", false, 12),
        ("private", false, 12),
        ("public", false, 4),
        ("must-revalidate", false, 4),
        ("no-transform", false, 8),
        ("x-other", true, 8),
    ] {
        if entropy.one_in(rare) {
            let at = entropy.below(control.len() + 1);
            control.insert(at, if takes_number { format!("{name}={}", number(entropy)) } else { name.to_owned() });
        }
    }
    let control = control.join(entropy.pick(&[",", ", ", " , "]));
    if !control.is_empty() || entropy.one_in(4) {
        put(&mut response, header::CACHE_CONTROL, &control);
    }
    match entropy.below(4) {
        0 => put(&mut response, header::EXPIRES, "0"),
        1 | 2 => put(&mut response, header::EXPIRES, &date(NOW - 300 + 4 * u64::from(number(entropy) % 4096))),
        _ => {}
    }
    if entropy.one_in(2) {
        put(&mut response, header::DATE, &date(NOW + u64::from(entropy.byte())));
    }
    if entropy.one_in(2) {
        put(&mut response, header::AGE, &number(entropy).to_string());
    }
    if entropy.one_in(8) {
        put(&mut response, header::VARY, entropy.pick(&["*", "a", "a, b"]));
    }
    if entropy.one_in(8) && !control.contains("s-maxage") {
        put(&mut response, header::SET_COOKIE, "a=b");
    }
    let status = StatusCode::from_u16(entropy.pick(&STATUSES)).unwrap_or_default();
    let assessed = assess(&Policy::new(), &Method::GET, &request, status, &response, Duration::ZERO);

    let mut asked = Request::new(());
    *asked.headers_mut() = request.clone();
    let mut answered = Response::new(());
    *answered.headers_mut() = response.clone();
    *answered.status_mut() = status;
    let theirs = CachePolicy::new_options(&asked, &answered, received(), CacheOptions::default());
    let told = || format!("{status} {request:?} {response:?}: {assessed:?}");
    let stored = match &assessed {
        Assessment::Store(freshness) => {
            assert!(theirs.is_storable(), "stored: {}", told());
            Some(freshness)
        }
        Assessment::Skip(_) => None,
    };
    let elapsed = u64::from(number(entropy));
    let now = received() + Duration::from_secs(elapsed);
    let ours = stored.filter(|freshness| !freshness.no_cache).map_or(0, |freshness| ttl(freshness, elapsed).max(0));
    assert_eq!(u64::try_from(ours).unwrap_or(0), theirs.time_to_live(now).as_secs(), "{elapsed} s later: {}", told());

    // A later request of the same fields but for its directives.
    let Some(freshness) = stored else { return };
    let mut later = request.clone();
    later.remove(header::CACHE_CONTROL);
    let mut wanted = Vec::new();
    for name in ["no-cache", "max-age", "min-fresh"] {
        if entropy.one_in(3) {
            wanted.push(if name == "no-cache" { name.to_owned() } else { format!("{name}={}", number(entropy)) });
        }
    }
    if !control.contains("s-maxage") && !wanted.iter().any(|other| other.starts_with('m')) && entropy.one_in(3) {
        wanted.push("max-stale".to_owned());
    }
    if !wanted.is_empty() {
        put(&mut later, header::CACHE_CONTROL, &wanted.join(", "));
    }
    if response.get(header::VARY).is_some_and(|vary| vary == "*") || freshness.no_cache {
        // Theirs calls them stale by a lifetime of nothing, which `max-stale` takes.
        return;
    }
    let ttl = ttl(freshness, elapsed);
    let demands = RequestDirectives::parse(&later);
    let age = freshness.age + Duration::from_secs(elapsed);
    let may_serve_stale = !freshness.must_revalidate;
    let used = (ttl > 0 && demands.demand(age, ttl) == Demand::Use) || demands.accepts_stale(age, ttl, may_serve_stale);
    let mut asked = Request::new(());
    *asked.headers_mut() = later;
    let theirs = theirs.before_request(&asked, now).satisfies_without_revalidation();
    assert_eq!(used, theirs, "{:?} {elapsed} s later: {}", asked.headers(), told());
}

/// Seconds of freshness left so long after the receipt.
fn ttl(freshness: &Freshness, elapsed: u64) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    seconds(freshness.lifetime) - seconds(freshness.age) - i64::try_from(elapsed).unwrap_or(i64::MAX)
}

fn assess(
    policy: &Policy,
    method: &Method,
    request: &HeaderMap,
    status: StatusCode,
    response: &HeaderMap,
    delay: Duration,
) -> Assessment {
    let mut response = response.clone();
    strip_unstorable(&mut response);
    policy.assess(&Exchange { method, request, status, response: &response, received: received(), delay })
}

/// What holds of any exchange and any policy.
fn anything(entropy: &mut Entropy<'_>) {
    let seconds = |entropy: &mut Entropy<'_>| Duration::from_secs(entropy.pick(&NUMBERS).into());
    let mut policy = Policy::new();
    let (mut minimum, mut maximum) = (Duration::ZERO, Duration::from_secs(MAX_DELTA.into()));
    if entropy.one_in(3) {
        (minimum, maximum) = (seconds(entropy), seconds(entropy));
        policy = policy.minimum_ttl(minimum).maximum_ttl(maximum);
    }
    if entropy.one_in(3) {
        policy = policy.default_ttl(seconds(entropy)).negative_ttl(seconds(entropy)).stale_if_error(seconds(entropy));
    }
    policy = policy.heuristics(entropy.one_in(2));
    let method = if entropy.one_in(12) { entropy.pick(&[&Method::HEAD, &Method::POST]) } else { &Method::GET };
    let status = if entropy.one_in(4) { entropy.pick(&OTHERS) } else { entropy.pick(&STATUSES) };
    let status = StatusCode::from_u16(status).unwrap_or_default();
    let mut request = HeaderMap::new();
    let mut response = HeaderMap::new();
    if entropy.one_in(6) {
        put(&mut request, header::AUTHORIZATION, "x");
    }
    if entropy.one_in(4) {
        put(&mut request, header::CACHE_CONTROL, entropy.pick(&["no-store", "no-cache", "max-age=1", "NO-STORE=x"]));
    }
    for (name, rare) in [(header::EXPIRES, 3), (header::DATE, 3), (header::LAST_MODIFIED, 4), (header::EXPIRES, 12)] {
        if entropy.one_in(rare) {
            put(&mut response, name, &made(entropy));
        }
    }
    for (name, texts, rare) in [
        (header::AGE, &["0", "7", "2147483648", "99999999999999999999", "x", "1, 2", "-1"][..], 3),
        (header::VARY, &["*", "a", "a, *", "A b"][..], 6),
        (header::SET_COOKIE, &["a=b"][..], 8),
        (header::PRAGMA, &["no-cache", "x"][..], 8),
        (header::ETAG, &["\"a\""][..], 4),
    ] {
        if entropy.one_in(rare) {
            put(&mut response, name, entropy.pick(texts));
        }
    }
    let delay = seconds(entropy);
    let is_targeted = entropy.one_in(8);
    let targeted = HeaderName::from_static("cdn-cache-control");
    if is_targeted {
        put(
            &mut response,
            targeted.clone(),
            entropy.pick(&["max-age=9", "no-store", "private", "no-cache, max-age=1", "x", "A"]),
        );
    }
    let more = u32::from(entropy.byte()) * u32::from(entropy.byte());
    for line in lines(entropy.clone().rest()) {
        response.append(header::CACHE_CONTROL, line);
    }
    let of = |response: &HeaderMap, delay| assess(&policy, method, &request, status, response, delay);
    let assessed = of(&response, delay);
    let in_force = Directives::targeted(&response, &[HeaderName::from_static("oust-cache-control"), targeted]);
    let ruled = in_force.is_some();
    let control = in_force.unwrap_or_else(|| Directives::parse(response.get_all(header::CACHE_CONTROL)));
    let told = || format!("{policy:?} {method} {status} {request:?} {response:?}: {assessed:?}");
    if let Assessment::Store(freshness) = &assessed {
        assert_eq!(*method, Method::GET, "{}", told());
        assert!(!matches!(status.as_u16(), 206 | 304 | 416 | 429 | 511), "{}", told());
        assert!(!control.no_store || control.must_understand, "{}", told());
        assert!(!control.private && !control.malformed, "{}", told());
        assert!(!RequestDirectives::parse(&request).no_store, "{}", told());
        assert!(freshness.no_cache || !control.no_cache, "{}", told());
        assert!(freshness.must_revalidate || !(control.must_revalidate || control.proxy_revalidate), "{}", told());
        assert!(
            freshness.lifetime <= maximum.max(Duration::ZERO) && freshness.age.as_secs() <= MAX_DELTA.into(),
            "{}",
            told()
        );
        // What is stored only to be validated has no lifetime to raise.
        assert!(freshness.lifetime >= minimum.min(maximum) || freshness.no_cache, "{}", told());
        assert!(freshness.stale_if_error.as_secs() <= MAX_DELTA.into(), "{}", told());
        assert!(freshness.stale_while_revalidate.as_secs() <= MAX_DELTA.into(), "{}", told());
        // Within these bounds a clock that has gone on for as long as it can does not overflow.
        let _ = ttl(freshness, MAX_DELTA.into());
    }
    slower_is_older(&of, &response, delay);
    if !ruled {
        said_more(&of, &response, more);
    }
    stricter_requests(entropy);
}

type Of<'a> = dyn Fn(&HeaderMap, Duration) -> Assessment + 'a;

/// Neither a larger `Age` nor a slower origin makes anything younger, longer fresh or storable.
fn slower_is_older(of: &Of<'_>, response: &HeaderMap, delay: Duration) {
    let assessed = of(response, delay);
    let mut aged = response.clone();
    aged.remove(header::AGE);
    let young = of(&aged, delay);
    for age in ["5", "2147483647", "4294967296"] {
        aged.insert(header::AGE, HeaderValue::from_static(age));
        let old = of(&aged, delay);
        let (Assessment::Store(young), Assessment::Store(old)) = (&young, &old) else {
            assert_eq!(young, old, "{aged:?}: an age decides about storing");
            continue;
        };
        assert!(old.age >= young.age && old.lifetime == young.lifetime, "{aged:?}: {young:?} {old:?}");
        assert!(old.age.as_secs() >= age.parse::<u64>().unwrap_or(0).min(MAX_DELTA.into()), "{aged:?}: {old:?}");
    }
    if let (Assessment::Store(quick), Assessment::Store(slow)) =
        (&assessed, of(response, delay + Duration::from_secs(9)))
    {
        assert!(slow.age >= quick.age && slow.lifetime == quick.lifetime, "{response:?}: {quick:?} {slow:?}");
    }
}

/// What a directive that is added changes, where `Cache-Control` is in force.
fn said_more(of: &Of<'_>, response: &HeaderMap, more: u32) {
    let with = |text: &str, before: bool| {
        let mut lines: Vec<HeaderValue> = response.get_all(header::CACHE_CONTROL).iter().cloned().collect();
        let at = if before { 0 } else { lines.len() };
        lines.insert(at, HeaderValue::from_str(text).expect("a field value"));
        let mut said = response.clone();
        said.remove(header::CACHE_CONTROL);
        for line in lines {
            said.append(header::CACHE_CONTROL, line);
        }
        said
    };
    let understands = Directives::parse(response.get_all(header::CACHE_CONTROL)).must_understand;
    for before in [true, false] {
        let assessed = of(&with("no-store", before), Duration::ZERO);
        assert!(understands || matches!(assessed, Assessment::Skip(_)), "no-store: {response:?}: {assessed:?}");
        let assessed = of(&with("private", before), Duration::ZERO);
        assert!(matches!(assessed, Assessment::Skip(_)), "private: {response:?}: {assessed:?}");
        if let Assessment::Store(freshness) = of(&with("no-cache", before), Duration::ZERO) {
            assert!(freshness.no_cache, "no-cache: {response:?}: {freshness:?}");
        }
        if let Assessment::Store(freshness) = of(&with("must-revalidate", before), Duration::ZERO) {
            assert!(freshness.must_revalidate, "must-revalidate: {response:?}: {freshness:?}");
        }
        // The lifetime grows with max-age, and nothing else hangs on it.
        for number in [0, 1, 60, MAX_DELTA - 1] {
            let few = of(&with(&format!("max-age={number}"), before), Duration::ZERO);
            let many = of(&with(&format!("max-age={}", u64::from(number) + u64::from(more)), before), Duration::ZERO);
            match (&few, &many) {
                (Assessment::Store(few), Assessment::Store(many)) => {
                    assert!(few.lifetime <= many.lifetime, "{number} and {more} more: {response:?}: {few:?} {many:?}");
                    assert_eq!((few.age, few.no_cache), (many.age, many.no_cache), "{response:?}");
                }
                _ => assert_eq!(few, many, "{number} and {more} more: {response:?}"),
            }
        }
    }
}

/// A request that asks for more gets nothing that it did not get before.
fn stricter_requests(entropy: &mut Entropy<'_>) {
    let mut fields = HeaderMap::new();
    for line in lines(entropy.clone().rest()) {
        fields.append(header::CACHE_CONTROL, line);
    }
    let ttl = i64::from(entropy.byte()) - 128;
    let age = Duration::from_secs(entropy.pick(&NUMBERS).into());
    let plain = RequestDirectives::parse(&fields);
    let used = |directives: &RequestDirectives| {
        (directives.demand(age, ttl) == Demand::Use, directives.accepts_stale(age, ttl, true))
    };
    let (use_before, stale_before) = used(&plain);
    assert!(!plain.accepts_stale(age, ttl, false), "stale though it may not be");
    for stricter in ["no-cache", "min-fresh=2147483648", "max-age=0"] {
        let mut more = HeaderMap::new();
        put(&mut more, header::CACHE_CONTROL, stricter);
        for line in fields.get_all(header::CACHE_CONTROL) {
            more.append(header::CACHE_CONTROL, line.clone());
        }
        let (use_now, stale_now) = used(&RequestDirectives::parse(&more));
        assert!((!use_now || use_before) && (!stale_now || stale_before) || stricter != "no-cache", "{more:?}");
        match stricter {
            "no-cache" | "min-fresh=2147483648" => assert!(!use_now && !stale_now, "{more:?} {age:?} {ttl}"),
            _ => assert!((!use_now && !stale_now) || age.is_zero(), "{more:?} {age:?} {ttl}"),
        }
    }
}
