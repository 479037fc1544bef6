//! Which part of a stored response a request asks for (RFC 9110 14), and how several parts are sent.
//!
//! 1. A part is only ever of the representation the client means: any condition that does not hold, or that cannot be read, gives the whole.
//! 2. The ranges of a [`Selection`] do not overlap and are not empty: an answer is never larger than the representation and the heads of its parts.

mod multipart;

use std::ops::Range;

use http::header;
use http::{HeaderMap, HeaderValue, StatusCode};

pub use self::multipart::{Multipart, Part};

use super::conditional::{self, Strength};
use super::date;
use super::fields::single;

/// Most ranges that are looked at in one request; more give the whole (RFC 9110 17.15).
pub const MAX_RANGES: usize = 64;

/// Overlaps that are tolerated in one request; more give the whole (RFC 9110 17.15).
const MAX_OVERLAPS: usize = 2;

/// What of a stored representation is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[expect(clippy::exhaustive_enums, reason = "each is another status, and there are no more")]
pub enum Selection {
    /// All of it, as 200: no range was asked for, or none that counts.
    Whole,
    /// One part, as 206 with [`content_range`].
    One(Range<u64>),
    /// Parts in the order they were asked for, as 206 with a [`Multipart`] body.
    Many(Vec<Range<u64>>),
    /// No byte of what was asked for exists: 416 with [`unsatisfied`].
    Unsatisfiable,
}

/// What a GET asks for of a stored response of this status, fields and body length (RFC 9110 14.2).
///
/// Evaluated after the request's other conditions (RFC 9110 13.2.2). The caller sees to it that the method is GET. `If-Match` and
/// `If-Unmodified-Since` are for origins, but a client that sends them with a range must not get a part of something else: where they do not hold,
/// it gets the whole.
pub fn select(request: &HeaderMap, status: StatusCode, response: &HeaderMap, length: u64) -> Selection {
    let Some(range) = request.get(header::RANGE) else { return Selection::Whole };
    // Of an empty representation there is no part to send, and no harm in sending all of it.
    if status != StatusCode::OK
        || length == 0
        || response.contains_key(header::CONTENT_RANGE)
        || single(request, &header::RANGE).is_none()
        || !is_meant(request, response)
    {
        return Selection::Whole;
    }
    match parse(range.as_bytes(), length) {
        None => Selection::Whole,
        Some(ranges) => combined(ranges),
    }
}

/// `Content-Range` of a part.
pub fn content_range(part: &Range<u64>, length: u64) -> HeaderValue {
    value(format!("bytes {}-{}/{length}", part.start, part.end.saturating_sub(1)))
}

/// `Content-Range` of a 416.
pub fn unsatisfied(length: u64) -> HeaderValue {
    value(format!("bytes */{length}"))
}

fn value(text: String) -> HeaderValue {
    // Digits and a few visible characters are always a field value.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("bytes */*"))
}

/// Whether the representation is the one the range is about.
fn is_meant(request: &HeaderMap, response: &HeaderMap) -> bool {
    let etag = conditional::etag(response);
    if request.contains_key(header::IF_RANGE)
        && !single(request, &header::IF_RANGE).is_some_and(|v| if_range(v, response))
    {
        return false;
    }
    if request.contains_key(header::IF_MATCH) {
        let mut lines = request.get_all(header::IF_MATCH).iter();
        return lines.any(|line| conditional::list_has(line.as_bytes(), etag, Strength::Strong));
    }
    match request.get(header::IF_UNMODIFIED_SINCE) {
        None => true,
        // Compared as text or moment: what is later than the client's date is something else to it.
        Some(since) => {
            response.get(header::LAST_MODIFIED).is_some_and(|modified| conditional::is_not_after(modified, since))
        }
    }
}

/// RFC 9110 13.1.5: a strong entity tag, or the very date if that is a strong validator (8.8.2.2).
fn if_range(condition: &HeaderValue, response: &HeaderMap) -> bool {
    let text = condition.as_bytes().trim_ascii();
    if text.starts_with(b"\"") || text.starts_with(b"W/") {
        return conditional::etag(response).is_some_and(|etag| conditional::strong_eq(text, etag));
    }
    let (Some(modified), Some(sent)) = (response.get(header::LAST_MODIFIED), response.get(header::DATE)) else {
        return false;
    };
    // Made at least a second after the last change, it was the only version of that second.
    date::same(condition, modified) && conditional::is_not_after(modified, sent) && !date::same(modified, sent)
}

/// The satisfiable ranges in the order they stand there; `None` if the field is to be ignored.
fn parse(field: &[u8], length: u64) -> Option<Vec<Range<u64>>> {
    let field = field.trim_ascii();
    let at = field.iter().position(|&byte| byte == b'=')?;
    if !field.get(..at)?.eq_ignore_ascii_case(b"bytes") {
        return None;
    }
    let mut ranges = Vec::new();
    let mut count = 0;
    for member in field.get(at + 1..)?.split(|&byte| byte == b',').map(<[u8]>::trim_ascii) {
        if member.is_empty() {
            continue;
        }
        count += 1;
        if count > MAX_RANGES {
            return None;
        }
        let dash = member.iter().position(|&byte| byte == b'-')?;
        let (first, last) = (member.get(..dash)?, member.get(dash + 1..)?);
        let range = if first.is_empty() {
            length.saturating_sub(number(last)?)..length
        } else {
            let first = number(first)?;
            let last = if last.is_empty() { u64::MAX } else { number(last)? };
            if last < first {
                return None;
            }
            first..last.saturating_add(1).min(length)
        };
        if range.start < range.end {
            ranges.push(range);
        }
    }
    (count > 0).then_some(ranges)
}

/// Digits as a number; one too large is as good as the largest.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, digit| {
        digit.is_ascii_digit().then(|| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
    })
}

/// One range for those that overlap or touch, at the place of the first of them (RFC 9110 15.3.7.2).
fn combined(ranges: Vec<Range<u64>>) -> Selection {
    let mut overlaps = 0;
    let mut kept: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        let mut range = range;
        let mut place = None;
        let mut at = 0;
        while let Some(other) = kept.get(at) {
            if range.start > other.end || other.start > range.end {
                at += 1;
                continue;
            }
            overlaps += usize::from(range.start < other.end && other.start < range.end);
            range = range.start.min(other.start)..range.end.max(other.end);
            kept.remove(at);
            place = Some(place.unwrap_or(at).min(at));
            // What it has grown into may reach others.
            at = 0;
        }
        kept.insert(place.unwrap_or(kept.len()), range);
    }
    if overlaps > MAX_OVERLAPS {
        return Selection::Whole;
    }
    match (kept.pop(), kept.is_empty()) {
        (None, _) => Selection::Unsatisfiable,
        (Some(only), true) => Selection::One(only),
        (Some(last), false) => {
            kept.push(last);
            Selection::Many(kept)
        }
    }
}
