//! What a purge takes: the selectors, and what they compile to.
//!
//! Invariants:
//!
//! 1. Every literal a compiled selector holds is canonical, written by the functions of [`crate::key`]: what is equal as a URL is equal as bytes.
//! 2. A compiled selector matches in time linear in the key, whatever its text was: see [`super::program`] for what bounds each form.
//! 3. Nothing is taken that the text does not say: all bytes named are compared, never a hash alone.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::error::SelectorError;
use super::gates::host_of;
use super::program::Program;
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
    Variant { key: Box<[u8]>, headers: HeaderMap },
    /// Keys whose path begins with `dir` (`http://h/d/`); the rest of the path holds no `/` unless `recursive`. Any query, any variation.
    Directory { dir: Box<[u8]>, recursive: bool },
    /// As `Directory`, and the path ends with `ext`, whose only dot is its first byte and which holds no `/`. Any query, any variation.
    Extension { dir: Box<[u8]>, recursive: bool, ext: Box<[u8]> },
    /// Whatever else begins with the literal directory `dir`, at least `scheme://authority/`.
    Residual { dir: Box<[u8]>, program: Program },
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
            Self::Directory { dir, recursive } | Self::Extension { dir, recursive, .. } => Some((dir, *recursive)),
            Self::Residual { dir, program } => Some((dir, !program.stays_in_directory())),
            _ => None,
        }
    }

    /// The one host it is limited to.
    fn host(&self) -> Option<&[u8]> {
        match self {
            Self::Url(text) | Self::Key(text) | Self::Variant { key: text, .. } => Some(host_of(text)),
            Self::Directory { dir, .. } | Self::Extension { dir, .. } | Self::Residual { dir, .. } => {
                Some(host_of(dir))
            }
            Self::Host { name, below: false, .. } => Some(name),
            Self::Host { .. } | Self::Tag(_) | Self::All => None,
        }
    }

    /// Positions of a regex when written out, which bound what a byte of a key may cost; 0 for everything else.
    pub(crate) fn regex_positions(&self) -> u64 {
        match self {
            Self::Residual { program, .. } => program.regex_positions().map_or(0, u64::from),
            _ => 0,
        }
    }

    /// Whether it may take objects of a host, given by its root (`scheme://host[:port]/`).
    pub(crate) fn covers_root(&self, root: &[u8]) -> bool {
        match self {
            Self::Host { name, below, .. } => {
                let host = host_of(root);
                if *below { host.ends_with(name) } else { host == &**name }
            }
            _ => true,
        }
    }
}

impl Compiled {
    pub(crate) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Whether it takes the object. Linear in the key; no allocation but for [`Shape::Residual`] of a regex, whose engine pools its memory.
    pub(crate) fn matches(&self, subject: &Subject<'_>) -> bool {
        let key = subject.key;
        match &self.shape {
            Shape::Url(url) => key.url() == &**url,
            Shape::Key(text) => key.text() == &**text,
            Shape::Variant { key: text, headers } => {
                key.text() == &**text && subject.vary.is_none_or(|vary| vary.selects(headers))
            }
            Shape::Directory { dir, recursive } => below(key, dir, *recursive, b""),
            Shape::Extension { dir, recursive, ext } => below(key, dir, *recursive, ext),
            Shape::Residual { program, .. } => program.matches(key),
            Shape::Host { name, port, below } => {
                let named = match (below, key.host().strip_suffix(&**name)) {
                    (_, None) => false,
                    (false, Some(labels)) => labels.is_empty(),
                    (true, Some(labels)) => labels.len() > 1 && labels.ends_with(b"."),
                };
                named && port.is_none_or(|port| port == key.port())
            }
            Shape::Tag(tag) => subject.tags.contains(tag),
            Shape::All => true,
        }
    }
}

/// Whether the path is `dir`, a run that holds no `/` unless `recursive`, and `ext`.
fn below(key: KeyRef<'_>, dir: &[u8], recursive: bool, ext: &[u8]) -> bool {
    let text = key.text().get(..usize::from(key.layout().path_end));
    let run = text.and_then(|text| text.strip_prefix(dir)).and_then(|rest| rest.strip_suffix(ext));
    run.is_some_and(|run| recursive || memchr::memchr(b'/', run).is_none())
}

impl Selector {
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
                shapes.push(Shape::Variant { key, headers: fields(headers)? });
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
            if !compiled.iter().any(|earlier| same(&earlier.shape, &shape)) {
                compiled.push(Compiled { shape });
            }
        }
        Ok(compiled)
    }
}

/// Whether two shapes of one selector are the same place.
fn same(a: &Shape, b: &Shape) -> bool {
    match (a, b) {
        (Shape::Url(a), Shape::Url(b)) | (Shape::Key(a), Shape::Key(b)) => a == b,
        (Shape::Directory { dir: a, .. }, Shape::Directory { dir: b, .. })
        | (Shape::Extension { dir: a, .. }, Shape::Extension { dir: b, .. })
        | (Shape::Residual { dir: a, .. }, Shape::Residual { dir: b, .. }) => a == b,
        (Shape::Host { name: a, port: p, below: x }, Shape::Host { name: b, port: q, below: y }) => {
            (a, p, x) == (b, q, y)
        }
        _ => false,
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

    /// Whether objects under `key` are taken; of tags, none: a tag selector takes nothing here.
    pub fn matches(&self, key: KeyRef<'_>) -> bool {
        let subject = Subject { key, vary: None, tags: TagsRef::default() };
        self.compiled.iter().any(|compiled| compiled.matches(&subject))
    }

    /// Whether an object is taken, given its key, its selecting fields and its tags.
    pub fn matches_object(&self, key: KeyRef<'_>, vary: VaryRef<'_>, tags: TagsRef<'_>) -> bool {
        let subject = Subject { key, vary: Some(vary), tags };
        self.compiled.iter().any(|compiled| compiled.matches(&subject))
    }
}
