//! Gates: the newest rule number per host, directory, URL and tag bucket.
//!
//! A lookup whose object is stamped at or above its gates is judged without asking the rules. Buckets are hashed, so two hosts or directories
//! may share one: a raised gate costs a question, never a wrong answer. Rules are counted at the deepest of these that they name literally:
//! URL or key, directory (first two levels), host; `*.h` and everything count for all.

use std::sync::atomic::{AtomicU64, Ordering};

use super::rules::Rule;
use super::selector::Shape;
use crate::key::KeyRef;

/// 256 KiB; a purge of one directory disturbs one object in about 10,000 of the others.
const BUCKETS: usize = 1 << 15;

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

    /// The newest rule that may concern `key`, tags left out. O(length of the key).
    pub(crate) fn of_key(&self, key: KeyRef<'_>) -> u64 {
        let host = self.bucket(host_gate(key.host()));
        let directories = directory_gates(key.url(), usize::from(key.layout().path), usize::from(key.layout().path_end));
        let directory = directories.into_iter().flatten().map(|hash| self.bucket(hash)).max().unwrap_or(0);
        let url = self.bucket(url_gate(key.url()));
        host.max(directory).max(url).max(self.everywhere.0.load(Ordering::Acquire))
    }

    /// The newest rule on any of `tags`.
    pub(crate) fn of_tags<'a>(&self, mut tags: impl Iterator<Item = &'a [u8]>, stamp: u64) -> u64 {
        let newest = self.tags.0.load(Ordering::Acquire);
        if newest <= stamp {
            return newest;
        }
        tags.by_ref().map(|tag| self.bucket(tag_gate(tag))).max().unwrap_or(0)
    }

    fn bucket(&self, hash: u64) -> u64 {
        self.buckets[hash as usize % BUCKETS].load(Ordering::Acquire)
    }

    /// Counts `rule`. Called by the publisher before the snapshot with the rule is swapped in.
    pub(crate) fn raise(&self, rule: &Rule) {
        for part in rule.parts() {
            let hash = match part.shape() {
                Shape::Url(url) => url_gate(url),
                Shape::Key(text) | Shape::Variant { key: text, .. } => url_gate(crate::key::url_of(text)),
                Shape::Directory { dir, .. } | Shape::Extension { dir, .. } | Shape::Residual { dir, .. } => {
                    let path = root_len(dir).saturating_sub(1);
                    match directory_gates(dir, path, dir.len()) {
                        [_, Some(second)] => second,
                        [Some(first), None] => first,
                        [None, None] => host_gate(host_of(dir)),
                    }
                }
                Shape::Host { name, below: false, .. } => host_gate(name),
                Shape::Tag(tag) => {
                    self.tags.0.fetch_max(rule.seq, Ordering::AcqRel);
                    tag_gate(tag)
                }
                Shape::Host { .. } | Shape::All => {
                    self.everywhere.0.fetch_max(rule.seq, Ordering::AcqRel);
                    continue;
                }
            };
            self.buckets[hash as usize % BUCKETS].fetch_max(rule.seq, Ordering::AcqRel);
        }
        self.newest.0.fetch_max(rule.seq, Ordering::AcqRel);
    }
}

fn host_gate(host: &[u8]) -> u64 {
    crate::key::hash(host)
}

fn url_gate(url: &[u8]) -> u64 {
    crate::key::hash(url) ^ 0x55
}

fn tag_gate(tag: &[u8]) -> u64 {
    crate::key::hash(tag) ^ 0xaa
}

/// Hashes of the first and second directory of the path that starts at `path` in `text` and ends at `end`.
fn directory_gates(text: &[u8], path: usize, end: usize) -> [Option<u64>; 2] {
    let mut slashes = memchr::memchr_iter(b'/', &text[(path + 1).min(end)..end]).map(|at| path + 2 + at);
    let first = slashes.next();
    let second = slashes.next();
    [first, second].map(|end| end.map(|end| crate::key::hash(&text[..end])))
}

/// Length of `scheme://authority/` in a directory text.
pub(crate) fn root_len(dir: &[u8]) -> usize {
    let authority = memchr::memmem::find(dir, b"://").map_or(0, |at| at + 3);
    memchr::memchr(b'/', &dir[authority.min(dir.len())..]).map_or(dir.len(), |at| authority + at + 1)
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
