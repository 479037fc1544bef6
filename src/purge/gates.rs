//! Gates: the newest rule number per host, directory, URL and tag bucket.
//!
//! A lookup whose object is stamped at or above its gates is judged without asking the rules. Buckets are hashed, so two hosts or directories
//! may share one: a raised gate costs a question, never a wrong answer. Rules are counted at the deepest of these that they name literally:
//! URL or key, directory (first two levels), host; `*.h` and everything count for all.

use std::sync::atomic::Ordering;

use super::rules::Rule;
use super::selector::Shape;
use crate::key::{KeyRef, hash, prefix_hash, root_len, taps};
use crate::sync::AtomicU64;

/// 256 KiB; a purge of one directory disturbs one object in about 10,000 of the others.
const BUCKETS: usize = if cfg!(oust_shuttle) { 1 << 8 } else { 1 << 15 };

/// The gates of a cache. Values never fall.
#[derive(Debug)]
pub(crate) struct Gates {
    newest: Line,
    everywhere: Line,
    tags: Line,
    buckets: Box<[AtomicU64]>,
}

#[derive(Debug, Default)]
#[repr(align(128))]
struct Line(AtomicU64);

impl Gates {
    pub(crate) fn new() -> Self {
        Self {
            newest: Line::default(),
            everywhere: Line::default(),
            tags: Line::default(),
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// The newest rule of all.
    #[inline]
    pub(crate) fn newest(&self) -> u64 {
        self.newest.0.load(Ordering::Acquire)
    }

    /// The newest rule that may concern a key with these gates, tags left out.
    #[inline]
    pub(crate) fn of_key(&self, ids: &GateIds) -> u64 {
        let everywhere = self.everywhere.0.load(Ordering::Acquire);
        ids.0.iter().map(|&id| self.buckets[usize::from(id)].load(Ordering::Acquire)).fold(everywhere, u64::max)
    }

    /// The newest rule on any of `tags`.
    pub(crate) fn of_tags<'a>(&self, mut tags: impl Iterator<Item = &'a [u8]>, stamp: u64) -> u64 {
        let newest = self.tags.0.load(Ordering::Acquire);
        if newest <= stamp {
            return newest;
        }
        let bucket = |tag| self.buckets[usize::from(id(tag_gate(tag)))].load(Ordering::Acquire);
        tags.by_ref().map(bucket).max().unwrap_or(0)
    }

    /// Counts `rule`. Called by the publisher before the snapshot with the rule is swapped in.
    pub(crate) fn raise(&self, rule: &Rule) {
        for part in rule.parts() {
            let hash = match part.shape() {
                Shape::Url(url) => prefix_hash(url),
                Shape::Key(text) | Shape::Variant { key: text, .. } => prefix_hash(crate::key::url_of(text)),
                shape @ (Shape::Span(_) | Shape::Residual(_)) => {
                    let (dir, _) = shape.walks().unwrap_or_default();
                    match upper_directories(dir) {
                        0 => hash(host_of(dir)),
                        end => prefix_hash(&dir[..end]),
                    }
                }
                Shape::Host { name, below: false, .. } => hash(name),
                Shape::Tag(tag) => {
                    self.tags.0.fetch_max(rule.seq, Ordering::AcqRel);
                    tag_gate(tag)
                }
                Shape::Host { .. } | Shape::Below { .. } | Shape::All => {
                    self.everywhere.0.fetch_max(rule.seq, Ordering::AcqRel);
                    continue;
                }
            };
            self.buckets[usize::from(id(hash))].fetch_max(rule.seq, Ordering::AcqRel);
        }
        self.newest.0.fetch_max(rule.seq, Ordering::AcqRel);
    }
}

/// The buckets of a key: its host, its first and second directory, its URL part. Kept in the key, so that a lookup need not hash again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct GateIds([u16; 4]);

impl GateIds {
    /// The buckets of `key`, and the hashes of its URL part and of its whole text, all from one pass.
    pub(crate) fn of(key: KeyRef<'_>) -> (Self, u64, u64) {
        let layout = key.layout();
        let (mut host, mut directories, mut seen) = (None, [None; 2], 0);
        let (mut url, mut whole) = (0, 0);
        taps(key, |end, hash| {
            if host.is_none() {
                host = Some(hash);
                return;
            }
            let in_path = end > usize::from(layout.path) + 1 && end <= usize::from(layout.path_end);
            if in_path && seen < 2 && key.text()[end - 1] == b'/' {
                directories[seen] = Some(hash);
                seen += 1;
            }
            if end == usize::from(layout.url_end) {
                url = hash;
            }
            whole = hash;
        });
        let host = host.unwrap_or(0);
        let [first, second] = directories.map(|hash| id(hash.unwrap_or(host)));
        (Self([id(host), first, second, id(url)]), url, whole)
    }
}

fn id(hash: u64) -> u16 {
    (hash % BUCKETS as u64) as u16
}

fn tag_gate(tag: &[u8]) -> u64 {
    hash(tag) ^ 0xaa
}

/// End of the second directory of a directory text, or of the first if there is no second; 0 if it is a host's root.
fn upper_directories(dir: &[u8]) -> usize {
    let root = root_len(dir);
    let mut slashes = memchr::memchr_iter(b'/', &dir[root..]).map(|at| root + at + 1);
    let first = slashes.next().unwrap_or(0);
    slashes.next().unwrap_or(first)
}

/// The host in a directory text, its port left out.
pub(crate) fn host_of(dir: &[u8]) -> &[u8] {
    let start = memchr::memmem::find(dir, b"://").map_or(0, |at| at + 3);
    let authority = &dir[start..root_len(dir).saturating_sub(1).max(start)];
    let colon = match authority.iter().rposition(|&b| b == b']') {
        Some(bracket) => memchr::memchr(b':', &authority[bracket..]).map(|at| bracket + at),
        None => memchr::memrchr(b':', authority),
    };
    &authority[..colon.unwrap_or(authority.len())]
}
