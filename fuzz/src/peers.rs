//! Selectors against the languages they are like: regexes against the `regex` crate, patterns and globs against `globset`.
//!
//! Where they overlap:
//!
//! - a regex that both take, as bytes and without Unicode: the engine's means the crate's behind `^scheme://host/`, in a group, against the URL
//!   part, or the whole key if its text has `@@`. Looking around is left out: `$`, `^` and `\A` are refused or mean the key's edges;
//! - a `pattern` whose wildcards are single: `globset` with `literal_separator`, where `*` stops at a slash, against keys without a query;
//! - a `glob`: `globset` without `literal_separator`, against keys with or without one;
//! - literals of letters, digits, `-`, `_`, `.`, `/` that are canonical, so that nothing is rewritten: no dot segments, no escapes; `globset`'s
//!   `?`, `[`, `{`, `!` and `\` are not in them. `**` of a pattern is left out: `globset` gives it a meaning as a whole segment only, which takes
//!   the segment away together with its slashes (`a/**/b` takes `a/b`), ours does not.

use globset::GlobBuilder;
use oust::{Key, Selector};
use oust_reference::Entropy;
use regex::bytes::{Regex, RegexBuilder};

use crate::engine;

const REGEX: [&str; 64] = [
    "a",
    "b",
    "c",
    "d/",
    "/",
    ".",
    "\\.",
    "x-1",
    "_",
    "jpg",
    "png",
    "*",
    "+",
    "?",
    "{2}",
    "{1,3}",
    "{0,}",
    "{59}",
    "*?",
    "+?",
    "{1,2}?",
    "(",
    ")",
    "(?:",
    "(?i)",
    "(?s)",
    "(?-i:",
    "(?x)",
    "|",
    "[ab]",
    "[^/]",
    "[a-c]",
    "[[:alpha:]]",
    "[^a]*",
    "\\d",
    "\\w",
    "\\W",
    "\\s",
    "\\S",
    "\\x61",
    "\\x{62}",
    "\\/",
    ".*",
    ".+",
    "(a|b)",
    "(a|)",
    "()",
    "[]",
    "[a&&b]",
    "[a-c--b]",
    "\\?",
    "\\*",
    "q=",
    "\\@@",
    "@@",
    "@@v",
    "%2F",
    "%",
    "A",
    "\n",
    "\u{e9}",
    "\\pL",
    "{",
    "(?P<n>",
];
const LITERALS: [&str; 22] = [
    "a",
    "b",
    "ab",
    "d",
    "/",
    "/",
    "/",
    "a/",
    "/b",
    ".jpg",
    ".png",
    ".",
    "x-1",
    "_",
    "A",
    "jpg",
    "d/a",
    "aa",
    "//",
    "1",
    "-",
    "index.html",
];

/// A selector and some keys.
pub fn selectors_vs_crates(data: &[u8]) {
    let mut entropy = Entropy::new(data);
    match entropy.below(4) {
        0 => globs(&mut entropy, true),
        1 => globs(&mut entropy, false),
        _ => regexes(&mut entropy),
    }
}

fn regexes(entropy: &mut Entropy<'_>) {
    let (scheme, base) = match entropy.below(3) {
        0 => ("any", "https?"),
        1 => ("https", "https"),
        _ => ("http", "http"),
    };
    let text: String = match entropy.below(6) {
        0 => (0..entropy.below(40)).map(|_| char::from(entropy.byte() & 0x7f)).collect(),
        _ => (0..entropy.below(14)).map(|_| entropy.pick(&REGEX)).collect(),
    };
    let Some(ours) = engine::compile(&Selector::Regex(format!("{scheme}://h/{text}"))) else { return };
    if looks_around(&text) {
        return;
    }
    let whole = format!("^(?:{base}://h/)(?:{text}\n)").replace('\n', if text.contains("(?x)") { "\n" } else { "" });
    let theirs = RegexBuilder::new(&whole).unicode(false).size_limit(64 << 20).build();
    let theirs: Regex = theirs.unwrap_or_else(|error| panic!("taken, and the crate does not: {text:?}: {error}"));
    for _ in 0..24 {
        let Some(key) = key(entropy, &text) else { continue };
        let of = key.as_ref();
        let part = if text.contains("@@") { key.text() } else { of.url() };
        assert_eq!(ours.matches(of), theirs.is_match(part), "{text:?} and {key}");
    }
}

/// Whether it has an assertion, outside escapes; a class may hold these characters too, which is left out with them.
fn looks_around(text: &str) -> bool {
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '^' if text.contains("[^") && !text.replace("[^", "[").contains('^') => {}
            '^' | '$' => return true,
            '\\' => match rest.next() {
                Some('b' | 'B' | 'A' | 'z' | 'Z' | '<' | '>') => return true,
                _ => {}
            },
            _ => {}
        }
    }
    false
}

/// A key that shares words with the text.
fn key(entropy: &mut Entropy<'_>, text: &str) -> Option<Key> {
    let mut path = String::new();
    for _ in 0..entropy.below(8) {
        match entropy.below(8) {
            0 => {
                let from = entropy.below(text.len());
                let to = from + entropy.below(6);
                path.push_str(text.get(from..to.min(text.len())).unwrap_or_default());
            }
            1 => path.push(char::from(b'!' + entropy.byte() % 90)),
            _ => path.push_str(entropy.pick(&LITERALS)),
        }
    }
    if entropy.one_in(6) {
        path.push_str("?q=");
        path.push_str(entropy.pick(&LITERALS));
    }
    let path: String = path.chars().filter(|&c| c != '#').collect();
    let scheme = entropy.pick(&["http", "http", "https"]);
    let host = entropy.pick(&["h", "h", "h", "h", "h", "hh", "h:8080"]);
    let variation = entropy.pick(&["", "", "", "", "@@v", "@@a/b"]);
    Key::parse(format!("{scheme}://{host}/{path}{variation}").as_bytes()).ok()
}

fn globs(entropy: &mut Entropy<'_>, crossing: bool) {
    let mut text = String::from("/");
    for _ in 0..entropy.below(10) {
        match entropy.below(3) {
            0 if !text.ends_with('*') => text.push('*'),
            _ => text.push_str(entropy.pick(&LITERALS)),
        }
    }
    // One segment that is nothing but dots, beside a wildcard or not, means something else to us.
    if text.split(['/', '*']).any(|part| matches!(part, "." | "..")) || text.contains("..") {
        return;
    }
    let selector = format!("http://h{text}");
    let selector = if crossing { Selector::Glob(selector) } else { Selector::Pattern(selector) };
    let ours = engine::compile(&selector).unwrap_or_else(|| panic!("refused: {selector:?}"));
    let mut builder = GlobBuilder::new(&text);
    let theirs = builder.literal_separator(!crossing).backslash_escape(false).build();
    let theirs = theirs.unwrap_or_else(|error| panic!("{error}: {text}")).compile_matcher();
    for _ in 0..24 {
        // The text with something in place of its wildcards, mostly.
        let mut path = String::new();
        for c in text.chars() {
            match (c, entropy.below(12)) {
                ('*', _) => (0..entropy.below(3)).for_each(|_| path.push_str(entropy.pick(&LITERALS))),
                (_, 11) => path.push_str(entropy.pick(&LITERALS)),
                (_, 10) => {}
                _ => path.push(c),
            }
        }
        if !path.starts_with('/') || path.split('/').any(|part| matches!(part, "." | "..")) {
            continue;
        }
        let Some(key) = engine::parse_key(format!("http://h{path}").as_bytes()) else { continue };
        assert_eq!(key.text(), format!("http://h{path}").as_bytes(), "not canonical");
        assert_eq!(ours.matches(key.as_ref()), theirs.is_match(&path), "{selector:?} and {path}");
    }
}
