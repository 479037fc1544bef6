//! What a purge takes: the selectors, and what they compile to.
//!
//! Invariants:
//!
//! 1. Every literal a compiled selector holds is canonical, written by the functions of [`crate::key`]: what is equal as a URL is equal as bytes.
//! 2. A compiled selector matches in time linear in the key, whatever its text was: see [`super::program`] for what bounds each form.
//! 3. Nothing is taken that the text does not say: all bytes named are compared, never a hash alone.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::cost::{Class, Cost};
use super::error::SelectorError;
use super::gates::host_of;
use super::program::Program;
use super::span::Span;
use super::table::cost_of;
use super::tags::{MAX_TAG, TagsRef};
use super::{pattern, regex};
use crate::key::canonical::{self, Scheme, Stray};
use crate::key::{Key, KeyRef};
use crate::site::Sites;
use crate::vary::VaryRef;

/// Longest text of a selector in bytes.
pub const MAX_SELECTOR: usize = 8192;

/// Most request fields of a [`Selector::Variant`].
pub const MAX_FIELDS: usize = 128;

/// Most bytes of those fields, names and values together.
pub const MAX_FIELD_BYTES: usize = 16384;

/// What a purge takes. See `docs/purge.md`.
///
/// ```
/// use oust::{Key, Selector, purge::Matcher, site::Sites};
/// let matcher = Matcher::new(&Selector::Pattern("http://h/d/*.jpg".into()), &Sites::default())?;
/// assert!(matcher.matches(Key::parse(b"http://h/d/a.jpg?v=2")?.as_ref()));
/// assert!(!matcher.matches(Key::parse(b"http://h/d/e/a.jpg")?.as_ref()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selector {
    /// Every variation and variant of one URL; `any://` for both schemes. An `@@` in it is part of the URL.
    Url(String),
    /// Exactly one cache key, `url[@@variation]`, with all its variants.
    Key(String),
    /// The one object a request with these header fields selects under a key.
    Variant {
        /// The cache key.
        key: String,
        /// Request header fields, name and value.
        headers: Vec<(String, String)>,
    },
    /// `(http|https|any)://host[:port]/...` with any number of `*` and `**`, none in the authority.
    ///
    /// A `*` run holds no `/` of the path. Without `?` the pattern is matched against the path, whatever the query; with one against the
    /// whole URL part; with `@@` against the whole key. Without a wildcard it is [`Selector::Url`], or [`Selector::Key`] if it holds `@@`.
    Pattern(String),
    /// As [`Selector::Pattern`], but every `*` crosses everything and the whole URL part is matched.
    Glob(String),
    /// As [`Selector::Pattern`], but only the last run of `*` is a wildcard (those before it are literal), and the whole URL part is matched.
    LastWildcard(String),
    /// `(http|https|any)://host[:port]/` followed by a regular expression, anchored there and open at the end.
    ///
    /// Matched against the URL part, or against the whole key if the text holds `@@`.
    Regex(String),
    /// A host (all ports), `host:port`, or `*.host` (below it).
    Host(String),
    /// A tag.
    Tag(String),
    /// Everything.
    All,
}

/// What the rule table files a selector under.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Every variation and variant of a URL part.
    Url(Box<[u8]>),
    /// One whole key text.
    Key(Box<[u8]>),
    /// The object under a key that these request fields select.
    Variant { key: Box<[u8]>, headers: Box<HeaderMap> },
    /// One run between two literals. Any variation.
    Span(Span),
    /// Whatever else begins with a literal directory, at least `scheme://authority/`.
    Residual(Box<Program>),
    /// A pattern of every host below a name, of every port unless one is given. The program looks at what follows the authority.
    ///
    /// `itself`: of the host of this name instead. `except`: hosts it does not take, sorted.
    Below {
        scheme: Scheme,
        name: Box<[u8]>,
        itself: bool,
        port: Option<u16>,
        except: Box<[Box<[u8]>]>,
        program: Box<Program>,
    },
    /// A host by name, or those below it; every port unless one is given.
    Host { name: Box<[u8]>, port: Option<u16>, below: bool },
    /// Objects with a tag.
    Tag(Box<[u8]>),
    /// Everything.
    All,
}

/// What a compiled selector is matched against: an object, or as much of one as is known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) key: KeyRef<'a>,
    /// The object's selecting fields; `None` (not known yet) is matched by every variant of the key.
    pub(crate) vary: Option<VaryRef<'a>>,
    pub(crate) tags: TagsRef<'a>,
}

/// A selector for one scheme, site aliases and policies applied. Immutable, shared by reference between threads.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) shape: Shape,
}

impl Shape {
    /// The directory that holds all its candidates, and whether those below it count too; `None` if it names no directory.
    pub(crate) fn walks(&self) -> Option<(&[u8], bool)> {
        match self {
            Self::Span(span) => Some((span.directory(), !span.stays_in_directory())),
            Self::Residual(program) => Some((program.directory(), true)),
            _ => None,
        }
    }

    /// The program of what no table can say.
    pub(crate) fn program(&self) -> Option<&Program> {
        match self {
            Self::Residual(program) | Self::Below { program, .. } => Some(program),
            _ => None,
        }
    }

    /// The one host it is limited to.
    fn host(&self) -> Option<&[u8]> {
        match self {
            Self::Url(text) | Self::Key(text) | Self::Variant { key: text, .. } => Some(host_of(text)),
            Self::Span(span) => Some(host_of(span.prefix())),
            Self::Residual(program) => Some(host_of(program.directory())),
            Self::Host { name, below: false, .. } => Some(name),
            Self::Host { .. } | Self::Below { .. } | Self::Tag(_) | Self::All => None,
        }
    }

    /// Whether both take the same for the same reason: equal texts of one kind.
    pub(crate) fn same_text(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Url(a), Self::Url(b)) | (Self::Key(a), Self::Key(b)) | (Self::Tag(a), Self::Tag(b)) => a == b,
            (Self::Variant { key: a, headers: x }, Self::Variant { key: b, headers: y }) => a == b && x == y,
            (Self::Span(a), Self::Span(b)) => a == b,
            (Self::Residual(a), Self::Residual(b)) => a.source() == b.source(),
            (
                Self::Below { scheme: s, name: a, itself: i, port: p, except: e, program: x },
                Self::Below { scheme: t, name: b, itself: j, port: q, except: f, program: y },
            ) => (s, a, i, p, e) == (t, b, j, q, f) && x.source() == y.source(),
            (Self::Host { name: a, port: p, below: x }, Self::Host { name: b, port: q, below: y }) => {
                (a, p, x) == (b, q, y)
            }
            (Self::All, Self::All) => true,
            _ => false,
        }
    }

    /// Whether it may take anything in a directory (`scheme://host[:port]/.../`) or below: what a walk of a tree need not enter is told by
    /// directories alone, whatever they hold. O(directory), with an automaton for each byte its work.
    pub(crate) fn reaches(&self, dir: &[u8]) -> bool {
        match self {
            Self::Host { name, below: false, .. } => host_of(dir) == &**name,
            Self::Host { name, .. } | Self::Below { name, .. } => host_of(dir).ends_with(name),
            Self::Residual(program) => program.reaches(dir),
            _ => true,
        }
    }
}

/// Whether a host is below a name.
pub(crate) fn is_below(host: &[u8], name: &[u8]) -> bool {
    host.strip_suffix(name).is_some_and(|labels| labels.len() > 1 && labels.ends_with(b"."))
}

impl Compiled {
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Whether it takes the object. Linear in the key; no allocation but for a regex with look-around, whose engine pools its memory.
    pub(crate) fn matches(&self, subject: &Subject<'_>) -> bool {
        let key = subject.key;
        match &self.shape {
            Shape::Url(url) => key.url() == &**url,
            Shape::Key(text) => key.text() == &**text,
            Shape::Variant { key: text, headers } => {
                key.text() == &**text && subject.vary.is_none_or(|vary| vary.selects(headers))
            }
            Shape::Span(span) => span.matches(key),
            Shape::Residual(program) => program.matches(key, 0),
            Shape::Below { scheme, name, itself, port, except, program } => {
                key.scheme() == scheme.name()
                    && if *itself { key.host() == &**name } else { is_below(key.host(), name) }
                    && except.binary_search_by(|host| (**host).cmp(key.host())).is_err()
                    && port.is_none_or(|port| port == key.port())
                    && program.matches(key, usize::from(key.layout().path))
            }
            Shape::Host { name, port, below } => {
                let named = if *below { is_below(key.host(), name) } else { key.host() == &**name };
                named && port.is_none_or(|port| port == key.port())
            }
            Shape::Tag(tag) => subject.tags.contains(tag),
            Shape::All => true,
        }
    }
}

impl Selector {
    /// Bytes of its texts.
    pub(crate) fn text_bytes(&self) -> usize {
        match self {
            Self::Variant { key, headers } => headers
                .iter()
                .fold(key.len(), |sum, (name, value)| sum.saturating_add(name.len()).saturating_add(value.len())),
            Self::Url(text)
            | Self::Key(text)
            | Self::Pattern(text)
            | Self::Glob(text)
            | Self::LastWildcard(text)
            | Self::Regex(text)
            | Self::Host(text)
            | Self::Tag(text) => text.len(),
            Self::All => 0,
        }
    }

    /// What the rule table files: one or several, since `any://` and merged hosts can name several places.
    ///
    /// Aliases and key policies of `sites` are applied as they are to the keys of requests. O(text), but for a regex: parsing and compiling
    /// one takes tens of microseconds, at most the few milliseconds its budgets allow.
    ///
    /// # Errors
    ///
    /// If the text is malformed (with the position), or passes a limit or budget (with its name).
    pub(crate) fn compile(&self, sites: &Sites) -> Result<Vec<Compiled>, SelectorError> {
        let mut shapes = Vec::new();
        match self {
            Self::Url(text) => {
                let text = bounded(text)?;
                let cut = canonical::cut(text)?;
                for scheme in schemes(cut.scheme)? {
                    let key = Key::read_url(text, None, Some(*scheme), Stray::Refuse)?;
                    shapes.push(Shape::Url(sites.rewrite(key)?.as_ref().url().into()));
                }
            }
            Self::Key(text) => shapes.push(Shape::Key(key(text, sites)?.as_ref().text().into())),
            Self::Variant { key: text, headers } => {
                let key = key(text, sites)?.as_ref().text().into();
                shapes.push(Shape::Variant { key, headers: Box::new(fields(headers)?) });
            }
            Self::Pattern(text) => shapes = pattern::compile(bounded(text)?, pattern::Stars::Native, sites)?,
            Self::Glob(text) => shapes = pattern::compile(bounded(text)?, pattern::Stars::Crossing, sites)?,
            Self::LastWildcard(text) => shapes = pattern::compile(bounded(text)?, pattern::Stars::Last, sites)?,
            Self::Regex(text) => shapes = regex::compile(bounded(text)?, sites)?,
            Self::Host(text) => shapes = host(bounded(text)?, sites)?,
            Self::Tag(tag) if tag.is_empty() => return Err(SelectorError::malformed("a tag is not empty").at(0)),
            Self::Tag(tag) if tag.len() > MAX_TAG => return Err(SelectorError::too_large("tag bytes", MAX_TAG)),
            Self::Tag(tag) => shapes.push(Shape::Tag(tag.as_bytes().into())),
            Self::All => shapes.push(Shape::All),
        }
        // Where a site merges schemes, `any://` names one place twice.
        let mut compiled: Vec<Compiled> = Vec::with_capacity(shapes.len());
        for shape in shapes {
            if !compiled.iter().any(|earlier| earlier.shape.same_text(&shape)) {
                compiled.push(Compiled { shape });
            }
        }
        Ok(compiled)
    }
}

pub(super) fn bounded(text: &str) -> Result<&[u8], SelectorError> {
    if text.len() > MAX_SELECTOR {
        return Err(SelectorError::too_large("selector bytes", MAX_SELECTOR));
    }
    Ok(text.as_bytes())
}

/// The schemes a selector's scheme text names.
pub(super) fn schemes(text: &[u8]) -> Result<&'static [Scheme], SelectorError> {
    if text.eq_ignore_ascii_case(b"any") {
        return Ok(&[Scheme::Http, Scheme::Https]);
    }
    match Scheme::parse(text) {
        Some(Scheme::Http) => Ok(&[Scheme::Http]),
        Some(Scheme::Https) => Ok(&[Scheme::Https]),
        None => Err(SelectorError::malformed("a selector begins with http://, https:// or any://").at(0)),
    }
}

fn key(text: &str, sites: &Sites) -> Result<Key, SelectorError> {
    Ok(sites.rewrite(Key::parse_strict(bounded(text)?)?)?)
}

fn fields(headers: &[(String, String)]) -> Result<HeaderMap, SelectorError> {
    if headers.len() > MAX_FIELDS {
        return Err(SelectorError::too_large("request fields", MAX_FIELDS));
    }
    let bytes =
        headers.iter().fold(0_usize, |sum, (name, value)| sum.saturating_add(name.len()).saturating_add(value.len()));
    if bytes > MAX_FIELD_BYTES {
        return Err(SelectorError::too_large("bytes of request fields", MAX_FIELD_BYTES));
    }
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        let field = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| SelectorError::malformed(format!("'{}' is no header field name", name.escape_debug())))?;
        let value = HeaderValue::from_bytes(value.as_bytes())
            .map_err(|_| SelectorError::malformed(format!("the value of '{field}' is no header field value")))?;
        map.append(field, value);
    }
    Ok(map)
}

fn host(text: &[u8], sites: &Sites) -> Result<Vec<Shape>, SelectorError> {
    let (authority, below) = match text.strip_prefix(b"*.") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let at = text.len().saturating_sub(authority.len());
    let (name, digits, digits_at) = canonical::split_authority(authority, at)?;
    let mut canonical_name = Vec::with_capacity(name.len());
    canonical::push_host(&mut canonical_name, name, at)?;
    if below && canonical_name.first() == Some(&b'[') {
        return Err(SelectorError::malformed("nothing is below an address").at(at));
    }
    let port = canonical::port(digits, at.saturating_add(digits_at))?;
    let places = sites.host_places(&canonical_name, port, below);
    Ok(places.into_iter().map(|(name, port, below)| Shape::Host { name: name.into(), port, below }).collect())
}

/// What a selector costs as a live rule.
pub(crate) fn cost(parts: &[Compiled]) -> Cost {
    let none = Cost { class: Class::Exact, work: 0, memory: 0, places: 0, budget: None };
    parts.iter().map(|part| cost_of(&part.shape)).fold(none, |all, one| Cost {
        class: all.class.max(one.class),
        work: all.work.max(one.work),
        memory: all.memory.saturating_add(one.memory),
        places: all.places.saturating_add(1),
        budget: if one.class >= all.class { one.budget.or(all.budget) } else { all.budget },
    })
}

/// A compiled selector for use outside a cache: what `oust match` and tests of configurations need.
///
/// Holds what the rule table would; [`Matcher::matches`] is linear in the key.
#[derive(Debug)]
pub struct Matcher {
    compiled: Vec<Compiled>,
}

impl Matcher {
    /// Compiles a selector under the aliases and key policies of `sites`.
    ///
    /// # Errors
    ///
    /// If the selector is malformed or passes a limit.
    pub fn new(selector: &Selector, sites: &Sites) -> Result<Self, SelectorError> {
        Ok(Self { compiled: selector.compile(sites)? })
    }

    /// Canonical names of the hosts whose objects it may take, aliases applied: what an authorisation has to look at. `None` if it is not
    /// limited to hosts by name, as a tag, everything, and the hosts below a name are not.
    pub fn hosts(&self) -> Option<Vec<&str>> {
        self.compiled.iter().map(|compiled| std::str::from_utf8(compiled.shape.host()?).ok()).collect()
    }

    /// What the selector costs as a live rule.
    pub fn cost(&self) -> Cost {
        cost(&self.compiled)
    }

    /// Whether objects under `key` are taken; of tags, none: a tag selector takes nothing here.
    pub fn matches(&self, key: KeyRef<'_>) -> bool {
        let subject = Subject { key, vary: None, tags: TagsRef::default() };
        self.compiled.iter().any(|compiled| compiled.matches(&subject))
    }

    /// Whether an object is taken, given its key, its selecting fields and its tags.
    #[cfg(test)]
    pub(crate) fn matches_object(&self, key: KeyRef<'_>, vary: VaryRef<'_>, tags: TagsRef<'_>) -> bool {
        let subject = Subject { key, vary: Some(vary), tags };
        self.compiled.iter().any(|compiled| compiled.matches(&subject))
    }
}
