//! Keys: from requests to Pingora's `CacheKey`, and from those to the engine's keys.
//!
//! 1. Two primaries are one engine key only if they are the same bytes.
//! 2. What a slot holds is of the request whose `CacheKey` it is in: a clone of the key gets a slot of its own, with the older stamp.

use http::header::{self, HeaderName};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use oust::cache::{FillTicket, Hit, Stamp};
use oust::{Key, Selector};
use parking_lot::Mutex;
use pingora_cache::CacheKey;
use pingora_cache::key::{CacheHashKey, HashBinary};
use pingora_error::{Error, ErrorType, Result};

use crate::storage::OustStorage;

/// The field by which the engine tells the variants of a key apart: `Vary` names it in all that is stored here, and a
/// [`Selector::Variant`](oust::Selector::Variant) gives the variance in it, 32 hexadecimal digits in lower case.
pub const VARIANCE: HeaderName = HeaderName::from_static("pingora-variance");

/// What all keys begin with whose primary is no canonical URL.
const OPAQUE: &[u8] = b"http://pingora.invalid/k";

impl OustStorage {
    /// The `CacheKey` of a request: its primary is the engine's canonical key text, by the aliases and key policies of the cache's
    /// [sites](oust::Cache::sites), and it carries a [fence](Self::fence). `scheme` is the one the request came by.
    ///
    /// For [`cache_key_callback`](https://docs.rs/pingora-proxy/0.9/pingora_proxy/trait.ProxyHttp.html), or where `PURGE` is answered.
    ///
    /// ```
    /// use oust_pingora::OustStorage;
    /// let storage = OustStorage::leak(oust::Config::new().edge_size(64 << 20).build()?);
    /// let (request, ()) = http::Request::get("/a/../b").header("host", "Example.com:80").body(())?.into_parts();
    /// let key = storage.key_of_request("http", &request)?;
    /// assert_eq!(key.primary_key(), b"http://example.com/b");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// `HTTPStatus(421)` if no site has the host, `HTTPStatus(400)` for what is no URL or has not exactly one host. Pingora goes on without the cache.
    pub fn key_of_request(&self, scheme: &str, request: &Parts) -> Result<CacheKey> {
        let refuse = |status, why: String| Error::explain(ErrorType::HTTPStatus(status), why);
        let authority = match request.uri.authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => {
                let mut hosts = request.headers.get_all(header::HOST).iter();
                match (hosts.next(), hosts.next()) {
                    (Some(host), None) if !host.is_empty() => host.as_bytes(),
                    _ => return Err(refuse(400, "a key needs exactly one host".to_owned())),
                }
            }
        };
        if authority.contains(&b'@') {
            return Err(refuse(400, "what the request names as its host is none".to_owned()));
        }
        let target = request.uri.path_and_query().map_or("/", |text| text.as_str());
        let sites = self.cache().sites();
        let key = sites.key(scheme.as_bytes(), authority, target.as_bytes(), &request.headers);
        let key = key.map_err(|error| refuse(if error.is_unknown_host() { 421 } else { 400 }, error.to_string()))?;
        Ok(self.key_of(&key))
    }

    /// The `CacheKey` of an engine key, with a [fence](Self::fence).
    pub fn key_of(&self, key: &Key) -> CacheKey {
        self.fence(CacheKey::new(key.text(), ""))
    }

    /// Puts a fence into a key: from now on purges are remembered for whoever fetches it, so that what they take is not stored.
    ///
    /// To be called for each request, before its origin is asked. Keys of [`key_of_request`](Self::key_of_request) and [`key_of`](Self::key_of) have
    /// one. What is fetched under a key without one counts as begun when the storage was made: it is stored only if the engine can still tell that no
    /// purge since then concerns it, which ends with the first purge of anything that is swept.
    ///
    /// ```
    /// use pingora_cache::CacheKey;
    /// # let storage = oust_pingora::OustStorage::leak(oust::Config::new().edge_size(64 << 20).build()?);
    /// let key = storage.fence(CacheKey::new("user 7, page 3", ""));
    /// assert_eq!(oust_pingora::engine_key(&key)?.text(), b"http://pingora.invalid/kuser%207%2C%20page%203");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fence(&self, mut key: CacheKey) -> CacheKey {
        key.extensions.insert(Slot::new(self.cache().stamp(), canonical(key.primary_key())));
        key
    }
}

/// The engine key under which the objects of a `CacheKey` are stored, whatever its variance.
///
/// A primary that is a canonical URL is that key, so that every selector of the engine takes what is stored under it. Any other becomes
/// `http://pingora.invalid/k` followed by its bytes, percent-encoded except letters, digits, `-`, `.`, `_` and `~`: it is reached by patterns over that,
/// by tags, by Pingora's own purges and by [`Selector::All`].
///
/// # Errors
///
/// If the primary is longer than a key may be.
pub fn engine_key(key: &CacheKey) -> Result<Key> {
    let primary = key.primary_key();
    if let Some(canonical) = canonical(primary) {
        return Ok(canonical);
    }
    let mut text = OPAQUE.to_vec();
    for &byte in primary {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(byte);
        } else {
            text.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    let opaque = Key::parse(&text).map_err(|error| Error::explain(ErrorType::InternalError, error.to_string()))?;
    if opaque.text() == text {
        Ok(opaque)
    } else {
        Error::e_explain(ErrorType::InternalError, "a cache key has no engine key")
    }
}

/// The key whose text this is.
fn canonical(primary: &[u8]) -> Option<Key> {
    let key = Key::parse(primary).ok()?;
    (key.text() == primary && !primary.starts_with(OPAQUE)).then_some(key)
}

/// The selector of what one `CacheKey` answers: with a variance that variant, wherever it is stored; without, every variant.
///
/// ```
/// use oust::{Purge, Selector};
/// use pingora_cache::{CacheKey, key::CacheHashKey};
/// let key = CacheKey::new("http://example.com/a", "");
/// assert_eq!(oust_pingora::selector_of(&key), oust_pingora::selector_of(&key.to_compact()));
/// let purge = Purge::new(oust_pingora::selector_of(&key));
/// ```
pub fn selector_of(key: &impl CacheHashKey) -> Selector {
    let hash = match key.variance_bin() {
        Some(_) => combined_tag(key),
        None => primary_tag(key),
    };
    Selector::Tag(hash)
}

/// Begins with a byte that no header field can hold, so that no response forges it.
pub(crate) fn primary_tag(key: &impl CacheHashKey) -> String {
    format!("\u{1e}p{}", hex(&key.primary_bin()))
}

pub(crate) fn combined_tag(key: &impl CacheHashKey) -> String {
    format!("\u{1e}v{}", hex(&key.combined_bin()))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The request fields that select the slot of a `CacheKey` with this variance.
pub(crate) fn selecting(variance: Option<&HashBinary>) -> HeaderMap {
    let value = variance.and_then(|variance| HeaderValue::from_str(&hex(variance)).ok());
    value.map(|value| (VARIANCE, value)).into_iter().collect()
}

/// What a request's lookups leave for its miss handler, in the extensions of its key.
#[derive(Debug)]
pub(crate) struct Slot {
    /// The primary as an engine key, if it is canonical.
    canonical: Option<Key>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Not after the request to the origin began.
    since: Stamp,
    left: Left,
}

/// What the last lookup left.
#[derive(Debug, Default)]
pub(crate) struct Left {
    /// The key's text and variance it was for.
    of: Option<(Key, Option<HashBinary>)>,
    ticket: Option<FillTicket>,
    /// What it found, and the number of that.
    base: Option<(Hit, u64)>,
}

impl Slot {
    fn new(since: Stamp, key: Option<Key>) -> Self {
        Self { canonical: key, state: Mutex::new(State { since, left: Left::default() }) }
    }

    /// The engine key of `key`, whose slot this is.
    pub(crate) fn engine_key(&self, key: &CacheKey) -> Result<Key> {
        match &self.canonical {
            // Extensions can be moved to another key.
            Some(known) if known.text() == key.primary_key() => Ok(known.clone()),
            _ => engine_key(key),
        }
    }

    pub(crate) fn since(&self) -> Stamp {
        self.state.lock().since
    }

    /// A lookup begins; what an earlier one of the request left has no use any more.
    pub(crate) fn begin(&self, now: Stamp) {
        let old = {
            let mut state = self.state.lock();
            state.since = now;
            std::mem::take(&mut state.left)
        };
        drop(old);
    }

    pub(crate) fn leave(
        &self,
        key: &Key,
        variance: Option<&HashBinary>,
        ticket: Option<FillTicket>,
        base: Option<(Hit, u64)>,
    ) {
        let left = Left { of: Some((key.clone(), variance.copied())), ticket, base };
        let old = std::mem::replace(&mut self.state.lock().left, left);
        drop(old);
    }

    /// The ticket for `key`, if the last lookup was of it.
    pub(crate) fn take_ticket(&self, key: &Key) -> Option<FillTicket> {
        let left = std::mem::take(&mut self.state.lock().left);
        left.of.as_ref().is_some_and(|(of, _)| of == key).then_some(left.ticket)?
    }

    /// The ticket and what it validates, if the last lookup was of this very variant.
    pub(crate) fn take_base(
        &self,
        key: &Key,
        variance: Option<&HashBinary>,
    ) -> (Option<FillTicket>, Option<(Hit, u64)>) {
        let left = std::mem::take(&mut self.state.lock().left);
        match &left.of {
            Some((of, was)) if of == key && was.as_ref() == variance => (left.ticket, left.base),
            _ => (None, None),
        }
    }
}

impl Clone for Slot {
    fn clone(&self) -> Self {
        Self::new(self.since(), self.canonical.clone())
    }
}
