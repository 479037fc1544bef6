//! Tests of the freshness module.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::*;

fn headers(fields: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
    }
    map
}

fn now() -> SystemTime {
    httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap()
}

fn assessed(status: u16, request: &[(&str, &str)], response: &[(&str, &str)]) -> Assessment {
    assess(&Exchange {
        method: &Method::GET,
        request: &headers(request),
        status: StatusCode::from_u16(status).unwrap(),
        response: &headers(response),
        received: now(),
        delay: Duration::ZERO,
    })
}

fn stored(response: &[(&str, &str)]) -> Freshness {
    match assessed(200, &[], response) {
        Assessment::Store(freshness) => freshness,
        Assessment::Skip(skip) => panic!("skipped: {skip}"),
    }
}

fn skipped(request: &[(&str, &str)], response: &[(&str, &str)]) -> Skip {
    match assessed(200, request, response) {
        Assessment::Skip(skip) => skip,
        Assessment::Store(freshness) => panic!("stored: {freshness:?}"),
    }
}

#[test]
fn lifetime_by_precedence() {
    for (fields, seconds) in [
        (&[("cache-control", "max-age=10")][..], 10),
        (&[("cache-control", "MAX-AGE=10")], 10),
        (&[("cache-control", "max-age=\"10\"")], 10),
        (&[("cache-control", "max-age=10, s-maxage=20")], 20),
        (&[("cache-control", "max-age=10"), ("cache-control", "S-MaxAge=20")], 20),
        (&[("cache-control", "max-age=10"), ("expires", "Sun, 06 Nov 1994 09:49:37 GMT")], 10),
        (&[("expires", "Sun, 06 Nov 1994 09:49:37 GMT")], 3600),
        (&[("expires", "Sun, 06 Nov 1994 09:49:37 GMT"), ("date", "Sun, 06 Nov 1994 08:50:37 GMT")], 3540),
        (&[("expires", "0")], 0),
        (&[("cache-control", "max-age=10, max-age=20")], 10),
        (&[("cache-control", "max-age=nonsense")], 0),
        (&[("cache-control", "max-age=-1")], 0),
        (&[("cache-control", "max-age=1.5")], 0),
        (&[("cache-control", "max-age")], 0),
        (&[("cache-control", "max-age=99999999999999999999")], u64::from(MAX_DELTA)),
        (&[("cache-control", "max-age=4294967296")], u64::from(MAX_DELTA)),
        (&[("cache-control", ",, max-age=3 ,")], 3),
        (&[("cache-control", "foo=\"a, max-age=1, \\\" b\", max-age=3")], 3),
        (&[("cache-control", "no-cache"), ("etag", "\"a\"")], 0),
    ] {
        assert_eq!(stored(fields).lifetime, Duration::from_secs(seconds), "{fields:?}");
    }
}

#[test]
fn what_is_not_stored() {
    for (request, response, skip) in [
        (&[][..], &[][..], Skip::NoFreshness),
        (&[], &[("etag", "\"a\"")], Skip::NoFreshness),
        (&[], &[("cache-control", "no-cache")], Skip::NoFreshness),
        (&[], &[("cache-control", "max-age=10, No-Store")], Skip::NoStore),
        (&[], &[("cache-control", "max-age=10"), ("cache-control", "no-store")], Skip::NoStore),
        (&[], &[("cache-control", "max-age=10, foo=\"no-store")], Skip::NoStore),
        (&[], &[("cache-control", "max-age=10, private")], Skip::Private),
        (&[], &[("cache-control", "max-age=10, private=\"set-cookie, x\"")], Skip::Private),
        (&[], &[("cache-control", "max-age=10"), ("vary", "accept, *")], Skip::VaryAny),
        (&[], &[("cache-control", "max-age=10"), ("set-cookie", "a=b")], Skip::SetCookie),
        (&[], &[("cache-control", "max-age=10"), ("content-range", "bytes 0-1/2")], Skip::Status),
        (&[("cache-control", "no-store")], &[("cache-control", "max-age=10")], Skip::RequestNoStore),
        (&[("authorization", "x")], &[("cache-control", "max-age=10")], Skip::Authorization),
    ] {
        assert_eq!(skipped(request, response), skip, "{request:?} {response:?}");
    }
    assert!(matches!(assessed(206, &[], &[("cache-control", "max-age=10")]), Assessment::Skip(Skip::Status)));
    assert!(matches!(assessed(404, &[], &[("cache-control", "max-age=10")]), Assessment::Store(_)));
    for allowed in ["public, max-age=1", "must-revalidate, max-age=1", "s-maxage=1"] {
        let answer = assessed(200, &[("authorization", "x")], &[("cache-control", allowed)]);
        assert!(matches!(answer, Assessment::Store(_)), "{allowed}");
    }
}

#[test]
fn age_is_the_larger_of_stated_and_apparent() {
    let day = ("cache-control", "max-age=86400");
    for (fields, seconds) in [
        (&[day][..], 0),
        (&[day, ("age", "30")], 30),
        (&[day, ("age", "30, 40")], 30),
        (&[day, ("age", "-1")], 0),
        (&[day, ("date", "Sun, 06 Nov 1994 08:48:37 GMT")], 60),
        (&[day, ("date", "Sun, 06 Nov 1994 08:48:37 GMT"), ("age", "90")], 90),
        (&[day, ("date", "Sun, 06 Nov 1994 09:49:37 GMT")], 0),
    ] {
        assert_eq!(stored(fields).age, Duration::from_secs(seconds), "{fields:?}");
    }
}

#[test]
fn stale_windows() {
    let freshness = stored(&[("cache-control", "max-age=1, stale-while-revalidate=10, stale-if-error=20")]);
    assert_eq!(freshness.stale_while_revalidate, Duration::from_secs(10));
    assert_eq!(freshness.stale_if_error, Duration::from_secs(20));
    assert!(!freshness.must_revalidate);
    assert!(stored(&[("cache-control", "max-age=1, stale-if-error=20, must-revalidate")]).must_revalidate);
    assert!(stored(&[("cache-control", "max-age=1, proxy-revalidate")]).must_revalidate);
    assert!(stored(&[("cache-control", "s-maxage=1")]).must_revalidate);
    assert!(!stored(&[("cache-control", "s-maxage=1, stale-while-revalidate=9")]).must_revalidate);
}

#[test]
fn request_directives() {
    let parse = |fields: &[(&str, &str)]| RequestDirectives::parse(&headers(fields));
    assert!(parse(&[("pragma", "no-cache")]).no_cache);
    assert!(!parse(&[("pragma", "no-cache"), ("cache-control", "max-age=5")]).no_cache);
    assert!(parse(&[("cache-control", "only-if-cached")]).only_if_cached);
    let max_age = parse(&[("cache-control", "max-age=5")]);
    assert_eq!(max_age.demand(Duration::from_secs(5), 10), Demand::Use);
    assert_eq!(max_age.demand(Duration::from_secs(6), 10), Demand::Validate);
    assert_eq!(parse(&[("cache-control", "min-fresh=11")]).demand(Duration::ZERO, 10), Demand::Validate);
    assert_eq!(RequestDirectives::default().demand(Duration::from_secs(9), -5), Demand::Use);
}

#[test]
fn client_validators() {
    use super::conditional::not_modified;
    let response = headers(&[("etag", "\"a,b\""), ("last-modified", "Sun, 06 Nov 1994 08:00:00 GMT")]);
    for (fields, expected) in [
        (&[("if-none-match", "\"a,b\"")][..], true),
        (&[("if-none-match", "W/\"a,b\"")], true),
        (&[("if-none-match", "\"x\", \"a,b\"")], true),
        (&[("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")], true),
        (&[("if-none-match", "*")], true),
        (&[("if-none-match", "\"a\"")], false),
        (&[("if-none-match", "\"x\""), ("if-modified-since", "Sun, 06 Nov 1994 08:30:00 GMT")], false),
        (&[("if-modified-since", "Sun, 06 Nov 1994 08:00:00 GMT")], true),
        (&[("if-modified-since", "Sun, 06 Nov 1994 07:00:00 GMT")], false),
        (&[("if-modified-since", "yesterday")], false),
        (&[], false),
    ] {
        assert_eq!(not_modified(&headers(fields), StatusCode::OK, &response, now()), expected, "{fields:?}");
    }
    assert!(!not_modified(&headers(&[("if-none-match", "*")]), StatusCode::NOT_FOUND, &response, now()));
}

#[test]
fn a_304_updates_the_stored_head() {
    let old =
        headers(&[("etag", "\"a\""), ("x", "1"), ("x", "2"), ("keep", "k"), ("content-length", "5"), ("age", "9")]);
    let new = headers(&[("etag", "\"a\""), ("x", "3"), ("content-length", "0"), ("cache-control", "max-age=5")]);
    assert!(conditional::validates(&old, &new));
    let merged = conditional::merge(&old, &new);
    let wanted = headers(&[
        ("etag", "\"a\""),
        ("x", "3"),
        ("keep", "k"),
        ("content-length", "5"),
        ("cache-control", "max-age=5"),
    ]);
    assert_eq!(merged, wanted);
    assert!(!conditional::validates(&old, &headers(&[("etag", "\"b\"")])));
    assert!(conditional::validates(&old, &headers(&[])));
}

#[test]
fn conditions_are_the_stored_ones() {
    let mut request = headers(&[("if-none-match", "\"client\""), ("range", "bytes=0-1"), ("if-range", "\"q\"")]);
    let stored = headers(&[("etag", "W/\"a\""), ("last-modified", "Sun, 06 Nov 1994 08:00:00 GMT")]);
    assert!(conditional::make_conditional(&mut request, &stored));
    let wanted = headers(&[("if-none-match", "W/\"a\""), ("if-modified-since", "Sun, 06 Nov 1994 08:00:00 GMT")]);
    assert_eq!(request, wanted);
    assert!(!conditional::make_conditional(&mut request, &headers(&[])));
    assert!(request.is_empty());
}
