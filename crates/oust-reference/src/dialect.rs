//! The vendors' pattern languages, each read by itself from what the specification says of it.
//!
//! Paths are compared as bytes here; only where the specification names a selector of the engine (`Glob`, `Regex`, the last wildcard) is the
//! reference's own asked. What the specification leaves open is [`Refused::Unknown`].

use crate::canonical::{
    Subject, canonical, canonical_host, find, has_stray_percent, is_pchar, out_of_scope, percent, split_key, split_port,
};
use crate::selector::{Matcher, Refused, Selector};

/// From here on a vendor's own limit on the length of a text may come first.
const SURE_LENGTH: usize = 1000;
/// The same for Azion's wildcards, which have at most 256 characters.
const SURE_WILDCARD: usize = 250;
/// Levels, or so many characters, or a file name must stand before the `*` of ImageKit. Whether the `*` and the first `/` count is left open.
const IMAGEKIT_CHARACTERS: std::ops::RangeInclusive<usize> = 13..=17;

/// A pattern language.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "named as the specification names them")]
pub enum Dialect {
    AzionUrl,
    AzionCachekey,
    AzionWildcard,
    NaverDirectory,
    NaverPattern,
    NaverUrl,
    Medianova,
    CdnetworksFile,
    CdnetworksDir,
    CdnetworksRegex,
    ImageKit,
}

/// A pattern of a language, read once.
#[derive(Debug, Clone)]
pub struct DialectMatcher {
    form: Form,
    /// Whether refusing it is as good: a limit that is not said to be one of the language, or a spelling nothing is said of.
    pub may_be_refused: bool,
}

#[derive(Debug, Clone)]
enum Form {
    /// Any of these, whole keys.
    Any(Vec<Matcher>),
    /// Any of these URLs, without a variation.
    Plain(Vec<Vec<u8>>),
    /// Any of these URLs.
    Urls(Vec<Vec<u8>>),
    /// Of hosts, in both schemes.
    Path(Hosts, Tail),
}

#[derive(Debug, Clone)]
enum Tail {
    /// The path begins so.
    Below(Vec<u8>),
    /// The path begins and ends so.
    Ending(Vec<u8>, Vec<u8>),
    /// Path and query are this.
    Exact(Vec<u8>),
    /// Ways to read it, as patterns of the host `h`; where they differ, nothing is decided.
    Readings(Vec<Matcher>),
}

#[derive(Debug, Clone)]
enum Hosts {
    One(Vec<u8>),
    Below(Vec<u8>),
}

impl Hosts {
    fn parse(host: &str) -> Result<Self, Refused> {
        let (below, name) = host.strip_prefix("*.").map_or((false, host), |name| (true, name));
        let name = canonical_host(name.as_bytes()).ok_or(Refused::Unknown)?;
        Ok(if below { Self::Below([b".", name.as_slice()].concat()) } else { Self::One(name) })
    }

    fn takes(&self, host: &[u8]) -> bool {
        match self {
            Self::One(name) => host == name,
            Self::Below(suffix) => host.ends_with(suffix),
        }
    }
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::AzionUrl,
        Self::AzionCachekey,
        Self::AzionWildcard,
        Self::NaverDirectory,
        Self::NaverPattern,
        Self::NaverUrl,
        Self::Medianova,
        Self::CdnetworksFile,
        Self::CdnetworksDir,
        Self::CdnetworksRegex,
        Self::ImageKit,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::AzionUrl => "azion-url",
            Self::AzionCachekey => "azion-cachekey",
            Self::AzionWildcard => "azion-wildcard",
            Self::NaverDirectory => "naver-directory",
            Self::NaverPattern => "naver-pattern",
            Self::NaverUrl => "naver-url",
            Self::Medianova => "medianova",
            Self::CdnetworksFile => "cdnetworks-file",
            Self::CdnetworksDir => "cdnetworks-dir",
            Self::CdnetworksRegex => "cdnetworks-regex",
            Self::ImageKit => "imagekit",
        }
    }

    /// Whether its patterns are paths.
    pub fn is_hostless(self) -> bool {
        matches!(self, Self::NaverDirectory | Self::NaverPattern | Self::NaverUrl | Self::Medianova)
    }

    /// Reads a pattern. `host`, a name or `*.name`, is whose the patterns of a language without hosts are.
    pub fn read(self, pattern: &str, host: &str) -> Result<DialectMatcher, Refused> {
        let text = pattern.as_bytes();
        let mut read = match self {
            Self::AzionUrl => azion_url(text),
            Self::AzionCachekey => azion_cachekey(text),
            Self::AzionWildcard => azion_wildcard(text),
            Self::NaverDirectory => path(host, naver_directory(text)),
            Self::NaverPattern => naver_pattern(text).and_then(|(tail, sure)| {
                let read = path(host, Ok(tail))?;
                Ok(DialectMatcher { may_be_refused: !sure, ..read })
            }),
            Self::NaverUrl => path(host, naver_url(text)),
            Self::Medianova => path(host, medianova(text)),
            Self::CdnetworksFile => cdnetworks_file(text),
            Self::CdnetworksDir => cdnetworks_dir(text),
            Self::CdnetworksRegex => cdnetworks_regex(text),
            Self::ImageKit => imagekit(text),
        }?;
        // A fragment is dropped; a vendor may as well have none.
        read.may_be_refused |= text.len() > SURE_LENGTH || text.contains(&b'#');
        // What a client's URL is that holds the separator is said, whether a vendor takes such a one is not.
        let has_variations = matches!(self, Self::AzionCachekey | Self::AzionWildcard | Self::CdnetworksRegex);
        read.may_be_refused |= !has_variations && find(text, b"@@").is_some();
        read.may_be_refused |= may_be_dots(text);
        Ok(read)
    }
}

impl DialectMatcher {
    /// Whether it takes the subject; [`Refused::Unknown`] where the specification does not say.
    pub fn matches(&self, subject: &Subject) -> Result<bool, Refused> {
        match &self.form {
            Form::Any(matchers) => any(matchers, subject),
            Form::Plain(urls) => Ok(subject.variation.is_none() && urls.contains(&subject.url)),
            Form::Urls(urls) => Ok(urls.contains(&subject.url)),
            Form::Path(hosts, tail) => {
                let (host, port) = subject.host_port();
                if !hosts.takes(host) {
                    return Ok(false);
                }
                let takes = tail.takes(subject)?;
                // Of other ports nothing is said.
                let default = if subject.scheme() == b"https" { 443 } else { 80 };
                if takes && port != default { Err(Refused::Unknown) } else { Ok(takes) }
            }
        }
    }
}

impl Tail {
    fn takes(&self, subject: &Subject) -> Result<bool, Refused> {
        let (start, end) = subject.path();
        let (path, target) = (&subject.url[start..end], &subject.url[start..]);
        Ok(match self {
            Self::Below(dir) => path.starts_with(dir),
            Self::Ending(dir, end) => {
                path.len() >= dir.len() + end.len() && path.starts_with(dir) && path.ends_with(end)
            }
            Self::Exact(wanted) => target == wanted,
            Self::Readings(readings) => {
                let moved = Subject { url: [b"http://h", target].concat(), ..subject.clone() };
                let mut verdicts =
                    readings.iter().map(|reading| reading.matches(&moved)).collect::<Result<Vec<_>, _>>()?;
                verdicts.dedup();
                return if verdicts.len() == 1 { Ok(verdicts[0]) } else { Err(Refused::Unknown) };
            }
        })
    }
}

fn any(matchers: &[Matcher], subject: &Subject) -> Result<bool, Refused> {
    let mut unknown = false;
    for matcher in matchers {
        match matcher.matches(subject) {
            Ok(true) => return Ok(true),
            Ok(false) => {}
            Err(_) => unknown = true,
        }
    }
    if unknown { Err(Refused::Unknown) } else { Ok(false) }
}

fn sure(form: Form) -> DialectMatcher {
    DialectMatcher { form, may_be_refused: false }
}

fn path(host: &str, tail: Result<Tail, Refused>) -> Result<DialectMatcher, Refused> {
    Ok(sure(Form::Path(Hosts::parse(host)?, tail?)))
}

/// Splits off `scheme://`, in lower case; `None` if there is none.
fn scheme(text: &[u8]) -> (Option<Vec<u8>>, &[u8]) {
    match find(text, b"://") {
        Some(at) if !text[..at].iter().any(|b| b"/?#@".contains(b)) => {
            (Some(text[..at].to_ascii_lowercase()), &text[at + 3..])
        }
        _ => (None, text),
    }
}

/// Whether a segment is `.`, wildcards, `.`: whether that is a dot segment, as it is with empty runs, is not said.
fn may_be_dots(text: &[u8]) -> bool {
    let inside = |segment: &[u8]| {
        let inner = segment.strip_prefix(b".").and_then(|rest| rest.strip_suffix(b"."));
        inner.is_some_and(|inner| !inner.is_empty() && inner.iter().all(|&b| b == b'*'))
    };
    let decoded = decoded(text);
    decoded.split(|b| b"/?".contains(b)).any(inside)
}

/// Whether a variation begins in what might be a scheme.
fn is_torn(text: &[u8]) -> bool {
    find(text, b"://").is_some_and(|at| find(&text[..at], b"@@").is_some())
}

/// The URL of a purge in canonical form.
fn purge_url(text: &[u8]) -> Result<Vec<u8>, Refused> {
    if out_of_scope(text) {
        return Err(Refused::Unknown);
    }
    if has_stray_percent(text) {
        return Err(Refused::Malformed);
    }
    canonical(text).ok_or(Refused::Malformed)
}

/// One text for each scheme that an Azion text names, or both.
fn azion_texts(text: &[u8]) -> Result<Vec<Vec<u8>>, Refused> {
    match scheme(text) {
        (Some(name), _) if name == b"http" || name == b"https" => Ok(vec![text.to_vec()]),
        (Some(_), _) => Err(Refused::Malformed),
        (None, rest) => Ok([b"http".as_slice(), b"https"].map(|scheme| [scheme, b"://", rest].concat()).to_vec()),
    }
}

/// Whether a scheme may be glued to the host: only of cache keys it is said that it is.
fn may_be_glued(text: &[u8]) -> bool {
    scheme(text).0.is_none() && text.len() >= 4 && text[..4].eq_ignore_ascii_case(b"http")
}

/// A URL, `*` literal, the object without variation.
fn azion_url(text: &[u8]) -> Result<DialectMatcher, Refused> {
    if may_be_glued(text) {
        return Err(Refused::Unknown);
    }
    let urls = azion_texts(text)?.iter().map(|text| purge_url(text)).collect::<Result<_, _>>()?;
    Ok(sure(Form::Plain(urls)))
}

/// A key in one of three spellings.
fn azion_cachekey(text: &[u8]) -> Result<DialectMatcher, Refused> {
    // Azion writes `@@` alone where variations are switched on and a key has none.
    if is_torn(text) || split_key(text).1.is_some_and(|variation| variation.is_empty() || variation.starts_with(b"@")) {
        return Err(Refused::Unknown);
    }
    let texts = if may_be_glued(text) {
        let glued = [b"https".as_slice(), b"http"].into_iter().find_map(|scheme| {
            let rest = text.strip_prefix(scheme)?;
            let end = rest.iter().position(|b| b"/?#@".contains(b)).unwrap_or(rest.len());
            canonical_host(split_port(&rest[..end]).0)?;
            Some([scheme, b"://", rest].concat())
        });
        vec![glued.ok_or(Refused::Unknown)?]
    } else {
        azion_texts(text)?
    };
    // "Always read as a scheme" and "https is tried first": whether `http` is tried after an `https` without a host behind it, is not said.
    let may_be_refused = may_be_glued(text) && text.starts_with(b"https") && texts[0].starts_with(b"http:");
    Ok(DialectMatcher { form: matchers(texts, Selector::Key)?, may_be_refused })
}

/// A glob.
fn azion_wildcard(text: &[u8]) -> Result<DialectMatcher, Refused> {
    if is_torn(text) || may_be_glued(text) || split_key(text).1.is_some_and(<[u8]>::is_empty) {
        return Err(Refused::Unknown);
    }
    let form = matchers(azion_texts(text)?, Selector::Glob)?;
    Ok(DialectMatcher { form, may_be_refused: text.len() > SURE_WILDCARD || !text.contains(&b'*') })
}

fn matchers(texts: Vec<Vec<u8>>, selector: fn(Vec<u8>) -> Selector) -> Result<Form, Refused> {
    let read = texts.into_iter().map(|text| Matcher::new(&selector(text)));
    // One is not decided, the other refused: not decided.
    let read: Vec<_> = read.collect();
    if read.iter().any(|matcher| matches!(matcher, Err(Refused::Unknown))) {
        return Err(Refused::Unknown);
    }
    Ok(Form::Any(read.into_iter().collect::<Result<_, _>>()?))
}

/// Path and query in canonical form.
fn canonical_target(text: &[u8]) -> Result<Vec<u8>, Refused> {
    let url = purge_url(&[b"http://h", text].concat())?;
    Ok(url[b"http://h".len()..].to_vec())
}

/// What is no path of a directory: a query, a fragment, and the separator, which a path that a client sends does not hold.
fn is_bare(text: &[u8]) -> bool {
    !text.contains(&b'?') && !text.contains(&b'#') && find(text, b"@@").is_none()
}

/// `/dir/*`, at any depth.
fn naver_directory(text: &[u8]) -> Result<Tail, Refused> {
    // The vendor's text prints `/\*`, which is read as an artefact; whether it is accepted as well is not said.
    if text.contains(&b'\\') {
        return Err(Refused::Unknown);
    }
    let dir = text.strip_suffix(b"*").ok_or(Refused::Malformed)?;
    if !dir.starts_with(b"/") || !dir.ends_with(b"/") || dir.contains(&b'*') {
        return Err(Refused::Malformed);
    }
    if !is_bare(dir) {
        return Err(Refused::Unknown);
    }
    Ok(Tail::Below(canonical_target(dir)?))
}

/// `/dir/*.ext`, at any depth; and whether it is said that it is accepted.
fn naver_pattern(text: &[u8]) -> Result<(Tail, bool), Refused> {
    if text.contains(&b'\\') {
        return Err(Refused::Unknown);
    }
    let star = text.iter().position(|&b| b == b'*').ok_or(Refused::Malformed)?;
    let (dir, ext) = (&text[..star], &text[star + 1..]);
    if !dir.starts_with(b"/") || !dir.ends_with(b"/") || ext.contains(&b'*') || !ext.starts_with(b".") {
        return Err(Refused::Malformed);
    }
    if !is_bare(text) || ext.contains(&b'/') || ext.len() == 1 {
        return Err(Refused::Unknown);
    }
    let dir = canonical_target(dir)?;
    // Behind a letter, so that no dot of it is a segment.
    let ext_in_path = canonical_target(&[b"/x", ext].concat())?;
    Ok((Tail::Ending(dir, ext_in_path[2..].to_vec()), ext[1..].iter().all(u8::is_ascii_alphanumeric)))
}

/// One path and query.
fn naver_url(text: &[u8]) -> Result<Tail, Refused> {
    if !text.starts_with(b"/") || text.contains(&b'*') {
        return Err(Refused::Malformed);
    }
    Ok(Tail::Exact(canonical_target(text)?))
}

/// A path with any number of `*`.
fn medianova(text: &[u8]) -> Result<Tail, Refused> {
    if !text.starts_with(b"/") {
        return Err(Refused::Malformed);
    }
    if !text.contains(&b'*') {
        return Ok(Tail::Exact(canonical_target(text)?));
    }
    if find(text, b"@@").is_some() || text.contains(&b'#') {
        return Err(Refused::Unknown);
    }
    let on_h = [b"http://h", text].concat();
    // Every `*` doubled, so that it crosses `/`: the path alone if there is no query, and any query then.
    let doubled: Vec<u8> = on_h.iter().flat_map(|&b| if b == b'*' { vec![b'*'; 2] } else { vec![b] }).collect();
    let mut readings = vec![Matcher::new(&Selector::Pattern(doubled))?];
    if text.ends_with(b"*") || text.contains(&b'?') {
        // "Any query where the path ends in a literal": where it does not, a `*` may go on into the query.
        readings.push(Matcher::new(&Selector::Glob(on_h))?);
    }
    Ok(Tail::Readings(readings))
}

/// What all URLs of CDNetworks keep to. `exact`: whether everything that needs encoding is refused raw; elsewhere it may be.
fn cdnetworks_url(text: &[u8], exact: bool) -> Result<bool, Refused> {
    let (scheme, rest) = scheme(text);
    if !matches!(scheme.as_deref(), Some(b"http" | b"https")) {
        return Err(Refused::Malformed);
    }
    let end = rest.iter().position(|b| b"/?#".contains(b)).unwrap_or(rest.len());
    let (host, tail) = rest.split_at(end);
    if host.contains(&b'*') {
        return Err(Refused::Malformed);
    }
    // Whether the rules for characters hold for hosts, too, and what a fragment is.
    if host.iter().any(|b| b"[%".contains(b)) || tail.contains(&b'#') {
        return Err(Refused::Unknown);
    }
    let raw = |b: &u8| !is_pchar(*b) && !b"/?%".contains(b);
    let refused = |b: &u8| b"[]{}|^`".contains(b) || exact && raw(b);
    if tail.iter().any(refused) || has_stray_percent(tail) || std::str::from_utf8(&decoded(tail)).is_err() {
        return Err(Refused::Malformed);
    }
    Ok(!text.starts_with(b"http") || tail.iter().any(raw))
}

/// With percent-encodings decoded.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let byte = percent(text, at);
        out.push(byte.unwrap_or(text[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    out
}

/// One URL, the object without variation.
fn cdnetworks_file(text: &[u8]) -> Result<DialectMatcher, Refused> {
    if text.contains(&b'*') {
        return Err(Refused::Malformed);
    }
    let may_be_refused = cdnetworks_url(text, true)?;
    Ok(DialectMatcher { form: Form::Plain(vec![purge_url(text)?]), may_be_refused })
}

/// One URL with its variations, or the last run of `*` a wildcard.
fn cdnetworks_dir(text: &[u8]) -> Result<DialectMatcher, Refused> {
    // Whether these are URLs of clients or patterns, in which `@@` begins a variation.
    if find(text, b"@@").is_some() {
        return Err(Refused::Unknown);
    }
    let may_be_refused = cdnetworks_url(text, false)?;
    let form = if text.contains(&b'*') {
        matchers(vec![text.to_vec()], Selector::LastWildcard)?
    } else {
        Form::Urls(vec![purge_url(text)?])
    };
    Ok(DialectMatcher { form, may_be_refused })
}

fn cdnetworks_regex(text: &[u8]) -> Result<DialectMatcher, Refused> {
    let (scheme, rest) = scheme(text);
    if !matches!(scheme.as_deref(), Some(b"http" | b"https" | b"any")) {
        return Err(Refused::Malformed);
    }
    let host = &rest[..rest.iter().position(|&b| b == b'/').unwrap_or(rest.len())];
    // A host name is asked for: of ports and addresses nothing is said. Nor whether a space may stand in a quantifier.
    if host.iter().any(|b| b":[%".contains(b)) || text.contains(&b' ') {
        return Err(Refused::Unknown);
    }
    let selector = Selector::Regex(text.to_vec());
    let may_be_refused = selector.may_be_refused() || !text.starts_with(b"http") && !text.starts_with(b"any");
    Ok(DialectMatcher { form: Form::Any(vec![Matcher::new(&selector)?]), may_be_refused })
}

/// One URL with its variations; or what begins so, with `*` as the last character.
fn imagekit(text: &[u8]) -> Result<DialectMatcher, Refused> {
    let (scheme, rest) = scheme(text);
    if !matches!(scheme.as_deref(), Some(b"http" | b"https")) {
        return Err(Refused::Malformed);
    }
    let Some(begin) = rest.strip_suffix(b"*") else {
        if text.contains(&b'*') {
            return Err(Refused::Malformed);
        }
        return Ok(sure(Form::Urls(vec![purge_url(text)?])));
    };
    if begin.contains(&b'*') {
        return Err(Refused::Malformed);
    }
    if find(text, b"@@").is_some() {
        return Err(Refused::Unknown);
    }
    let form = matchers(vec![text.to_vec()], Selector::Glob)?;
    let Some(slash) = find(begin, b"/") else { return Err(Refused::Malformed) };
    match imagekit_admits(&begin[slash + 1..]) {
        Some(false) => Err(Refused::Malformed),
        admitted => Ok(DialectMatcher { form, may_be_refused: admitted.is_none() }),
    }
}

/// Whether a `*` may stand behind this path, which is told without its first `/`; `None` where nothing is said.
fn imagekit_admits(path: &[u8]) -> Option<bool> {
    if path == b"media/catalog/" || path == b"s/files/" {
        return Some(false);
    }
    // These take as much and more, and have two levels.
    if path == b"media/catalog" || path == b"s/files" {
        return None;
    }
    // Encodings make characters hard to count; levels are those of a plain path.
    let levels: Vec<&[u8]> = path.split(|&b| b == b'/').collect();
    let plain = path.iter().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(b));
    let odd = |level: &&[u8]| level.is_empty() || level.starts_with(b".") || level.ends_with(b".");
    if path.is_empty() {
        return Some(false);
    }
    if !plain || levels.iter().any(odd) {
        return None;
    }
    if levels.len() > 1 || path.len() > *IMAGEKIT_CHARACTERS.end() || path.contains(&b'.') {
        return Some(true);
    }
    if path.len() >= *IMAGEKIT_CHARACTERS.start() { None } else { Some(false) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::parse_key;
    use Dialect::*;

    /// Rows of language, pattern, keys it takes, keys it does not.
    #[test]
    fn both_sides() {
        let rows: &[(Dialect, &str, &[&str], &[&str])] = &[
            (AzionUrl, "h/a*", &["http://h/a*", "https://h/a*"], &["http://h/ab", "http://h/a*@@v"]),
            (AzionUrl, "https://h", &["https://h/"], &["http://h/"]),
            (AzionUrl, "h/a@@v", &["http://h/a%40%40v"], &["http://h/a@@v"]),
            (
                AzionCachekey,
                "httpsh/a@@v",
                &["https://h/a@@v"],
                &["http://h/a@@v", "https://h/a", "https://httpsh/a@@v"],
            ),
            (AzionCachekey, "https/a", &["http://s/a"], &["https://s/a"]),
            (AzionCachekey, "h/a@@v", &["http://h/a@@v", "https://h/a@@v"], &["http://h/a@@vv"]),
            (AzionWildcard, "h/*?b*", &["http://h/a?b", "https://h/a/c?x?bc@@v"], &["http://h/b"]),
            (AzionWildcard, "http://h/a@@*", &["http://h/a@@v"], &["http://h/a", "https://h/a@@v"]),
            (NaverDirectory, "/d/*", &["http://h/d/", "https://h/d/a/b?q@@v"], &["http://h/d", "http://i/d/a"]),
            (
                NaverPattern,
                "/d/*.png",
                &["http://h/d/a/b.png?q", "https://h/d/.png@@v"],
                &["http://h/d.png", "http://h/d/a.PNG"],
            ),
            (NaverUrl, "/a?b", &["http://h/a?b", "https://h/a?b@@v"], &["http://h/a"]),
            (
                Medianova,
                "/a*.jpg",
                &["http://h/a/b/c.jpg?q@@v", "https://h/a.jpg"],
                &["http://h/a?c.jpg", "http://h/a.jpg/"],
            ),
            (Medianova, "/a/", &["http://h/a/@@v"], &["http://h/a/b", "http://h/a"]),
            (CdnetworksFile, "http://h/a?b", &["http://h/a?b"], &["http://h/a?b@@v", "https://h/a?b", "http://h/a"]),
            (CdnetworksDir, "http://h/a", &["http://h/a@@v"], &["http://h/a/", "https://h/a"]),
            (CdnetworksDir, "http://h/a*b/*.j", &["http://h/a*b/c.j@@v"], &["http://h/axb/c.j", "http://h/a*b/c.j?q"]),
            (CdnetworksRegex, "any://h.i/a+$", &["http://h.i/aa@@v"], &["http://hxi/a", "https://h.i/ab"]),
            (ImageKit, "http://h/a.jpg", &["http://h/a.jpg@@v"], &["http://h/a.jpg?tr=1", "https://h/a.jpg"]),
            (ImageKit, "http://h/a.jpg*", &["http://h/a.jpg?tr=1", "http://h/a.jpg/b"], &["http://h/a.jp"]),
        ];
        for (dialect, pattern, taken, left) in rows {
            let read = dialect.read(pattern, "h").unwrap();
            for (keys, want) in [(taken, true), (left, false)] {
                for key in *keys {
                    let subject = parse_key(key.as_bytes()).unwrap();
                    assert_eq!(read.matches(&subject), Ok(want), "{} {pattern} {key}", dialect.name());
                }
            }
        }
    }

    #[test]
    fn refused() {
        let rows: &[(Dialect, &[&str])] = &[
            (AzionUrl, &["", "/a", "ftp://h/", "any://h/", "h/%", "u@h/"]),
            (AzionWildcard, &["*", "*.h/a", "/*", "h/*/../a", "h/%4*"]),
            (NaverDirectory, &["", "*", "/*a", "a/*", "/a*", "/a/*/*", "/a/**", "/%/*"]),
            (NaverPattern, &["/*", "/a/b*.png", "*.png", "/*.*", "/*png"]),
            (NaverUrl, &["", "a", "/a*", "/%zz", "http://h/a"]),
            (Medianova, &["", "*", "a/*", "/*/../a"]),
            (
                CdnetworksFile,
                &["h/a", "any://h/a", "http://h/*", "http://h/a b", "http://h/123%abc.jpg", "http://h/[a]"],
            ),
            (CdnetworksDir, &["h/*", "any://h/*", "http://*/a", "http://h/{a}*", "http://h/%ab*"]),
            (CdnetworksRegex, &["h/a", "ftp://h/a", "any://h/a*b*c*"]),
            (ImageKit, &["h/a", "http://h/*", "http://h/images*", "http://h/a/*b", "http://h/a/b**", "http://h*"]),
        ];
        for (dialect, patterns) in rows {
            for pattern in *patterns {
                let why = dialect.read(pattern, "h").err();
                assert!(
                    matches!(why, Some(Refused::Malformed | Refused::OverBudget)),
                    "{} {pattern}: {why:?}",
                    dialect.name()
                );
            }
        }
    }

    #[test]
    fn left_open() {
        for (dialect, pattern) in [
            (AzionUrl, "httpsh/a"),
            (AzionCachekey, "h/a@@"),
            (NaverDirectory, "/a?b/*"),
            (NaverPattern, "/*.a/b"),
            (Medianova, "/a@@*"),
            (CdnetworksDir, "http://h/a@@*"),
            (NaverDirectory, "/a/\\*"),
            (CdnetworksRegex, "http://h:81/a"),
        ] {
            assert_eq!(dialect.read(pattern, "h").err(), Some(Refused::Unknown), "{} {pattern}", dialect.name());
        }
    }
}
