//! One run between two literals: directories, prefixes, extensions, and a prefix with a suffix.

use crate::key::KeyRef;

/// Keys that begin with `prefix` and end with `suffix`, the two not overlapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// From the scheme on, at least `scheme://authority/`.
    prefix: Box<[u8]>,
    /// Where the prefix's directory ends.
    dir: u16,
    /// Whether the run between may hold slashes of the path.
    pub(crate) crossing: bool,
    /// Whether the suffix ends the path, whatever the query; else it ends the URL part. True if it is empty and no query is begun.
    pub(crate) by_path: bool,
    suffix: Box<[u8]>,
}

impl Span {
    /// `dir` is the end of the directory in `prefix`.
    pub(super) fn new(prefix: Vec<u8>, dir: usize, crossing: bool, by_path: bool, suffix: &[u8]) -> Self {
        let begins_query = memchr::memchr(b'?', &prefix).is_some();
        // What is literal up to the query leaves no slash of the path to a run.
        let crossing = crossing || begins_query;
        let by_path = (by_path || suffix.is_empty()) && !begins_query;
        let dir = u16::try_from(dir).unwrap_or(u16::MAX);
        Self { prefix: prefix.into(), dir, crossing, by_path, suffix: suffix.into() }
    }

    /// Every key whose path is in `dir` or below.
    pub(super) fn everything_below(dir: Vec<u8>) -> Self {
        let end = dir.len();
        Self::new(dir, end, true, true, b"")
    }

    pub(crate) fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    pub(crate) fn suffix(&self) -> &[u8] {
        &self.suffix
    }

    /// The directory that the prefix names.
    pub(crate) fn directory(&self) -> &[u8] {
        self.prefix.get(..usize::from(self.dir)).unwrap_or(&self.prefix)
    }

    /// Whether nothing below the directory needs to be asked.
    pub(crate) fn stays_in_directory(&self) -> bool {
        !self.crossing && memchr::memchr(b'/', &self.suffix).is_none()
    }

    /// Whether it takes a key. O(key).
    pub(crate) fn matches(&self, key: KeyRef<'_>) -> bool {
        let path = usize::from(key.layout().path_end);
        let text = if self.by_path { key.text().get(..path).unwrap_or_default() } else { key.url() };
        let rest = text.strip_prefix(&*self.prefix).and_then(|rest| rest.strip_suffix(&*self.suffix));
        let path = path.saturating_sub(self.prefix.len());
        rest.is_some_and(|run| self.crossing || memchr::memchr(b'/', run.get(..path).unwrap_or(run)).is_none())
    }
}
