//! What happens to header fields on their way through.

use std::net::IpAddr;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Version};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_SERVER: HeaderName = HeaderName::from_static("x-forwarded-server");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const CDN_LOOP: HeaderName = HeaderName::from_static("cdn-loop");

/// Our pseudonym in `Via` and our name in `Cache-Status`.
pub(crate) const NAME: &str = "oust";

/// Removes fields that concern one connection only (RFC 9110 7.6.1), among them those that `Connection` names.
///
/// Done to a request before its key and variant are looked up: what a client hides from the origin this way must not select what is stored.
pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
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
    for name in [
        header::CONNECTION,
        KEEP_ALIVE,
        PROXY_CONNECTION,
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
}

/// Whether the request comes from another cache, which must not be given softly purged content as if it were good.
pub(super) fn is_from_cache(request: &HeaderMap) -> bool {
    request.contains_key(header::VIA) || request.contains_key(CDN_LOOP)
}

/// Says who forwards, and for whom. Of what an untrusted client claims about that nothing is kept: it would reach the origin and, through its
/// answer, everybody else.
pub(super) fn forwarded(headers: &mut HeaderMap, peer: IpAddr, trusted: bool, scheme: &'static str) {
    for name in [X_FORWARDED_HOST, X_FORWARDED_PORT, X_FORWARDED_SERVER, FORWARDED] {
        if !trusted {
            headers.remove(name);
        }
    }
    let previous = headers.remove(X_FORWARDED_FOR).filter(|_| trusted);
    let address = match previous.as_ref().and_then(|value| value.to_str().ok()) {
        Some(previous) => format!("{previous}, {peer}"),
        None => peer.to_string(),
    };
    if let Ok(value) = HeaderValue::from_str(&address) {
        headers.insert(X_FORWARDED_FOR, value);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
}

/// Adds us to `Via` (RFC 9110 7.6.3).
pub(super) fn add_via(headers: &mut HeaderMap, received: Version) {
    let value = match received {
        Version::HTTP_10 => "1.0 oust",
        Version::HTTP_2 => "2 oust",
        _ => "1.1 oust",
    };
    headers.append(header::VIA, HeaderValue::from_static(value));
}

/// The tags a response carries in the fields `names`, split as each field's inventor does.
pub(super) fn tags<'a>(headers: &'a HeaderMap, names: &[HeaderName]) -> Vec<&'a [u8]> {
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

/// Removes the tag fields: they are between the origin and us.
pub(super) fn strip_tags(headers: &mut HeaderMap, names: &[HeaderName]) {
    for name in names {
        headers.remove(name);
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
    fn tags_are_split_as_their_field_says() {
        let map = headers(&[("surrogate-key", "a b,c  d"), ("cache-tag", "e f, g,,h "), ("other", "x")]);
        let names = [HeaderName::from_static("surrogate-key"), HeaderName::from_static("cache-tag")];
        assert_eq!(tags(&map, &names), [&b"a"[..], b"b,c", b"d", b"e f", b"g", b"h"]);
    }

    #[test]
    fn only_trusted_proxies_speak_for_others() {
        let peer = "192.0.2.1".parse().unwrap();
        let claims = [("x-forwarded-for", "198.51.100.1"), ("x-forwarded-host", "evil"), ("forwarded", "for=x")];
        let mut map = headers(&claims);
        forwarded(&mut map, peer, false, "http");
        assert_eq!(map, headers(&[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "http")]));
        let mut map = headers(&claims);
        forwarded(&mut map, peer, true, "https");
        assert_eq!(map[X_FORWARDED_FOR], "198.51.100.1, 192.0.2.1");
        assert_eq!(map[X_FORWARDED_HOST], "evil");
    }
}
