//! A hostile network before the real server: each test states which refusal or neutralisation it expects. `docs/threat-model.md` has the table of
//! attacks, with those that other test files are about.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(unreachable_pub, reason = "modules of one test")]
#![allow(clippy::big_endian_bytes, reason = "the byte order of HTTP/2 frames")]

#[path = "../common/mod.rs"]
mod common;

mod browsers;
mod deception;
mod floods;
mod frames;
mod hosts;
mod http2;
mod paths;
mod poisoning;
mod purging;
mod ranges;
mod responses;
mod smuggling;
mod tls;
mod wire;

use common::{Origin, Oust};

/// A server for any host before `origin`, with these settings of `[server]`, on one thread: which pooled connection is used next is no matter of chance.
fn serve(name: &str, server: &str, origin: &str) -> Oust {
    let text =
        format!("[server]\nthreads = 1\n{server}\n[[site]]\nhosts = [\"*\"]\norigins = [\"{origin}\"]\nretries = 0\n");
    Oust::configured(&format!("hostile_{name}"), &text)
}

/// An origin that says which request this is, what was asked and of whom, fresh for a minute.
fn echo() -> Origin {
    Origin::start(|seen, reply| {
        let host = seen.header("host").unwrap_or_default();
        reply.send(200, &[("Cache-Control", "max-age=60")], &format!("{} {host}{}", seen.number, seen.target));
    })
}

/// Waits for what has no event of its own.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds() {
        assert!(begun.elapsed() < 2 * common::PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// How many bytes of memory, and how many descriptors, the server has.
fn costs(oust: &Oust) -> (u64, usize) {
    let status = std::fs::read_to_string(format!("/proc/{}/status", oust.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kib = line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap();
    (kib * 1024, std::fs::read_dir(format!("/proc/{}/fd", oust.child.id())).unwrap().count())
}

/// After an attack: connections and descriptors are given back, others are served, memory has not grown by more than `bytes`.
fn is_as_before(oust: &Oust, before: (u64, usize), bytes: u64) {
    until("connections end", || oust.api("GET", "/v1/stats", "").json()["connections"]["open"] == 0);
    until("descriptors are given back", || costs(oust).1 <= before.1 + 1);
    assert_eq!(oust.get("/after").status, 200);
    let grown = costs(oust).0.saturating_sub(before.0);
    assert!(grown < bytes, "{grown} bytes more");
}
