//! The server's own sources as a library: it is a program and has none, and what it reads from a connection, a file or a body is what fuzz
//! targets are for. Nothing here is of its own but the doors at the end.

#![allow(dead_code, unused_imports, reason = "a program's sources, of which the targets use some")]

#[path = "../../../crates/oust-server/src/admin/mod.rs"]
mod admin;
#[path = "../../../crates/oust-server/src/api/mod.rs"]
mod api;
#[path = "../../../crates/oust-server/src/cli/mod.rs"]
mod cli;
#[path = "../../../crates/oust-server/src/config/mod.rs"]
mod config;
#[path = "../../../crates/oust-server/src/demo/mod.rs"]
mod demo;
#[path = "../../../crates/oust-server/src/engine.rs"]
mod engine;
/// By itself, since `listen` keeps it to itself.
#[path = "../../../crates/oust-server/src/listen/framing.rs"]
mod framing;
#[path = "../../../crates/oust-server/src/front/mod.rs"]
mod front;
#[path = "../../../crates/oust-server/src/listen/mod.rs"]
mod listen;
#[path = "../../../crates/oust-server/src/openapi/mod.rs"]
mod openapi;
#[path = "../../../crates/oust-server/src/origin/mod.rs"]
mod origin;
#[path = "../../../crates/oust-server/src/proxy/mod.rs"]
mod proxy;
#[path = "../../../crates/oust-server/src/reload.rs"]
mod reload;
#[path = "../../../crates/oust-server/src/serve.rs"]
mod serve;

mod doors;

pub use doors::{AdminApi, Checked, Fault, Follower, check};
