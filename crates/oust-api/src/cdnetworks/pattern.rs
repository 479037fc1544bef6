//! The pattern language: text to selectors.
//!
//! A file URL names one cache key, `*` and raw special letters refused. A directory URL is the whole of one URL, or everything its last run
//! of `*` stands for. A regex is the engine's. Refusals are in the vendor's words where it has any.

use http::HeaderMap;
use oust::site::Sites;
use oust::{Key, Selector};

use crate::variation;

/// Longest URL, in characters.
const MAX_URL: usize = 2048;

/// How much of a text an error shows.
const SHOWN: usize = MAX_URL;

/// Request header fields that select a variant, as the client wrote them and as the key policy reads them.
#[derive(Debug)]
pub(super) struct Variant {
    pub(super) headers: Vec<(String, String)>,
    pub(super) map: HeaderMap,
}

pub(crate) fn file_url(text: &str) -> Result<Vec<Selector>, String> {
    Ok(vec![file(text, None, &Sites::default())?])
}

pub(crate) fn dir_url(text: &str) -> Result<Vec<Selector>, String> {
    directory(text).map(|selector| vec![selector])
}

pub(crate) fn regex(text: &str) -> Result<Vec<Selector>, String> {
    Ok(vec![Selector::Regex(text.to_owned())])
}

/// The key of a file under its site's policy: that of a request with these header fields, or with none.
pub(super) fn file(text: &str, variant: Option<&Variant>, sites: &Sites) -> Result<Selector, String> {
    check(text)?;
    if text.contains('*') {
        return Err(invalid(text, "File URLs should not contain the asterisk character, '*'."));
    }
    let wrong = |error: oust::key::KeyError| invalid(text, &format!("{}.", capital(&error.to_string())));
    // An `@@` in it is part of the URL: clients name variations by header fields.
    let key = Key::from_url(text.as_bytes()).map_err(wrong)?;
    let none = HeaderMap::new();
    let key = variation::of_request(key, variant.map_or(&none, |variant| &variant.map), sites).map_err(wrong)?;
    let key = key.to_string();
    Ok(match variant {
        Some(variant) => Selector::Variant { key, headers: variant.headers.clone() },
        None => Selector::Key(key),
    })
}

/// What a directory URL takes.
pub(super) fn directory(text: &str) -> Result<Selector, String> {
    check(text)?;
    Ok(Selector::LastWildcard(text.to_owned()))
}

/// The canonical host a URL or regex names, without its port.
pub(super) fn host(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    crate::account::host_of_url(&format!("http://{authority}/"))
}

/// A URL's refusal.
pub(super) fn invalid(text: &str, reason: &str) -> String {
    format!("The purge URL '{}' is invalid. {reason}", shown(text))
}

/// A text as errors show it: not longer than a URL may be.
pub(super) fn shown(text: &str) -> String {
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// With a capital, as the vendor's sentences begin.
pub(super) fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// Length, scheme and letters of a URL.
fn check(text: &str) -> Result<(), String> {
    if text.chars().count() > MAX_URL {
        return Err(invalid(text, &format!("It is longer than {MAX_URL} characters.")));
    }
    let rest = text
        .split_once("://")
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https"));
    let Some((_, rest)) = rest else {
        return Err(invalid(text, "It must begin with http:// or https://."));
    };
    let target = rest.find(['/', '?', '#']).and_then(|at| rest.get(at..)).unwrap_or_default();
    if !target.bytes().all(is_plain) || !whole_escapes(target) {
        return Err(invalid(text, "Special letters need to be encoded."));
    }
    Ok(())
}

/// Whether a byte may stand in a URL as it is, or begins an escape (RFC 3986 3.3 to 3.5).
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?#%".contains(&byte)
}

/// Whether every `%` begins an escape and the escapes are UTF-8: `123%abc.jpg` is not, a `%` that was meant as itself.
fn whole_escapes(text: &str) -> bool {
    let mut pieces = text.split('%');
    pieces.next();
    let escapes =
        pieces.all(|piece| matches!(piece.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()));
    escapes && percent_encoding::percent_decode_str(text).decode_utf8().is_ok()
}
