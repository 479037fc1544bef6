//! Many connections at once: what each costs, and that nothing of it is left when they are gone.
//!
//! With `OUST_CROWD=full` 10,000 idle connections and 1,000 slow clients; a tenth of them else.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Origin, Oust, PATIENCE};

/// Memory of the process that is in use, in bytes.
fn resident(oust: &Oust) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", oust.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn count(oust: &Oust, what: &str) -> usize {
    std::fs::read_dir(format!("/proc/{}/{what}", oust.child.id())).unwrap().count()
}

fn open(oust: &Oust) -> u64 {
    oust.api("GET", "/v1/stats", "").json()["connections"]["open"].as_u64().unwrap()
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed() < 3 * PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_crowd_costs_little_and_leaves_nothing() {
    let full = std::env::var("OUST_CROWD").is_ok_and(|size| size == "full");
    let (idle, slow) = if full { (10_000, 1_000) } else { (400, 50) };
    let origin = Origin::versions();
    let config = format!(
        "[server]\nmax_connections = 20000\nheader_timeout = \"600s\"\nkeep_alive_timeout = \"600s\"\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n",
        origin.url()
    );
    let oust = Oust::configured("crowd", &config);
    for _ in 0..4 {
        oust.get("/p");
    }
    wait_until("the first have ended", || open(&oust) == 0);
    let (memory, files, threads) = (resident(&oust), count(&oust, "fd"), count(&oust, "task"));

    let mut crowd: Vec<TcpStream> = Vec::new();
    for number in 0..idle + slow {
        let mut stream = TcpStream::connect(oust.listen).expect("a connection");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let text: &[u8] = if number < idle { b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n" } else { b"GET /p HT" };
        stream.write_all(text).unwrap();
        crowd.push(stream);
    }
    for stream in crowd.iter_mut().take(idle) {
        // Answered once, then idle.
        let mut got = Vec::new();
        while !got.ends_with(b"version 1") {
            let mut part = [0; 1024];
            let read = stream.read(&mut part).unwrap();
            assert!(read > 0);
            got.extend_from_slice(&part[..read]);
        }
    }
    let all = u64::try_from(idle + slow).unwrap();
    wait_until("all are open", || open(&oust) == all);
    let each = resident(&oust).saturating_sub(memory) / all;
    eprintln!("{all} connections: {each} bytes each, {} descriptors more", count(&oust, "fd") - files);
    assert!(each < 48 << 10, "{each} bytes for each connection");
    assert_eq!(count(&oust, "task"), threads, "connections have no threads");

    // Slow ones end when they go on, idle ones are still of use.
    for stream in crowd.iter_mut().skip(idle) {
        stream.write_all(b"TP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n").unwrap();
    }
    for stream in crowd.iter_mut().skip(idle) {
        let mut got = String::new();
        stream.read_to_string(&mut got).unwrap();
        assert!(got.starts_with("HTTP/1.1 200"), "{got}");
    }
    drop(crowd);
    wait_until("all are gone", || open(&oust) == 0);
    wait_until("descriptors are given back", || count(&oust, "fd") <= files);
    assert_eq!(oust.get("/p").status, 200);
}

#[test]
fn threads_share_an_address_and_other_processes_do_not() {
    let origin = Origin::versions();
    let oust = Oust::serve(&["--origin", &origin.url(), "--threads", "4", "--listen", "[::1]:0"]);
    for _ in 0..40 {
        assert_eq!(oust.get("/p").status, 200);
    }
    let names: Vec<String> = std::fs::read_dir(format!("/proc/{}/task", oust.child.id()))
        .unwrap()
        .filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok())
        .collect();
    for index in 0..4 {
        assert!(names.iter().any(|name| name.trim() == format!("oust-{index}")), "{names:?}");
    }
    let taken = oust.listen.to_string();
    let (code, _, said) =
        common::run(&["serve", "--origin", &origin.url(), "--listen", &taken, "--admin", "127.0.0.1:0"], b"");
    assert_eq!(code, 1, "{said}");
}
