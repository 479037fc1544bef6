//! What the server says of a client to an origin.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");

/// Says who forwards, and for whom. Of what a client claims about that nothing is kept: it would reach the origin and, through its answer,
/// everybody else. Of a trusted proxy's claims those count that are looked at here; others it may have passed on from its client unseen, and no
/// key has them.
pub(super) fn forwarded(headers: &mut HeaderMap, peer: IpAddr, trusted: bool, scheme: &'static str) {
    let is_claim = |name: &&HeaderName| {
        **name == FORWARDED || (name.as_str().starts_with("x-forwarded-") && **name != X_FORWARDED_FOR)
    };
    // Mostly there are none, and nothing is allocated.
    let claims: Vec<HeaderName> = headers.keys().filter(is_claim).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
    // All lines: a proxy may add one of its own below those of its client, and then it is the last that counts.
    let mut address = String::new();
    for line in headers.get_all(X_FORWARDED_FOR).iter().filter(|_| trusted).filter_map(|line| line.to_str().ok()) {
        address.push_str(line);
        address.push_str(", ");
    }
    address.push_str(&peer.to_string());
    if let Ok(value) = HeaderValue::from_str(&address) {
        headers.insert(X_FORWARDED_FOR, value);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn only_trusted_proxies_speak_for_others() {
        let peer = "192.0.2.1".parse().unwrap();
        let claims = [
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-host", "evil"),
            ("x-forwarded-prefix", "/evil"),
            ("x-forwarded-scheme", "evil"),
            ("forwarded", "for=x"),
        ];
        let mut map = headers(&claims);
        forwarded(&mut map, peer, false, "http");
        assert_eq!(map, headers(&[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "http")]));
        let mut map = headers(&claims);
        forwarded(&mut map, peer, true, "https");
        let kept = [("x-forwarded-for", "198.51.100.1, 192.0.2.1"), ("x-forwarded-proto", "https")];
        assert_eq!(map, headers(&kept), "what a proxy passes on unseen poisons a cache as well");
    }

    #[test]
    fn what_a_trusted_proxy_adds_in_a_line_of_its_own_is_kept() {
        let peer = "192.0.2.1".parse().unwrap();
        let mut map = headers(&[("x-forwarded-for", "203.0.113.9")]);
        map.append(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.1"));
        forwarded(&mut map, peer, true, "http");
        let lines: Vec<_> = map.get_all(X_FORWARDED_FOR).iter().collect();
        assert_eq!(lines, ["203.0.113.9, 198.51.100.1, 192.0.2.1"]);
    }
}
