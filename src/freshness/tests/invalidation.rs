//! RFC 9111 4.4, RFC 3986 5: what a change ends.

use super::super::invalidation::*;
use super::*;

#[test]
fn methods_that_invalidate() {
    for (method, status, want) in [
        ("POST", 200, true),
        ("PUT", 204, true),
        ("DELETE", 302, true),
        ("PATCH", 201, true),
        ("M-SEARCH", 200, true),
        ("get", 200, true),
        ("POST", 400, false),
        ("POST", 500, false),
        ("POST", 100, false),
        ("GET", 200, false),
        ("HEAD", 200, false),
        ("OPTIONS", 200, false),
        ("TRACE", 200, false),
        ("PROPFIND", 207, false),
        ("QUERY", 200, false),
    ] {
        let got = invalidates(&Method::from_bytes(method.as_bytes()).unwrap(), StatusCode::from_u16(status).unwrap());
        assert_eq!(got, want, "4.4 {method} {status}");
    }
}

#[test]
fn urls_that_are_invalidated() {
    const TARGET: &str = "http://h.test/b/c/d;p?q";
    for (location, want) in [
        // RFC 3986 5.4, as far as it stays at the origin.
        ("g", Some("http://h.test/b/c/g")),
        ("./g", Some("http://h.test/b/c/g")),
        ("g/", Some("http://h.test/b/c/g/")),
        ("/g", Some("http://h.test/g")),
        ("//g", None),
        ("?y", Some("http://h.test/b/c/d;p?y")),
        ("g?y", Some("http://h.test/b/c/g?y")),
        ("#s", None),
        ("g#s", Some("http://h.test/b/c/g")),
        ("g?y#s", Some("http://h.test/b/c/g?y")),
        (";x", Some("http://h.test/b/c/;x")),
        ("g;x", Some("http://h.test/b/c/g;x")),
        ("", None),
        (".", Some("http://h.test/b/c/")),
        ("./", Some("http://h.test/b/c/")),
        ("..", Some("http://h.test/b/")),
        ("../", Some("http://h.test/b/")),
        ("../g", Some("http://h.test/b/g")),
        ("../..", Some("http://h.test/")),
        ("../../g", Some("http://h.test/g")),
        ("../../../g", Some("http://h.test/g")),
        ("../../../../g", Some("http://h.test/g")),
        ("/./g", Some("http://h.test/g")),
        ("/../g", Some("http://h.test/g")),
        ("g.", Some("http://h.test/b/c/g.")),
        ("..g", Some("http://h.test/b/c/..g")),
        ("./../g", Some("http://h.test/b/g")),
        ("./g/.", Some("http://h.test/b/c/g/")),
        ("g/./h", Some("http://h.test/b/c/g/h")),
        ("g/../h", Some("http://h.test/b/c/h")),
        ("g;x=1/../y", Some("http://h.test/b/c/y")),
        ("g?y/./x", Some("http://h.test/b/c/g?y/./x")),
        ("http:g", None),
        ("g:h", None),
        ("a//b/..//c", Some("http://h.test/b/c/a///c")),
        // Origins.
        ("http://h.test/x", Some("http://h.test/x")),
        ("HTTP://H.TEST:80/x", Some("http://h.test/x")),
        ("http://h.test:/x", Some("http://h.test/x")),
        ("//h.test/x", Some("http://h.test/x")),
        ("http://h.test", Some("http://h.test/")),
        ("http://h.test?z", Some("http://h.test/?z")),
        ("http://h.test:8080/x", None),
        ("https://h.test/x", None),
        ("http://other.test/x", None),
        ("http://h.test.evil/x", None),
        ("http://u@h.test/x", None),
        ("http://h.test:99999/x", None),
        ("http://h.test:x/x", None),
        ("ftp://h.test/x", None),
        ("/a b", None),
    ] {
        for name in ["location", "content-location"] {
            let got = targets(TARGET, &headers(&[(name, location)]));
            let mut wanted = vec![TARGET.to_owned()];
            wanted.extend(want.map(str::to_owned));
            assert_eq!(got, wanted, "{name}: {location}");
        }
    }
}

#[test]
fn the_target_is_always_named() {
    let both = headers(&[("location", "/l"), ("content-location", "/c")]);
    assert_eq!(targets("https://h/x#f", &both), ["https://h/x", "https://h/l", "https://h/c"]);
    assert_eq!(targets("https://h", &both), ["https://h", "https://h/l", "https://h/c"]);
    assert_eq!(
        targets("https://[::1]:443/x", &headers(&[("location", "https://[::1]/y")])),
        ["https://[::1]:443/x", "https://[::1]:443/y"]
    );
    assert_eq!(targets("http://h/x", &headers(&[("location", "y"), ("location", "z")])), ["http://h/x"]);
    assert_eq!(targets("http://h/x", &headers(&[("location", "/x")])), ["http://h/x"]);
    assert_eq!(targets("/x", &both), ["/x"]);
    assert_eq!(targets("", &both), [""]);
}
