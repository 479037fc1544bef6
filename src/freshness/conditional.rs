//! Conditional requests: validating what is stored, merging a 304, and answering a client's own validators (RFC 9110 13, RFC 9111 4.3).

use std::time::SystemTime;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::date;
use super::fields::{single, strip_unstorable};

/// Request fields that make a request conditional or partial. They are a matter between a client and the cache: what is fetched to be stored is
/// asked for without them.
pub const CONDITIONS: [HeaderName; 6] = [
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
    header::IF_UNMODIFIED_SINCE,
    header::IF_RANGE,
    header::RANGE,
];

/// Puts the validators of a stored response into a request to the origin (RFC 9111 4.3.1), in place of any the request had.
///
/// Returns false, and leaves the request unconditional, if the stored response has none.
pub fn make_conditional(request: &mut HeaderMap, stored: &HeaderMap) -> bool {
    for name in &CONDITIONS {
        request.remove(name);
    }
    let mut conditional = false;
    if let Some(etag) = single(stored, &header::ETAG).filter(|etag| !etag.is_empty()) {
        request.insert(header::IF_NONE_MATCH, etag.clone());
        conditional = true;
    }
    if let Some(modified) = single(stored, &header::LAST_MODIFIED).filter(|value| date::is_valid(value)) {
        request.insert(header::IF_MODIFIED_SINCE, modified.clone());
        conditional = true;
    }
    conditional
}

/// Whether a 304 validates the stored response it was asked about (RFC 9111 4.3.4): it names no validator that the stored one does not have.
///
/// Entity tags are compared as the origin compared what we sent, weakly: see `docs/http.md`.
pub fn validates(stored: &HeaderMap, not_modified: &HeaderMap) -> bool {
    match (not_modified.get(header::ETAG), stored.get(header::ETAG)) {
        (Some(theirs), Some(ours)) => return weak_eq(theirs.as_bytes(), ours.as_bytes()),
        (Some(_), None) => return false,
        (None, _) => {}
    }
    match (not_modified.get(header::LAST_MODIFIED), stored.get(header::LAST_MODIFIED)) {
        (Some(theirs), Some(ours)) => theirs == ours || date::same(theirs, ours),
        // We asked by the entity tag; a date the stored one lacks says nothing against it.
        (Some(_), None) => stored.contains_key(header::ETAG),
        (None, _) => true,
    }
}

/// The stored header fields as a 304 updates them (RFC 9111 3.2): each field of the 304 replaces all stored ones of its name, but for those that
/// describe the stored body or the connection. What must not be stored by the new `Cache-Control` is gone.
pub fn merge(stored: &HeaderMap, not_modified: &HeaderMap) -> HeaderMap {
    let mut update = not_modified.clone();
    strip_unstorable(&mut update);
    let mut merged = stored.clone();
    // The age of the stored response is that of the validating exchange from now on.
    merged.remove(header::AGE);
    for name in update.keys() {
        if describes_body(name) || (*name == header::ETAG && keeps_etag(stored, &update)) {
            continue;
        }
        merged.remove(name);
        for value in update.get_all(name) {
            merged.append(name.clone(), value.clone());
        }
    }
    strip_unstorable(&mut merged);
    merged
}

fn describes_body(name: &HeaderName) -> bool {
    *name == header::CONTENT_LENGTH || *name == header::CONTENT_ENCODING || *name == header::CONTENT_RANGE
}

/// A weak tag is not made strong by a 304 that forgot to weaken it: the stored bytes are those that the weak one was given to.
fn keeps_etag(stored: &HeaderMap, update: &HeaderMap) -> bool {
    match (stored.get(header::ETAG), update.get(header::ETAG)) {
        (Some(ours), Some(theirs)) => is_weak(ours.as_bytes()) && !is_weak(theirs.as_bytes()),
        _ => false,
    }
}

/// Whether the client's own validators say that it already has this response, so that 304 answers it (RFC 9110 13.2.2, RFC 9111 4.3.2).
///
/// For GET and HEAD. `If-Match` and `If-Unmodified-Since` are for origins and not read here (RFC 9111 4.3.2); nor is `If-Range`, which decides
/// about a range only.
pub fn not_modified(request: &HeaderMap, status: StatusCode, response: &HeaderMap, now: SystemTime) -> bool {
    if status != StatusCode::OK {
        return false;
    }
    // If it is there, dates do not count (RFC 9110 13.1.3).
    if request.contains_key(header::IF_NONE_MATCH) {
        let etag = etag(response);
        let mut lines = request.get_all(header::IF_NONE_MATCH).iter();
        return lines.any(|line| list_has(line.as_bytes(), etag, Strength::Weak));
    }
    let Some(since) = single(request, &header::IF_MODIFIED_SINCE).and_then(|value| date::parse(value, now)) else {
        return false;
    };
    // Without a date of change, the client's copy is the same if this was already there when the client's was made.
    let modified = response.get(header::LAST_MODIFIED).or_else(|| response.get(header::DATE));
    modified.and_then(|value| date::parse(value, now)).is_some_and(|modified| modified <= since && modified <= now)
}

/// Takes away what a 304 to a client has no use for (RFC 9110 15.4.5).
pub fn strip_for_not_modified(response: &mut HeaderMap) {
    for name in [
        header::CONTENT_LENGTH,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::CONTENT_LANGUAGE,
        header::CONTENT_RANGE,
        header::TRANSFER_ENCODING,
    ] {
        response.remove(name);
    }
}

/// Takes away what a 416 must not say of the representation it does not send.
pub fn strip_for_unsatisfiable(response: &mut HeaderMap) {
    strip_for_not_modified(response);
    for name in [header::ETAG, header::LAST_MODIFIED, header::CACHE_CONTROL, header::EXPIRES, header::AGE] {
        response.remove(name);
    }
}

/// How entity tags are compared (RFC 9110 8.8.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strength {
    Weak,
    Strong,
}

/// The entity tag of a response.
pub(super) fn etag(response: &HeaderMap) -> Option<&[u8]> {
    single(response, &header::ETAG).map(HeaderValue::as_bytes)
}

pub(super) fn strong_eq(a: &[u8], b: &[u8]) -> bool {
    !is_weak(a) && !is_weak(b) && opaque(a) == opaque(b)
}

fn weak_eq(a: &[u8], b: &[u8]) -> bool {
    opaque(a) == opaque(b)
}

/// Whether the first date is the second or before it.
pub(super) fn is_not_after(a: &HeaderValue, b: &HeaderValue) -> bool {
    matches!((date::parse_timeless(a), date::parse_timeless(b)), (Some(a), Some(b)) if a <= b)
}

fn is_weak(tag: &[u8]) -> bool {
    tag.trim_ascii().starts_with(b"W/")
}

fn opaque(tag: &[u8]) -> &[u8] {
    let tag = tag.trim_ascii();
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether a list of entity tags is `*` or has the tag. An entity tag may hold commas, so the list is walked by its quotes.
pub(super) fn list_has(list: &[u8], etag: Option<&[u8]>, strength: Strength) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let Some(etag) = etag else { return false };
    let same = |tag: &[u8]| match strength {
        Strength::Weak => weak_eq(tag, etag),
        Strength::Strong => strong_eq(tag, etag),
    };
    let mut rest = list;
    loop {
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        let bare = rest.strip_prefix(b"W/").unwrap_or(rest);
        let Some(inner) = bare.strip_prefix(b"\"") else { break };
        let Some(end) = inner.iter().position(|&byte| byte == b'"') else { return false };
        // Both quotes, and what stands before them.
        let tag = rest.get(..rest.len() - inner.len() + end + 1).unwrap_or_default();
        if same(tag) {
            return true;
        }
        rest = inner.get(end + 1..).unwrap_or_default();
    }
    // Some origins send tags without quotes, and clients send them back so.
    rest.split(|&byte| byte == b',').any(|tag| !tag.trim_ascii().is_empty() && same(tag))
}
