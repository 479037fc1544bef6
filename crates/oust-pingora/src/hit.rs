//! Reading: what is stored, and what streams in.

use std::any::Any;
use std::future::poll_fn;

use async_trait::async_trait;
use bytes::{Buf, Bytes};
use oust::cache::{Chunks, FillReader, Hit};
use pingora_cache::storage::{HandleHit, Storage};
use pingora_cache::trace::SpanHandle;
use pingora_cache::{CacheEntryId, CacheKey};
use pingora_error::{Error, ErrorType, Result};

/// Most bytes that are copied at once of a body in a mapped file.
const PIECE: usize = 64 << 10;

/// Reads a stored object. Its chunks are shared with the store, except those of a mapped file, which are copied and checked.
pub(crate) struct StoredBody {
    hit: Hit,
    chunks: Chunks,
    chunk: Bytes,
    /// Bytes to pass over, then bytes to give.
    skip: u64,
    left: u64,
    id: u64,
    weight: usize,
}

impl StoredBody {
    pub(crate) fn new(hit: Hit, chunks: Chunks, id: u64, weight: usize) -> Self {
        let left = hit.body_len();
        Self { hit, chunks, chunk: Bytes::new(), skip: 0, left, id, weight }
    }

    fn next(&mut self) -> Result<Option<Bytes>> {
        while self.left > 0 {
            if self.chunk.is_empty() {
                let Some(chunk) = self.chunks.next() else {
                    return Err(broken("a stored body is shorter than it says"));
                };
                self.chunk = chunk;
            }
            let passed = cut(self.skip, self.chunk.len());
            self.chunk.advance(passed);
            self.skip -= passed as u64;
            if self.chunk.is_empty() {
                continue;
            }
            let mapped = self.hit.is_mapped();
            let most = if mapped { PIECE.min(self.chunk.len()) } else { self.chunk.len() };
            let piece = self.chunk.split_to(cut(self.left, most));
            self.left -= piece.len() as u64;
            if !mapped {
                return Ok(Some(piece));
            }
            let copy = Bytes::copy_from_slice(&piece);
            // A page that could not be read back would be zeros.
            return if self.hit.is_intact() { Ok(Some(copy)) } else { Err(broken("the second tier lost a body")) };
        }
        Ok(None)
    }
}

#[async_trait]
impl HandleHit for StoredBody {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        self.next()
    }

    async fn finish(self: Box<Self>, _: &'static (dyn Storage + Sync), _: &CacheKey, _: &SpanHandle) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        let (start, len) = (start as u64, self.hit.body_len());
        let end = end.map_or(len, |end| len.min(end as u64));
        if start >= len || end < start {
            return Err(broken("a range lies outside the body"));
        }
        self.chunks = self.hit.body();
        self.chunk = Bytes::new();
        (self.skip, self.left) = (start, end - start);
        Ok(())
    }

    fn get_eviction_weight(&self) -> usize {
        self.weight
    }

    fn entry_id(&self) -> Option<CacheEntryId> {
        Some(CacheEntryId::new(self.id))
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}

/// Reads along with a fill. Ranges are taken out of the stream, in ascending order.
pub(crate) struct StreamedBody {
    reader: FillReader,
    chunk: Bytes,
    /// Bytes taken from the stream, those of `chunk` not counted.
    at: u64,
    start: u64,
    end: Option<u64>,
    id: u64,
}

impl StreamedBody {
    pub(crate) fn new(reader: FillReader, id: u64) -> Self {
        Self { reader, chunk: Bytes::new(), at: 0, start: 0, end: None, id }
    }
}

#[async_trait]
impl HandleHit for StreamedBody {
    async fn read_body(&mut self) -> Result<Option<Bytes>> {
        while self.end.is_none_or(|end| self.at < end) {
            if self.chunk.is_empty() {
                // Given up here, nothing is lost.
                self.chunk = match poll_fn(|cx| self.reader.poll_chunk(cx)).await {
                    Some(Ok(chunk)) => chunk,
                    Some(Err(error)) => return Err(broken(error.to_string())),
                    None if self.at < self.start => return Err(broken("a range lies outside the body")),
                    None => return Ok(None),
                };
            }
            let passed = cut(self.start.saturating_sub(self.at), self.chunk.len());
            self.chunk.advance(passed);
            self.at += passed as u64;
            if self.chunk.is_empty() {
                continue;
            }
            let most = self.end.map_or(self.chunk.len(), |end| cut(end - self.at, self.chunk.len()));
            let piece = self.chunk.split_to(most);
            self.at += piece.len() as u64;
            return Ok(Some(piece));
        }
        Ok(None)
    }

    async fn finish(self: Box<Self>, _: &'static (dyn Storage + Sync), _: &CacheKey, _: &SpanHandle) -> Result<()> {
        Ok(())
    }

    fn can_seek(&self) -> bool {
        true
    }

    fn seek(&mut self, start: usize, end: Option<usize>) -> Result<()> {
        let (start, end) = (start as u64, end.map(|end| end as u64));
        if start < self.at || end.is_some_and(|end| end < start) {
            return Err(broken("what has been read of a stream cannot be read again"));
        }
        (self.start, self.end) = (start, end);
        Ok(())
    }

    fn should_count_access(&self) -> bool {
        false
    }

    fn entry_id(&self) -> Option<CacheEntryId> {
        Some(CacheEntryId::new(self.id))
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }

    fn as_any_mut(&mut self) -> &mut (dyn Any + Send + Sync) {
        self
    }
}

/// `most` bytes, or fewer if `wanted` are.
fn cut(wanted: u64, most: usize) -> usize {
    usize::try_from(wanted).unwrap_or(usize::MAX).min(most)
}

pub(crate) fn broken(why: impl Into<String>) -> Box<Error> {
    Error::explain(ErrorType::InternalError, why.into())
}
