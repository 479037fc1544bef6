//! What a request that changes something ends (RFC 9111 4.4).
//!
//! 1. Nothing of another origin is ever named.
//! 2. A text that is no URI reference names nothing; the target itself is always named.

use http::header::{self, HeaderName};
use http::{HeaderMap, Method, StatusCode};

/// Whether the response to a request of this method ends what is stored under its target: the method is unsafe or not known to be safe, and the
/// status no error.
pub fn invalidates(method: &Method, status: StatusCode) -> bool {
    let safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE)
        || matches!(method.as_str(), "PROPFIND" | "REPORT" | "SEARCH" | "QUERY");
    !safe && (status.is_success() || status.is_redirection())
}

/// The URLs whose stored responses such a response ends: `target`, then what `Location` and `Content-Location` name, if it is of the same origin.
///
/// `target` is the absolute URL of the request, `scheme://authority/path?query`; the others are resolved against it (RFC 3986 5.2). No fragments,
/// no URL twice. They are not canonical: that is for [`Key::parse`](crate::Key) to do.
pub fn targets(target: &str, response: &HeaderMap) -> Vec<String> {
    let target = target.split('#').next().unwrap_or_default();
    let mut targets = vec![target.to_owned()];
    let Some(base) = Parts::absolute(target) else { return targets };
    for name in [header::LOCATION, header::CONTENT_LOCATION] {
        let Some(url) = reference(response, &name).and_then(|reference| base.resolve(reference)) else { continue };
        if !targets.contains(&url) {
            targets.push(url);
        }
    }
    targets
}

fn reference<'a>(response: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let text = super::fields::single(response, name)?.to_str().ok()?.trim();
    // No URI holds white space; what does was not meant as one name.
    (!text.contains([' ', '\t'])).then_some(text)
}

/// A URI reference, cut where RFC 3986 appendix B cuts it; the fragment is dropped.
#[derive(Debug, Clone, Copy)]
struct Parts<'a> {
    scheme: Option<&'a str>,
    authority: Option<&'a str>,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn read(reference: &'a str) -> Self {
        let rest = reference.split('#').next().unwrap_or_default();
        let (scheme, rest) = match rest.split_once(':') {
            Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
            _ => (None, rest),
        };
        let (rest, query) = match rest.split_once('?') {
            Some((rest, query)) => (rest, Some(query)),
            None => (rest, None),
        };
        let (authority, path) = match rest.strip_prefix("//") {
            Some(rest) => {
                let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
                (Some(authority), path)
            }
            None => (None, rest),
        };
        Self { scheme, authority, path, query }
    }

    fn absolute(text: &'a str) -> Option<Self> {
        let parts = Self::read(text);
        (parts.scheme.is_some() && parts.authority.is_some()).then_some(parts)
    }

    /// The URL that `reference` names, seen from here; `None` if it is of another origin (RFC 3986 5.2.2).
    fn resolve(&self, reference: &str) -> Option<String> {
        let other = Parts::read(reference);
        let (scheme, authority) = (self.scheme?, self.authority?);
        let its_scheme = other.scheme.unwrap_or(scheme);
        if other.scheme.is_some() && other.authority.is_none() {
            // `http:path` is an old spelling of a relative reference that no strict reader resolves.
            return None;
        }
        let its_authority = other.authority.unwrap_or(authority);
        if !is_same_origin((scheme, authority), (its_scheme, its_authority)) {
            return None;
        }
        let (path, query) = if other.authority.is_some() || other.path.starts_with('/') {
            (without_dots(other.path), other.query)
        } else if other.path.is_empty() {
            (self.path.to_owned(), other.query.or(self.query))
        } else {
            let directory = self.path.rfind('/').map_or("/", |at| &self.path[..=at]);
            (without_dots(&format!("{directory}{}", other.path)), other.query)
        };
        let mut url = format!("{scheme}://{authority}{}", if path.is_empty() { "/" } else { &path });
        if let Some(query) = query {
            url.push('?');
            url.push_str(query);
        }
        Some(url)
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Scheme, host and port (RFC 9110 4.3.1). User information makes it another one: nobody stores such a URL.
fn is_same_origin(a: (&str, &str), b: (&str, &str)) -> bool {
    if !a.0.eq_ignore_ascii_case(b.0) || a.1.contains('@') || b.1.contains('@') {
        return false;
    }
    let default = if a.0.eq_ignore_ascii_case("https") { "443" } else { "80" };
    let (host_a, port_a) = host_and_port(a.1);
    let (host_b, port_b) = host_and_port(b.1);
    let port = |port: &'_ str| -> Option<u16> { if port.is_empty() { default } else { port }.parse().ok() };
    !host_a.is_empty() && host_a.eq_ignore_ascii_case(host_b) && port(port_a).is_some() && port(port_a) == port(port_b)
}

fn host_and_port(authority: &str) -> (&str, &str) {
    match authority.rsplit_once(':') {
        // The colons of an IPv6 address are inside its brackets.
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, ""),
    }
}

/// The path without `.` and `..` segments (RFC 3986 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                // The empty segment before the first slash stays.
                if kept.len() > 1 {
                    kept.pop();
                }
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        if last {
            kept.push("");
        }
    }
    kept.join("/")
}
