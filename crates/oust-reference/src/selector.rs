//! What a selector takes.

use crate::canonical::{
    Subject, canonical, canonical_host, has_stray_percent, out_of_scope, parse_key, plain_variation, split_key,
    split_port,
};
use crate::pattern::{Pattern, Stars, schemes};
use crate::regex::Regex;

/// The engine's selectors, mirrored.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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
    /// `*` and `**`, but only the last run is a wildcard.
    LastWildcard(Vec<u8>),
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

/// Longest text of a selector.
pub const MAX_SELECTOR: usize = 8192;
/// From here on an engine may have a budget for patterns.
const SURE_PATTERN: usize = 1024;

/// Whether `selector` takes `subject`. Of `Selector::Variant` the header fields are not looked at: which variant they select is
/// [`Model`](crate::Model)'s knowledge.
pub fn matches(selector: &Selector, subject: &Subject) -> Result<bool, Refused> {
    Matcher::new(selector)?.matches(subject)
}

/// A selector, read once to be matched often.
#[derive(Debug, Clone)]
pub struct Matcher(Form);

#[derive(Debug, Clone)]
enum Form {
    Urls(Vec<Vec<u8>>),
    Key(Subject),
    Patterns(Vec<Pattern>),
    Regex(Regex),
    Host(Host),
    Tag(Vec<u8>),
    All,
}

impl Matcher {
    /// Reads a selector.
    pub fn new(selector: &Selector) -> Result<Self, Refused> {
        if selector.text().len() > MAX_SELECTOR {
            return Err(Refused::OverBudget);
        }
        Ok(Self(match selector {
            Selector::Url(text) => Form::Urls(parse_urls(text)?),
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
                Form::Key(parse_key(text).ok_or(Refused::Malformed)?)
            }
            Selector::Pattern(text) => patterns(text, Stars::Levels)?,
            Selector::Glob(text) => patterns(text, Stars::Anything)?,
            Selector::LastWildcard(text) => patterns(text, Stars::Last)?,
            Selector::Regex(text) => {
                known_host(text)?;
                Form::Regex(Regex::parse(text)?)
            }
            Selector::Host(text) => Form::Host(Host::parse(text)?),
            Selector::Tag(tag) => {
                if tag.is_empty() || !tag.iter().all(u8::is_ascii_graphic) {
                    return Err(Refused::Unknown);
                }
                Form::Tag(tag.clone())
            }
            Selector::All => Form::All,
        }))
    }

    /// Whether it takes the subject; `Refused::Unknown` if that takes the reference too long.
    pub fn matches(&self, subject: &Subject) -> Result<bool, Refused> {
        Ok(match &self.0 {
            Form::Urls(urls) => urls.contains(&subject.url),
            Form::Key(key) => key.url == subject.url && key.variation == subject.variation,
            Form::Patterns(patterns) => patterns.iter().any(|pattern| pattern.matches(subject)),
            Form::Regex(regex) => return regex.matches(subject),
            Form::Host(host) => host.matches(subject),
            Form::Tag(tag) => subject.tags.contains(tag),
            Form::All => true,
        })
    }
}

impl Selector {
    /// Its text, without the fields of a variant.
    pub fn text(&self) -> &[u8] {
        match self {
            Self::Url(text)
            | Self::Key(text)
            | Self::Variant(text, _)
            | Self::Pattern(text)
            | Self::Glob(text)
            | Self::LastWildcard(text)
            | Self::Regex(text)
            | Self::Host(text)
            | Self::Tag(text) => text,
            Self::All => b"",
        }
    }

    /// Whether an engine may refuse it although the reference accepts it: large regexes and long patterns, for a budget of its own.
    pub fn may_be_refused(&self) -> bool {
        match self {
            Self::Regex(text) => Regex::parse(text).is_ok_and(|regex| regex.may_be_refused),
            Self::Pattern(text) | Self::Glob(text) | Self::LastWildcard(text) => text.len() > SURE_PATTERN,
            _ => false,
        }
    }
}

fn patterns(text: &[u8], stars: Stars) -> Result<Form, Refused> {
    known_host(text)?;
    if !plain_variation(text) {
        return Err(Refused::Unknown);
    }
    Ok(Form::Patterns(Pattern::parse(text, stars)?))
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

/// A host selector.
#[derive(Debug, Clone)]
enum Host {
    /// With its port, if one is given.
    One(Vec<u8>, Option<u32>),
    /// Those that end so.
    Below(Vec<u8>),
}

impl Host {
    fn parse(text: &[u8]) -> Result<Self, Refused> {
        known_host(&[b"http://", text].concat())?;
        if let Some(below) = text.strip_prefix(b"*.") {
            // Ports and addresses have no meaning here that the specification gives.
            if below.contains(&b':') || below.contains(&b'[') {
                return Err(Refused::Unknown);
            }
            let below = canonical_host(below).ok_or(Refused::Malformed)?;
            return Ok(Self::Below([b".", below.as_slice()].concat()));
        }
        let (wanted, port) = split_port(text);
        let wanted = canonical_host(wanted).ok_or(Refused::Malformed)?;
        let Some(digits) = port else { return Ok(Self::One(wanted, None)) };
        if digits.is_empty() {
            return Err(Refused::Unknown);
        }
        if !digits.iter().all(u8::is_ascii_digit) {
            return Err(Refused::Malformed);
        }
        let number: Option<u32> = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        let number = number.filter(|&number| number <= 65_535).ok_or(Refused::Malformed)?;
        Ok(Self::One(wanted, Some(number)))
    }

    fn matches(&self, subject: &Subject) -> bool {
        let (host, number) = subject.host_port();
        match self {
            Self::Below(suffix) => host.ends_with(suffix),
            Self::One(wanted, port) => host == wanted && port.is_none_or(|port| port == number),
        }
    }
}

/// Whether a host selector takes the subject.
pub fn host_matches(text: &[u8], subject: &Subject) -> Result<bool, Refused> {
    Ok(Host::parse(text)?.matches(subject))
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
    fn last(text: &str, k: &str) -> Result<bool, Refused> {
        matches(&Selector::LastWildcard(text.into()), &key(k))
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
    fn hosts_below() {
        for (text, k, want) in [
            ("any://*.h/d/**", "http://a.h/d/x/y?q", true),
            ("any://*.h/d/**", "https://b.a.h:8443/d/@@v", true),
            ("any://*.h/d/**", "http://h/d/x", false),
            ("any://*.h/d/**", "http://ah/d/x", false),
            ("any://*.h/d/**", "http://a.h/d", false),
            ("any://*.h/d/**", "http://a.h.b/d/x", false),
            ("any://*.h/d/**", "http://b/d/a.h/d/", false),
            ("http://*.H./a", "http://x.h/a@@v", true),
            ("http://*.h/a", "http://x.h:81/a", true),
            ("http://*.h/a", "http://x.h/a?", false),
            ("http://*.h/a", "https://x.h/a", false),
            ("http://*.h/a@@v", "http://x.h/a", false),
            ("http://*.h/*@@v", "http://x.h/a@@v", true),
            ("http://*.h:80/*", "http://x.h/a", true),
            ("http://*.h:80/*", "http://x.h:81/a", false),
            ("any://*.h:443/*", "https://x.h/a", true),
            ("any://*.h:443/*", "http://x.h:443/a", true),
            ("any://*.h:443/*", "http://x.h/a", false),
            ("http://*.h/*.jpg", "http://x.h/a/a.jpg", false),
            ("http://*.h", "http://x.h/", true),
        ] {
            assert_eq!(pattern(text, k), Ok(want), "{text} {k}");
        }
        for text in
            ["http://*h/", "http://*/", "http://*./", "http://*.*.h/", "http://a.*.h/", "http://**.h/", "http://*.h:x/"]
        {
            assert_eq!(pattern(text, "http://a.h/"), Err(Refused::Malformed), "{text}");
        }
        for refused in [glob, last, regex] {
            assert_eq!(refused("http://*.h/", "http://a.h/"), Err(Refused::Malformed));
        }
    }

    #[test]
    fn last_wildcards() {
        for (text, k, want) in [
            ("http://h/mydir", "http://h/mydir@@v", true),
            ("http://h/mydir", "http://h/mydir/a", false),
            ("http://h/mydir", "http://h/mydir?q", false),
            ("http://h/mydir/*", "http://h/mydir/a?x=/y", true),
            ("http://h/mydir/*", "http://h/mydir/a/b", false),
            ("http://h/mydir/**", "http://h/mydir/a/b", true),
            ("http://h/mydir/****", "http://h/mydir/a/b", true),
            ("http://h/mydir/*.jpg", "http://h/mydir/a.jpg", true),
            ("http://h/mydir/*.jpg", "http://h/mydir/a.jpg?v=1", false),
            ("http://h/mydir/*.jpg", "http://h/mydir/b?a.jpg", true),
            ("http://h/my**jpg", "http://h/my/a/b/jpg@@v", true),
            ("http://h/a*b/c*", "http://h/a*b/cd", true),
            ("http://h/a*b/c*", "http://h/axb/cd", false),
            ("http://h/a*b/c*", "http://h/a*b/cd/e", false),
            ("http://h/a**b/*", "http://h/a**b/c", true),
            ("http://h/a**b/*", "http://h/a*b/c", false),
            ("http://h/**/../a*", "http://h/ab", true),
            ("http://h/a*@@v", "http://h/ab@@v", true),
            ("http://h/a*@@v", "http://h/ab", false),
            ("http://h/a*@@v*", "http://h/a*@@v/w", true),
            ("http://h/a*@@v*", "http://h/ab@@vw", false),
            ("http://h/a@@*v*", "http://h/a@@*vw", true),
            ("http://h/a@@*v*", "http://h/a@@xvw", false),
            ("http://h/a@@v", "http://h/a", false),
            ("any://h/?*", "https://h/?x/y", true),
        ] {
            assert_eq!(last(text, k), Ok(want), "{text} {k}");
        }
        for text in
            ["http://h*/", "http://h*/a*", "http://h/*/../x", "http://h/*/%2e", "h/*", "http://h/%4*", "http://h/*@@"]
        {
            assert_eq!(last(text, "http://h/"), Err(Refused::Malformed), "{text}");
        }
        let long = Selector::LastWildcard(format!("http://h/{}*", "a".repeat(MAX_SELECTOR)).into());
        assert_eq!(matches(&long, &key("http://h/")), Err(Refused::OverBudget));
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
