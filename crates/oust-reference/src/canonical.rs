//! Canonical form of URLs and cache keys, one rule after the other.

use std::net::Ipv6Addr;

/// Longest key in canonical bytes, separator and variation included.
pub const MAX_KEY: usize = 8192;

/// Longest host name in bytes.
const MAX_HOST: usize = 253;

/// A cache key with what else a rule may look at.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Subject {
    /// The URL part, canonical.
    pub url: Vec<u8>,
    /// The variation, if there is one.
    pub variation: Option<Vec<u8>>,
    /// Tags of the stored response.
    pub tags: Vec<Vec<u8>>,
}

impl Subject {
    /// The whole key as text: `url[@@variation]`.
    pub fn text(&self) -> Vec<u8> {
        let mut text = self.url.clone();
        if let Some(variation) = &self.variation {
            text.extend_from_slice(b"@@");
            text.extend_from_slice(variation);
        }
        text
    }

    /// Where the path begins and ends in [`text`](Self::text).
    pub fn path(&self) -> (usize, usize) {
        let after_scheme = find(&self.url, b"://").map_or(0, |at| at + 3);
        let start = position(&self.url, after_scheme, b'/').unwrap_or(self.url.len());
        let end = position(&self.url, start, b'?').unwrap_or(self.url.len());
        (start, end)
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &[u8] {
        let end = find(&self.url, b"://").unwrap_or(0);
        &self.url[..end]
    }

    /// Host and effective port.
    pub fn host_port(&self) -> (&[u8], u32) {
        let start = find(&self.url, b"://").map_or(0, |at| at + 3);
        let authority = &self.url[start..self.path().0];
        let (host, port) = split_port(authority);
        let default = if self.scheme() == b"https" { 443 } else { 80 };
        let number = port.and_then(|port| std::str::from_utf8(port).ok()).and_then(|port| port.parse().ok());
        (host, number.unwrap_or(default))
    }
}

/// The first place of `needle` in `text`.
pub(crate) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    (0..text.len()).find(|&at| text[at..].starts_with(needle))
}

/// The first place of `byte` in `text` at or behind `from`.
pub(crate) fn position(text: &[u8], from: usize, byte: u8) -> Option<usize> {
    (from..text.len()).find(|&at| text[at] == byte)
}

pub(crate) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

pub(crate) fn is_pchar(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}

/// The byte a percent-encoding at `at` stands for.
pub(crate) fn percent(text: &[u8], at: usize) -> Option<u8> {
    let hex = |at: usize| text.get(at).and_then(|&b| char::from(b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    if text.get(at) == Some(&b'%') { Some(hex(at + 1)? * 16 + hex(at + 2)?) } else { None }
}

/// Whether a `%` without two hex digits is in the part of a URL that is neither fragment nor authority. Lookups write it `%25`, purges
/// refuse it.
pub fn has_stray_percent(url: &[u8]) -> bool {
    let end = position(url, 0, b'#').unwrap_or(url.len());
    (0..end).any(|at| url[at] == b'%' && percent(&url[..end], at).is_none())
}

/// Whether this reference leaves the host of a URL or key alone: internationalised names (also percent-encoded or already A-labels) and
/// labels of more than 63 bytes, which the specification does not mention.
pub fn out_of_scope(url: &[u8]) -> bool {
    let Some(scheme) = find(url, b"://") else { return false };
    let rest = &url[scheme + 3..];
    let end = rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len());
    let mut host = Vec::new();
    let mut at = 0;
    while at < end {
        match percent(&rest[..end], at) {
            Some(byte) => {
                host.push(byte.to_ascii_lowercase());
                at += 3;
            }
            None => {
                host.push(rest[at].to_ascii_lowercase());
                at += 1;
            }
        }
    }
    !host.is_ascii() || host.split(|b| b".:@".contains(b)).any(|label| label.starts_with(b"xn--") || label.len() > 63)
}

/// Whether the variation of a key or pattern text is spelled as a key policy writes it: bytes from 0x21 to 0x7E as they are but for `@`, and
/// percent-encodings in upper case of what must be encoded. How a text that somebody else wrote is read (`@@`, `%7e`, a raw space) is left
/// open.
pub fn plain_variation(text: &[u8]) -> bool {
    let Some(variation) = split_key(text).1 else { return true };
    (0..variation.len()).all(|at| match variation[at] {
        b'%' => percent(variation, at).is_some_and(|byte| {
            let written = variation[at + 1..at + 3] == *format!("{byte:02X}").as_bytes();
            written && (!byte.is_ascii_graphic() || b"%;@".contains(&byte))
        }),
        byte => byte.is_ascii_graphic() && byte != b'@',
    })
}

/// Splits a key text into URL and variation: the variation begins after the first `@@`; of a longer run, after its last pair.
pub(crate) fn split_key(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some(mut at) = find(text, b"@@") else { return (text, None) };
    while text.get(at + 2) == Some(&b'@') {
        at += 1;
    }
    (&text[..at], Some(&text[at + 2..]))
}

/// A key from its text `url[@@variation]`, or `None` where it is refused.
pub fn parse_key(text: &[u8]) -> Option<Subject> {
    let (url, variation) = split_key(text);
    let url = canonical(url)?;
    let mut len = url.len();
    if let Some(variation) = variation {
        if variation.is_empty() || variation.starts_with(b"@") {
            return None;
        }
        len += 2 + variation.len();
    }
    if len > MAX_KEY {
        return None;
    }
    Some(Subject { url, variation: variation.map(<[u8]>::to_vec), tags: Vec::new() })
}

/// The canonical form of a URL as a client sends it, or `None` where it is refused.
pub fn canonical(url: &[u8]) -> Option<Vec<u8>> {
    let url = &url[..position(url, 0, b'#').unwrap_or(url.len())];
    let colon = find(url, b"://")?;
    let scheme = url[..colon].to_ascii_lowercase();
    if scheme != b"http" && scheme != b"https" {
        return None;
    }
    let rest = &url[colon + 3..];
    let authority_end = rest.iter().position(|b| b"/?".contains(b)).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(authority_end);
    let path_end = position(rest, 0, b'?').unwrap_or(rest.len());
    let (path, query) = rest.split_at(path_end);

    let mut out = scheme.clone();
    out.extend_from_slice(b"://");
    out.extend_from_slice(&canonical_authority(&scheme, authority)?);
    let path = if path.is_empty() { b"/" } else { path };
    let mut tail = remove_dot_segments(&normalise(path));
    if let Some(query) = query.strip_prefix(b"?") {
        tail.push(b'?');
        tail.extend_from_slice(&normalise(query));
    }
    out.extend_from_slice(&encode_touching_at(&tail));
    if out.len() > MAX_KEY { None } else { Some(out) }
}

/// Splits `host[:port]`; a colon inside brackets is none of a port.
pub(crate) fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    let from = position(authority, 0, b']').unwrap_or(0);
    match position(authority, from, b':') {
        Some(colon) => (&authority[..colon], Some(&authority[colon + 1..])),
        None => (authority, None),
    }
}

fn canonical_authority(scheme: &[u8], authority: &[u8]) -> Option<Vec<u8>> {
    if authority.contains(&b'@') {
        return None;
    }
    let (host, port) = split_port(authority);
    let mut out = canonical_host(host)?;
    let port = port.unwrap_or(b"");
    if !port.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if port.is_empty() {
        return Some(out);
    }
    let first = port.iter().position(|&b| b != b'0').unwrap_or(port.len() - 1);
    let port = &port[first..];
    if port.len() > 5 {
        return None;
    }
    let number = port.iter().fold(0_u32, |n, &b| n * 10 + u32::from(b - b'0'));
    if number > 65_535 {
        return None;
    }
    let default = if scheme == b"https" { 443 } else { 80 };
    if number != default {
        out.push(b':');
        out.extend_from_slice(port);
    }
    Some(out)
}

pub(crate) fn canonical_host(host: &[u8]) -> Option<Vec<u8>> {
    if host.starts_with(b"[") {
        let inside = host.strip_prefix(b"[")?.strip_suffix(b"]")?;
        let address: Ipv6Addr = std::str::from_utf8(inside).ok()?.parse().ok()?;
        return Some(format!("[{address}]").into_bytes());
    }
    let mut out = Vec::new();
    let mut at = 0;
    while at < host.len() {
        if host[at] == b'%' {
            out.push(percent(host, at)?.to_ascii_lowercase());
            at += 3;
        } else {
            out.push(host[at].to_ascii_lowercase());
            at += 1;
        }
    }
    if out.ends_with(b".") {
        out.pop();
    }
    let allowed = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_.".contains(b);
    if out.len() > MAX_HOST || !out.iter().all(allowed) || out.split(|&b| b == b'.').any(<[u8]>::is_empty) {
        return None;
    }
    Some(out)
}

/// Percent-encodings in their one spelling: unreserved bytes plain, all others in upper case, what may not stand raw encoded. `/` and `?`
/// are the caller's: a path that comes here holds no `?`.
pub(crate) fn normalise(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        if let Some(byte) = percent(text, at) {
            if is_unreserved(byte) {
                out.push(byte);
            } else {
                out.extend_from_slice(format!("%{byte:02X}").as_bytes());
            }
            at += 3;
            continue;
        }
        let byte = text[at];
        if is_pchar(byte) || byte == b'/' || byte == b'?' {
            out.push(byte);
        } else {
            // A stray `%` lands here too and becomes `%25`.
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
        at += 1;
    }
    out
}

/// RFC 3986 5.2.4 for a path that begins with `/`.
fn remove_dot_segments(path: &[u8]) -> Vec<u8> {
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path[1..].split(|&b| b == b'/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            b"." | b".." => {
                if segment == b".." {
                    kept.pop();
                }
                // What is left ends in a slash: `/a/.` is `/a/`.
                if last {
                    kept.push(b"");
                }
            }
            _ => kept.push(segment),
        }
    }
    let mut out = vec![b'/'];
    out.extend_from_slice(&kept.join(&b'/'));
    out
}

/// `@` beside another `@` is written `%40`, so that no URL part holds `@@`.
pub(crate) fn encode_touching_at(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (at, &byte) in text.iter().enumerate() {
        let before = at > 0 && text[at - 1] == b'@';
        let behind = text.get(at + 1) == Some(&b'@');
        if byte == b'@' && (before || behind) {
            out.extend_from_slice(b"%40");
        } else {
            out.push(byte);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn c(url: &str) -> Option<String> {
        canonical(url.as_bytes()).map(|url| String::from_utf8(url).unwrap())
    }

    #[test]
    fn table() {
        for (from, to) in [
            ("HTTP://Example.COM", "http://example.com/"),
            ("http://example.com./a", "http://example.com/a"),
            ("http://h:80/a", "http://h/a"),
            ("http://h:/a", "http://h/a"),
            ("https://h:443/", "https://h/"),
            ("https://h:080/", "https://h:80/"),
            ("http://h/%7ea", "http://h/~a"),
            ("http://h/a%2fb", "http://h/a%2Fb"),
            ("http://h/a/../b/./c", "http://h/b/c"),
            ("http://h/a/%2e%2E/b", "http://h/b"),
            ("http://h/a/..", "http://h/"),
            ("http://h/a/b/.", "http://h/a/b/"),
            ("http://h//../a", "http://h/a"),
            ("http://h/../../a", "http://h/a"),
            ("http://h/a?", "http://h/a?"),
            ("http://h?a", "http://h/?a"),
            ("http://h/a?b/../c?d", "http://h/a?b/../c?d"),
            ("http://h/a#b@@c", "http://h/a"),
            ("http://h/a b[]\"", "http://h/a%20b%5B%5D%22"),
            ("http://h/%", "http://h/%25"),
            ("http://h/%%41", "http://h/%25A"),
            ("http://h/%2g", "http://h/%252g"),
            ("http://h/a@@b", "http://h/a%40%40b"),
            ("http://h/a@b@", "http://h/a@b@"),
            ("http://[0:0::1]:80/", "http://[::1]/"),
            ("http://%48/", "http://h/"),
            ("http://h/\u{e9}", "http://h/%C3%A9"),
            ("http://h/a*'()", "http://h/a*'()"),
        ] {
            assert_eq!(c(from).as_deref(), Some(to), "{from}");
            assert_eq!(c(to).as_deref(), Some(to), "{to} again");
        }
    }

    #[test]
    fn refused() {
        for url in [
            "ftp://h/",
            "http:/h",
            "http:///a",
            "http://u@h/",
            "http://a..b/",
            "http://./",
            "http://.a/",
            "http://h:65536/",
            "http://h:8a/",
            "http://h:+8/",
            "http://[::1/",
            "http://[::1].:80/",
            "http://a%zz/",
            "http://a b/",
            "http://a%2fb/",
            "h/p",
            "",
        ] {
            assert_eq!(c(url), None, "{url}");
        }
    }

    #[test]
    fn key_texts() {
        let key = |text: &str| parse_key(text.as_bytes()).map(|key| (key.url, key.variation));
        let pair = |url: &str, variation: &str| Some((url.as_bytes().to_vec(), Some(variation.as_bytes().to_vec())));
        assert_eq!(key("http://h/p@@v"), pair("http://h/p", "v"));
        assert_eq!(key("http://h/p#x@@v"), pair("http://h/p", "v"));
        assert_eq!(key("http://h/p@@@v"), pair("http://h/p@", "v"));
        assert_eq!(key("http://h/p@@@@v"), pair("http://h/p%40%40", "v"));
        assert_eq!(key("http://h/p@@a@@b"), pair("http://h/p", "a@@b"));
        assert_eq!(key("http://h/p@@"), None);
        assert_eq!(key("http://h/p@@@"), None);
    }
}
