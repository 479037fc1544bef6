//! HTTP dates: the engine's reader against `httpdate`.
//!
//! What `httpdate` accepts the engine reads as the same second; that is asked from outside, by whether a range of a representation that was
//! changed in that second, or in the next, is still what `If-Unmodified-Since` means. What the engine takes beyond that is a date of one of the
//! three forms once letter case, weekday and the leap second are put right: nothing else counts as a date.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, HeaderValue, StatusCode, header};
use oust::freshness::conditional::make_conditional;
use oust::freshness::range::{Selection, select};
use oust_reference::Entropy;

/// The last second that can be written.
const LAST: u64 = 253_402_300_799;

/// Any bytes as a date, or one made of its parts.
pub fn dates(data: &[u8]) {
    let text = match data.split_first() {
        Some((128.., choices)) => made(&mut Entropy::new(choices)).into_bytes(),
        _ => data.to_vec(),
    };
    let Ok(value) = HeaderValue::from_bytes(&text) else { return };
    let read = std::str::from_utf8(&text).ok().and_then(|text| httpdate::parse_http_date(text).ok());
    // `httpdate` does not look at every separator: what it reads has to be one of the forms as well.
    if let Some(moment) = read.filter(|&moment| (0..3).any(|form| spelled(moment, form).as_bytes() == text)) {
        assert!(is_date(&value), "{value:?} is a date");
        let second = moment.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        assert!(holds(&value, second), "{value:?} is before {second}");
        assert!(second >= LAST || !holds(&value, second + 1), "{value:?} is after {second}");
        return;
    }
    if !is_date(&value) {
        return;
    }
    let Some(moment) = lenient(&text) else { panic!("{value:?} is taken for a date") };
    assert!(holds(&value, moment), "{value:?} is before {moment}");
    assert!(moment >= LAST || !holds(&value, moment + 1), "{value:?} is after {moment}");
}

/// Whether the engine takes it for a date: it sends such a one as a validator, and nothing else.
fn is_date(value: &HeaderValue) -> bool {
    let mut stored = HeaderMap::new();
    stored.insert(header::LAST_MODIFIED, value.clone());
    make_conditional(&mut HeaderMap::new(), &stored)
}

/// Whether something changed at `second` is as it was at the time `value` says.
fn holds(value: &HeaderValue, second: u64) -> bool {
    let mut request = HeaderMap::new();
    request.insert(header::RANGE, HeaderValue::from_static("bytes=0-0"));
    request.insert(header::IF_UNMODIFIED_SINCE, value.clone());
    let mut response = HeaderMap::new();
    let Ok(changed) = HeaderValue::try_from(httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(second))) else {
        return false;
    };
    response.insert(header::LAST_MODIFIED, changed);
    matches!(select(&request, StatusCode::OK, &response, 10), Selection::One(_))
}

/// The second of a date whose letter case, weekday and leap second are put right.
fn lenient(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim_matches([' ', '\t']).to_ascii_lowercase();
    let (text, leap) = match text.contains(":60") {
        true => (text.replacen(":60", ":59", 1), 1),
        false => (text, 0),
    };
    let (name, rest) = text.split_at_checked(text.find([',', ' '])?)?;
    let known = DAYS.iter().any(|(long, short)| name.eq_ignore_ascii_case(long) || name.eq_ignore_ascii_case(short));
    if !known {
        return None;
    }
    let rest = MONTHS
        .iter()
        .fold(rest.replace("gmt", "GMT"), |rest, month| rest.replacen(&month.to_ascii_lowercase(), month, 1));
    let days = DAYS.iter().map(|&(long, short)| if name.len() == 3 { short } else { long });
    let moment = days.filter_map(|day| httpdate::parse_http_date(&format!("{day}{rest}")).ok()).next()?;
    Some(moment.duration_since(UNIX_EPOCH).ok()?.as_secs() + leap)
}

const DAYS: [(&str, &str); 7] = [
    ("Monday", "Mon"),
    ("Tuesday", "Tue"),
    ("Wednesday", "Wed"),
    ("Thursday", "Thu"),
    ("Friday", "Fri"),
    ("Saturday", "Sat"),
    ("Sunday", "Sun"),
];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// A date in one of the forms, with something wrong now and then.
pub(crate) fn made(entropy: &mut Entropy<'_>) -> String {
    let mut four = || (0..4).fold(0, |sum, _| sum << 8 | u64::from(entropy.byte()));
    let second = four() * 64 + four() % 64;
    let moment = UNIX_EPOCH + Duration::from_secs(second % (LAST + 1));
    let text = spelled(moment, entropy.below(3));
    match entropy.below(8) {
        0 => text.to_ascii_uppercase(),
        1 => text.to_ascii_lowercase(),
        2 => text.replacen(entropy.pick(&["0", "1", "Mon", "Jan", ":", "-", " ", "GMT"]), entropy.pick(&WRONG), 1),
        3 => {
            let at = entropy.below(text.len());
            format!("{}{}", &text[..at], entropy.pick(&WRONG))
        }
        _ => text,
    }
}

const WRONG: [&str; 12] = ["", " ", "  ", "Tue", "Feb", "29", "31", ":60", "\t", "UTC", "+", "00"];

/// In the form of that number (RFC 9110 5.6.7).
fn spelled(moment: SystemTime, form: usize) -> String {
    let imf = httpdate::fmt_http_date(moment);
    let part = |range: std::ops::Range<usize>| imf.get(range).unwrap_or_default().to_owned();
    let (short, day, month, year, time) = (part(0..3), part(5..7), part(8..11), part(12..16), part(17..25));
    match form {
        0 => imf,
        1 => {
            let long = DAYS.iter().find(|(_, other)| *other == short).map_or("", |(long, _)| long);
            format!("{long}, {day}-{month}-{} {time} GMT", &year[2..])
        }
        _ => format!("{short} {month} {} {time} {year}", day.replacen('0', " ", usize::from(day.starts_with('0')))),
    }
}
