//! Selectors that crowd: many of them share directories, beginnings, endings and inner literals, and so do the keys.

use crate::canonical::{Subject, parse_key};
use crate::entropy::Entropy;
use crate::selector::Selector;

const HOSTS: [&str; 8] = ["h", "h", "h", "h", "h", "a.h", "b.a.h", "h:8080"];
const DIRS: [&str; 10] = ["/", "/", "/a/", "/a/", "/a/a/", "/aa/", "/ab/", "/a/b/", "/a/b/a/", "/a.b/"];
const STEMS: [&str; 10] = ["", "", "a", "aa", "aaa", "ab", "aba", "abab", "b", "ba"];
const INNER: [&str; 12] = ["ab", "ba", "aba", "bab", "abab", "aab", "/a", "/ab/", "a.", ".", "-a", "abaab"];
const LONG: &str = ".x123456789012345678901234567890123456789012345678901234567890123456789";
const TAILS: [&str; 16] =
    ["", "", "", ".jpg", ".js", ".gz", ".sig", ".tar.gz", ".tar.gz.sig", "z.sig", "jpg", "a", "b", "ba", "aba", LONG];

/// Scheme, host and directory.
fn place(entropy: &mut Entropy<'_>, any: bool, below: bool) -> String {
    let scheme = if any { entropy.pick(&["http", "any", "http", "https"]) } else { entropy.pick(&["http", "https"]) };
    let below = if entropy.one_in(12) && below { "*." } else { "" };
    let mut out = format!("{scheme}://{below}{}", entropy.pick(&HOSTS));
    if entropy.one_in(24) {
        out.push_str(&"/a".repeat(1 + entropy.below(256) + entropy.below(45)));
    }
    out.push_str(entropy.pick::<&str>(&DIRS));
    out
}

/// Wildcards and literals.
fn pattern(entropy: &mut Entropy<'_>, below: bool) -> Vec<u8> {
    let mut out = place(entropy, true, below);
    out.push_str(entropy.pick::<&str>(&STEMS));
    out.push_str(entropy.pick::<&str>(&["*", "**"]));
    for _ in 0..entropy.pick(&[0, 0, 0, 1, 1, 2, 3]) {
        out.push_str(entropy.pick::<&str>(&INNER));
        out.push_str(entropy.pick::<&str>(&["*", "**"]));
    }
    out.push_str(entropy.pick::<&str>(&TAILS));
    if entropy.one_in(12) {
        out.push_str(entropy.pick::<&str>(&["?*", "?a*", "?*b", "?v=1"]));
    }
    if entropy.one_in(16) {
        out.push_str(entropy.pick::<&str>(&["@@*", "@@v", "@@v*"]));
    }
    out.into_bytes()
}

fn regex(entropy: &mut Entropy<'_>) -> Vec<u8> {
    let mut out = place(entropy, true, false);
    for _ in 0..=entropy.below(4) {
        out.push_str(entropy.pick::<&str>(&[
            "[ab]*",
            ".*",
            "[^/]+",
            "(a|b){1,3}",
            "(?:ab){0,5}",
            "a{2,4}",
            "(?:[ab]{1,3}a){2}",
            "(?:a|aba)?",
            "ab",
            "aba",
            "b",
            "/",
            "\\.jpg",
            "\\.(?:tar\\.)?gz",
            "[ab]{59}",
            "\\?",
        ]));
    }
    out.push_str(entropy.pick::<&str>(&["", "", "$", "|ab", "@@v"]));
    out.into_bytes()
}

/// A selector, probably one of many that are much alike.
pub fn crowded(entropy: &mut Entropy<'_>) -> Selector {
    match entropy.below(24) {
        0 => Selector::Url(crowded_text(entropy, true)),
        1 => Selector::Key(crowded_text(entropy, false)),
        2 => Selector::Variant(crowded_text(entropy, false), Vec::new()),
        3 if entropy.one_in(8) => Selector::All,
        3 => Selector::Host(entropy.pick(&["h", "*.h", "*.a.h", "a.h", "h:8080", "h:80", "h:443"]).as_bytes().to_vec()),
        4 => Selector::Tag(b"t".to_vec()),
        5..=8 => Selector::Glob(pattern(entropy, false)),
        9..=11 => Selector::LastWildcard(pattern(entropy, false)),
        12..=15 => Selector::Regex(regex(entropy)),
        _ => Selector::Pattern(pattern(entropy, true)),
    }
}

fn crowded_text(entropy: &mut Entropy<'_>, any: bool) -> Vec<u8> {
    let mut out = place(entropy, any, false);
    if entropy.one_in(24) {
        let word = entropy.pick(&["a", "ab", "aab", "abaab", "/a", "a.", "/ab/"]);
        out.push_str(&word.repeat((1 + entropy.below(256)) * 32 / word.len()));
    }
    for _ in 0..entropy.below(5) {
        out.push_str(if entropy.one_in(2) { entropy.pick(&INNER) } else { entropy.pick(&STEMS) });
    }
    out.push_str(entropy.pick::<&str>(&TAILS));
    if !any {
        out.push_str(entropy.pick::<&str>(&["", "", "", "", "?", "?v=1", "?a/b.jpg"]));
        out.push_str(entropy.pick::<&str>(&["", "", "", "@@v", "@@a/b"]));
    }
    out.into_bytes()
}

/// A key out of the same words.
pub fn crowded_key(entropy: &mut Entropy<'_>) -> Option<Subject> {
    parse_key(&crowded_text(entropy, false))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::selector::Matcher;

    /// They are worth something only if a key is taken by some rules, and by few of all, and by rules of every kind.
    #[test]
    fn keys_are_taken_by_several_rules_of_several_kinds() {
        let bytes = Entropy::new(b"ab").stretched(60_000);
        let mut entropy = Entropy::new(&bytes);
        let rules: Vec<Selector> = (0..800).map(|_| crowded(&mut entropy)).collect();
        let matchers: Vec<_> = rules.iter().filter_map(|rule| Some((rule, Matcher::new(rule).ok()?))).collect();
        assert!(matchers.len() > 700, "{} of 800 are valid", matchers.len());
        let (mut taken, mut asked) = (0, 0);
        let mut kinds = std::collections::BTreeSet::new();
        for _ in 0..300 {
            let Some(key) = crowded_key(&mut entropy) else { continue };
            for (rule, matcher) in &matchers {
                asked += 1;
                if matcher.matches(&key) == Ok(true) {
                    taken += 1;
                    kinds.insert(format!("{rule:?}").split('(').next().map(str::to_owned));
                }
            }
        }
        eprintln!("{taken} of {asked}");
        assert!(taken * 5 < asked && taken * 200 > asked, "{taken} of {asked}");
        // All but tags, of which the keys have none, and single keys, which would be chance.
        assert!(kinds.len() >= 7, "{kinds:?}");
    }
}
