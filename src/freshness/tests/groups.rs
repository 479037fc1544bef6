//! RFC 9875: groups.

use super::super::groups::*;
use super::*;
use crate::purge::MAX_TAG;

#[test]
fn groups_of_a_response() {
    for (lines, want) in [
        (&["\"a\", \"B b\""][..], &["a", "B b"][..]),
        (&["\"a\";x=1", "\"b\""], &["a", "b"]),
        (&["\"a\", \"a\""], &["a"]),
        (&["\"\\\"\\\\\""], &["\"\\"]),
        (&["\"\""], &[""]),
        (&["a"], &[]),
        (&["\"a\", b"], &[]),
        (&["\"a\", (\"b\")"], &[]),
        (&["\"a\", "], &[]),
        (&["\"a"], &[]),
        (&[""], &[]),
        (&[], &[]),
    ] {
        let fields: Vec<_> = lines.iter().map(|line| ("cache-groups", *line)).collect();
        assert_eq!(groups(&headers(&fields)), want, "2 {lines:?}");
        let fields: Vec<_> = lines.iter().map(|line| ("cache-group-invalidation", *line)).collect();
        assert_eq!(invalidated(&headers(&fields)), want, "3 {lines:?}");
    }
    let many: Vec<String> = (0..MAX_GROUPS + 9).map(|n| format!("\"{n:032}\"")).collect();
    assert_eq!(groups(&headers(&[("cache-groups", &many.join(", "))])).len(), MAX_GROUPS);
}

#[test]
fn a_tag_is_of_one_origin_and_short_enough() {
    assert_eq!(tag("HTTP://h", "Ab"), tag("http://H", "Ab"));
    assert_ne!(tag("http://h", "ab"), tag("http://h", "Ab"));
    assert_ne!(tag("http://h", "ab"), tag("https://h", "ab"));
    assert_ne!(tag("http://h", "a"), tag("http://ha", ""));
    assert!(HeaderValue::from_str(&tag("http://h", "a")).is_err(), "no field can hold it");
    for group in ["x".repeat(MAX_TAG), "é".repeat(MAX_TAG)] {
        assert!(tag("http://h", &group).len() <= MAX_TAG);
        assert!(tag("http://hh", &group).len() <= MAX_TAG);
    }
}
