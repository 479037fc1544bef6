//! What the server says of a client to an origin.

use std::net::IpAddr;

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};
use oust::Key;
use oust_tower::Late;

use crate::engine;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(super) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED: HeaderName = HeaderName::from_static("forwarded");
/// What other names of claims begin with.
const CLAIMS: &str = "x-forwarded-";

/// What frameworks take for the method, the host or the path of a request in place of those that it has. No key has them: what an origin makes of
/// them must not be stored under the URL that was asked for. Those that a site
/// has in its key are the exception.
const OVERRIDES: [&str; 10] = [
    "x-original-url",
    "x-original-host",
    "x-rewrite-url",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-http-host-override",
    "x-host",
    "x-url-scheme",
    "front-end-https",
];

/// What is said of the client of one request, once it is needed.
#[derive(Debug)]
pub(super) struct Forwarding<'a> {
    pub(super) peer: IpAddr,
    pub(super) trusted: bool,
    /// By which the client came.
    pub(super) scheme: &'static str,
    /// Whether it may be stored: then the origin is told the scheme of its key.
    pub(super) cacheable: bool,
    /// Whether all was said already, but for that scheme.
    pub(super) said: bool,
    /// Fields that are in keys.
    pub(super) keyed: &'a [String],
}

impl Forwarding<'_> {
    fn overrides(&self) -> impl Iterator<Item = &'static str> {
        OVERRIDES.into_iter().filter(|name| !self.keyed.iter().any(|keyed| keyed.eq_ignore_ascii_case(name)))
    }

    /// Says it now.
    pub(super) fn say(&mut self, headers: &mut HeaderMap) {
        if !self.said {
            forwarded(headers, self.peer, self.trusted, self.scheme);
            headers.remove(header::EXPECT);
            self.said = true;
        }
    }
}

impl Late for Forwarding<'_> {
    fn sets(&self, name: &[u8]) -> bool {
        sets(name) || is_override(name)
    }

    fn add(mut self, key: Option<&Key>, headers: &mut HeaderMap) {
        self.say(headers);
        if self.cacheable && headers.keys().any(|name| is_override(name.as_str().as_bytes())) {
            self.overrides().for_each(|name| drop(headers.remove(name)));
        }
        if let Some(key) = key.filter(|_| self.cacheable) {
            // What is selected by `Vary` must be what the origin of this key is told.
            headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(engine::target(key).scheme));
        }
    }
}

/// Whether [`Forwarding`] has a say in this field.
pub(super) fn sets(name: &[u8]) -> bool {
    let starts = |with: &[u8]| name.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    let is = |whole: &HeaderName| name.eq_ignore_ascii_case(whole.as_str().as_bytes());
    starts(CLAIMS.as_bytes()) || is(&FORWARDED) || is(&header::EXPECT)
}

fn is_override(name: &[u8]) -> bool {
    OVERRIDES.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

/// Says who forwards, and for whom. Of what a client claims about that nothing is kept: it would reach the origin and, through its answer,
/// everybody else. Of a trusted proxy's claims those count that are looked at here; others it may have passed on from its client unseen, and no
/// key has them.
pub(super) fn forwarded(headers: &mut HeaderMap, peer: IpAddr, trusted: bool, scheme: &'static str) {
    let is_claim =
        |name: &&HeaderName| **name == FORWARDED || (name.as_str().starts_with(CLAIMS) && **name != X_FORWARDED_FOR);
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
    fn what_is_said_is_announced() {
        let claims = [
            ("x-forwarded-for", "1"),
            ("x-forwarded-host", "1"),
            ("x-forwarded-port", "1"),
            ("x-forwarded-anything", "1"),
            ("x-forwarded-proto", "1"),
            ("forwarded", "1"),
            ("expect", "1"),
            ("x-original-url", "1"),
            ("x-http-method-override", "1"),
            ("accept", "1"),
            ("host", "1"),
        ];
        let before = headers(&claims);
        for trusted in [false, true] {
            let peer = "192.0.2.1".parse().unwrap();
            let late = Forwarding { peer, trusted, scheme: "http", cacheable: true, said: false, keyed: &[] };
            let mut after = before.clone();
            late.add(Some(&Key::parse(b"https://h/").unwrap()), &mut after);
            assert_eq!(after["x-forwarded-proto"], "https");
            for (name, _) in claims {
                let announced = sets(name.as_bytes()) || is_override(name.as_bytes());
                assert!(announced || before.get(name) == after.get(name), "{name}");
                assert!(!is_override(name.as_bytes()) || !after.contains_key(name), "{name}");
            }
        }
        assert!(!sets(b"accept-encoding") && sets(b"X-Forwarded-For"));
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
