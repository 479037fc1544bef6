//! RFC 9110 13, RFC 9111 4.3: validators.

use super::super::conditional::*;
use super::*;

#[test]
fn client_validators() {
    let response = headers(&[("etag", "\"a,b\""), ("last-modified", "Sun, 06 Nov 1994 08:00:00 GMT")]);
    for (section, fields, expected) in [
        ("13.1.2", &[("if-none-match", "\"a,b\"")][..], true),
        ("13.1.2", &[("if-none-match", "W/\"a,b\"")], true),
        ("13.1.2", &[("if-none-match", "\"x\", \"a,b\"")], true),
        ("13.1.2", &[("if-none-match", "\"x\",W/\"a,b\" , \"y\"")], true),
        ("13.1.2", &[("if-none-match", "\"x\""), ("if-none-match", "\"a,b\"")], true),
        ("13.1.2", &[("if-none-match", "*")], true),
        ("13.1.2", &[("if-none-match", "\"a\"")], false),
        ("13.1.2", &[("if-none-match", "\"a,b")], false),
        ("13.1.2", &[("if-none-match", "")], false),
        ("13.1.3", &[("if-none-match", "\"x\""), ("if-modified-since", "Sun, 06 Nov 1994 08:30:00 GMT")], false),
        ("13.1.3", &[("if-none-match", "\"a,b\""), ("if-modified-since", "Sun, 06 Nov 1994 07:00:00 GMT")], true),
        ("13.1.3", &[("if-modified-since", "Sun, 06 Nov 1994 08:00:00 GMT")], true),
        ("13.1.3", &[("if-modified-since", "Sunday, 06-Nov-94 08:00:00 GMT")], true),
        ("13.1.3", &[("if-modified-since", "Sun, 06 Nov 1994 07:00:00 GMT")], false),
        ("13.1.3", &[("if-modified-since", "yesterday")], false),
        ("13.1.3", &[("if-modified-since", NOW), ("if-modified-since", "Sun, 06 Nov 1994 08:00:00 GMT")], false),
        ("13.2.1", &[("if-match", "\"x\"")], false),
        ("13.2.1", &[("if-unmodified-since", "Sun, 06 Nov 1994 07:00:00 GMT")], false),
        ("13.2.1", &[], false),
    ] {
        assert_eq!(not_modified(&headers(fields), StatusCode::OK, &response, now()), expected, "{section} {fields:?}");
    }
    assert!(!not_modified(&headers(&[("if-none-match", "*")]), StatusCode::NOT_FOUND, &response, now()));
}

#[test]
fn without_a_date_of_change_the_date_counts() {
    for (response, since, want) in [
        (&[("date", NOW)][..], NOW, true),
        (&[("date", NOW)], "Sun, 06 Nov 1994 08:49:36 GMT", false),
        (&[], NOW, false),
        (&[("date", NOW), ("last-modified", "x")], NOW, false),
    ] {
        let request = headers(&[("if-modified-since", since)]);
        assert_eq!(
            not_modified(&request, StatusCode::OK, &headers(response), now()),
            want,
            "4.3.2 {response:?} {since}"
        );
    }
}

#[test]
fn odd_entity_tags_match_themselves() {
    for (etag, condition) in
        [("abc", "abc"), ("w/\"abc\"", "w/\"abc\""), ("W\\\"abc\"", "W\\\"abc\""), ("\"\u{e9}\"", "\"\u{e9}\"")]
    {
        let request = headers(&[("if-none-match", condition)]);
        assert!(not_modified(&request, StatusCode::OK, &headers(&[("etag", etag)]), now()), "{etag}");
    }
}

#[test]
fn a_304_updates_the_stored_head() {
    let old = headers(&[
        ("etag", "\"a\""),
        ("x", "1"),
        ("x", "2"),
        ("keep", "k"),
        ("content-length", "5"),
        ("content-encoding", "gzip"),
        ("content-type", "text/plain"),
        ("age", "9"),
        ("secret", "s"),
    ]);
    let new = headers(&[
        ("etag", "\"a\""),
        ("x", "3"),
        ("content-length", "0"),
        ("content-encoding", "br"),
        ("content-range", "bytes 0-1/2"),
        ("content-type", "text/html"),
        ("connection", "y"),
        ("y", "1"),
        ("keep-alive", "1"),
        ("cache-control", "max-age=5, private=\"secret\""),
    ]);
    assert!(validates(&old, &new));
    let wanted = headers(&[
        ("etag", "\"a\""),
        ("x", "3"),
        ("keep", "k"),
        ("content-length", "5"),
        ("content-encoding", "gzip"),
        ("content-type", "text/html"),
        ("cache-control", "max-age=5, private=\"secret\""),
    ]);
    assert_eq!(merge(&old, &new), wanted);
    let aged = merge(&old, &headers(&[("age", "3")]));
    assert_eq!(aged["age"], "3");
}

#[test]
fn which_304_validates() {
    const OLD: &str = "Sun, 06 Nov 1994 08:00:00 GMT";
    for (stored, theirs, want) in [
        (&[("etag", "\"a\"")][..], &[("etag", "\"a\"")][..], true),
        (&[("etag", "\"a\"")], &[("etag", "W/\"a\"")], true),
        (&[("etag", "W/\"a\"")], &[("etag", "\"a\"")], true),
        (&[("etag", "\"a\"")], &[("etag", "\"b\"")], false),
        (&[("etag", "\"a\"")], &[], true),
        (&[("last-modified", OLD)], &[("etag", "\"a\"")], false),
        (&[("last-modified", OLD)], &[("last-modified", OLD)], true),
        (&[("last-modified", OLD)], &[("last-modified", "Sunday, 06-Nov-94 08:00:00 GMT")], true),
        (&[("last-modified", OLD)], &[("last-modified", NOW)], false),
        (&[("last-modified", OLD)], &[], true),
        (&[("etag", "\"a\""), ("last-modified", OLD)], &[("last-modified", NOW)], false),
        (&[("etag", "\"a\"")], &[("last-modified", NOW)], true),
    ] {
        assert_eq!(validates(&headers(stored), &headers(theirs)), want, "4.3.4 {stored:?} {theirs:?}");
    }
    // A weak tag does not become strong by validation.
    let merged = merge(&headers(&[("etag", "W/\"a\"")]), &headers(&[("etag", "\"a\"")]));
    assert_eq!(merged["etag"], "W/\"a\"");
}

#[test]
fn conditions_are_the_stored_ones() {
    let mut request = headers(&[("if-none-match", "\"client\""), ("range", "bytes=0-1"), ("if-range", "\"q\"")]);
    let stored = headers(&[("etag", "W/\"a\""), ("last-modified", "Sun, 06 Nov 1994 08:00:00 GMT")]);
    assert!(make_conditional(&mut request, &stored));
    let wanted = headers(&[("if-none-match", "W/\"a\""), ("if-modified-since", "Sun, 06 Nov 1994 08:00:00 GMT")]);
    assert_eq!(request, wanted);
    for none in [&[][..], &[("last-modified", "x")], &[("etag", "")], &[("etag", "\"a\""), ("etag", "\"b\"")]] {
        assert!(!make_conditional(&mut request, &headers(none)), "{none:?}");
        assert!(request.is_empty());
    }
}
