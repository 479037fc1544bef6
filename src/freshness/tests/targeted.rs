//! RFC 9213: fields for us in particular, as structured fields (RFC 9651).

use super::*;

fn read(lines: &[&str]) -> Option<Directives> {
    let name = HeaderName::from_static("cdn-cache-control");
    let mut map = HeaderMap::new();
    for line in lines {
        map.append(name.clone(), HeaderValue::from_bytes(line.as_bytes()).unwrap());
    }
    Directives::targeted(&map, &[name])
}

#[test]
fn fields_that_are_read() {
    let age = |seconds| Directives { max_age: Some(seconds), ..Directives::default() };
    for (lines, want) in [
        (&["max-age=60"][..], age(60)),
        (&["  max-age=60  "], age(60)),
        (&["max-age=60;a;b=1;c=\"x\\\"\";d=?0"], age(60)),
        (&["foobar, max-age=60"], age(60)),
        (&["foo=(a b;x \"c\" 1.5 :YQ==: ?1), max-age=60"], age(60)),
        (&["a=:YWI:, b=@-17, c=%\"f%c3%bc\", d=tok:en/*, max-age=60"], age(60)),
        (&["x", "max-age=60"], age(60)),
        (&["max-age=1\t, \tmax-age=60"], age(60)),
        (&["max-age=99999999999"], age(MAX_DELTA)),
        (&["max-age=999999999999999"], age(MAX_DELTA)),
        // Not of its type: as an invalid argument, stale.
        (&["max-age=\"60\""], age(0)),
        (&["max-age=60.0"], age(0)),
        (&["max-age=-60"], age(0)),
        (&["max-age"], age(0)),
        (&["max-age=?0"], age(0)),
        (&["max-age=(60)"], age(0)),
        (&["none"], Directives::default()),
        (&["no-store"], Directives { no_store: true, ..Directives::default() }),
        (&["no-store=?1"], Directives { no_store: true, ..Directives::default() }),
        (&["no-store=5"], Directives { no_store: true, ..Directives::default() }),
        (&["no-store=?0"], Directives::default()),
        (&["no-store, no-store=?0"], Directives::default()),
        (&["private=\"a, b\""], Directives { private: true, ..Directives::default() }),
        (&["no-cache"], Directives { no_cache: true, ..Directives::default() }),
        (&["must-revalidate"], Directives { must_revalidate: true, ..Directives::default() }),
    ] {
        assert_eq!(read(lines), Some(want), "{lines:?}");
    }
}

#[test]
fn fields_that_are_ignored() {
    for lines in [
        &[][..],
        &[""],
        &["   "],
        &["", ""],
        &["max-age=60, &&&&&"],
        &["max-age =60"],
        &["max-age= 60"],
        &["Max-Age=60"],
        &["max-age=60,"],
        &["max-age=60", ""],
        &["", "max-age=60"],
        &[",max-age=60"],
        &["max-age=60 no-store"],
        &["max-age=9999999999999999"],
        &["max-age=60."],
        &["max-age=1.2345"],
        &["max-age=1234567890123.1"],
        &["max-age=-"],
        &["a=\"x"],
        &["a=\"\\x\""],
        &["a=\"é\""],
        &["a=?2"],
        &["a=?"],
        &["a=(b"],
        &["a=(b\"c\")"],
        &["a=:Y:"],
        &["a=:YQ=:"],
        &["a=:YQ"],
        &["a=@1.5"],
        &["a=%\"%C3\""],
        &["a=%\"%c3\""],
        &["a;"],
        &["a;B=1"],
        &["a="],
        &["\tmax-age=60"],
        &["a=\"x", "y\""],
    ] {
        assert_eq!(read(lines), None, "{lines:?}");
    }
}

#[test]
fn a_targeted_field_replaces_cache_control_and_expires() {
    let future = at(3600);
    let cdn = |value| ("cdn-cache-control", value);
    let own = |value| ("oust-cache-control", value);
    for (fields, want) in [
        (&[cdn("max-age=60")][..], Ok(60)),
        (&[cdn("max-age=60"), ("cache-control", "max-age=1")], Ok(60)),
        (&[cdn("max-age=1"), ("cache-control", "max-age=60")], Ok(1)),
        (&[cdn("max-age=60"), ("cache-control", "no-store, private, no-cache")], Ok(60)),
        (&[cdn("max-age=60"), ("expires", "0")], Ok(60)),
        (&[cdn("max-age=60"), ("cache-control", "x=\"")], Ok(60)),
        (&[cdn("max-age=0"), ("expires", future.as_str())], Ok(0)),
        (&[cdn("none"), ("expires", future.as_str())], Err(Skip::NoFreshness)),
        (&[cdn("none"), ("cache-control", "max-age=60")], Err(Skip::NoFreshness)),
        (&[cdn("no-store"), ("cache-control", "max-age=60")], Err(Skip::NoStore)),
        (&[cdn("private"), ("cache-control", "max-age=60")], Err(Skip::Private)),
        (&[cdn("private=\"x\""), ("cache-control", "max-age=60")], Err(Skip::Private)),
        (&[cdn("max-age=10000, &&&&&"), ("cache-control", "no-store")], Err(Skip::NoStore)),
        (&[cdn("max-age=10000, &&&&&"), ("cache-control", "max-age=5")], Ok(5)),
        (&[cdn(""), ("cache-control", "max-age=5")], Ok(5)),
        (&[own("max-age=7"), cdn("max-age=60")], Ok(7)),
        (&[own(""), cdn("max-age=60")], Ok(60)),
        (&[own("Bad"), cdn("max-age=60")], Ok(60)),
        (&[own("Bad"), cdn("Bad"), ("cache-control", "max-age=5")], Ok(5)),
        (&[("other-cache-control", "max-age=60"), ("cache-control", "max-age=5")], Ok(5)),
    ] {
        assert_eq!(lifetime_by(&Policy::new(), 200, fields), want, "2.2 {fields:?}");
    }
    let none = Policy::new().targeted([]);
    assert_eq!(lifetime_by(&none, 200, &[cdn("max-age=60"), ("cache-control", "max-age=5")]), Ok(5));
    let reversed = Policy::new().targeted(["cdn-cache-control", "oust-cache-control"].map(HeaderName::from_static));
    assert_eq!(lifetime_by(&reversed, 200, &[cdn("max-age=60"), own("max-age=7")]), Ok(60));
}

#[test]
fn targeted_directives_work_as_in_cache_control() {
    let cdn = |value| [("cdn-cache-control", value)];
    let freshness = stored(&cdn("max-age=1, must-revalidate, no-cache, stale-if-error=9"));
    assert!(freshness.must_revalidate && freshness.no_cache);
    assert_eq!(freshness.stale_if_error, Duration::from_secs(9));
    let authorized = |value| assessed(200, &[("authorization", "x")], &cdn(value));
    assert_eq!(authorized("max-age=1"), Assessment::Skip(Skip::Authorization));
    assert!(matches!(authorized("max-age=1, public"), Assessment::Store(_)));
}
