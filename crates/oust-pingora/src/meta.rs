//! Pingora's `CacheMeta` in an object's head.
//!
//! The response's fields are the object's own, so that a hit takes them as they lie in the store; its `Vary` has another name there, since the engine's
//! is Pingora's variance. One more field holds, in base64, a version, the object's number (8 bytes), the hash of its primary (16), the length of the
//! internal part (4), and then what [`CacheMeta::serialize`] gives for a response without fields: the internal part and the status line. Numbers in
//! little endian. Freshness is in it; the engine's deadlines are made of it and decide nothing but when purges and sweeps speak of an object as stale.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use http::HeaderMap;
use http::header::{self, Entry, HeaderName, HeaderValue};
use oust::cache::{Chunks, Head, Hit};
use oust::freshness::Freshness;
use pingora_cache::CacheMeta;
use pingora_cache::key::HashBinary;
use pingora_error::{Error, ErrorType, Result};
use pingora_http::ResponseHeader;

const META: HeaderName = HeaderName::from_static("pingora-meta");

/// What `Vary` of the response is called in the store.
const ORIGINAL_VARY: HeaderName = HeaderName::from_static("pingora-original-vary");

/// Of the encoding. Another one is read as nothing.
const VERSION: u8 = 1;

/// What an entry takes beside its key, head and body, about.
const OVERHEAD: usize = 160;

/// What was stored with an object.
pub(crate) struct Stored {
    pub(crate) meta: CacheMeta,
    /// The object's number, [`CacheEntryId`](pingora_cache::CacheEntryId) to Pingora. A revalidation does not change it.
    pub(crate) id: u64,
    pub(crate) primary: HashBinary,
    /// Bytes of the head as it is stored.
    pub(crate) len: usize,
}

/// The head of an object in the engine.
pub(crate) fn encode(meta: &CacheMeta, id: u64, primary: &HashBinary) -> Result<Head> {
    let too_long = |_| Error::explain(ErrorType::InternalError, "cache meta too long");
    let ((internal, _), line) = (meta.serialize()?, status_line(meta)?);
    let len = u32::try_from(internal.len()).map_err(too_long)?;
    let mut bytes = Vec::with_capacity(29 + internal.len() + line.len());
    bytes.push(VERSION);
    bytes.extend_from_slice(&id.to_le_bytes());
    bytes.extend_from_slice(primary);
    bytes.extend_from_slice(&len.to_le_bytes());
    bytes.extend_from_slice(&internal);
    bytes.extend_from_slice(&line);
    let value = HeaderValue::try_from(STANDARD_NO_PAD.encode(&bytes));
    let value = value.map_err(|_| Error::explain(ErrorType::InternalError, "cache meta too long"))?;
    let mut headers = meta.headers().clone();
    headers.remove(ORIGINAL_VARY);
    rename(&mut headers, header::VARY, &ORIGINAL_VARY);
    headers.insert(header::VARY, HeaderValue::from_static("pingora-variance"));
    headers.insert(META, value);
    Ok(Head::new(meta.response_header().status, headers))
}

/// The response's version and status as Pingora keeps them.
fn status_line(meta: &CacheMeta) -> Result<Vec<u8>> {
    let response = meta.response_header();
    let mut line = ResponseHeader::build_no_case(response.status, None)?;
    line.set_version(response.version);
    let any = SystemTime::UNIX_EPOCH;
    Ok(CacheMeta::new(any, any, 0, 0, line).serialize()?.1)
}

fn rename(headers: &mut HeaderMap, from: HeaderName, to: &HeaderName) {
    if let Entry::Occupied(lines) = headers.entry(from) {
        let lines: Vec<HeaderValue> = lines.remove_entry_mult().1.collect();
        for line in lines {
            headers.append(to, line);
        }
    }
}

/// What [`encode`] made these fields of; `None` if they are of anything else.
pub(crate) fn decode(mut headers: HeaderMap) -> Option<Stored> {
    let len = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    let bytes = STANDARD_NO_PAD.decode(headers.remove(META)?).ok()?;
    let (&VERSION, rest) = bytes.split_first()? else { return None };
    let (id, rest) = rest.split_first_chunk::<8>()?;
    let (primary, rest) = rest.split_first_chunk::<16>()?;
    let (internal, rest) = rest.split_first_chunk::<4>()?;
    let (internal, line) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*internal)).ok()?)?;
    let mut meta = CacheMeta::deserialize(internal, line).ok()?;
    headers.remove(header::VARY);
    rename(&mut headers, ORIGINAL_VARY, &header::VARY);
    let response = meta.response_header_mut();
    let mut parts = response.as_owned_parts();
    parts.headers = headers;
    *response = parts.into();
    Some(Stored { meta, id: u64::from_le_bytes(*id), primary: *primary, len })
}

/// What was stored with a hit, and its body.
pub(crate) fn open(hit: &Hit) -> Option<(Stored, Chunks)> {
    let mut headers = HeaderMap::new();
    let chunks = hit.open(&mut headers, 0, |_| true);
    Some((decode(headers)?, chunks))
}

/// Bytes an object takes in the memory tier, about: the same for a miss handler and all hits after it.
pub(crate) fn weight(key: usize, head: usize, body: u64) -> usize {
    usize::try_from(body).unwrap_or(usize::MAX).saturating_add(OVERHEAD + key + head)
}

/// The deadlines the engine keeps.
pub(crate) fn freshness(meta: &CacheMeta) -> Freshness {
    let since = |later: SystemTime| later.duration_since(meta.epoch()).unwrap_or_default();
    let mut freshness = Freshness::fresh_for(since(meta.fresh_until()));
    freshness.age = since(SystemTime::now());
    freshness.stale_while_revalidate = Duration::from_secs(meta.stale_while_revalidate_sec().into());
    freshness.stale_if_error = Duration::from_secs(meta.stale_if_error_sec().into());
    freshness
}

/// Invalidated: to be validated before it is used, whatever happens.
pub(crate) fn invalidate(meta: &mut CacheMeta) {
    meta.expire_at(SystemTime::UNIX_EPOCH);
    meta.disable_serve_stale();
}

/// Softly purged `ago` whole seconds ago, rounded up: stale, its windows counted from there.
pub(crate) fn soften(meta: &mut CacheMeta, ago: u64) {
    let ago = Duration::from_secs(ago) + Duration::from_millis(1);
    meta.expire_at(SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH));
}
