//! Bodies of the fuzz targets. They panic where engine and reference disagree.

#![forbid(unsafe_code)]

mod canonical;
mod engine;
mod ops;
mod pattern;
mod rig;
#[cfg(feature = "compiled")]
mod single;

pub use canonical::canonical_equivalence;
pub use ops::ops_vs_model;
pub use pattern::pattern_vs_reference;
