//! The canonical form of a URL against that of the `url` crate (WHATWG URL).
//!
//! Both lower scheme and host, map hosts by IDNA, decode their escapes, drop default ports and fragments and remove dot segments, `%2e` included.
//! The crate leaves the path's and the query's escapes as they are and some bytes raw; what it gives is brought to RFC 3986 6.2.2 here by a rule of
//! its own: unreserved escapes decoded, the others in upper case, everything that is neither pchar nor `/` (in a query `?`) escaped.
//!
//! Where they differ by intent, and are not compared:
//!
//! - white space and controls, which WHATWG drops or trims; `\`, which it reads as `/`; `'` in a query, which it escapes;
//! - authorities behind anything but `://`; empty ones, where it goes on to the next slash;
//! - users and passwords: refused here;
//! - hosts that end in a number, which WHATWG reads as IPv4 addresses in many spellings; IPv6 is compared as an address, since they write
//!   those with an IPv4 end differently;
//! - empty labels, hosts over 253 bytes and host bytes but letters, digits, `-`, `_`, `.`: refused here;
//! - two `@` side by side, which are escaped here;
//! - path segments that look like a drive of Windows (`H|`, `c:`): the crate keeps them before `..` in any scheme, WHATWG in `file` only.

use std::net::Ipv6Addr;

use oust_reference::Entropy;
use url::{Host, Url};

use crate::engine;

const PIECES: [&str; 64] = [
    "http://",
    "https://",
    "HTTP://",
    "hTTps://",
    "ftp://",
    "http:/",
    "h",
    "H.EXAMPLE",
    "a.example",
    "b\u{fc}cher.example",
    "xn--bcher-kva.example",
    "xn--a",
    "\u{df}.de",
    "%61.b",
    "%C3%BC.b",
    "a%2Eb",
    "h.",
    "h..",
    ".h",
    "a_b",
    "a-b-",
    "1.2.3.4",
    "0x7f.1",
    "[::1]",
    "[::FFFF:1.2.3.4]",
    "[1:0:0:2::3]",
    "[::1",
    "\u{ff21}.b",
    "\u{3002}b",
    "*",
    ":80",
    ":443",
    ":8080",
    ":0080",
    ":65536",
    ":",
    ":0",
    "/",
    "//",
    "/a",
    "/.",
    "/..",
    "/%2e",
    "/%2E%2e/",
    "/.%2e",
    "/~a",
    "/%7Ea",
    "/%41",
    "/%2f",
    "/%zz",
    "/%",
    "%",
    "?",
    "?a=b&c",
    "?%7e%2f",
    "??",
    "#f",
    "@",
    ";p=1",
    "|^`{}",
    "\"<>",
    "[]",
    "\u{e9}",
    "!$&()*+,;=:",
];

/// Any text as a URL, or one made of pieces.
pub fn canonical_vs_url(data: &[u8]) {
    let mut entropy = Entropy::new(data);
    let text = match entropy.below(4) {
        0 => String::from_utf8_lossy(entropy.rest()).into_owned(),
        1 => format!("http://h/{}", String::from_utf8_lossy(entropy.rest())),
        _ => {
            let mut text = entropy.pick(&PIECES[..4]).to_owned();
            text.push_str(entropy.pick(&PIECES[6..37]));
            (0..entropy.below(10)).for_each(|_| text.push_str(entropy.pick(&PIECES)));
            text
        }
    };
    let Some(parts) = comparable(&text) else { return };
    let key = engine::key_from_url(text.as_bytes());
    let url = Url::parse(&text).ok();
    match (key, url) {
        (None, None) => {}
        (Some(key), None) => panic!("{text:?} is {key}, and no URL"),
        (None, Some(url)) => assert!(refused_here(&parts, &url), "{text:?} is {url}, and refused"),
        (Some(key), Some(url)) => {
            let of = key.as_ref();
            assert_eq!(of.scheme(), url.scheme().as_bytes(), "{text:?}");
            let host = String::from_utf8_lossy(of.host()).into_owned();
            match url.host() {
                Some(Host::Ipv6(theirs)) => {
                    let ours = host.trim_start_matches('[').trim_end_matches(']').parse::<Ipv6Addr>();
                    assert_eq!(ours, Ok(theirs), "{text:?}");
                }
                Some(Host::Domain(theirs)) => {
                    assert_eq!(host, theirs.strip_suffix('.').unwrap_or(theirs), "{text:?}");
                }
                other => panic!("{text:?}: {host} and {other:?}"),
            }
            let authority = String::from_utf8_lossy(of.authority()).into_owned();
            let port = authority.strip_prefix(&host).unwrap_or("?").strip_prefix(':').map(str::to_owned);
            assert_eq!(port, url.port().map(|port| port.to_string()), "{text:?}");
            let mut target = normal(url.path(), "/");
            if let Some(query) = url.query() {
                target.push('?');
                target.push_str(&normal(query, "/?"));
            }
            let whole = String::from_utf8_lossy(key.text()).into_owned();
            let ours = whole.strip_prefix(&format!("{}://{authority}", url.scheme())).unwrap_or("?");
            assert_eq!(ours, target, "{text:?}");
        }
    }
}

/// The authority of a text that both read as URL by the same rules.
fn comparable(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    if !(scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")) {
        return None;
    }
    if text.chars().any(|c| c <= ' ' || c == '\x7f' || c == '\\') || text.contains("@@") {
        return None;
    }
    let is_drive = |segment: &str| matches!(segment.as_bytes(), [letter, b':' | b'|'] if letter.is_ascii_alphabetic());
    if rest.split(['/', '?', '#']).skip(1).any(is_drive) {
        return None;
    }
    if text.split_once('?').is_some_and(|(_, query)| query.contains('\'')) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.is_empty() || authority.contains('@') {
        return None;
    }
    if !authority.starts_with('[') {
        let host = authority.split(':').next().unwrap_or_default();
        // By what the host is mapped to: digits may be wide, encoded or full stops of other scripts.
        let mapped = Url::parse(&format!("http://{host}/")).ok();
        if mapped.is_some_and(|url| matches!(url.host(), Some(Host::Ipv4(_)))) {
            return None;
        }
        let decoded: String = idna_like(host);
        let last = decoded.trim_end_matches('.').rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        let hex = last.strip_prefix("0x").is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        if hex || (!last.is_empty() && last.bytes().all(|digit| digit.is_ascii_digit())) {
            return None;
        }
    }
    Some(authority.to_owned())
}

/// The host without its escapes and in A-labels, where it has such.
fn idna_like(host: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = host.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.filter(|pair| byte == b'%' && pair.bytes().all(|digit| digit.is_ascii_hexdigit())) {
            Some(pair) => {
                bytes.extend(u8::from_str_radix(pair, 16));
                rest = &after[2..];
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    let text = String::from_utf8_lossy(&bytes).into_owned();
    idna::domain_to_ascii(&text).unwrap_or(text)
}

/// Whether the engine has a reason of its own to refuse a URL.
fn refused_here(authority: &str, url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_suffix('.').unwrap_or(host);
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    let v6 = authority.starts_with('[');
    let empty_label = host.split('.').any(str::is_empty);
    (!v6 && (empty_label || host.len() > 253 || !host.bytes().all(plain))) || url.as_str().len() > 4000
}

/// RFC 3986 6.2.2, escaping what is neither pchar nor in `also`.
fn normal(text: &str, also: &str) -> String {
    let mut out = String::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let c = char::from(byte);
        let pair = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let escape = pair.filter(|pair| byte == b'%' && pair.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        if let Some(decoded) = escape.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            rest = &after[2..];
            match unreserved(char::from(decoded)) {
                true => out.push(char::from(decoded)),
                false => out.push_str(&format!("%{decoded:02X}")),
            }
        } else if unreserved(c) || "!$&'()*+,;=:@".contains(c) || also.contains(c) {
            out.push(c);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
