//! RFC 9111 5.2.1: what a request demands; RFC 8246.

use super::*;

fn parse(fields: Fields<'_>) -> RequestDirectives {
    RequestDirectives::parse(&headers(fields))
}

#[test]
fn pragma_counts_without_cache_control_only() {
    for (fields, want) in [
        (&[("pragma", "no-cache")][..], true),
        (&[("pragma", "No-Cache")], true),
        (&[("pragma", "foo, no-cache")], true),
        (&[("pragma", "foo")], false),
        (&[("pragma", "no-cache"), ("cache-control", "max-age=5")], false),
        (&[("pragma", "no-cache"), ("cache-control", "")], false),
        (&[("cache-control", "no-cache")], true),
        (&[("cache-control", "no-cache=\"x\"")], true),
    ] {
        assert_eq!(parse(fields).no_cache, want, "5.4 {fields:?}");
    }
    assert!(parse(&[("cache-control", "only-if-cached")]).only_if_cached);
    assert!(parse(&[("cache-control", "No-Store")]).no_store);
}

#[test]
fn demands() {
    for (section, control, age, ttl, used) in [
        ("5.2.1.1", "max-age=5", 5, 10, true),
        ("5.2.1.1", "max-age=5", 6, 10, false),
        ("5.2.1.1", "max-age=0", 1, 10, false),
        ("5.2.1.1", "max-age=x", 1, 10, false),
        ("5.2.1.1", "max-age=99999999999", 1_000_000, 10, true),
        // Whoever states an age and no staleness wants nothing stale.
        ("5.2.1.1", "max-age=500", 5, -1, false),
        ("5.2.1.1", "max-age=500, max-stale", 5, -1, true),
        ("5.2.1.2", "max-stale=5", 20, -5, true),
        ("5.2.1.2", "max-stale=5", 20, -6, false),
        ("5.2.1.2", "max-stale", 20, i64::MIN, true),
        ("5.2.1.2", "max-stale=x", 20, -1, false),
        ("5.2.1.3", "min-fresh=10", 0, 10, true),
        ("5.2.1.3", "min-fresh=11", 0, 10, false),
        ("5.2.1.3", "min-fresh=x", 0, 10, false),
        ("5.2.1.3", "min-fresh=1, max-stale", 0, -1, false),
        ("5.2.1.4", "no-cache", 0, 10, false),
        ("5861 3", "foo", 9, -5, true),
    ] {
        let want = if used { Demand::Use } else { Demand::Validate };
        let got = parse(&[("cache-control", control)]).demand(Duration::from_secs(age), ttl);
        assert_eq!(got, want, "{section} {control} age {age} ttl {ttl}");
    }
}

#[test]
fn what_must_be_validated_is_used_stale_only_if_all_agree() {
    for (control, may, want) in [
        ("max-stale", true, true),
        ("max-stale=10", true, true),
        ("max-stale=9", true, false),
        ("max-stale", false, false),
        ("max-stale, no-cache", true, false),
        ("max-stale, max-age=5", true, false),
        ("max-stale, min-fresh=0", true, false),
        ("max-age=500", true, false),
        ("foo", true, false),
    ] {
        let got = parse(&[("cache-control", control)]).accepts_stale(Duration::from_secs(20), -10, may);
        assert_eq!(got, want, "5.2.1.2 {control} {may}");
    }
}

#[test]
fn a_reload_does_not_validate_what_is_immutable_and_fresh() {
    let immutable: Fields<'_> = &[("cache-control", "max-age=9, Immutable")];
    for (control, ttl, stored, want) in [
        ("max-age=0", 5, immutable, true),
        ("max-age=0", 0, immutable, false),
        ("max-age=0", -5, immutable, false),
        ("max-age=0, no-cache", 5, immutable, false),
        ("max-age=0, min-fresh=6", 5, immutable, false),
        ("max-age=1", 5, immutable, false),
        ("no-cache", 5, immutable, false),
        ("max-age=0", 5, &[("cache-control", "max-age=9")], false),
    ] {
        let got = parse(&[("cache-control", control)]).is_reload_of_immutable(ttl, &headers(stored));
        assert_eq!(got, want, "8246 2.1 {control} {ttl} {stored:?}");
    }
}
