//! What a selector takes.

use crate::canonical::{
    Subject, canonical, canonical_host, has_stray_percent, out_of_scope, parse_key, plain_variation, split_key,
    split_port,
};
use crate::pattern::{Pattern, schemes};
use crate::regex::Regex;

/// The engine's selectors, mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// Every variation and variant of a URL.
    Url(Vec<u8>),
    /// Exactly one key.
    Key(Vec<u8>),
    /// The one object that a request with these header fields selects under a key.
    Variant(Vec<u8>, Vec<(String, String)>),
    /// `*` and `**`.
    Pattern(Vec<u8>),
    /// `*` that crosses everything.
    Glob(Vec<u8>),
    /// Bounded regex.
    Regex(Vec<u8>),
    /// Host, `host:port` or `*.host`.
    Host(Vec<u8>),
    /// Tag.
    Tag(Vec<u8>),
    /// Everything.
    All,
}

/// Why there is no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// Malformed: an engine must refuse it.
    Malformed,
    /// Over a limit of the specification: an engine must refuse it.
    OverBudget,
    /// Outside of what this reference knows; an engine may do either.
    Unknown,
}

/// Whether `selector` takes `subject`. Of `Selector::Variant` the header fields are not looked at: which variant they select is
/// [`Model`](crate::Model)'s knowledge.
pub fn matches(selector: &Selector, subject: &Subject) -> Result<bool, Refused> {
    match selector {
        Selector::Url(text) => {
            let urls = parse_urls(text)?;
            Ok(urls.contains(&subject.url))
        }
        Selector::Key(text) | Selector::Variant(text, _) => {
            let (url, _) = split_key(text);
            known_host(url)?;
            if !plain_variation(text) {
                return Err(Refused::Unknown);
            }
            // Both schemes are named for URLs, patterns and regexes; of keys nothing is said.
            if url.len() >= 4 && url[..4].eq_ignore_ascii_case(b"any:") {
                return Err(Refused::Unknown);
            }
            if has_stray_percent(url) {
                return Err(Refused::Malformed);
            }
            let key = parse_key(text).ok_or(Refused::Malformed)?;
            Ok(key.url == subject.url && key.variation == subject.variation)
        }
        Selector::Pattern(text) | Selector::Glob(text) => {
            known_host(text)?;
            if !plain_variation(text) {
                return Err(Refused::Unknown);
            }
            let glob = matches!(selector, Selector::Glob(_));
            Ok(Pattern::parse(text, glob)?.iter().any(|pattern| pattern.matches(subject)))
        }
        Selector::Regex(text) => {
            known_host(text)?;
            Regex::parse(text)?.matches(subject)
        }
        Selector::Host(text) => host_matches(text, subject),
        Selector::Tag(tag) => {
            if tag.is_empty() || !tag.iter().all(u8::is_ascii_graphic) {
                return Err(Refused::Unknown);
            }
            Ok(subject.tags.contains(tag))
        }
        Selector::All => Ok(true),
    }
}

impl Selector {
    /// Whether an engine may refuse it although the reference accepts it: large regexes, for a budget of its own.
    pub fn may_be_refused(&self) -> bool {
        match self {
            Self::Regex(text) => Regex::parse(text).is_ok_and(|regex| regex.may_be_refused),
            _ => false,
        }
    }
}

/// Whether the fields of a variant selector are those a request had, as far as `nominated` is concerned.
pub fn matches_variant(fields: &[(String, String)], nominated: &str, value: Option<&str>) -> bool {
    let found = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(nominated)).map(|(_, value)| value.trim());
    found == value
}

fn known_host(text: &[u8]) -> Result<(), Refused> {
    if out_of_scope(text) { Err(Refused::Unknown) } else { Ok(()) }
}

fn parse_urls(text: &[u8]) -> Result<Vec<Vec<u8>>, Refused> {
    known_host(text)?;
    if has_stray_percent(text) {
        return Err(Refused::Malformed);
    }
    let (schemes, rest) = schemes(text)?;
    schemes.into_iter().map(|scheme| canonical(&[scheme, b"://", rest].concat()).ok_or(Refused::Malformed)).collect()
}

/// Whether a host selector takes the subject.
pub fn host_matches(text: &[u8], subject: &Subject) -> Result<bool, Refused> {
    known_host(&[b"http://", text].concat())?;
    let (host, port) = subject.host_port();
    if let Some(below) = text.strip_prefix(b"*.") {
        // Ports and addresses have no meaning here that the specification gives.
        if below.contains(&b':') || below.contains(&b'[') {
            return Err(Refused::Unknown);
        }
        let below = canonical_host(below).ok_or(Refused::Malformed)?;
        return Ok(host.ends_with(&[b".", below.as_slice()].concat()));
    }
    let (wanted, wanted_port) = split_port(text);
    let wanted = canonical_host(wanted).ok_or(Refused::Malformed)?;
    let Some(digits) = wanted_port else { return Ok(host == wanted) };
    if digits.is_empty() {
        return Err(Refused::Unknown);
    }
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(Refused::Malformed);
    }
    let number: Option<u32> = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    match number {
        Some(number) if number <= 65_535 => Ok(host == wanted && port == number),
        _ => Err(Refused::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Subject {
        parse_key(text.as_bytes()).unwrap()
    }
    fn pattern(text: &str, k: &str) -> Result<bool, Refused> {
        matches(&Selector::Pattern(text.into()), &key(k))
    }
    fn glob(text: &str, k: &str) -> Result<bool, Refused> {
        matches(&Selector::Glob(text.into()), &key(k))
    }
    fn regex(text: &str, k: &str) -> Result<bool, Refused> {
        matches(&Selector::Regex(text.into()), &key(k))
    }

    #[test]
    fn patterns() {
        for (text, k, want) in [
            ("http://h/d/*", "http://h/d/", true),
            ("http://h/d/*", "http://h/d/a", true),
            ("http://h/d/*", "http://h/d", false),
            ("http://h/d/*", "http://h/d/a/b", false),
            ("http://h/d/*", "http://h/d/a/", false),
            ("http://h/d/*", "http://h/d/a?q=/b@@v", true),
            ("http://h/d/**", "http://h/d/a/b/c?x", true),
            ("http://h/d/**", "http://h/d", false),
            ("http://h/d/a*", "http://h/d/A", false),
            ("http://h/d/*.jpg", "http://h/d/a.jpg?v=2", true),
            ("http://h/d/*.jpg", "http://h/d/a.jpg.bak", false),
            ("http://h/d/*.jpg", "http://h/d/a?x=.jpg", false),
            ("http://h/d/a*/b", "http://h/d/ax?q=/b", false),
            ("http://h/d/a**b", "http://h/d/ab", true),
            ("http://h/d/ab**ba", "http://h/d/aba", false),
            ("http://h/d/*?q=*", "http://h/d/a?q=/x/y", true),
            ("http://h/d/*?q=*", "http://h/d/a/b?q=1", false),
            ("http://h/*@@m", "http://h/a@@m", true),
            ("http://h/*@@m", "http://h/a", false),
            ("http://h/*@@m", "http://h/a@@n", false),
            ("http://h/*.jpg@@m", "http://h/a.jpg?v@@m", false),
            ("http://h/a", "http://h/a?", false),
            ("http://h/a", "http://h/a@@v", true),
            ("http://h/a@@v", "http://h/a", false),
            ("http://h/p@@*", "http://h/p@@@x", false),
            ("http://h/p*@@*", "http://h/p@@@x", true),
            ("any://h:443/*", "https://h/x", true),
            ("any://h:443/*", "http://h:443/x", true),
            ("any://h:443/*", "http://h/x", false),
            ("http://H/%7e/../x***", "http://h/x/y", true),
        ] {
            assert_eq!(pattern(text, k), Ok(want), "{text} {k}");
        }
        for text in [
            "http://h*/",
            "http://h/%4*1",
            "http://h/%*",
            "http://h/*/../x",
            "http://h/*/%2e",
            "h/*",
            "ftp://h/*",
            "http://h/*@@",
        ] {
            assert_eq!(pattern(text, "http://h/"), Err(Refused::Malformed), "{text}");
        }
        assert_eq!(glob("http://h/a*c", "http://h/a/b?x/c"), Ok(true));
        assert_eq!(glob("http://h/*.jpg", "http://h/a.jpg?v"), Ok(false));
        assert_eq!(glob("http://h/a*", "http://h/a@@v"), Ok(true));
        assert_eq!(glob("http://h/a?*", "http://h/ab"), Ok(false));
    }

    #[test]
    fn regexes() {
        for (text, k, want) in [
            ("https://test.domain.com/my.*\\.(jpg|png)\\?q=", "https://test.domain.com/my/a.png?q=1", true),
            ("https://test.domain.com/my.*\\.(jpg|png)\\?q=", "https://testxdomain.com/my/a.png?q=1", false),
            ("any://h/a|b", "http://h/bc", true),
            ("any://h/a|b", "http://h/cb", false),
            ("any://h/a$", "http://h/a@@v", true),
            ("any://h/a$", "http://h/ab", false),
            ("any://h/a@@v$", "http://h/a@@v", true),
            ("http://h/[ab]*a[ab]{59}", "http://h/a", false),
            ("http://h/a{2,3}$", "http://h/aaa", true),
            ("http://h/a{2,3}$", "http://h/aaaa", false),
            ("http://h/\\*[*]\\+x", "http://h/**+x", true),
            ("http://h/(a?){3}b", "http://h/ab", true),
            ("http://h/[^/]+?/x", "http://h/a/x", true),
        ] {
            assert_eq!(regex(text, k), Ok(want), "{text} {k}");
        }
        for text in
            ["http://h/a*b*c*", "http://h/a{60}", "http://h/(((a{1,59}){1,59}){1,59}){1,59}", "http://h/(a*b+){2,}"]
        {
            assert_eq!(regex(text, "http://h/"), Err(Refused::OverBudget), "{text}");
        }
        let long = format!("http://h/{}", "a".repeat(127));
        assert_eq!(regex(&long, "http://h/"), Err(Refused::OverBudget));
        assert_eq!(regex(&long[..long.len() - 1], "http://h/"), Ok(false));
    }

    #[test]
    fn hosts_and_tags() {
        let host = |text: &str, k: &str| host_matches(text.as_bytes(), &key(k));
        assert_eq!(host("H", "http://h:8080/"), Ok(true));
        assert_eq!(host("h:80", "http://h/"), Ok(true));
        assert_eq!(host("h:80", "https://h:80/"), Ok(true));
        assert_eq!(host("h:80", "https://h/"), Ok(false));
        assert_eq!(host("*.h", "http://a.b.h/"), Ok(true));
        assert_eq!(host("*.h", "http://h/"), Ok(false));
        assert_eq!(host("*.h", "http://ah/"), Ok(false));
        assert_eq!(host("[::1]", "http://[0::1]:8/"), Ok(true));
        let mut tagged = key("http://h/");
        tagged.tags = vec![b"a1".to_vec()];
        assert_eq!(matches(&Selector::Tag(b"a1".to_vec()), &tagged), Ok(true));
        assert_eq!(matches(&Selector::Tag(b"a".to_vec()), &tagged), Ok(false));
        assert_eq!(matches(&Selector::Url(b"http://h/%".to_vec()), &tagged), Err(Refused::Malformed));
    }
}
