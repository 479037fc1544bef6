//! Bodies of the fuzz targets. They panic where engine and reference disagree.

#![deny(unsafe_code)]

#[allow(unsafe_code, reason = "a counting allocator can only be written so")]
mod alloc;
mod bomb;
mod canonical;
mod cost;
mod crash;
mod dialect;
mod directives;
mod disk;
mod engine;
mod ops;
mod pattern;
mod requests;
mod rig;
mod set;
mod signed;
mod targeted;

pub use bomb::rule_bomb;
pub use canonical::canonical_equivalence;
pub use crash::crash_vs_model;
pub use dialect::dialect_patterns;
pub use directives::directives;
pub use disk::{directory, journal, records_codec, segment};
pub use ops::{ops_vs_model, tiers_vs_model};
pub use pattern::pattern_vs_reference;
pub use requests::dialect_requests;
pub use targeted::targeted;

// HTTP fields, configuration, framing and the edges of languages.
mod config;
mod dates;
mod framing;
mod freshness;
mod native;
mod peers;
mod ranges;
mod vary;
mod whatwg;

pub use config::config;
pub use dates::dates;
pub use framing::framing;
pub use freshness::freshness;
pub use native::native_api;
pub use peers::selectors_vs_crates;
pub use ranges::ranges;
pub use vary::vary;
pub use whatwg::canonical_vs_url;
