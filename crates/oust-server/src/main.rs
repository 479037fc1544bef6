//! `oust`: a caching reverse proxy that can be purged, and the tools around it.

mod admin;
mod api;
mod cli;
mod config;
mod demo;
mod engine;
mod front;
mod listen;
mod openapi;
mod origin;
mod proxy;
mod reload;
mod serve;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
