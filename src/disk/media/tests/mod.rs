//! What holds of every media, and what is special to each.

mod conformance;
mod crash;
#[cfg(target_os = "linux")]
mod directory;
#[cfg(target_os = "linux")]
mod fault;
mod memory;
