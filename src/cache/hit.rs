//! A stored response in the hands of a reader.

use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderName;
use http::{HeaderMap, StatusCode};

use super::head::{self, Head};
use crate::entry::{EntryRef, Handle, HeadAndBody, Mark, TICKS, Tick};
use crate::freshness::Freshness;

/// A stored response. Holding it keeps its bytes alive and charged to the cache; clones are cheap.
///
/// Ages and permissions are those of the moment of its lookup.
#[derive(Debug, Clone)]
pub struct Hit {
    pub(crate) handle: Handle,
    /// When it was looked up.
    pub(crate) now: Tick,
    pub(crate) mark: Mark,
}

impl Hit {
    pub(crate) fn entry(&self) -> &EntryRef {
        self.handle.entry()
    }

    /// Status code.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.entry().status()).unwrap_or(StatusCode::OK)
    }

    /// Status and header fields, decoded. O(fields); values share the stored memory.
    pub fn head(&self) -> Head {
        let mut headers = HeaderMap::new();
        drop(self.open(&mut headers, 0, |_| true));
        Head { status: self.status(), headers }
    }

    /// Header fields and body at once. The fields that `keep` takes are appended to `headers`, which gets room for `more` others. O(fields); nothing is
    /// copied, and the stored memory is shared with one allocation for both.
    pub fn open(&self, headers: &mut HeaderMap, more: usize, keep: impl FnMut(&HeaderName) -> bool) -> Chunks {
        let entry = self.entry();
        let stored = Bytes::from_owner(HeadAndBody(self.handle.clone()));
        let head = entry.head().len();
        head::decode(&stored, head, headers, more, keep);
        match entry.chunks() {
            Some(_) => Chunks(Source::Apart { handle: self.handle.clone(), at: 0 }),
            None => Chunks(Source::Inline(stored.slice(head..))),
        }
    }

    /// The body in one or more chunks that share the stored memory. No copy.
    pub fn body(&self) -> Chunks {
        let entry = self.entry();
        match entry.chunks() {
            Some(_) => Chunks(Source::Apart { handle: self.handle.clone(), at: 0 }),
            None if entry.inline_body().is_empty() => Chunks(Source::Inline(Bytes::new())),
            None => {
                let stored = Bytes::from_owner(HeadAndBody(self.handle.clone()));
                Chunks(Source::Inline(stored.slice(entry.head().len()..)))
            }
        }
    }

    /// The body as one slice, if it is small enough to be stored in one piece (16 KiB).
    pub fn body_slice(&self) -> Option<&[u8]> {
        self.entry().chunks().is_none().then(|| self.entry().inline_body())
    }

    /// Whether [`body`](Self::body) may be a view of a mapped file rather than memory: see [`is_intact`](Self::is_intact).
    pub fn is_mapped(&self) -> bool {
        self.handle.segment().is_some() && self.entry().chunks().is_some()
    }

    /// Whether what was read from its body so far is what was stored.
    ///
    /// False once a page of the mapped file it is a view of could not be brought back: where
    /// [`install_sigbus_handler`](crate::disk::media::install_sigbus_handler) was called, such pages read as zeros. Whoever copies from the body of
    /// a hit that [is mapped](Self::is_mapped) asks this after copying and before using the copy; what the kernel takes from it by itself (a write
    /// to a socket) fails with `EFAULT` instead. Always true of bodies in memory.
    pub fn is_intact(&self) -> bool {
        self.handle.segment().is_none_or(|segment| segment.is_intact())
    }

    /// Length of the body in bytes.
    pub fn body_len(&self) -> u64 {
        self.entry().body_len()
    }

    /// The canonical text of the key it is stored under.
    pub fn key_text(&self) -> &[u8] {
        self.entry().key().text()
    }

    /// Its age (RFC 9111 4.2.3), never less than zero. A purge does not change it.
    pub fn age(&self) -> Duration {
        let ticks = i64::from(self.now) - i64::from(self.entry().deadlines().born);
        Duration::from_millis(ticks.max(0).unsigned_abs() * (1000 / TICKS.unsigned_abs()))
    }

    /// Whole seconds of freshness left, negative once stale; a soft purge ends freshness when it is published.
    pub fn ttl(&self) -> i64 {
        (i64::from(self.expires()) - i64::from(self.now)).div_euclid(TICKS)
    }

    /// Whether it may be served now although the origin failed: within its stale-if-error window (RFC 5861), and neither invalidated nor
    /// bound to validation. A fresh response may.
    pub fn may_serve_on_error(&self) -> bool {
        let deadlines = self.entry().deadlines();
        let barred = deadlines.must_revalidate || deadlines.no_cache || self.mark >= Mark::Invalidate;
        let until = i64::from(self.expires()) + i64::from(deadlines.if_error) * TICKS;
        !barred && i64::from(self.now) < until
    }

    /// Whether it may be served now although it is stale, to a request that accepts that (`max-stale`, RFC 9111 5.2.1.2): nothing was purged, and
    /// it is not bound to validation. A fresh response may.
    pub fn may_serve_stale(&self) -> bool {
        let deadlines = self.entry().deadlines();
        !deadlines.must_revalidate && !deadlines.no_cache && self.mark == Mark::None
    }

    fn expires(&self) -> Tick {
        self.entry().expires(self.mark, self.now)
    }

    /// Freshness as it was stored, for the merge with a 304 that brings none.
    pub fn freshness(&self) -> Freshness {
        let deadlines = self.entry().deadlines();
        let ticks = |ticks: i64| Duration::from_millis(ticks.max(0).unsigned_abs() * (1000 / TICKS.unsigned_abs()));
        Freshness {
            lifetime: ticks(i64::from(deadlines.fresh_until) - i64::from(deadlines.born)),
            age: self.age(),
            stale_while_revalidate: Duration::from_secs(u64::from(deadlines.while_revalidate)),
            stale_if_error: Duration::from_secs(u64::from(deadlines.if_error)),
            must_revalidate: deadlines.must_revalidate,
            no_cache: deadlines.no_cache,
        }
    }
}

/// The body of a [`Hit`] in chunks, none of them empty. Holding it keeps the stored memory alive, as a hit does.
#[derive(Debug, Clone)]
#[must_use = "iterators are lazy"]
pub struct Chunks(Source);

#[derive(Debug, Clone)]
enum Source {
    /// What is in the entry, until it was given out.
    Inline(Bytes),
    /// What hangs on it, from this chunk on.
    Apart { handle: Handle, at: usize },
}

impl Iterator for Chunks {
    type Item = Bytes;

    #[inline]
    fn next(&mut self) -> Option<Bytes> {
        match &mut self.0 {
            Source::Inline(bytes) if bytes.is_empty() => None,
            Source::Inline(bytes) => Some(std::mem::take(bytes)),
            Source::Apart { handle, at } => {
                let chunk = handle.entry().chunks()?.get(*at)?.clone();
                *at += 1;
                Some(chunk)
            }
        }
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = match &self.0 {
            Source::Inline(bytes) => usize::from(!bytes.is_empty()),
            Source::Apart { handle, at } => handle.entry().chunks().map_or(0, <[Bytes]>::len).saturating_sub(*at),
        };
        (left, Some(left))
    }
}

impl ExactSizeIterator for Chunks {}
