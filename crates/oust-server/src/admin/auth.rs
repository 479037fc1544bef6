//! Who may use the admin API.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use subtle::{Choice, ConstantTimeEq};

use super::problem::Problem;
use crate::config::{Role, Token};

/// The tokens of now.
#[derive(Debug)]
pub(crate) struct Guards(ArcSwap<Guard>);

impl Guards {
    pub(crate) fn new(tokens: Vec<Token>) -> Self {
        Self(ArcSwap::from_pointee(Guard::new(tokens)))
    }

    /// From now on these count.
    pub(crate) fn set(&self, tokens: Vec<Token>) {
        self.0.store(Arc::new(Guard::new(tokens)));
    }

    /// As [`Guard::admit`].
    pub(super) fn admit(&self, headers: &HeaderMap, needs: Role) -> Result<String, Problem> {
        self.0.load().admit(headers, needs)
    }

    /// As [`Guard::admit_probe`].
    pub(super) fn admit_probe(&self, headers: &HeaderMap) -> Result<(), Problem> {
        self.0.load().admit_probe(headers)
    }
}

/// Decides on each request.
#[derive(Debug)]
struct Guard {
    tokens: Vec<Token>,
}

impl Guard {
    fn new(tokens: Vec<Token>) -> Self {
        Self { tokens }
    }

    /// The name of who asks, if that is somebody who may.
    fn admit(&self, headers: &HeaderMap, needs: Role) -> Result<String, Problem> {
        self.admit_probe(headers)?;
        if self.tokens.is_empty() {
            return Ok("local".to_owned());
        }
        let Some(given) = bearer(headers) else {
            return Err(unauthorized("a Bearer token is required"));
        };
        let Some(token) = self.find(given) else {
            return Err(unauthorized("unknown token"));
        };
        if token.role < needs {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!("the role of token {:?} does not allow this", token.name),
            ));
        }
        Ok(token.name.clone())
    }

    /// Whether a request that needs no token may be answered.
    fn admit_probe(&self, headers: &HeaderMap) -> Result<(), Problem> {
        // Only a loopback listener runs without tokens. A page in a browser on this machine reaches it too, but under a name of its own.
        if self.tokens.is_empty() && !has_loopback_host(headers) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "without tokens the admin API answers to loopback host names only, so that no web page may purge",
            ));
        }
        // Under a loopback name of ours it sends simple requests too, of which a browser tells whose they are.
        if self.tokens.is_empty() && is_of_a_foreign_page(headers) {
            return Err(Problem::new(StatusCode::FORBIDDEN, "without tokens the admin API answers to no web page"));
        }
        Ok(())
    }

    /// Compares with every token in a time that depends on none of their bytes.
    fn find(&self, given: &[u8]) -> Option<&Token> {
        let mut found = None;
        for token in &self.tokens {
            let equal: Choice = token.token.as_bytes().ct_eq(given);
            if bool::from(equal) {
                found = Some(token);
            }
        }
        found
    }
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail).header(header::WWW_AUTHENTICATE, "Bearer")
}

fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Whether a browser says that a page of another origin asks: a foreign `Origin`, or `Sec-Fetch-Site` of something that was not typed in or of
/// this very address.
fn is_of_a_foreign_page(headers: &HeaderMap) -> bool {
    let fetched = headers.get_all("sec-fetch-site").iter().any(|site| site != "same-origin" && site != "none");
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes).unwrap_or_default();
    let own = |origin: &HeaderValue| {
        let origin = origin.as_bytes();
        let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        authority.is_some_and(|authority| authority.eq_ignore_ascii_case(host))
    };
    fetched || !headers.get_all(header::ORIGIN).iter().all(own)
}

fn has_loopback_host(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let Ok(authority) = host.as_bytes().try_into() else { return false };
    let authority: http::uri::Authority = authority;
    let host = authority.host().trim_end_matches('.');
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: header::HeaderName, value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_static(value))])
    }

    #[test]
    fn loopback_names() {
        for good in ["localhost", "localhost:8081", "127.0.0.1:8081", "127.9.9.9", "[::1]:8081", "LOCALHOST."] {
            assert!(has_loopback_host(&with(header::HOST, good)), "{good}");
        }
        for bad in ["evil.example", "localhost.evil.example", "10.0.0.1", "[::2]", "127.0.0.1.evil.example", ""] {
            assert!(!has_loopback_host(&with(header::HOST, bad)), "{bad}");
        }
    }

    #[test]
    fn pages_of_other_origins() {
        let host = "127.0.0.1:8081";
        for (name, value, foreign) in [
            ("origin", "http://127.0.0.1:8081", false),
            ("origin", "http://127.0.0.1:9000", true),
            ("origin", "https://evil.example", true),
            ("origin", "null", true),
            ("sec-fetch-site", "none", false),
            ("sec-fetch-site", "same-origin", false),
            ("sec-fetch-site", "same-site", true),
            ("sec-fetch-site", "cross-site", true),
            ("accept", "x", false),
        ] {
            let mut headers = with(header::HOST, host);
            headers.insert(name, HeaderValue::from_static(value));
            assert_eq!(is_of_a_foreign_page(&headers), foreign, "{name}: {value}");
        }
    }

    #[test]
    fn roles_include_lower_ones() {
        let token = |name: &str, role| Token { name: name.to_owned(), token: format!("t-{name}"), role };
        let guard = Guard::new(vec![token("r", Role::Read), token("p", Role::Purge), token("a", Role::Admin)]);
        for (given, needs, admitted) in [
            ("Bearer t-r", Role::Read, true),
            ("Bearer t-r", Role::Purge, false),
            ("bearer t-p", Role::Read, true),
            ("Bearer t-p", Role::Purge, true),
            ("Bearer t-p", Role::Admin, false),
            ("Bearer t-a", Role::Admin, true),
            ("Bearer t-x", Role::Read, false),
            ("Basic t-a", Role::Read, false),
            ("Bearer", Role::Read, false),
        ] {
            assert_eq!(guard.admit(&with(header::AUTHORIZATION, given), needs).is_ok(), admitted, "{given} {needs:?}");
        }
    }
}
