//! Where the server meets the engine's keys and sites.

use http::HeaderMap;
use oust::Key;
use oust::site::Sites;

use crate::config::Site;

/// What a key asks an origin for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    /// Host and port, for the `Host` field.
    pub(crate) authority: &'a str,
    /// Host without port.
    pub(crate) host: &'a str,
    /// Path and query of the canonical URL.
    pub(crate) path_and_query: &'a str,
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
    let _ = sites;
    Ok(Sites::default())
}

/// The key of a request.
pub(crate) fn key(
    sites: &Sites,
    scheme: &str,
    authority: &str,
    path_and_query: &str,
    headers: &HeaderMap,
) -> Result<Key, NoKey> {
    let _ = (sites, headers);
    Key::from_parts(scheme.as_bytes(), authority.as_bytes(), path_and_query.as_bytes())
        .map_err(|error| if error.is_too_long() { NoKey::TooLong } else { NoKey::Malformed(error.to_string()) })
}

/// The canonical URL of a key, in parts.
pub(crate) fn target(key: &Key) -> Target<'_> {
    let key = key.as_ref();
    let authority = text(key.authority());
    let scheme = if key.scheme() == b"https" { "https" } else { "http" };
    let before_path = scheme.len() + "://".len() + authority.len();
    let path_and_query = key.url().get(before_path..).map_or("/", text);
    Target { scheme, authority, host: text(key.host()), path_and_query }
}

/// The text of a key.
pub(crate) fn key_text(key: &Key) -> String {
    text(key.text()).to_owned()
}

/// Canonical keys are ASCII: nothing is lost.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Selectors to try keys against, outside any cache.
#[derive(Debug, Default)]
pub(crate) struct Patterns {}

impl Patterns {
    /// One more; an error says what is wrong and at which byte.
    pub(crate) fn add(&mut self, selector: &oust::purge::Selector) -> Result<(), (String, Option<usize>)> {
        let _ = selector;
        todo!()
    }

    /// Whether any takes the key. What is no key is taken by none.
    pub(crate) fn matches(&self, key: &[u8]) -> bool {
        let _ = key;
        todo!()
    }
}
