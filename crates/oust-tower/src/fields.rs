//! What happens to header fields on their way through.

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Version};
pub(crate) use oust::freshness::tags;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
pub(crate) const CDN_CACHE_CONTROL: HeaderName = HeaderName::from_static("cdn-cache-control");

/// Removes fields that concern one connection only (RFC 9110 7.6.1), among them those that `Connection` names.
///
/// Done to a request before its key and variant are looked up: what a client hides from the origin this way must not select what is stored.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    // Mostly there is nothing to do, and one walk over a few names is quicker than looking each of those up.
    if !headers.keys().any(is_hop_by_hop) {
        return;
    }
    if headers.contains_key(header::CONNECTION) {
        strip_named(headers);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

fn is_hop_by_hop(name: &HeaderName) -> bool {
    // By length first, which a `match` does not see to by itself with names.
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Which fields a request has that a cache asks about.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// It comes from another cache, which must not be given softly purged content as if it were good.
    pub(crate) from_cache: bool,
    /// `If-None-Match` or `If-Modified-Since`.
    pub(crate) conditional: bool,
    pub(crate) range: bool,
    /// `Cache-Control` or `Pragma`.
    pub(crate) directives: bool,
}

impl Seen {
    pub(crate) fn of(request: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for name in request.keys() {
            match name.as_str() {
                "via" | "cdn-loop" => seen.from_cache = true,
                "if-none-match" | "if-modified-since" => seen.conditional = true,
                "range" => seen.range = true,
                "cache-control" | "pragma" => seen.directives = true,
                _ => {}
            }
        }
        seen
    }
}

fn strip_named(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|line| line.as_bytes().split(|&b| b == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        // Without these a message is another one; no sender has a reason to name them.
        .filter(|name| *name != header::HOST && *name != header::CONTENT_LENGTH && *name != header::CACHE_CONTROL)
        .collect();
    for name in named {
        headers.remove(name);
    }
}

/// Whether the request wants to leave HTTP on this connection (RFC 9110 7.8): it is passed on as it is. The offer to go on in HTTP/2 is none such,
/// and nobody takes it any more (RFC 9113 3.1).
pub(crate) fn is_upgrade(request: &HeaderMap, version: Version) -> bool {
    version == Version::HTTP_11
        && request.contains_key(header::CONNECTION)
        && request.get(header::UPGRADE).is_some_and(|to| !to.as_bytes().eq_ignore_ascii_case(b"h2c"))
}

/// What a gRPC client says of itself, and may over HTTP/2 (RFC 9113 8.2.2): the one member of `TE` that is no matter of the connection.
pub(crate) fn te_trailers(request: &HeaderMap, version: Version) -> bool {
    version == Version::HTTP_2 && request.get(header::TE).is_some_and(|value| value == "trailers")
}

/// The length a head states for its body.
pub(crate) fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Sets `Host` to `authority`, if it is something else.
pub(crate) fn set_host(headers: &mut HeaderMap, authority: &str) {
    let mut hosts = headers.get_all(header::HOST).iter();
    if hosts.next().is_some_and(|host| host == authority) && hosts.next().is_none() {
        return;
    }
    if let Ok(host) = HeaderValue::from_str(authority) {
        headers.insert(header::HOST, host);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn connection_names_fields_to_drop_but_not_vital_ones() {
        let mut map =
            headers(&[("connection", "close, X-Private, host"), ("x-private", "1"), ("host", "h"), ("te", "x")]);
        strip_hop_by_hop(&mut map);
        assert_eq!(map, headers(&[("host", "h")]));
    }

    #[test]
    fn every_field_of_one_connection_goes_alone_too() {
        for name in HOP_BY_HOP {
            assert!(is_hop_by_hop(&name), "{name}");
            let mut map = headers(&[("host", "h")]);
            map.insert(name, HeaderValue::from_static("x"));
            strip_hop_by_hop(&mut map);
            assert_eq!(map, headers(&[("host", "h")]));
        }
    }

    #[test]
    fn what_a_request_asks_about_is_seen() {
        let seen = |name| {
            let Seen { from_cache, conditional, range, directives } = Seen::of(&headers(&[("host", "h"), (name, "x")]));
            [from_cache, conditional, range, directives]
        };
        assert_eq!(seen("cdn-loop"), [true, false, false, false]);
        assert_eq!(seen("via"), [true, false, false, false]);
        assert_eq!(seen("if-none-match"), [false, true, false, false]);
        assert_eq!(seen("if-modified-since"), [false, true, false, false]);
        assert_eq!(seen("range"), [false, false, true, false]);
        assert_eq!(seen("cache-control"), [false, false, false, true]);
        assert_eq!(seen("pragma"), [false, false, false, true]);
        assert_eq!(seen("x"), [false; 4]);
    }

    #[test]
    fn tags_are_split_as_their_field_says() {
        let map = headers(&[("surrogate-key", "a b,c  d"), ("cache-tag", "e f, g,,h "), ("other", "x")]);
        let names = [HeaderName::from_static("surrogate-key"), HeaderName::from_static("cache-tag")];
        assert_eq!(tags(&map, &names), [&b"a"[..], b"b,c", b"d", b"e f", b"g", b"h"]);
    }

    #[test]
    fn host_is_that_of_the_key() {
        let mut map = headers(&[("host", "EXAMPLE.com")]);
        set_host(&mut map, "example.com");
        assert_eq!(map, headers(&[("host", "example.com")]));
        let mut none = HeaderMap::new();
        set_host(&mut none, "h");
        assert_eq!(none, headers(&[("host", "h")]));
    }
}
