//! The engine under schedules that [shuttle] chooses: pairs and triples of its operations, on threads of their own, again and again under other
//! interleavings, each held against a history of what was fetched and what was purged.
//!
//! Empty unless built with `--cfg oust_shuttle`, which the engine must be built with too. `docs/testing.md` says what it proves and how it is run.
//!
//! - `walk` chooses the schedule from a seed;
//! - `world` is a cache in some state, with an origin that numbers its answers;
//! - `history` judges what was served;
//! - `scenario` puts operations together and runs them.
//!
//! [shuttle]: https://docs.rs/shuttle
#![cfg(oust_shuttle)]

pub mod history;
pub mod scenario;
pub mod walk;
pub mod world;
