//! RFC 9110 5.6.7: dates.

use super::super::{conditional, date, range};
use super::*;

fn read(text: &str) -> Option<u64> {
    let value = HeaderValue::from_str(text).unwrap();
    date::parse(&value, now()).map(|time| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
}

#[test]
fn forms_of_a_date() {
    for (text, want) in [
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
        ("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777)),
        ("Sun Nov  6 08:49:37 1994", Some(784_111_777)),
        ("Sun Nov 16 08:49:37 1994", Some(784_975_777)),
        (" Sun, 06 Nov 1994 08:49:37 GMT ", Some(784_111_777)),
        ("SUN, 06 nov 1994 08:49:37 gMT", Some(784_111_777)),
        // The weekday changes nothing about when it is.
        ("Mon, 06 Nov 1994 08:49:37 GMT", Some(784_111_777)),
        ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
        ("Fri, 31 Dec 9999 23:59:60 GMT", Some(253_402_300_800)),
        ("Tue, 29 Feb 2000 00:00:00 GMT", Some(951_782_400)),
        // The century that is nearest: seen from 1994.
        ("Sunday, 06-Nov-44 08:49:37 GMT", Some(2_362_034_977)),
        ("Sunday, 06-Nov-45 08:49:37 GMT", None),
        ("Sunday, 06-Nov-70 08:49:37 GMT", Some(26_729_377)),
        ("Wed, 31 Dec 1969 23:59:59 GMT", None),
        ("Mon, 29 Feb 1900 00:00:00 GMT", None),
        ("Wed, 29 Feb 2001 00:00:00 GMT", None),
        ("Sun, 31 Nov 1994 08:49:37 GMT", None),
        ("Sun, 00 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 24:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:60:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:61 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 UTC", None),
        ("Sun, 06 Nov 1994 08:49:37 AEST", None),
        ("Sun, 06 Nov 1994 08:49:37", None),
        ("Sun, 06 Nov 94 08:49:37 GMT", None),
        ("Sun 06 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06  Nov  1994 08:49:37 GMT", None),
        ("Sun, 06-Nov-1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08.49.37 GMT", None),
        ("Sun, 06 Nov 1994 8:49:37 GMT", None),
        ("Xyz, 06 Nov 1994 08:49:37 GMT", None),
        ("Sun, 06 Nov 1994 08:49:37 GMT, x", None),
        ("0", None),
        ("", None),
        (",", None),
        ("Sun,", None),
        ("Sun ", None),
    ] {
        assert_eq!(read(text), want, "{text}");
    }
}

#[test]
fn days_of_three_centuries_read_as_another_reader_reads_it() {
    let mut random = Random(7);
    for day in (0..120_000u64).step_by(7) {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(day * 86_400 + random.below(86_400) as u64);
        let text = httpdate::fmt_http_date(time);
        assert_eq!(date::parse(&HeaderValue::from_str(&text).unwrap(), now()), Some(time), "{text}");
    }
}

#[test]
fn what_another_reader_takes_is_taken_and_means_the_same() {
    let mut random = Random(11);
    let pieces = ["Sun", ", ", " ", "06", "6", "Nov", "1994", "94", "08:49:37", "GMT", "-", "Sunday", "Feb", "31", ","];
    for _ in 0..20_000 {
        let text = random.text(&pieces, 10);
        if let Ok(time) = httpdate::parse_http_date(&text) {
            assert_eq!(date::parse(&HeaderValue::from_str(&text).unwrap(), now()), Some(time), "{text}");
        }
    }
}

/// RFC 9110 5.6.7: a year of two digits is not one before 1970 where no clock is asked.
#[test]
fn a_date_of_two_digits_is_a_date_in_every_comparison() {
    for (old, new) in [
        ("Sunday, 28-Mar-49 23:21:25 GMT", "Sun, 28 Mar 2049 23:21:25 GMT"),
        ("Saturday, 21-Nov-26 12:00:00 GMT", "Sat, 21 Nov 2026 12:00:00 GMT"),
        ("Sunday, 06-Nov-94 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMT"),
    ] {
        let mut request = HeaderMap::new();
        let stored = headers(&[("last-modified", old)]);
        assert!(conditional::make_conditional(&mut request, &stored), "{old} validates");
        assert!(conditional::validates(&stored, &headers(&[("last-modified", new)])), "{old} is {new}");
        let asked = headers(&[("range", "bytes=0-0"), ("if-unmodified-since", old)]);
        let selected = range::select(&asked, StatusCode::OK, &headers(&[("last-modified", new)]), 10);
        assert_eq!(selected, range::Selection::One(0..1), "{old} is not before {new}");
    }
}
