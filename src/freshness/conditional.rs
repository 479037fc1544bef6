//! Conditional requests: validating what is stored, merging a 304, and answering a client's own validators (RFC 9110 13, RFC 9111 4.3).

use std::time::SystemTime;

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, StatusCode};

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
    if let Some(etag) = stored.get(header::ETAG) {
        request.insert(header::IF_NONE_MATCH, etag.clone());
        conditional = true;
    }
    if let Some(modified) = stored.get(header::LAST_MODIFIED).filter(|value| parse_date(value).is_some()) {
        request.insert(header::IF_MODIFIED_SINCE, modified.clone());
        conditional = true;
    }
    conditional
}

/// Whether a 304 validates the stored response it was asked about (RFC 9111 4.3.4): it names no validator that the stored one does not have.
pub fn validates(stored: &HeaderMap, not_modified: &HeaderMap) -> bool {
    match (not_modified.get(header::ETAG), stored.get(header::ETAG)) {
        (Some(theirs), Some(ours)) => weak_eq(theirs.as_bytes(), ours.as_bytes()),
        (Some(_), None) => false,
        (None, Some(_)) => true,
        (None, None) => match (not_modified.get(header::LAST_MODIFIED), stored.get(header::LAST_MODIFIED)) {
            (Some(theirs), Some(ours)) => theirs == ours,
            _ => true,
        },
    }
}

/// The stored header fields as a 304 updates them (RFC 9111 3.2): each field of the 304 replaces all stored ones of its name, but for those that
/// describe the stored body or the connection.
pub fn merge(stored: &HeaderMap, not_modified: &HeaderMap) -> HeaderMap {
    let mut merged = stored.clone();
    // The age of the stored response is that of the validating exchange from now on.
    merged.remove(header::AGE);
    for name in not_modified.keys() {
        if describes_body(name) {
            continue;
        }
        merged.remove(name);
        for value in not_modified.get_all(name) {
            merged.append(name.clone(), value.clone());
        }
    }
    merged
}

fn describes_body(name: &HeaderName) -> bool {
    *name == header::CONTENT_LENGTH
        || *name == header::CONTENT_ENCODING
        || *name == header::CONTENT_RANGE
        || *name == header::TRANSFER_ENCODING
        || *name == header::CONNECTION
        || *name == header::TRAILER
        || *name == header::UPGRADE
}

/// Whether the client's own validators say that it already has this response, so that 304 answers it (RFC 9110 13.2.2).
///
/// `If-Match`, `If-Unmodified-Since` and `If-Range` are for origins (RFC 9111 4.3.2) and not read here.
pub fn not_modified(request: &HeaderMap, status: StatusCode, response: &HeaderMap, now: SystemTime) -> bool {
    if status != StatusCode::OK {
        return false;
    }
    if request.contains_key(header::IF_NONE_MATCH) {
        let etag = response.get(header::ETAG).map(HeaderValue::as_bytes);
        return request.get_all(header::IF_NONE_MATCH).iter().any(|line| list_has(line.as_bytes(), etag));
    }
    let since = request.get(header::IF_MODIFIED_SINCE).and_then(parse_date);
    let modified = response.get(header::LAST_MODIFIED).and_then(parse_date);
    matches!((since, modified), (Some(since), Some(modified)) if modified <= since && modified <= now)
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

fn parse_date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

/// Weak comparison (RFC 9110 8.8.3.2).
fn weak_eq(a: &[u8], b: &[u8]) -> bool {
    opaque(a) == opaque(b)
}

fn opaque(tag: &[u8]) -> &[u8] {
    let tag = tag.trim_ascii();
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

/// Whether an `If-None-Match` list is `*` or has the tag. An entity tag may hold commas, so it is walked by its quotes.
fn list_has(list: &[u8], etag: Option<&[u8]>) -> bool {
    if list.trim_ascii() == b"*" {
        return true;
    }
    let Some(etag) = etag else { return false };
    let mut rest = list;
    loop {
        rest = rest.trim_ascii_start();
        rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii_start();
        let bare = rest.strip_prefix(b"W/").unwrap_or(rest);
        let Some(inner) = bare.strip_prefix(b"\"") else { break };
        let Some(end) = inner.iter().position(|&b| b == b'"') else { return false };
        if bare.get(..end + 2).is_some_and(|tag| tag == opaque(etag)) {
            return true;
        }
        rest = inner.get(end + 1..).unwrap_or_default();
    }
    // Some origins send tags without quotes, and clients send them back so.
    rest.split(|&b| b == b',').any(|tag| !tag.trim_ascii().is_empty() && weak_eq(tag, etag))
}
