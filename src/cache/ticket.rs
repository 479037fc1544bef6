//! The two ends of a fill: the ticket and writer of the one who fetches, the readers of all who wait.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;

use super::commit::{Candidate, selectors};
use super::head::Head;
use super::hit::Hit;
use super::{Admit, Engine, Reason};
use crate::entry::{Body, INLINE_BODY, Tick, chunk_weight};
use crate::fill::{Answered, Fill};
use crate::freshness::Freshness;
use crate::purge::Tags;
use crate::vary::Vary;

/// Chunks of a stored body are at least this long on average, or they are put together.
const GOOD_CHUNK: u64 = 4 << 10;

/// How a miss goes on.
#[derive(Debug)]
#[non_exhaustive]
#[must_use = "a ticket that is dropped sends everybody who waits for it to the origin"]
pub enum Fetch {
    /// Fetch from the origin and feed the ticket.
    Lead(FillTicket),
    /// Read what another request is fetching.
    Join(FillReader),
    /// It was stored since the lookup that missed.
    Found(Hit),
}

/// The right and duty to fetch one key.
///
/// It is stamped: whatever is purged from now on is not stored by it. Dropped without an answer, it tells its readers to fetch for themselves.
#[derive(Debug)]
#[must_use = "dropped, it sends everybody who waits for it to the origin"]
pub struct FillTicket {
    engine: Arc<Engine>,
    fill: Arc<Fill>,
    base: Option<Hit>,
    answered: bool,
}

impl FillTicket {
    pub(crate) fn new(engine: &Arc<Engine>, fill: Arc<Fill>, base: Option<Hit>) -> Self {
        Self { engine: Arc::clone(engine), fill, base, answered: false }
    }

    /// The stored response to validate: send its validators, and pass a 304 to [`not_modified`](Self::not_modified). `None`: a plain fetch.
    pub fn base(&self) -> Option<&Hit> {
        self.base.as_ref()
    }

    /// The same fetch with the same stamp, its response to be read by other fields of the request (RFC 9111 4.1), and open to
    /// [`Cache::join`](crate::Cache::join) once its head is given. For servers that learn only from the answer which variant it is. Readers taken
    /// before are told to fetch for themselves.
    pub fn reopen(mut self, request: &HeaderMap) -> Self {
        self.answered = true;
        let fill = self.engine.reopen(&self.fill, request);
        self.fill.over(Reason::Failed);
        Self { engine: Arc::clone(&self.engine), fill, base: self.base.take(), answered: false }
    }

    /// A reader from the first byte on, for the leader's own client. Take it before [`respond`](Self::respond).
    pub fn reader(&self) -> FillReader {
        let id = self.fill.add_reader();
        FillReader::new(&self.engine, Arc::clone(&self.fill), id, (0, true), self.fill.request.clone())
    }

    /// The origin's answer; the body follows through the writer. `length` is its length where known.
    ///
    /// With `freshness` it is stored when complete, if it fits, its `Vary` is not `*`, and no purge has taken it; those who joined read it if its
    /// `Vary` selects them. Without, it is not stored: those who joined fetch for themselves, and so do later ones at once, for two minutes or
    /// until a purge takes the key. The leader's own readers get it in any case.
    pub fn respond(
        mut self,
        head: Head,
        length: Option<u64>,
        freshness: Option<Freshness>,
        tags: &[&[u8]],
    ) -> FillWriter {
        self.answered = true;
        let engine = Arc::clone(&self.engine);
        let fill = Arc::clone(&self.fill);
        let known = selectors(&head, &fill.request, tags);
        let mut refused = match (&freshness, &known) {
            (None, _) | (_, None) => Some(Reason::NotStorable),
            _ if length.is_some_and(|length| length > engine.max_object) => Some(Reason::TooLarge),
            _ => None,
        };
        let shared = refused.is_none();
        let (vary, tags) = known.unwrap_or_default();
        if !engine.learn(&fill, &vary, &tags) {
            refused.get_or_insert(Reason::PurgeFenced);
        }
        if refused == Some(Reason::NotStorable) {
            engine.mark_uncacheable(&fill);
        }
        let head = Arc::new(head);
        fill.respond(Arc::clone(&head), Some(vary.clone()), tags.clone(), shared, refused.is_none());
        let received = engine.now();
        FillWriter { engine, fill, head, vary, tags, freshness, kept: 0, received, length: 0, refused, over: false }
    }

    /// The origin's whole answer at once: [`respond`](Self::respond), one write and [`finish`](FillWriter::finish) in one step, which takes the
    /// shard's lock once.
    pub fn store(mut self, head: Head, body: Bytes, freshness: Freshness, tags: &[&[u8]]) -> Admit {
        let length = body.len() as u64;
        let Some((vary, known)) =
            selectors(&head, &self.fill.request, tags).filter(|_| length <= self.engine.max_object)
        else {
            let mut fill = self.respond(head, Some(length), Some(freshness), tags);
            fill.write(body);
            return fill.finish();
        };
        self.answered = true;
        let (engine, fill) = (&self.engine, &self.fill);
        let received = engine.now();
        engine.learn(fill, &vary, &known);
        let of = Candidate { head: &head, vary: &vary, tags: &known, freshness: &freshness, received };
        let admit = if body.len() <= INLINE_BODY {
            engine.commit(fill, &of, Body::Inline(&body))
        } else if let Some(held) = engine.hold(fill, &body) {
            engine.commit(fill, &of, Body::Chunks(vec![held]))
        } else {
            engine.skip(fill, Reason::NoRoom)
        };
        // Nobody can join any more; who did is still waiting.
        if fill.has_readers() {
            fill.respond(Arc::new(head), Some(vary), known, true, true);
            fill.write(body);
            fill.done();
        }
        admit
    }

    /// The origin answered 304: everybody gets the stored body under `head`, which the caller has merged (RFC 9111 3.2). It is stored again as
    /// fresh, unless a purge newer than the request has taken it (G3) or it is not stored any more.
    ///
    /// `freshness: None` keeps it out of the cache, and sends those who joined away. Without a [`base`](Self::base) there is nothing to validate: readers are told to fetch for
    /// themselves, and the caller gets `None`.
    pub fn not_modified(mut self, head: Head, freshness: Option<Freshness>, tags: &[&[u8]]) -> Option<(Hit, Admit)> {
        let base = self.base.take()?;
        self.answered = true;
        let (engine, fill) = (&self.engine, &self.fill);
        let known = selectors(&head, &fill.request, tags);
        let storable = freshness.zip(known);
        let (hit, admit) = match &storable {
            Some((freshness, (vary, tags))) => {
                engine.learn(fill, vary, tags);
                let of = Candidate { head: &head, vary, tags, freshness, received: engine.now() };
                engine.commit_validated(fill, &base, &of)
            }
            None => {
                engine.learn(fill, &Vary::default(), &Tags::default());
                (base, engine.leave(fill, Reason::NotStorable))
            }
        };
        fill.validated(hit.clone(), storable.is_some());
        Some((hit, admit))
    }
}

impl Drop for FillTicket {
    fn drop(&mut self) {
        if !self.answered {
            self.engine.leave(&self.fill, Reason::Failed);
            self.fill.over(Reason::Failed);
        }
    }
}

/// The writing end of a fill. Dropped before [`finish`](Self::finish), the fill is broken: nothing is stored, its readers get an error.
#[derive(Debug)]
#[must_use = "dropped, the response is broken off: call `finish`"]
pub struct FillWriter {
    engine: Arc<Engine>,
    fill: Arc<Fill>,
    head: Arc<Head>,
    vary: Vary,
    tags: Tags,
    freshness: Option<Freshness>,
    /// Bytes of the chunks that are kept, as counted among those of fills in flight.
    kept: u64,
    received: Tick,
    length: u64,
    /// Why it will not be stored.
    refused: Option<Reason>,
    over: bool,
}

impl FillWriter {
    /// Ready when the fill may take more. One that is stored always may; one that is not waits for its slowest reader, a window of 1 MiB behind.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the wait is given up.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.fill.poll_ready(cx)
    }

    /// Appends body bytes. Their charge to the budget may evict; if the body outgrows the largest object or the budget, it is no longer kept.
    pub fn write(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        self.length += chunk.len() as u64;
        let chunk = if self.refused.is_none() {
            // An exact copy: a slice of a large receive buffer would hold memory nobody has counted.
            self.keep(&chunk).unwrap_or_else(|reason| {
                self.refuse(reason);
                chunk
            })
        } else {
            chunk
        };
        self.fill.write(chunk);
    }

    /// Breaks readers that are a window behind the fastest, so that [`poll_ready`](Self::poll_ready) need not wait for them.
    pub fn cut_laggards(&mut self) {
        self.fill.cut_laggards();
    }

    /// Whether nobody reads any more and nothing will be stored: the fetch may as well be given up.
    pub fn is_abandoned(&self) -> bool {
        self.fill.is_abandoned()
    }

    /// Why the response will not be stored, if that is known already.
    pub fn refused(&self) -> Option<Reason> {
        self.refused
    }

    /// The body is complete: stores the response, unless a purge has overtaken it (G2). After `Stored`, lookups find it.
    pub fn finish(mut self) -> Admit {
        self.over = true;
        let admit = match (self.refused, &self.freshness, self.fill.kept()) {
            (None, Some(freshness), Some(chunks)) => {
                let of = Candidate {
                    head: &self.head,
                    vary: &self.vary,
                    tags: &self.tags,
                    freshness,
                    received: self.received,
                };
                let joined;
                let body = if self.length <= INLINE_BODY as u64 {
                    joined = chunks.concat();
                    Some(Body::Inline(&joined))
                } else if chunks.len() > 1 && self.length / (chunks.len() as u64) < GOOD_CHUNK {
                    // Small chunks are put together: each costs a buffer of its own.
                    self.engine.hold(&self.fill, &chunks.concat()).map(|whole| Body::Chunks(vec![whole]))
                } else {
                    Some(Body::Chunks(chunks))
                };
                match body {
                    Some(body) => self.engine.commit(&self.fill, &of, body),
                    None => self.engine.skip(&self.fill, Reason::NoRoom),
                }
            }
            (refused, ..) => self.engine.skip(&self.fill, refused.unwrap_or(Reason::NotStorable)),
        };
        self.fill.done();
        admit
    }

    /// The charged copy of `chunk`.
    fn keep(&mut self, chunk: &Bytes) -> Result<Bytes, Reason> {
        if self.length > self.engine.max_object {
            return Err(Reason::TooLarge);
        }
        let held = self.engine.hold(&self.fill, chunk).ok_or(Reason::NoRoom)?;
        self.kept += chunk_weight(&held);
        self.engine.edge.budget.count_fill(chunk_weight(&held) as i64);
        Ok(held)
    }

    fn refuse(&mut self, reason: Reason) {
        self.refused = Some(reason);
        self.fill.stop_keeping();
    }
}

impl Drop for FillWriter {
    fn drop(&mut self) {
        self.engine.edge.budget.count_fill(-(self.kept as i64));
        if !self.over {
            self.engine.leave(&self.fill, Reason::Failed);
            self.fill.over(Reason::Failed);
        }
    }
}

/// How a fill answered a reader.
#[derive(Debug, Clone)]
#[non_exhaustive]
#[must_use = "it may say that this request has to be fetched for"]
pub enum Answer {
    /// The origin's response; its body follows through [`FillReader::poll_chunk`].
    Head(Arc<Head>),
    /// The stored response was validated: head and body are in it.
    Validated(Hit),
    /// Not for this request: another variant, not storable, overtaken by a purge, or the leader failed. Fetch for yourself
    /// ([`Cache::fetch_alone`](crate::Cache::fetch_alone)).
    Refetch(Reason),
}

/// A fill broke midway, or its reader was cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct FillBroken;

impl std::fmt::Display for FillBroken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the response broke off before its end")
    }
}

impl std::error::Error for FillBroken {}

/// The reading end of a fill. Runtime-free: wakers of any executor will do.
#[derive(Debug)]
#[must_use = "a reader that is dropped reads nothing"]
pub struct FillReader {
    /// Keeps the cache's parts alive as long as its readers.
    _engine: Arc<Engine>,
    fill: Arc<Fill>,
    id: usize,
    joined: u64,
    own: bool,
    request: HeaderMap,
}

impl FillReader {
    /// The reader `id` of `fill`.
    pub(crate) fn new(
        engine: &Arc<Engine>,
        fill: Arc<Fill>,
        id: usize,
        (joined, own): (u64, bool),
        request: HeaderMap,
    ) -> Self {
        Self { _engine: Arc::clone(engine), fill, id, joined, own, request }
    }

    /// The answer, once it is known.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the wait is given up.
    pub fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        self.fill.poll_answer(self.id, (self.joined, self.own), &self.request, cx).map(|answered| match answered {
            Answered::Head(head) => Answer::Head(head),
            Answered::Validated(hit) => Answer::Validated(hit),
            Answered::Refetch(reason) => Answer::Refetch(reason),
        })
    }

    /// The next chunk of the body, `None` at its end.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the wait is given up.
    pub fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, FillBroken>>> {
        self.fill.poll_chunk(self.id, cx).map(|next| next.map(|chunk| chunk.map_err(|()| FillBroken)))
    }
}

impl Drop for FillReader {
    fn drop(&mut self) {
        self.fill.drop_reader(self.id);
    }
}
