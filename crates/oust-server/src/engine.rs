//! Where the server meets the engine's keys and sites.

use http::HeaderMap;
use oust::purge::{MatchSet, Matcher, PurgeErrorKind, Selector};
use oust::site::{self, Environment, KeyPolicy, Sites};
use oust::{Action, Key};

use crate::config::{QueryRule, Site};

/// What a key asks an origin for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// Host and port, for the `Host` field.
    pub(crate) authority: &'a str,
    /// Host without port.
    pub(crate) host: &'a str,
}

/// Why a request has no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// Its host belongs to no site.
    UnknownHost,
    /// It is longer than a key may be: not cached, but passed on.
    TooLong,
    /// It is no URL.
    Malformed(String),
}

/// The engine's sites for those of the configuration, or which one is wrong, and how.
pub(crate) fn sites(sites: &[Site]) -> Result<Sites, (Option<usize>, String)> {
    let engine: Vec<site::Site> = sites.iter().map(engine_site).collect();
    Sites::new(engine.iter().cloned()).map_err(|error| {
        // It stops at the first site that is wrong: the shortest list with an error ends with that one.
        let at = (0..engine.len()).find(|&at| Sites::new(engine.iter().take(at + 1).cloned()).is_err());
        (at, error.to_string())
    })
}

fn engine_site(site: &Site) -> site::Site {
    let rules = &site.key;
    let query = match &rules.query {
        QueryRule::Keep => site::Query::Keep,
        QueryRule::Sort => site::Query::Sort,
        QueryRule::Drop => site::Query::Drop,
        QueryRule::Allow(names) => site::Query::Allow(names.clone()),
        QueryRule::Deny(names) => site::Query::Deny(names.clone()),
    };
    let policy = KeyPolicy::new()
        .query(query)
        .cookies(rules.cookies.iter().cloned())
        .headers(rules.headers.iter().cloned())
        .device(rules.device);
    site::Site::new(site.hosts.iter().cloned())
        .aliases(site.aliases.iter().cloned())
        .environment(if site.staging { Environment::Staging } else { Environment::Production })
        .merge_schemes(site.merge_schemes)
        .policy(policy)
}

/// The key of a request, and which of the sites it is for.
pub(crate) fn key(
    sites: &Sites,
    scheme: &str,
    authority: &str,
    path_and_query: &str,
    headers: &HeaderMap,
) -> Result<(Key, usize), NoKey> {
    let key = sites.key_and_site(scheme.as_bytes(), authority.as_bytes(), path_and_query.as_bytes(), headers);
    key.map_err(|error| match error.malformed() {
        None => NoKey::UnknownHost,
        Some(error) if error.is_too_long() => NoKey::TooLong,
        Some(error) => NoKey::Malformed(error.to_string()),
    })
}

/// The canonical URL of a key, in parts.
pub(crate) fn target(key: &Key) -> Target<'_> {
    let key = key.as_ref();
    let authority = text(key.authority());
    let scheme = if key.scheme() == b"https" { "https" } else { "http" };
    Target { scheme, authority, host: text(key.host()) }
}

/// Canonical keys are ASCII: nothing is lost.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Selectors to try keys against, outside any cache.
#[derive(Debug)]
pub(crate) struct Patterns {
    set: MatchSet,
    /// What the set does not admit, since a cache would not either: asked one by one.
    others: Vec<Matcher>,
    /// Whether keys of all hosts are tried as if they were of [`ANY_HOST`].
    any_host: bool,
}

/// The host in whose name patterns without one are read. No longer than any other, so that a key that is given it stays one.
pub(crate) const ANY_HOST: &str = "h";

impl Default for Patterns {
    fn default() -> Self {
        Self { set: MatchSet::new(Sites::default(), usize::MAX), others: Vec::new(), any_host: false }
    }
}

impl Patterns {
    /// One more; an error says what is wrong and at which byte.
    pub(crate) fn add(&mut self, selector: &Selector) -> Result<(), (String, Option<usize>)> {
        match self.set.add(std::slice::from_ref(selector), Action::Delete) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == PurgeErrorKind::TooManyRules => {
                let matcher = Matcher::new(selector, &Sites::default());
                self.others.push(matcher.map_err(|error| (error.to_string(), error.position()))?);
                Ok(())
            }
            Err(error) => Err((error.to_string(), error.position())),
        }
    }

    /// From now on the host and port of a key do not count: for patterns of [`ANY_HOST`].
    pub(crate) fn regardless_of_host(&mut self) {
        self.any_host = true;
    }

    /// Whether any takes the key. What is no key is taken by none.
    pub(crate) fn matches(&self, key: &[u8]) -> bool {
        let Ok(mut key) = Key::parse(key) else { return false };
        if self.any_host {
            let Ok(moved) = Key::parse(moved(&key).as_bytes()) else { return false };
            key = moved;
        }
        self.set.judge(key.as_ref(), 0).is_some() || self.others.iter().any(|other| other.matches(key.as_ref()))
    }
}

/// The text of a key, moved to [`ANY_HOST`] with its scheme.
fn moved(key: &Key) -> String {
    let key = key.as_ref();
    let scheme = text(key.scheme());
    let before_path = scheme.len() + "://".len() + key.authority().len();
    let rest = key.text().get(before_path..).map_or("/", text);
    format!("{scheme}://{ANY_HOST}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_host_and_port_are_tried() {
        let mut patterns = Patterns::default();
        patterns.add(&Selector::Pattern(format!("any://{ANY_HOST}/d/*.jpg"))).expect("a pattern");
        for (key, taken) in [
            ("http://h/d/a.jpg", true),
            ("https://www.example.com/d/a.jpg?q=1@@v=2", true),
            ("http://www.example.com:8080/d/a.jpg", true),
            ("https://[::1]:8443/d/a.jpg", true),
            ("HTTP://WWW.example.com/d/%61.jpg", true),
            ("http://www.example.com/e/a.jpg", false),
            ("http://h:80h/d/a.jpg", false),
        ] {
            let strictly = key == "http://h/d/a.jpg";
            assert_eq!(patterns.matches(key.as_bytes()), strictly, "{key}");
            patterns.regardless_of_host();
            assert_eq!(patterns.matches(key.as_bytes()), taken, "{key}");
            patterns.any_host = false;
        }
        let longest = format!("http://a/{}", "x".repeat(oust::key::MAX_KEY - "http://a/".len()));
        patterns.add(&Selector::Pattern(format!("any://{ANY_HOST}/x**"))).expect("a pattern");
        patterns.regardless_of_host();
        assert!(Key::parse(longest.as_bytes()).is_ok() && patterns.matches(longest.as_bytes()));
    }
}
