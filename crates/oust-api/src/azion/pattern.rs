//! The pattern language: text to selectors.
//!
//! An item is a URL or a cache key in one of three spellings: `http://host/...`, `httphost/...` where `host` is a configured one (a cache key as
//! the vendor prints it), or `host/...`, which is of both schemes. Of a host that could be read both ways, the scheme is read.

use oust::purge::Matcher;
use oust::site::Sites;
use oust::{Key, Selector};

/// An item cut at its scheme.
struct Item<'a> {
    /// `None` for both.
    scheme: Option<&'static str>,
    /// From the host on.
    rest: &'a str,
}

/// A URL: the key it has without a variation. An asterisk is literal, an `@@` part of the URL.
pub(crate) fn url(text: &str, configured: &dyn Fn(&str) -> bool) -> Result<Vec<Selector>, String> {
    let key = |url: String| {
        // A key is read leniently, as requests are; a purge is not.
        Matcher::new(&Selector::Url(url.clone()), &Sites::default()).map_err(|error| format!("'{url}': {error}"))?;
        let key = Key::from_url(url.as_bytes()).map_err(|error| format!("'{url}': {error}"))?;
        Ok(Selector::Key(key.to_string()))
    };
    Item::read(text, configured)?.spelled_out().into_iter().map(key).collect()
}

/// A cache key, `url[@@variation]`. An asterisk is literal; a bare `@@` at the end is no variation.
pub(crate) fn cachekey(text: &str, configured: &dyn Fn(&str) -> bool) -> Result<Vec<Selector>, String> {
    let bare = text.find("@@").and_then(|at| text.get(at..)).is_some_and(|run| run.bytes().all(|byte| byte == b'@'));
    let text = text.strip_suffix("@@").filter(|_| bare).unwrap_or(text);
    Ok(Item::read(text, configured)?.spelled_out().into_iter().map(Selector::Key).collect())
}

/// An expression with any number of `*`, each crossing everything but the host. Without `@@` it takes all variations.
pub(crate) fn wildcard(text: &str, configured: &dyn Fn(&str) -> bool) -> Result<Vec<Selector>, String> {
    let Item { scheme, rest } = Item::read(text, configured)?;
    Ok(vec![Selector::Glob(format!("{}://{rest}", scheme.unwrap_or("any")))])
}

impl<'a> Item<'a> {
    fn read(text: &'a str, configured: &dyn Fn(&str) -> bool) -> Result<Self, String> {
        let end = text.find(['/', '?', '#']).unwrap_or(text.len());
        let (authority, target) = text.split_at(end);
        if let (Some(scheme), Some(rest)) = (authority.strip_suffix(':'), target.strip_prefix("//")) {
            let known = ["https", "http"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known));
            let scheme = known.ok_or_else(|| format!("'{text}': the scheme is neither http nor https"))?;
            return Ok(Self { scheme: Some(scheme), rest });
        }
        for scheme in ["https", "http"] {
            if let Some(rest) = text.strip_prefix(scheme)
                && let host = host(rest)
                && !host.is_empty()
                && configured(host)
            {
                return Ok(Self { scheme: Some(scheme), rest });
            }
        }
        Ok(Self { scheme: None, rest: text })
    }

    /// With its scheme, or once with each.
    fn spelled_out(&self) -> Vec<String> {
        let spell = |scheme: &str| format!("{scheme}://{}", self.rest);
        match self.scheme {
            Some(scheme) => vec![spell(scheme)],
            None => vec![spell("http"), spell("https")],
        }
    }
}

/// What a text begins with, if it begins with a host: without port.
fn host(text: &str) -> &str {
    let authority = text.split(['/', '?', '#', '@']).next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}
