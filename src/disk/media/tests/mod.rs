//! What holds of every media, and what is special to each.

mod conformance;
mod crash;
mod memory;
