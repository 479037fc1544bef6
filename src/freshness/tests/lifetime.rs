//! RFC 9111 4.2: how long and how old; RFC 5861; what an operator adds.

use super::*;

#[test]
fn lifetime_by_precedence() {
    let hour = at(3600);
    let past = at(-3600);
    for (section, fields, seconds) in [
        ("5.2.2.1", &[("cache-control", "max-age=10")][..], 10),
        ("5.2.2.1", &[("cache-control", "MAX-AGE=10")], 10),
        ("5.2.2.1", &[("cache-control", "max-age=\"10\"")], 10),
        ("5.2.2.1", &[("cache-control", "max-age=0010")], 10),
        ("5.2.2.1", &[("cache-control", "max-age=0")], 0),
        ("4.2.1", &[("cache-control", "max-age=10, s-maxage=20")], 20),
        ("4.2.1", &[("cache-control", "max-age=20, s-maxage=1")], 1),
        ("4.2.1", &[("cache-control", "max-age=10"), ("cache-control", "S-MaxAge=20")], 20),
        ("4.2.1", &[("cache-control", "max-age=10"), ("expires", &hour)], 10),
        ("4.2.1", &[("cache-control", "max-age=10"), ("expires", "0")], 10),
        ("4.2.1", &[("cache-control", "max-age=0"), ("expires", &hour)], 0),
        ("4.2.1", &[("expires", &hour)], 3600),
        ("4.2.1", &[("expires", &hour), ("date", &at(60))], 3540),
        ("4.2.1", &[("expires", &hour), ("date", "foo")], 3600),
        ("4.2.1", &[("expires", &at(300)), ("date", &at(400))], 0),
        ("4.2.1", &[("expires", &past)], 0),
        ("4.2.1", &[("expires", NOW)], 0),
        ("4.2.1", &[("expires", &hour), ("expires", &past)], 0),
        ("4.2.1", &[("expires", &hour), ("expires", &hour)], 3600),
        ("4.2.1", &[("cache-control", "max-age=10, max-age=20")], 10),
        ("4.2.1", &[("cache-control", "max-age=10"), ("cache-control", "max-age=20")], 10),
        ("4.2.1", &[("cache-control", "max-age=nonsense")], 0),
        ("4.2.1", &[("cache-control", "max-age=-1")], 0),
        ("4.2.1", &[("cache-control", "max-age=1.5")], 0),
        ("4.2.1", &[("cache-control", "max-age=10a")], 0),
        ("4.2.1", &[("cache-control", "max-age='10'")], 0),
        ("4.2.1", &[("cache-control", "max-age =10")], 0),
        ("4.2.1", &[("cache-control", "max-age= 10")], 0),
        ("4.2.1", &[("cache-control", "max-age")], 0),
        ("5.3", &[("expires", "0")], 0),
        ("5.3", &[("expires", "")], 0),
        ("1.2.2", &[("cache-control", "max-age=99999999999999999999")], u64::from(MAX_DELTA)),
        ("1.2.2", &[("cache-control", "max-age=4294967296")], u64::from(MAX_DELTA)),
        ("1.2.2", &[("cache-control", "max-age=2147483649")], u64::from(MAX_DELTA)),
        ("1.2.2", &[("cache-control", "max-age=2147483647")], 2_147_483_647),
        ("1.2.2", &[("expires", "Fri, 31 Dec 9999 23:59:59 GMT")], u64::from(MAX_DELTA)),
        ("5.2", &[("cache-control", ",, max-age=3 ,")], 3),
        ("5.2", &[("cache-control", "foo=\"a, max-age=1, \\\" b\", max-age=3")], 3),
        ("5.2", &[("cache-control", "max-age=3, foo=\"max-age=9\"")], 3),
        ("5.2.3", &[("cache-control", "foobar, max-age=3")], 3),
        ("5.2.2.4", &[("cache-control", "no-cache"), ("etag", "\"a\"")], 0),
    ] {
        assert_eq!(stored(fields).lifetime, Duration::from_secs(seconds), "{section} {fields:?}");
    }
}

#[test]
fn age_is_the_larger_of_stated_and_apparent() {
    let day = ("cache-control", "max-age=86400");
    for (section, fields, seconds) in [
        ("4.2.3", &[day][..], 0),
        ("5.1", &[day, ("age", "30")], 30),
        ("5.1", &[day, ("age", "30, 40")], 30),
        ("5.1", &[day, ("age", "0, 40")], 0),
        ("5.1", &[day, ("age", "30"), ("age", "40")], 30),
        ("5.1", &[day, ("age", "-1")], 0),
        ("5.1", &[day, ("age", "abc")], 0),
        ("5.1", &[day, ("age", "7.0")], 0),
        ("5.1", &[day, ("age", "99999999999999999999999")], u64::from(MAX_DELTA)),
        ("4.2.3", &[day, ("date", &at(-60))], 60),
        ("4.2.3", &[day, ("date", &at(-60)), ("age", "90")], 90),
        ("4.2.3", &[day, ("date", &at(3600))], 0),
        ("4.2.3", &[day, ("date", &at(10)), ("age", "15")], 15),
        ("4.2.3", &[day, ("date", "foo")], 0),
        ("4.2.3", &[day, ("date", "Thu, 01 Jan 1970 00:00:00 GMT")], 784_111_777),
    ] {
        assert_eq!(stored(fields).age, Duration::from_secs(seconds), "{section} {fields:?}");
    }
}

#[test]
fn the_origins_delay_is_age() {
    let age = |delay, fields| {
        let exchange = Exchange {
            method: &Method::GET,
            request: &HeaderMap::new(),
            status: StatusCode::OK,
            response: &headers(fields),
            received: now(),
            delay,
        };
        match assess(&exchange) {
            Assessment::Store(freshness) => freshness.age,
            Assessment::Skip(skip) => panic!("{skip}"),
        }
    };
    let aged: Fields<'_> = &[("cache-control", "max-age=9"), ("age", "5")];
    assert_eq!(age(Duration::from_millis(2900), aged), Duration::from_secs(7));
    assert_eq!(age(Duration::from_millis(900), &aged[..1]), Duration::ZERO);
    assert_eq!(age(Duration::MAX, aged), Duration::from_secs(MAX_DELTA.into()));
}

#[test]
fn heuristic_freshness_where_it_is_allowed() {
    let day_ago = at(-86_400);
    let modified = ("last-modified", day_ago.as_str());
    let day = Ok(8640);
    for (status, fields, want) in [
        (200, &[modified][..], day),
        (203, &[modified], day),
        (204, &[modified], day),
        (300, &[modified], day),
        (301, &[modified], day),
        (308, &[modified], day),
        (404, &[modified], day),
        (405, &[modified], day),
        (410, &[modified], day),
        (414, &[modified], day),
        (501, &[modified], day),
        (201, &[modified], Err(Skip::NoFreshness)),
        (202, &[modified], Err(Skip::NoFreshness)),
        (302, &[modified], Err(Skip::NoFreshness)),
        (403, &[modified], Err(Skip::NoFreshness)),
        (502, &[modified], Err(Skip::NoFreshness)),
        (503, &[modified], Err(Skip::NoFreshness)),
        (599, &[modified], Err(Skip::NoFreshness)),
        (599, &[modified, ("cache-control", "public")], day),
        (200, &[modified, ("date", &at(-43_200))], Ok(4320)),
        (200, &[modified, ("cache-control", "foo")], day),
        (200, &[modified, ("cache-control", "no-cache"), ("etag", "\"a\"")], day),
        (200, &[modified, ("pragma", "no-cache")], Err(Skip::NoFreshness)),
        (200, &[modified, ("pragma", "no-cache"), ("cache-control", "public")], day),
        (200, &[("last-modified", "Thu, 01 Jan 1970 00:00:00 GMT")], Ok(86_400)),
        (200, &[("last-modified", &at(-9))], Err(Skip::NoFreshness)),
        (200, &[("last-modified", &at(-100))], Ok(10)),
        (200, &[("last-modified", &at(100))], Err(Skip::NoFreshness)),
        (200, &[("last-modified", "yesterday")], Err(Skip::NoFreshness)),
        (200, &[modified, ("last-modified", NOW)], Err(Skip::NoFreshness)),
        (200, &[modified, ("expires", "0")], Ok(0)),
    ] {
        assert_eq!(lifetime_by(&Policy::new(), status, fields), want, "4.2.2 {status} {fields:?}");
    }
    let off = Policy::new().heuristics(false);
    assert_eq!(lifetime_by(&off, 200, &[modified]), Err(Skip::NoFreshness));
}

#[test]
fn what_an_operator_adds() {
    let seconds = Duration::from_secs;
    let policy = Policy::new()
        .default_ttl(seconds(30))
        .negative_ttl(seconds(5))
        .minimum_ttl(seconds(2))
        .maximum_ttl(seconds(100));
    let day_ago = at(-86_400);
    let modified = ("last-modified", day_ago.as_str());
    for (status, fields, want) in [
        (200, &[][..], Ok(30)),
        (301, &[], Ok(30)),
        (200, &[modified], Ok(100)),
        (200, &[("cache-control", "max-age=10")], Ok(10)),
        (200, &[("cache-control", "max-age=1")], Ok(2)),
        (200, &[("cache-control", "max-age=0")], Ok(2)),
        (200, &[("cache-control", "max-age=1000")], Ok(100)),
        (200, &[("expires", "0")], Ok(2)),
        (302, &[], Err(Skip::NoFreshness)),
        (404, &[], Ok(5)),
        (404, &[modified], Ok(5)),
        (410, &[], Ok(5)),
        (501, &[], Ok(5)),
        (404, &[("cache-control", "max-age=20")], Ok(20)),
        (403, &[], Err(Skip::NoFreshness)),
        (403, &[("cache-control", "public")], Ok(5)),
        (503, &[], Err(Skip::NoFreshness)),
        (200, &[("cache-control", "no-store")], Err(Skip::NoStore)),
        (200, &[("cache-control", "private")], Err(Skip::Private)),
        (200, &[("set-cookie", "a=b")], Err(Skip::SetCookie)),
        (200, &[("pragma", "no-cache")], Err(Skip::NoFreshness)),
    ] {
        assert_eq!(lifetime_by(&policy, status, fields), want, "{status} {fields:?}");
    }
    assert_eq!(lifetime_by(&Policy::new().negative_ttl(Duration::ZERO), 404, &[modified]), Err(Skip::NoFreshness));
    // The cap wins over the floor, and neither overflows.
    let odd = Policy::new().minimum_ttl(Duration::MAX).maximum_ttl(seconds(7));
    assert_eq!(lifetime_by(&odd, 200, &[("cache-control", "max-age=1")]), Ok(7));
}

#[test]
fn a_window_of_the_policys_own_holds_where_the_origin_says_nothing() {
    let policy = Policy::new().stale_if_error(Duration::from_secs(60));
    for (control, window, barred) in [
        ("max-age=1", 60, false),
        ("max-age=1, stale-while-revalidate=5", 60, false),
        ("max-age=1, stale-if-error=5", 5, false),
        ("max-age=1, stale-if-error=0", 0, false),
        ("max-age=1, stale-if-error=x", 0, false),
        ("s-maxage=1, stale-while-revalidate=5", 0, false),
        ("s-maxage=1", 0, true),
        ("max-age=1, must-revalidate", 60, true),
        ("max-age=1, proxy-revalidate", 60, true),
    ] {
        let Assessment::Store(got) = assessed_by(&policy, 200, &[], &[("cache-control", control)]) else {
            panic!("{control}")
        };
        assert_eq!((got.stale_if_error.as_secs(), got.must_revalidate), (window, barred), "{control}");
    }
}

#[test]
fn stale_windows() {
    let freshness = stored(&[("cache-control", "max-age=1, stale-while-revalidate=10, stale-if-error=20")]);
    assert_eq!(freshness.stale_while_revalidate, Duration::from_secs(10));
    assert_eq!(freshness.stale_if_error, Duration::from_secs(20));
    assert!(!freshness.must_revalidate);
    for (section, control, want) in [
        ("5.2.2.2", "max-age=1, stale-if-error=20, must-revalidate", true),
        ("5.2.2.8", "max-age=1, proxy-revalidate", true),
        ("5.2.2.10", "s-maxage=1", true),
        ("5.2.2.10", "s-maxage=1, stale-while-revalidate=9", false),
        ("4.2.4", "max-age=1", false),
    ] {
        assert_eq!(stored(&[("cache-control", control)]).must_revalidate, want, "{section} {control}");
    }
    let odd = stored(&[("cache-control", "max-age=1, stale-while-revalidate=x, stale-if-error")]);
    assert_eq!((odd.stale_while_revalidate, odd.stale_if_error), (Duration::ZERO, Duration::ZERO));
    let huge = stored(&[("cache-control", "max-age=1, stale-while-revalidate=99999999999999")]);
    assert_eq!(huge.stale_while_revalidate, Duration::from_secs(MAX_DELTA.into()));
}
