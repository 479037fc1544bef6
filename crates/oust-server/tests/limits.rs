//! Limits on time and size.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Origin, Oust, PATIENCE, gate};

fn config(server: &str, origin: &Origin) -> String {
    format!("[server]\n{server}\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n", origin.url())
}

fn connect(oust: &Oust) -> TcpStream {
    let stream = TcpStream::connect(oust.listen).expect("a connection");
    stream.set_read_timeout(Some(PATIENCE)).expect("a connection");
    stream
}

#[test]
fn a_head_that_does_not_come_ends_the_connection() {
    let origin = Origin::versions();
    let oust = Oust::configured("header_timeout", &config("header_timeout = \"100ms\"", &origin));
    for sent in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: h.test\r\n"] {
        let mut stream = connect(&oust);
        stream.write_all(sent.as_bytes()).unwrap();
        let mut rest = Vec::new();
        // Closed, with or without a word.
        drop(stream.read_to_end(&mut rest));
        assert!(rest.is_empty() || rest.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&rest));
    }
    assert_eq!(oust.get("/p").status, 200);
}

#[test]
fn an_origin_that_does_not_answer_is_504() {
    let (gate, held) = gate();
    let origin = Origin::start(move |seen, reply| {
        if seen.target == "/body" {
            reply.begin(200, &[("Cache-Control", "max-age=60")], Some(10));
            reply.write(b"half.");
        }
        held.hold();
    });
    let oust = Oust::configured("body_timeout", &config("body_timeout = \"200ms\"", &origin));
    let answer = oust.get("/head");
    assert_eq!(answer.status, 504, "{}", answer.cache_status());
    assert!(answer.cache_status().contains("origin-timeout"), "{}", answer.cache_status());
    // A body that stops is cut off, so that nobody takes it for whole.
    let mut stream = connect(&oust);
    stream.write_all(b"GET /body HTTP/1.1\r\nHost: h.test\r\n\r\n").unwrap();
    let mut got = Vec::new();
    drop(stream.read_to_end(&mut got));
    assert!(got.ends_with(b"half."));
    assert_eq!(oust.api("GET", "/v1/stats", "").json()["edge"]["objects"], 0);
    drop(gate);
}

#[test]
fn connections_beyond_the_limit_wait() {
    let origin = Origin::versions();
    let oust = Oust::configured("max_connections", &config("max_connections = 1", &origin));
    let mut first = connect(&oust);
    first.write_all(b"GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n").unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).unwrap();
    let mut second = connect(&oust);
    second.write_all(b"GET /p HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n").unwrap();
    assert_eq!(oust.api("GET", "/v1/stats", "").json()["connections"]["total"], 1);
    drop(first);
    let mut got = String::new();
    second.read_to_string(&mut got).unwrap();
    assert!(got.starts_with("HTTP/1.1 200"), "{got}");
}

#[test]
fn what_is_too_large_passes_without_being_stored() {
    let origin = Origin::start(|seen, reply| {
        let length = (seen.target != "/chunked").then_some(3 << 20);
        if length.is_none() {
            reply.begin(200, &[("Cache-Control", "max-age=60"), ("Connection", "close")], None);
        } else {
            reply.begin(200, &[("Cache-Control", "max-age=60")], length);
        }
        for _ in 0..3 {
            reply.write(&vec![b'x'; 1 << 20]);
        }
        if length.is_none() {
            reply.end();
        }
    });
    let text = config("", &origin) + "[edge]\nsize = \"16MiB\"\nmax_object = \"2MiB\"\n";
    let oust = Oust::configured("too_large", &text);
    for path in ["/known", "/chunked"] {
        for _ in 0..2 {
            let answer = oust.get(path);
            assert_eq!(answer.body.len(), 3 << 20, "{path}");
            assert!(!answer.is_hit());
        }
    }
    let known = oust.get("/known");
    assert!(known.cache_status().contains("stored=?0; detail=too-large"), "{}", known.cache_status());
    // A URL no key can hold is answered all the same.
    let long = format!("/{}", "x".repeat(9000));
    assert_eq!(oust.get(&long).status, 200);
    assert!(oust.get(&long).cache_status().contains("fwd=bypass"));
}
