//! RFC 9111 3: what may be stored.

use super::*;

const FRESH: (&str, &str) = ("cache-control", "max-age=10");

#[test]
fn a_content_range_means_nothing_in_a_whole_response() {
    // RFC 9110 14.4.
    assert!(matches!(assessed(200, &[], &[FRESH, ("content-range", "bytes 0-1/2")]), Assessment::Store(_)));
}

#[test]
fn what_is_not_stored() {
    for (section, status, request, response, want) in [
        ("3", 200, &[][..], &[][..], Skip::NoFreshness),
        ("3", 200, &[], &[("etag", "\"a\"")], Skip::NoFreshness),
        ("3", 200, &[], &[("cache-control", "no-cache")], Skip::NoFreshness),
        ("3", 200, &[], &[("cache-control", "no-cache"), ("last-modified", "x")], Skip::NoFreshness),
        ("3", 599, &[], &[("cache-control", "no-cache"), ("etag", "\"a\"")], Skip::NoFreshness),
        ("3.3", 206, &[], &[FRESH], Skip::Status),
        ("3.3", 416, &[], &[FRESH, ("content-range", "bytes */2")], Skip::Status),
        ("3.4", 304, &[], &[FRESH], Skip::Status),
        // What a request that is wrong provoked, by fields that no key has (CPDoS).
        ("9110 15.5.1", 400, &[], &[("cache-control", "public, max-age=10")], Skip::Status),
        ("9110 15.5.9", 408, &[], &[FRESH], Skip::Status),
        ("9110 15.5.14", 413, &[], &[FRESH], Skip::Status),
        ("9110 15.5.18", 417, &[], &[FRESH], Skip::Status),
        ("9110 15.5.20", 421, &[], &[FRESH], Skip::Status),
        ("6585 3", 428, &[], &[FRESH], Skip::Status),
        ("6585 4", 429, &[], &[FRESH], Skip::Status),
        ("6585 5", 431, &[], &[FRESH], Skip::Status),
        ("6585 6", 511, &[], &[FRESH], Skip::Status),
        ("3.5", 200, &[("authorization", "x")], &[FRESH], Skip::Authorization),
        (
            "3.5",
            200,
            &[("authorization", "x")],
            &[("cache-control", "max-age=1, proxy-revalidate")],
            Skip::Authorization,
        ),
        ("4.1", 200, &[], &[FRESH, ("vary", "*")], Skip::VaryAny),
        ("4.1", 200, &[], &[FRESH, ("vary", "accept, *")], Skip::VaryAny),
        ("4.1", 200, &[], &[FRESH, ("vary", ""), ("vary", "*")], Skip::VaryAny),
        ("4.1", 200, &[], &[FRESH, ("vary", ", *")], Skip::VaryAny),
        ("5.2.1.5", 200, &[("cache-control", "no-store")], &[FRESH], Skip::RequestNoStore),
        ("5.2.2.3", 599, &[], &[("cache-control", "max-age=9, must-understand")], Skip::Status),
        ("5.2.2.3", 599, &[], &[("cache-control", "max-age=9, no-store, must-understand")], Skip::Status),
        ("5.2.2.3", 206, &[], &[("cache-control", "max-age=9, no-store, must-understand")], Skip::Status),
        ("5.2.2.5", 200, &[], &[("cache-control", "max-age=10, No-Store")], Skip::NoStore),
        ("5.2.2.5", 200, &[], &[FRESH, ("cache-control", "no-store")], Skip::NoStore),
        ("5.2.2.5", 200, &[], &[("cache-control", "max-age=10, no-store=\"x\"")], Skip::NoStore),
        ("5.2.2.5", 200, &[], &[("cache-control", "max-age=10, foo=\"no-store")], Skip::NoStore),
        ("5.2.2.7", 200, &[], &[("cache-control", "max-age=10, private")], Skip::Private),
        ("5.2.2.7", 200, &[], &[("cache-control", "max-age=10, PRIVATE")], Skip::Private),
        ("5.2.2.7", 200, &[], &[("cache-control", "max-age=10, private=\"x\", private")], Skip::Private),
        ("5.2.2.7", 200, &[], &[("cache-control", "max-age=10, private=\"\"")], Skip::Private),
        ("5.2.2.7", 200, &[], &[("cache-control", "max-age=10, private=\"a b\"")], Skip::Private),
        ("5.2.2.7", 200, &[], &[("cache-control", "max-age=10, private=\"x,")], Skip::NoStore),
        // What decides about storing is not taken away on another field's word.
        ("5.2.2.7", 200, &[], &[("cache-control", "max-age=10, private=\"vary\""), ("vary", "a")], Skip::Private),
        ("5.2.2.7", 200, &[], &[("cache-control", "max-age=10, private=\"cache-control\"")], Skip::Private),
        ("7.3", 200, &[], &[FRESH, ("set-cookie", "a=b")], Skip::SetCookie),
    ] {
        assert_eq!(
            assessed(status, request, response),
            Assessment::Skip(want),
            "{section} {status} {request:?} {response:?}"
        );
    }
}

#[test]
fn what_is_stored() {
    for (section, status, request, response) in [
        ("3", 200, &[][..], &[FRESH][..]),
        ("3", 302, &[], &[FRESH]),
        ("3", 404, &[], &[FRESH]),
        ("3", 500, &[], &[FRESH]),
        ("3", 599, &[], &[FRESH]),
        ("3", 299, &[], &[("expires", "Sun, 06 Nov 2094 08:49:37 GMT")]),
        ("3", 200, &[], &[("cache-control", "no-cache"), ("etag", "\"a\"")]),
        ("3.5", 200, &[("authorization", "x")], &[("cache-control", "public, max-age=1")]),
        ("3.5", 200, &[("authorization", "x")], &[("cache-control", "must-revalidate, max-age=1")]),
        ("3.5", 200, &[("authorization", "x")], &[("cache-control", "s-maxage=1")]),
        ("5.2.2.3", 200, &[], &[("cache-control", "max-age=9, no-store, must-understand")]),
        ("5.2.2.3", 404, &[], &[("cache-control", "max-age=9, must-understand, no-store")]),
        (
            "5.2.2.7",
            200,
            &[],
            &[("cache-control", "max-age=9, private=\"Set-Cookie, X\""), ("set-cookie", "a=b"), ("x", "y")],
        ),
        ("5.2.2.4", 200, &[], &[("cache-control", "max-age=9, no-cache=\"Set-Cookie\""), ("set-cookie", "a=b")]),
        ("7.3", 200, &[], &[("cache-control", "public, max-age=9"), ("set-cookie", "a=b")]),
        ("7.3", 200, &[], &[("cache-control", "s-maxage=9"), ("set-cookie", "a=b")]),
        ("5.2.1", 200, &[("cache-control", "no-cache, max-age=0")], &[FRESH]),
    ] {
        let got = assessed(status, request, response);
        assert!(matches!(got, Assessment::Store(_)), "{section} {status} {request:?} {response:?}: {got:?}");
    }
}

#[test]
fn only_answers_to_get_are_stored() {
    for method in [Method::HEAD, Method::POST, Method::PUT, Method::OPTIONS] {
        let exchange = Exchange {
            method: &method,
            request: &HeaderMap::new(),
            status: StatusCode::OK,
            response: &headers(&[FRESH]),
            received: now(),
            delay: Duration::ZERO,
        };
        assert_eq!(assess(&exchange), Assessment::Skip(Skip::Method), "{method}");
    }
}

#[test]
fn a_response_that_was_not_stripped_is_not_shared() {
    let exchange = |response: &HeaderMap| {
        Policy::new().assess(&Exchange {
            method: &Method::GET,
            request: &HeaderMap::new(),
            status: StatusCode::OK,
            response,
            received: now(),
            delay: Duration::ZERO,
        })
    };
    let private = headers(&[("cache-control", "max-age=9, private=\"x\""), ("x", "secret")]);
    assert_eq!(exchange(&private), Assessment::Skip(Skip::Private));
    let no_cache = headers(&[("cache-control", "max-age=9, no-cache=\"X\""), ("x", "1")]);
    assert!(matches!(exchange(&no_cache), Assessment::Store(Freshness { no_cache: true, .. })));
    let gone = headers(&[("cache-control", "max-age=9, no-cache=\"X\"")]);
    assert!(matches!(exchange(&gone), Assessment::Store(Freshness { no_cache: false, .. })));
}

#[test]
fn fields_that_are_stripped() {
    for (section, before, after) in [
        ("3.1", &[("connection", "a, close, B"), ("a", "1"), ("b", "2"), ("c", "3")][..], &[("c", "3")][..]),
        ("3.1", &[("keep-alive", "x"), ("te", "x"), ("upgrade", "x"), ("transfer-encoding", "chunked")], &[]),
        ("3.1", &[("proxy-authenticate", "x"), ("proxy-authentication-info", "x"), ("proxy-authorization", "x")], &[]),
        ("3.1", &[("proxy-connection", "x"), ("trailer", "x"), ("x", "y")], &[("x", "y")]),
        ("3.1", &[("connection", "vary, cache-control"), ("vary", "a")], &[("vary", "a")]),
        (
            "5.2.2.4",
            &[("cache-control", "no-cache=\"a, B ,,\""), ("a", "1"), ("b", "2"), ("c", "3")],
            &[("cache-control", "no-cache=\"a, B ,,\""), ("c", "3")],
        ),
        ("5.2.2.4", &[("cache-control", "no-cache=a"), ("a", "1")], &[("cache-control", "no-cache=a")]),
        (
            "5.2.2.7",
            &[("cache-control", "x"), ("cache-control", "Private=\"a\""), ("a", "1"), ("a", "2")],
            &[("cache-control", "x"), ("cache-control", "Private=\"a\"")],
        ),
        (
            "5.2.2.7",
            &[("cache-control", "foo=\"private=a\""), ("a", "1")],
            &[("cache-control", "foo=\"private=a\""), ("a", "1")],
        ),
        (
            "9213",
            &[("cache-control", "private=\"cdn-cache-control\""), ("cdn-cache-control", "no-store")],
            &[("cache-control", "private=\"cdn-cache-control\""), ("cdn-cache-control", "no-store")],
        ),
    ] {
        let mut map = headers(before);
        strip_unstorable(&mut map);
        assert_eq!(map, headers(after), "{section} {before:?}");
    }
}
