//! Naive reference implementations to test the engine against.
//!
//! Everything here is written from the specification alone, shares no code with the engine and prefers the obvious to the fast: a set of
//! reachable positions instead of an automaton, a list of rules instead of an index. Where the two disagree, one of them misreads the
//! specification.
#![forbid(unsafe_code)]

mod canonical;
mod crowd;
mod dialect;
mod dialect_text;
mod entropy;
pub mod format;
mod generate;
mod history;
mod model;
mod pattern;
mod regex;
mod respell;
mod selector;

pub use canonical::{MAX_KEY, Subject, canonical, has_stray_percent, out_of_scope, parse_key, plain_variation};
pub use crowd::{crowded, crowded_key};
pub use dialect::{Dialect, DialectMatcher};
pub use dialect_text::{dialect_keys, dialect_pattern};
pub use entropy::Entropy;
pub use generate::{key_text, neighbours, selector, url};
pub use history::{
    Checker, Clause, Event, Fetch, History, Outcome as Ended, Purge, Request, Stop, Tally, Time, Violation,
};
pub use model::{Act, FillId, Model, Outcome, Promise, Resource, Storing};
pub use respell::equivalents;
pub use selector::{MAX_SELECTOR, Matcher, Refused, Selector, host_matches, matches, matches_variant};
