//! `oust`: a caching reverse proxy that can be purged, and the tools around it.

mod admin;
mod api;
mod cli;
mod config;
mod demo;
mod engine;
mod listen;
mod proxy;
mod serve;

use std::process::ExitCode;

/// The description of everything that is served, on `admin` and on `api`.
const OPENAPI: &str = include_str!("openapi.json");

fn main() -> ExitCode {
    cli::run()
}
