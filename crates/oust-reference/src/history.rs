//! What was seen of a running cache, and whether a cache may behave so.
//!
//! A history holds what happened at its edges: requests and their answers, fetches as the origin saw them, purges, stops of the process.
//! All times are microseconds of one monotonic clock, taken where the event is seen: a fetch *starts* when the origin has read it, and
//! *ends* before its last byte is written, so a fetch that seems to have begun before a purge did, and one that seems to end after it did.
//!
//! Every answer of the origin names itself (its fetch) in its entity tag and in every piece of its body, and its exchange in a field that a
//! 304 renews. So an answer of the cache tells which fetch its body is of, and which exchange made it current.
//!
//! 1. A purge is in force for requests that start after its acknowledgement, against what began before the purge was sent. What lies
//!    between may go either way, and is never a violation.
//! 2. A purge without an acknowledgement promises nothing.
//! 3. Forgetting ([`Checker::forget`]) loses no rule: of those that no request overlaps any more the newest of each kind says it all.

mod checker;
mod explain;
#[cfg(test)]
mod tests;
mod text;

pub use checker::{Checker, Tally};
pub use explain::{Clause, Violation};

use crate::model::Act;
use crate::selector::Selector;

/// Microseconds since the history began.
pub type Time = u64;

/// How an exchange with the origin ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A whole response.
    Whole,
    /// A response that was cut off behind so many bytes of its body.
    Cut(u64),
    /// A 304 for the body of that fetch.
    NotModified(u64),
    /// Nothing that is a response.
    Failed,
}

/// An exchange with the origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Its name, unique.
    pub id: u64,
    /// The request that made the cache ask, as it was forwarded.
    pub asked_by: Option<u64>,
    /// Canonical URL.
    pub url: String,
    /// Variation of the key; empty: none.
    pub variation: String,
    /// Value of the field that responses vary on; empty: the field is missing.
    pub variant: String,
    /// Tags of the response.
    pub tags: Vec<String>,
    /// When the origin had read the request.
    pub start: Time,
    /// Before the last byte was written; `None`: not yet.
    pub end: Option<Time>,
    /// Status of the response, 0 without one.
    pub status: u16,
    /// What became of it.
    pub outcome: Outcome,
    /// Length of the whole body.
    pub length: u64,
    /// Whether a cache may give it to anybody else.
    pub storable: bool,
    /// Window of stale-while-revalidate, microseconds.
    pub while_revalidate: Time,
    /// Window of stale-if-error, microseconds.
    pub if_error: Time,
    /// Of which fetch's body the cache sent the validator.
    pub base: Option<u64>,
}

/// A client's request with its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Its name, unique.
    pub id: u64,
    /// GET, HEAD.
    pub method: String,
    /// Canonical URL.
    pub url: String,
    /// Variation of the key; empty: none.
    pub variation: String,
    /// Value of the field that responses vary on; empty: the field is missing.
    pub variant: String,
    /// Whether it said that it is another cache's.
    pub peer: bool,
    /// Before its first byte was written.
    pub start: Time,
    /// After the last byte of the answer.
    pub end: Time,
    /// Status of the answer, 0 without one.
    pub status: u16,
    /// The fetch that the answer's entity tag names.
    pub body: Option<u64>,
    /// The exchange that the answer's head names.
    pub exchange: Option<u64>,
    /// Fetches that pieces of the body name, each once.
    pub parts: Vec<u64>,
    /// Place of the first byte in the whole body (ranges).
    pub from: u64,
    /// Bytes that came.
    pub bytes: u64,
    /// Whether by its framing the answer is complete.
    pub whole: bool,
    /// Whether the cache said that it came from the store.
    pub hit: bool,
    /// Whether the cache said that it is stale.
    pub stale: bool,
}

/// A purge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// Its name, unique.
    pub id: u64,
    /// What it takes.
    pub selectors: Vec<Selector>,
    /// What it does.
    pub act: Act,
    /// Whether of the memory tier.
    pub edge: bool,
    /// Whether of the second tier.
    pub l2: bool,
    /// Before its first byte was written.
    pub start: Time,
    /// After the acknowledgement; `None`: refused, or cut off.
    pub ack: Option<Time>,
    /// Whether it outlasts the process.
    pub durable: bool,
}

/// An end of the process and the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Before the signal.
    pub start: Time,
    /// When the next process was listening.
    pub end: Time,
    /// Without any chance to say good-bye.
    pub kill: bool,
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An exchange with the origin.
    Fetch(Fetch),
    /// A request.
    Request(Request),
    /// A purge.
    Purge(Purge),
    /// An end of the process and the next start.
    Stop(Stop),
}

/// All that was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// Whether there is a second tier.
    pub l2: bool,
    /// The field that responses vary on, in lower case.
    pub vary: String,
    /// Whether nothing was under way any more when the history ended.
    pub quiet: bool,
    /// In any order.
    pub events: Vec<Event>,
}

impl History {
    /// Everything that must not be, in the order of the requests.
    pub fn check(&self) -> (Vec<Violation>, Tally) {
        let mut checker = Checker::new(self.l2, &self.vary);
        let mut requests = Vec::new();
        for event in &self.events {
            match event {
                Event::Fetch(fetch) => checker.fetch(fetch.clone()),
                Event::Purge(purge) => checker.purge(purge),
                Event::Stop(stop) => checker.stop(*stop),
                Event::Request(request) => requests.push(request),
            }
        }
        requests.sort_by_key(|request| (request.start, request.id));
        let horizon = if self.quiet { Time::MAX } else { 0 };
        let violations = requests.into_iter().flat_map(|request| checker.request(request, horizon)).collect();
        (violations, checker.tally())
    }
}
