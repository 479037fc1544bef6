//! What the benches share: keys and request sequences, the engines under one trait, and threads that run an operation in step.
//!
//! Each bench is a program of its own and uses a part of this.
#![allow(dead_code, reason = "each bench is a crate of its own and uses a part of what is shared")]

pub(crate) mod allocated;
pub(crate) mod engines;
pub(crate) mod keys;
pub(crate) mod purges;
pub(crate) mod timed;
