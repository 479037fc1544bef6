//! Selectors, and keys at their edges.

use crate::canonical::{Subject, find, out_of_scope, parse_key, plain_variation};
use crate::entropy::Entropy;
use crate::regex::Regex;
use crate::selector::Selector;

// Few and alike, so that two choices often meet.
const HOSTS: [&str; 12] =
    ["h", "a.h", "b.a.h", "ah", "h.a", "h:8080", "h:443", "[::1]", "H", "h.", "www.example.com", "_x-1.h"];
const SEGMENTS: [&str; 28] = [
    "a",
    "b",
    "ab",
    "A",
    "aa",
    "",
    "d",
    "a.jpg",
    "b.jpg",
    "a.jpg.bak",
    ".jpg",
    "a.b",
    "%2F",
    "%2f",
    "~",
    "%7E",
    "a@b",
    "@",
    "%40%40",
    "%C3%A9",
    "a%20b",
    "a'b",
    "..a",
    "%25",
    "a.tar.gz",
    "b.tar.gz.sig",
    ".gz.sig",
    "a.0123456789012345678901234567890123456789012345678901234567890123456789",
];
const QUERIES: [&str; 12] = ["", "a", "v=1", "v=2", "q=/b", "a&b", "b&a", "?", "x=.jpg", "a=%2f", "/a/b", "q=@"];
const VARIATIONS: [&str; 8] = ["v", "w", "vv", "V", "device=m", "a=1;b=2", "a/b?c", "c=%40%3B"];
const TAGS: [&str; 6] = ["t", "tt", "T", "t1", "a-b", "t:1"];

fn scheme(entropy: &mut Entropy<'_>, any: bool) -> &'static str {
    if any { entropy.pick(&["http", "https", "any"]) } else { entropy.pick(&["http", "https"]) }
}

fn path(entropy: &mut Entropy<'_>, out: &mut String) {
    let depth = if entropy.one_in(64) { 300 } else { 1 + entropy.below(4) };
    for _ in 0..depth {
        out.push('/');
        out.push_str(entropy.pick::<&str>(&SEGMENTS));
    }
}

/// A URL that a client might send.
pub fn url(entropy: &mut Entropy<'_>) -> Vec<u8> {
    let mut out = format!("{}://{}", scheme(entropy, false), entropy.pick(&HOSTS));
    url_tail(entropy, &mut out);
    out.into_bytes()
}

fn url_tail(entropy: &mut Entropy<'_>, out: &mut String) {
    path(entropy, out);
    if entropy.one_in(3) {
        out.push('?');
        out.push_str(entropy.pick::<&str>(&QUERIES));
    }
}

/// The text of a key.
pub fn key_text(entropy: &mut Entropy<'_>) -> Vec<u8> {
    let mut text = url(entropy);
    if entropy.one_in(3) {
        text.extend_from_slice(b"@@");
        text.extend_from_slice(entropy.pick(&VARIATIONS).as_bytes());
    }
    text
}

/// A tag.
fn tag(entropy: &mut Entropy<'_>) -> Vec<u8> {
    entropy.pick(&TAGS).as_bytes().to_vec()
}

/// A selector of any kind.
pub fn selector(entropy: &mut Entropy<'_>) -> Selector {
    match entropy.below(16) {
        0 => {
            let mut out = format!("{}://{}", scheme(entropy, true), entropy.pick(&HOSTS));
            url_tail(entropy, &mut out);
            Selector::Url(out.into_bytes())
        }
        1 => Selector::Key(key_text(entropy)),
        2 => {
            let fields = if entropy.one_in(3) {
                Vec::new()
            } else {
                vec![("Accept-Encoding".to_owned(), entropy.pick(&["gzip", "br"]).to_string())]
            };
            Selector::Variant(key_text(entropy), fields)
        }
        3..=7 => Selector::Pattern(pattern(entropy).into_bytes()),
        8 => Selector::LastWildcard(pattern(entropy).into_bytes()),
        9 | 10 => Selector::Glob(pattern(entropy).into_bytes()),
        11 | 12 => Selector::Regex(regex(entropy).into_bytes()),
        13 => {
            let host = entropy.pick(&HOSTS);
            Selector::Host(if entropy.one_in(3) { format!("*.{host}") } else { host.to_owned() }.into_bytes())
        }
        14 => Selector::Tag(tag(entropy)),
        // Everything is taken so rarely that other rules are still worth a look.
        _ if entropy.one_in(3) => Selector::All,
        _ => Selector::Pattern(pattern(entropy).into_bytes()),
    }
}

/// `below`: with a `*.` before the host now and then, which is refused everywhere but in a [`Selector::Pattern`].
fn pattern(entropy: &mut Entropy<'_>) -> String {
    let below = if entropy.one_in(12) { "*." } else { "" };
    let mut out = format!("{}://{below}{}", scheme(entropy, true), entropy.pick(&HOSTS));
    if entropy.one_in(48) {
        out.push_str(&"/a".repeat(1 + entropy.below(256) + entropy.below(45)));
    }
    if entropy.one_in(12) {
        out.push_str(entropy.pick::<&str>(&[
            "/x/../a*",
            "/./d/**",
            "?*",
            "/%2e%2E/*",
            "/*/../a",
            "/a%2*",
            "/*/..?x",
            "/*%2E",
            "*/a",
        ]));
        return out;
    }
    for _ in 0..=entropy.below(3) {
        out.push('/');
        piece(entropy, &mut out);
    }
    if entropy.one_in(4) {
        out.push('?');
        piece(entropy, &mut out);
    }
    if entropy.one_in(5) {
        out.push_str("@@");
        match entropy.below(4) {
            0 => out.push('*'),
            1 => out.push_str("v*"),
            2 => out.push_str("**w"),
            _ => out.push_str(entropy.pick::<&str>(&VARIATIONS)),
        }
    }
    out
}

fn piece(entropy: &mut Entropy<'_>, out: &mut String) {
    if entropy.one_in(96) {
        // Long literals, up to more than a selector may have.
        let word = entropy.pick(&["ab", "a", "abc", "a.b"]);
        out.push_str(&word.repeat(1 + entropy.below(256) * entropy.pick(&[1, 2, 4, 17])));
    }
    for _ in 0..=entropy.below(3) {
        match entropy.below(6) {
            0 | 1 => out.push('*'),
            2 => out.push_str(entropy.pick::<&str>(&["**", "***"])),
            3 => out.push_str(entropy.pick::<&str>(&[".jpg", ".b", "b", "a", "/", "q="])),
            _ => out.push_str(entropy.pick::<&str>(&SEGMENTS)),
        }
    }
}

pub(crate) fn regex(entropy: &mut Entropy<'_>) -> String {
    let mut out =
        format!("{}://{}/", scheme(entropy, true), entropy.pick(&["h", "a.h", "h.a", "H", "www.example.com"]));
    let mut body = String::new();
    regex_alternation(entropy, &mut body, 0);
    if entropy.one_in(6) {
        body.push_str("@@v");
    }
    if entropy.one_in(3) {
        body.push('$');
    }
    out.push_str(&body);
    out
}

fn regex_alternation(entropy: &mut Entropy<'_>, out: &mut String, depth: usize) {
    for branch in 0..=usize::from(entropy.one_in(4)) {
        if branch > 0 {
            out.push('|');
        }
        for _ in 0..=entropy.below(4) {
            regex_atom(entropy, out, depth);
        }
    }
}

fn regex_atom(entropy: &mut Entropy<'_>, out: &mut String, depth: usize) {
    match entropy.below(10) {
        0 | 1 if depth < 3 => {
            out.push_str(entropy.pick::<&str>(&["(", "(?:"]));
            regex_alternation(entropy, out, depth + 1);
            out.push(')');
        }
        0..=4 => out.push_str(entropy.pick::<&str>(&["a", "b", "ab", "d/", "a/", "jpg", "A", "v=1"])),
        5 if entropy.one_in(3) => out.push_str(entropy.pick::<&str>(&[
            "(?:[ab]{1,9}a){2,5}",
            "((a{1,3}){1,4}b){0,5}",
            "[ab]*a[ab]{59}",
            "(a?){59}a{3}",
            "(?:a|ab){0,30}",
            "(?:(?:a|aa){1,5}|b){1,7}",
        ])),
        5 => out.push('.'),
        6 | 7 => out.push_str(entropy.pick::<&str>(&[
            "[ab]",
            "[^/]",
            "[a-c]",
            "[^a]",
            "[*]",
            "[a-zA-Z0-9]",
            "[.?]",
            "\\d",
            "\\w",
            "\\W",
        ])),
        _ => out.push_str(entropy.pick::<&str>(&["\\?", "a\\.b", "a\\.jpg", "\\*", "\\+", "~"])),
    }
    if entropy.one_in(3) {
        out.push_str(
            entropy.pick::<&str>(&[
                "*", "+", "?", "{2}", "{1,}", "{1,3}", "{0,59}", "*?", "+?", "{2,3}?", "{59}", "{1,60}",
            ]),
        );
    }
}

/// Keys that `selector` takes, and others beside them that it must not.
pub fn neighbours(selector: &Selector, entropy: &mut Entropy<'_>) -> Vec<Subject> {
    let mut texts = Vec::new();
    for _ in 0..=entropy.below(3) {
        let text = witness(selector, entropy);
        for _ in 0..=entropy.below(4) {
            texts.push(edited(&text, entropy));
        }
        texts.push(text);
    }
    let mut out: Vec<Subject> = Vec::new();
    for text in texts {
        if out_of_scope(&text) || !plain_variation(&text) {
            continue;
        }
        let Some(mut subject) = parse_key(&text) else { continue };
        if entropy.one_in(3) {
            subject.tags.push(tag(entropy));
        }
        if let Selector::Tag(tag) = selector
            && entropy.one_in(2)
            && !subject.tags.contains(tag)
        {
            subject.tags.push(tag.clone());
        }
        if !out.iter().any(|other| other.url == subject.url && other.variation == subject.variation) {
            out.push(subject);
        }
    }
    out
}

/// A key text that `selector` probably takes.
fn witness(selector: &Selector, entropy: &mut Entropy<'_>) -> Vec<u8> {
    let text = match selector {
        Selector::Url(text) | Selector::Key(text) | Selector::Variant(text, _) => text.clone(),
        Selector::Pattern(text) => filled(&named(text, entropy), 0, entropy),
        Selector::Glob(text) => filled(text, 0, entropy),
        Selector::LastWildcard(text) => {
            let last = text.iter().rposition(|&b| b == b'*').unwrap_or(0);
            let run = text[..last].iter().rev().take_while(|&&b| b == b'*').count();
            // Now and then as if the earlier ones were wildcards, too.
            filled(text, if entropy.one_in(6) { 0 } else { last - run }, entropy)
        }
        Selector::Regex(text) => match Regex::parse(text) {
            Ok(regex) => regex.sample(entropy),
            Err(_) => key_text(entropy),
        },
        Selector::Host(host) => {
            let below = host.strip_prefix(b"*.");
            let prefix = if below.is_some() { entropy.pick(&["x.", "x.y.", "", "x"]) } else { "" };
            let mut out = format!("{}://{prefix}", scheme(entropy, false)).into_bytes();
            out.extend_from_slice(below.unwrap_or(host));
            let mut tail = String::new();
            url_tail(entropy, &mut tail);
            out.extend_from_slice(tail.as_bytes());
            out
        }
        Selector::Tag(_) | Selector::All => key_text(entropy),
    };
    match text.get(..6) {
        Some(start) if start.eq_ignore_ascii_case(b"any://") => {
            [scheme(entropy, false).as_bytes(), &text[3..]].concat()
        }
        _ => text,
    }
}

/// A pattern for one host, or for none, out of one for the hosts below it.
fn named(pattern: &[u8], entropy: &mut Entropy<'_>) -> Vec<u8> {
    let Some(at) = find(pattern, b"://*.") else { return pattern.to_vec() };
    let (scheme, rest) = pattern.split_at(at + 3);
    let rest = &rest[2..];
    let end = rest.iter().position(|b| b"/?".contains(b)).unwrap_or(rest.len());
    let prefix: &[u8] = entropy.pick::<&[u8]>(&[b"x.", b"x.y.", b"a.", b"x", b""]);
    let port: &[u8] = if entropy.one_in(4) && !rest[..end].contains(&b':') { b":8080" } else { b"" };
    [scheme, prefix, &rest[..end], port, &rest[end..]].concat()
}

/// The pattern with something in the place of each wildcard at or behind `from`.
pub(crate) fn filled(pattern: &[u8], from: usize, entropy: &mut Entropy<'_>) -> Vec<u8> {
    const RUNS: [&[u8]; 14] =
        [b"", b"a", b"x", b"ab", b"b", b"a/b", b"/", b"?q=/b", b".jpg", b"a@@v", b"x?y", b"%2F", b"a.b/.jpg", b"@"];
    let mut out = Vec::new();
    let mut at = 0;
    while at < pattern.len() {
        if pattern[at] == b'*' && at >= from {
            at += pattern[at..].iter().take_while(|&&b| b == b'*').count();
            out.extend_from_slice(entropy.pick(&RUNS));
        } else {
            out.push(pattern[at]);
            at += 1;
        }
    }
    out
}

/// The text with one small thing changed.
pub(crate) fn edited(text: &[u8], entropy: &mut Entropy<'_>) -> Vec<u8> {
    let mut out = text.to_vec();
    let path =
        find(text, b"://").and_then(|at| text[at + 3..].iter().position(|&b| b == b'/').map(|slash| at + 3 + slash));
    let path = path.unwrap_or(text.len());
    let inside = path + (usize::from(entropy.byte()) * 256 + usize::from(entropy.byte())) % (text.len() - path + 1);
    let separator = find(text, b"@@");
    let url_end = separator.unwrap_or(text.len());
    let query = text[..url_end].iter().position(|&b| b == b'?');
    let insert = |out: &mut Vec<u8>, at: usize, what: &[u8]| {
        out.splice(at..at, what.iter().copied());
    };
    match entropy.below(19) {
        0 => insert(&mut out, url_end, b"b"),
        1 => insert(&mut out, url_end, b"/"),
        2 => insert(&mut out, url_end, b".bak"),
        3 => {
            if let Some(at) = (path..url_end).rev().find(|&at| text[at].is_ascii_alphabetic()) {
                out[at] ^= 0x20;
            }
        }
        4 => insert(&mut out, url_end, if query.is_some() { b"&q=/b" } else { b"?q=/b" }),
        5 => insert(&mut out, url_end, if query.is_some() { b"?" } else { b"?v=2" }),
        6 => out.truncate(query.unwrap_or(url_end)),
        7 => match separator {
            Some(at) => out.truncate(at),
            None => out.extend_from_slice(b"@@v"),
        },
        8 => {
            out.truncate(url_end);
            out.extend_from_slice(b"@@");
            out.extend_from_slice(entropy.pick(&VARIATIONS).as_bytes());
        }
        9 => {
            if inside < out.len() {
                out.remove(inside);
            }
        }
        10 => insert(&mut out, inside, entropy.pick::<&[u8]>(&[b"a", b"/", b".", b"b", b"//", b"?", b"@"])),
        11 => {
            out = match text.strip_prefix(b"http://") {
                Some(rest) => [b"https://", rest].concat(),
                None => with_http(text),
            }
        }
        12 => insert(&mut out, path, b":81"),
        13 => {
            if let Some(at) = find(text, b"://") {
                insert(&mut out, at + 3, b"x.");
            }
        }
        14 => insert(&mut out, path, b"/d"),
        15 if entropy.one_in(4) => insert(&mut out, path, &b"/a".repeat(300)),
        16 if entropy.one_in(4) => {
            // Up to the longest key and one byte beyond it.
            let room = crate::canonical::MAX_KEY.saturating_sub(out.len()) + entropy.below(3);
            insert(&mut out, url_end, &b"a".repeat(room.saturating_sub(1)));
        }
        17 => insert(&mut out, url_end, b".jpg"),
        _ => out.truncate(inside.max(path + 1).min(out.len())),
    }
    out
}

fn with_http(text: &[u8]) -> Vec<u8> {
    match text.strip_prefix(b"https://") {
        Some(rest) => [b"http://", rest].concat(),
        None => text.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::{Refused, matches};

    /// The generators are worth something only if both verdicts and refusals come up for each kind.
    #[test]
    fn neighbours_lie_on_both_sides() {
        let mut seed = 7_u32;
        let mut seen = std::collections::BTreeMap::<&str, [u32; 4]>::new();
        for _ in 0..4000 {
            let bytes = crate::entropy::bytes(&mut seed, 256);
            let mut entropy = Entropy::new(&bytes);
            let selector = selector(&mut entropy);
            let kind = match selector {
                Selector::Url(_) => "url",
                Selector::Key(_) => "key",
                Selector::Variant(..) => "variant",
                Selector::Pattern(_) => "pattern",
                Selector::Glob(_) => "glob",
                Selector::LastWildcard(_) => "last",
                Selector::Regex(_) => "regex",
                Selector::Host(_) => "host",
                Selector::Tag(_) => "tag",
                Selector::All => "all",
            };
            let counts = seen.entry(kind).or_default();
            for subject in neighbours(&selector, &mut entropy) {
                let at = match matches(&selector, &subject) {
                    Ok(true) => 0,
                    Ok(false) => 1,
                    Err(Refused::Unknown) => 2,
                    Err(_) => 3,
                };
                counts[at] += 1;
            }
        }
        eprintln!("{seen:?}");
        for (kind, counts) in &seen {
            assert!(counts[0] > 0, "{kind} takes nothing");
            assert!(counts[1] > 0 || *kind == "all", "{kind} takes everything");
            let known = counts[0] + counts[1] + counts[3];
            assert!(known > counts[2], "{kind} is mostly unknown: {counts:?}");
        }
        assert_eq!(seen.len(), 10);
    }
}
