//! Objects whose body follows from key and stamp, so that whatever is read can be judged.

mod crash;
mod damage;
#[cfg(target_os = "linux")]
mod directory;
mod evict;
mod memory;
mod objects;
mod stress;
mod sweep;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue};

use super::*;
use crate::Key;
use crate::purge::Tags;
use crate::vary::Vary;

pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

pub(super) fn key(text: &str) -> Key {
    Key::parse(text.as_bytes()).unwrap()
}

pub(super) fn vary(field: &'static str, value: &str) -> Vec<u8> {
    let mut response = HeaderMap::new();
    response.insert("vary", HeaderValue::from_static(field));
    let mut request = HeaderMap::new();
    request.insert(field, HeaderValue::from_str(value).unwrap());
    Vary::new(&response, &request).unwrap().as_ref().as_bytes().to_vec()
}

pub(super) fn tags(tags: &[&str]) -> Vec<u8> {
    Tags::encode(tags.iter().map(|tag| tag.as_bytes())).as_ref().as_bytes().to_vec()
}

pub(super) fn body_of(key: &[u8], seq: u64) -> Vec<u8> {
    let mut random = Random(hash64(key) ^ seq);
    let len = if seq.is_multiple_of(7) { 0 } else { random.below(900) };
    (0..len).map(|_| random.next().to_le_bytes()[0]).collect()
}

fn hash64(bytes: &[u8]) -> u64 {
    footer::tag_hash(bytes)
}

pub(super) fn meta(seq: u64) -> Meta {
    Meta {
        seq,
        mark: Mark::None,
        soft_at_ms: 0,
        status: 200,
        must_revalidate: seq.is_multiple_of(2),
        no_cache: seq.is_multiple_of(3),
        born_ms: -5,
        fresh_until_ms: 1 << 40,
        stale_while_revalidate_s: 7,
        stale_if_error_s: u32::MAX,
    }
}

pub(super) fn options() -> StoreOptions {
    StoreOptions { segment_size: 16 << 10, large: 8 << 10, buffer: 4096, ..StoreOptions::new(1 << 20, 42) }
}

pub(super) fn open(media: &(impl Media + Clone + 'static), options: StoreOptions) -> Store {
    Store::open(Arc::new(media.clone()), options).unwrap()
}

pub(super) fn keep(loaded: Loaded<'_>) -> Option<Judged> {
    Some(Judged { mark: loaded.mark, mark_at_ms: None })
}

/// A store with everything loaded, every loser noted as dead in memory.
pub(super) fn reopen(media: &(impl Media + Clone + 'static), options: StoreOptions) -> Store {
    let store = open(media, options);
    store.load(&keep, &|_| {});
    assert!(!is_loading(&store));
    store.index.validate();
    store
}

pub(super) fn try_put(store: &Store, key: &str, vary: &[u8], tags: &[u8], seq: u64) -> Result<Appended, AppendError> {
    let body = body_of(key.as_bytes(), seq);
    let (front, back) = body.split_at(body.len() / 3);
    let body = [Bytes::copy_from_slice(front), Bytes::copy_from_slice(back)];
    let parts = RecordParts { meta: meta(seq), key: key.as_bytes(), vary, tags, head: b"head", body: &body };
    append(store, &parts)
}

pub(super) fn put(store: &Store, key: &str, seq: u64) -> Appended {
    try_put(store, key, &[], &[], seq).unwrap()
}

/// Every record found under a key, read and checked.
pub(super) fn get(store: &Store, text: &str) -> Vec<Record> {
    let key = key(text);
    let found = store.find(key.url_hash(), key.hash());
    found.iter().filter_map(|candidate| check(store.read(candidate), text)).collect()
}

pub(super) fn check(read: Result<Record, ReadError>, text: &str) -> Option<Record> {
    let record = read.ok()?;
    if record.key() != text.as_bytes() {
        return None;
    }
    assert_eq!(record.body(), body_of(text.as_bytes(), record.meta().seq), "a wrong body");
    assert_eq!(record.head(), b"head");
    Some(record)
}

pub(super) fn seqs(store: &Store, text: &str) -> Vec<u64> {
    let mut seqs: Vec<u64> = get(store, text).iter().map(|record| record.meta().seq).collect();
    seqs.sort_unstable();
    seqs
}

fn id_of(record: &Record) -> RecordId {
    let place = &record.parts.place;
    RecordId { segment: place.segment, ordinal: place.ordinal }
}

fn is_loading(store: &Store) -> bool {
    store.is_loading.load(Ordering::Acquire)
}

fn append(store: &Store, parts: &RecordParts<'_>) -> Result<Appended, AppendError> {
    store.appender().append_under(parts, || Some(()))
}

fn drop_segment(store: &Store, id: u32) -> bool {
    store.segment(id).is_some_and(|segment| store.retire(&segment))
}
