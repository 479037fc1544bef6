//! Cache keys: the canonical text of a URL and of the variation a site's policy adds to it.
//!
//! A key is the pair (URL part, variation), written `scheme://host[:port]/path[?query][@@variation]`. The URL part never contains `@@` (a
//! client's own is written `%40%40`), so text and pair determine each other, and bytes compare where pairs are meant.
//!
//! Every key is made by the functions here, whether of a request, a selector or a dialect: for equivalent URLs the same key comes out, so that a
//! purge of one ends the lookup of the other.

pub(crate) mod canonical;
mod error;
pub(crate) mod hash;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::purge::gates::GateIds;
use canonical::{Scheme, Stray};
pub use error::KeyError;
pub(crate) use error::KeyErrorKind;
pub(crate) use hash::{ByteChain, Windows, hash, prefix_hash, taps};

/// Longest canonical key in bytes; longer ones are not cached.
pub const MAX_KEY: usize = 8192;

/// Longest host name in bytes (RFC 1035 2.3.4, without the final dot).
pub const MAX_HOST: usize = 253;

/// A canonical cache key: its text in one allocation, with the offsets of its parts and its hash.
///
/// ```
/// use oust::Key;
/// let key = Key::parse(b"HTTP://Example.com:80/%7Ea/../b?x@@device=mobile")?;
/// assert_eq!(key.to_string(), "http://example.com/b?x@@device=mobile");
/// assert_eq!(key.as_ref().variation(), Some(&b"device=mobile"[..]));
/// # Ok::<(), oust::key::KeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    text: Box<[u8]>,
    layout: Layout,
    hash: u64,
    url_hash: u64,
    gates: GateIds,
}

impl Key {
    /// The key a text of the form `url[@@variation]` stands for.
    ///
    /// Lenient as a lookup is: a stray `%` is read as `%25`, bytes that must be encoded are encoded. The variation begins after the first
    /// `@@`; of a longer run of `@` the last two count. One allocation or two; O(text).
    ///
    /// # Errors
    ///
    /// If the text is not an `http` or `https` URL with a valid host, its variation is empty, or the key is longer than [`MAX_KEY`].
    pub fn parse(text: &[u8]) -> Result<Self, KeyError> {
        Self::read(text, Stray::Encode)
    }

    /// As [`Key::parse`], for purges: a stray `%` may be a mistyped escape, which would silently purge something else.
    ///
    /// # Errors
    ///
    /// As [`Key::parse`], and for a stray `%` with its position.
    pub fn parse_strict(text: &[u8]) -> Result<Self, KeyError> {
        Self::read(text, Stray::Refuse)
    }

    fn read(text: &[u8], stray: Stray) -> Result<Self, KeyError> {
        let (url, variation) = match canonical::separator(text) {
            Some(at) => {
                (text.get(..at).unwrap_or(text), text.get(at.saturating_add(2)..).map(|v| (v, at.saturating_add(2))))
            }
            None => (text, None),
        };
        Self::read_url(url, variation, None, stray)
    }

    /// The key of a client's URL: an `@@` in it is part of the URL. Otherwise as [`Key::parse`].
    ///
    /// # Errors
    ///
    /// As [`Key::parse`].
    pub fn from_url(url: &[u8]) -> Result<Self, KeyError> {
        Self::read_url(url, None, None, Stray::Encode)
    }

    /// As [`Key::from_url`] with every choice open: `scheme` replaces the one in the text.
    pub(crate) fn read_url(
        url: &[u8],
        variation: Option<(&[u8], usize)>,
        scheme: Option<Scheme>,
        stray: Stray,
    ) -> Result<Self, KeyError> {
        let cut = canonical::cut(url)?;
        let Some(scheme) = scheme.or_else(|| Scheme::parse(cut.scheme)) else {
            return Err(KeyError::at(KeyErrorKind::Scheme, 0));
        };
        Self::build(scheme, (cut.authority, cut.authority_at), (cut.target, cut.target_at), variation, stray)
    }

    /// The key of a request from the parts a server has at hand, without assembling a URL first.
    ///
    /// `path_and_query` is a request target in origin form; empty is read as `/`. Positions of errors count from the part at fault.
    ///
    /// ```
    /// let key = oust::Key::from_parts(b"https", b"example.com:443", b"/a?b")?;
    /// assert_eq!(key.to_string(), "https://example.com/a?b");
    /// # Ok::<(), oust::key::KeyError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`Key::parse`], and if the target begins with anything but `/` or `?`.
    pub fn from_parts(scheme: &[u8], authority: &[u8], path_and_query: &[u8]) -> Result<Self, KeyError> {
        let Some(scheme) = Scheme::parse(scheme) else {
            return Err(KeyError::at(KeyErrorKind::Scheme, 0));
        };
        if !matches!(path_and_query.first(), None | Some(b'/' | b'?')) {
            return Err(KeyError::at(KeyErrorKind::Target, 0));
        }
        Self::build(scheme, (authority, 0), (path_and_query, 0), None, Stray::Encode)
    }

    fn build(
        scheme: Scheme,
        authority: (&[u8], usize),
        target: (&[u8], usize),
        variation: Option<(&[u8], usize)>,
        stray: Stray,
    ) -> Result<Self, KeyError> {
        let (text, layout) = canonical::key(scheme, authority, target, variation, stray)?;
        Ok(Self::from_canonical(text, layout))
    }

    pub(crate) fn from_canonical(text: Vec<u8>, layout: Layout) -> Self {
        let text = text.into_boxed_slice();
        let (gates, url_hash, hash) = GateIds::of(KeyRef { text: &text, layout });
        Self { text, layout, hash, url_hash, gates }
    }

    /// The key of the same URL with this variation in place of its own.
    ///
    /// Bytes outside visible ASCII are percent-encoded, as is an `@` next to another.
    ///
    /// # Errors
    ///
    /// If the variation is empty, begins with `@`, or makes the key longer than [`MAX_KEY`].
    pub fn with_variation(self, variation: &[u8]) -> Result<Self, KeyError> {
        let mut text = self.text.into_vec();
        text.truncate(usize::from(self.layout.url_end));
        canonical::push_variation(&mut text, variation, Stray::Encode, 0)?;
        if text.len() > MAX_KEY {
            return Err(KeyError::over(KeyErrorKind::TooLong, None, "key bytes", MAX_KEY));
        }
        Ok(Self::from_canonical(text, self.layout))
    }

    /// The borrowed form, which has the accessors.
    #[inline]
    pub fn as_ref(&self) -> KeyRef<'_> {
        KeyRef { text: &self.text, layout: self.layout }
    }

    /// Hash of the whole text. Its seed differs from process to process, so it must not be stored or sent.
    #[inline]
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// Hash of the URL part, seeded as [`Key::hash`]; the two are equal without a variation.
    #[inline]
    pub(crate) fn url_hash(&self) -> u64 {
        self.url_hash
    }

    /// The whole text, URL part and variation.
    #[inline]
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where rules that may concern the key are counted.
    #[inline]
    pub(crate) fn gates(&self) -> &GateIds {
        &self.gates
    }
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_ref().fmt(f)
    }
}

/// Where the parts of a key's text are: offsets of its host, of the host's end, of the path (where the authority ends), of the path's end and of
/// the URL part's end. Ten bytes, to be stored beside the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Where the host begins.
    pub(crate) host: u16,
    /// Where the host ends.
    pub(crate) host_end: u16,
    /// Where the authority ends and the path begins.
    pub(crate) path: u16,
    /// Where the path ends: at the `?`, the `@@` or the end.
    pub(crate) path_end: u16,
    /// Where the URL part ends: at the `@@` or the end.
    pub(crate) url_end: u16,
}

impl Layout {
    /// The layout of a text that is canonical already, such as one read back from a disk; `None` if it cannot be a key. O(text).
    pub(crate) fn of(text: &[u8]) -> Option<Self> {
        let url_end = canonical::separator(text).unwrap_or(text.len());
        let cut = canonical::cut(text.get(..url_end)?).ok()?;
        Scheme::parse(cut.scheme)?;
        if cut.target.first() != Some(&b'/') {
            return None;
        }
        let (host, ..) = canonical::split_authority(cut.authority, 0).ok()?;
        let path = cut.target_at;
        let path_end = memchr::memchr(b'?', cut.target).map_or(url_end, |mark| path.saturating_add(mark));
        let host_end = cut.authority_at.saturating_add(host.len());
        Self::new(text.len(), cut.authority_at, host_end, path, path_end, url_end).ok()
    }
}

/// A borrowed canonical key. Copy; each accessor is a slice of the text.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct KeyRef<'a> {
    text: &'a [u8],
    layout: Layout,
}

impl<'a> KeyRef<'a> {
    /// A key as it was stored: the text and layout of some [`Key`].
    ///
    /// Nothing is checked. With a layout that is not the text's the accessors return other parts of it or nothing, but never panic.
    #[inline]
    pub(crate) fn from_stored(text: &'a [u8], layout: Layout) -> Self {
        Self { text, layout }
    }

    #[inline]
    fn slice(self, from: u16, to: u16) -> &'a [u8] {
        self.text.get(usize::from(from)..usize::from(to)).unwrap_or_default()
    }

    /// The whole text, URL part and variation.
    #[inline]
    pub fn text(self) -> &'a [u8] {
        self.text
    }

    /// The URL part.
    #[inline]
    pub fn url(self) -> &'a [u8] {
        self.slice(0, self.layout.url_end)
    }

    /// The variation, without its `@@`.
    #[inline]
    pub fn variation(self) -> Option<&'a [u8]> {
        self.text.get(usize::from(self.layout.url_end).saturating_add(2)..).filter(|variation| !variation.is_empty())
    }

    /// `http` or `https`.
    #[inline]
    pub fn scheme(self) -> &'a [u8] {
        self.slice(0, self.layout.host.saturating_sub(3))
    }

    /// The host without its port; an IPv6 literal has its brackets.
    #[inline]
    pub fn host(self) -> &'a [u8] {
        self.slice(self.layout.host, self.layout.host_end)
    }

    /// `host[:port]`.
    #[inline]
    pub fn authority(self) -> &'a [u8] {
        self.slice(self.layout.host, self.layout.path)
    }

    /// The port, the scheme's own if the text has none.
    pub fn port(self) -> u16 {
        let digits = self.slice(self.layout.host_end.saturating_add(1), self.layout.path);
        let written = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
        written.unwrap_or_else(|| if self.scheme() == b"https" { 443 } else { 80 })
    }

    /// The path, from its first `/` on.
    #[inline]
    pub fn path(self) -> &'a [u8] {
        self.slice(self.layout.path, self.layout.path_end)
    }

    /// The query, without its `?`; an empty one is there all the same.
    #[inline]
    pub fn query(self) -> Option<&'a [u8]> {
        self.slice(self.layout.path_end, self.layout.url_end).split_first().map(|(_, query)| query)
    }

    /// Where the parts are.
    #[inline]
    pub(crate) fn layout(self) -> Layout {
        self.layout
    }

    /// Hash of the URL part.
    pub(crate) fn url_hash(self) -> u64 {
        hash::key_hash(Self { text: self.url(), layout: self.layout })
    }

    /// Hash of the whole key, given that of its URL part.
    pub(crate) fn hash_under(self, url_hash: u64) -> u64 {
        if self.text.len() == usize::from(self.layout.url_end) { url_hash } else { hash::key_hash(self) }
    }

    /// An owned copy, as it is; hashes it anew.
    pub fn to_key(self) -> Key {
        Key::from_canonical(self.text.to_vec(), self.layout)
    }
}

/// Length of `scheme://authority/` in a directory text.
pub(crate) fn root_len(dir: &[u8]) -> usize {
    let authority = memchr::memmem::find(dir, b"://").map_or(0, |at| at.saturating_add(3));
    let slash = dir.get(authority..).and_then(|rest| memchr::memchr(b'/', rest));
    slash.map_or(dir.len(), |at| authority.saturating_add(at).saturating_add(1))
}

/// The URL part of a canonical key text.
pub(crate) fn url_of(text: &[u8]) -> &[u8] {
    &text[..canonical::separator(text).unwrap_or(text.len())]
}

impl fmt::Display for KeyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A canonical text is ASCII; a stored one that is not was damaged, and shows it.
        f.write_str(&String::from_utf8_lossy(self.text))
    }
}

impl fmt::Debug for KeyRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRef({self})")
    }
}
