//! Fields that must not be stored (RFC 9111 3.1).

use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue};

use super::directives::{self, Directive};

/// Fields of one connection, or of the proxy that was asked (RFC 9110 7.6.1, RFC 9111 3.1).
const OF_THE_CONNECTION: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHENTICATE,
    HeaderName::from_static("proxy-authentication-info"),
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Fields without which the rest would mean something else: taking one away could make a response storable that is not, or select it for
/// requests it is not for.
const DECISIVE: [HeaderName; 9] = [
    header::AGE,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::DATE,
    header::EXPIRES,
    header::HOST,
    header::VARY,
];

/// The tags a response carries in the fields `names`, split as each field's inventor does: `Surrogate-Key` and `xkey` at white space, others at
/// commas. O(fields); they borrow from `headers`.
///
/// ```
/// use http::{HeaderMap, HeaderName};
/// let mut headers = HeaderMap::new();
/// headers.insert("surrogate-key", "a b".parse()?);
/// headers.insert("cache-tag", "c d, e".parse()?);
/// let names = ["surrogate-key", "cache-tag"].map(HeaderName::from_static);
/// assert_eq!(oust::freshness::tags(&headers, &names), [&b"a"[..], b"b", b"c d", b"e"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn tags<'a>(headers: &'a HeaderMap, names: &[HeaderName]) -> Vec<&'a [u8]> {
    let mut tags = Vec::new();
    for name in names {
        let by_space = matches!(name.as_str(), "surrogate-key" | "xkey");
        let separates = |byte: &u8| if by_space { byte.is_ascii_whitespace() } else { *byte == b',' };
        for line in headers.get_all(name) {
            tags.extend(line.as_bytes().split(separates).map(<[u8]>::trim_ascii).filter(|tag| !tag.is_empty()));
        }
    }
    tags
}

/// Removes the fields of a response that must not be stored: those of the connection, those `Connection` names, and those that
/// `no-cache="..."` and `private="..."` name (RFC 9111 3.1, 5.2.2.4, 5.2.2.7).
///
/// Done before [`Policy::assess`](super::Policy::assess), and before the response is shared with anyone: a response that still has a field it
/// calls private is not stored at all, and one that still has a field it says not to reuse is validated before each use. Fields that decide
/// about storing (`Cache-Control` and targeted fields, `Vary`, `Date`, ...) are never removed on another field's word, so naming one of them has
/// that effect too. `Set-Cookie` is like any other field here; `assess` refuses what sets cookies without saying that it is for everyone.
pub fn strip_unstorable(headers: &mut HeaderMap) {
    // The usual response names nothing.
    let mut named: Vec<HeaderName> = Vec::new();
    for line in headers.get_all(header::CONNECTION) {
        named.extend(line.as_bytes().split(|&byte| byte == b',').filter_map(name));
    }
    directives::listed(headers.get_all(header::CACHE_CONTROL), |_, listed| named.extend(name(listed)));
    for name in named.iter().filter(|name| !is_decisive(name)) {
        headers.remove(name);
    }
    for name in &OF_THE_CONNECTION {
        headers.remove(name);
    }
}

/// Whether a field that `directive` names is still there.
pub(super) fn has_listed(headers: &HeaderMap, directive: Directive) -> bool {
    let mut found = false;
    directives::listed(headers.get_all(header::CACHE_CONTROL), |of, name| {
        found |= of == directive && std::str::from_utf8(name).is_ok_and(|name| headers.contains_key(name));
    });
    found
}

/// The lines of a field that can only have one value: none if there are two that differ.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    lines.all(|line| line == first).then_some(first)
}

fn name(text: &[u8]) -> Option<HeaderName> {
    HeaderName::from_bytes(text.trim_ascii()).ok()
}

fn is_decisive(name: &HeaderName) -> bool {
    // A targeted field ends so by convention (RFC 9213 2.4).
    DECISIVE.contains(name) || name.as_str().ends_with("-cache-control")
}
