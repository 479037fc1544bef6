//! Requests whose end is in doubt: each is refused, its connection ends, and nothing of it reaches an origin.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;

use common::{Origin, Oust, PATIENCE};

/// All that a server says to `bytes` until it closes.
fn answers(oust: &Oust, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(oust.listen).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut all = Vec::new();
    // A reset after the answer is an end too.
    drop(stream.read_to_end(&mut all));
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn what_recipients_read_differently_is_refused_and_ends_the_connection() {
    let origin = Origin::start(|_, reply| reply.send(200, &[], "never"));
    let oust = Oust::before(&origin);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\n";
    let heads = [
        ("two-lengths", "Host: h.test\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n"),
        ("two-lengths", "Host: h.test\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n"),
        ("content-length", "Host: h.test\r\nContent-Length: 6\r\nContent-Length: 5\r\n"),
        ("content-length", "Host: h.test\r\nContent-Length: 5, 5\r\n"),
        ("transfer-encoding", "Host: h.test\r\nTransfer-Encoding: gzip, chunked\r\n"),
        ("transfer-encoding", "Host: h.test\r\nTransfer-Encoding: chunked, chunked\r\n"),
        ("transfer-encoding", "Host: h.test\r\nTransfer-Encoding: xchunked\r\n"),
        ("obs-fold", "Host: h.test\r\nX: 1\r\n Transfer-Encoding: chunked\r\n"),
        ("field-name", "Host: h.test\r\nTransfer-Encoding : chunked\r\n"),
        ("bare-lf", "Host: h.test\nTransfer-Encoding: chunked\r\n"),
        ("bare-lf", "Host: h.test\r\nX: 1\nTransfer-Encoding: chunked\r\n"),
    ];
    for (index, (reason, fields)) in heads.into_iter().enumerate() {
        let text = format!("POST /{index} HTTP/1.1\r\n{fields}\r\n0\r\n\r\n{smuggled}");
        let said = answers(&oust, text.as_bytes());
        assert!(said.starts_with("HTTP/1.1 400 "), "{fields:?}: {said}");
        assert_eq!(said.matches("HTTP/1.").count(), 1, "{fields:?}: {said}");
        let refused = oust.api("GET", "/v1/stats", "").json()["refused"].clone();
        assert!(refused[reason].as_u64() > Some(0), "{reason}: {refused}");
    }
    let said =
        answers(&oust, format!("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}").as_bytes());
    assert!(said.starts_with("HTTP/1.") && said.contains(" 400 "), "{said}");
    assert_eq!(said.matches("HTTP/1.").count(), 1);
    for (target, host) in [
        ("http://h.test/", "other.test"),
        ("http://h.test/", "h.test:81"),
        ("/", ""),
        ("/", "h.test/x"),
        ("/", "h.test:port"),
        ("/", "a b"),
        ("/", "h.test, other.test"),
    ] {
        let said = answers(&oust, format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n{smuggled}").as_bytes());
        assert!(said.starts_with("HTTP/1.1 400 "), "{target} {host:?}: {said}");
        assert_eq!(said.matches("HTTP/1.").count(), 1, "{target} {host:?}: {said}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn what_was_asked_before_is_answered_before() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    let good = "GET /p HTTP/1.1\r\nHost: h.test\r\n\r\n";
    let bad = "POST / HTTP/1.1\r\nHost: h.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let said = answers(&oust, format!("{good}{good}{bad}{good}").as_bytes());
    let statuses: Vec<_> = said.split("HTTP/1.1 ").skip(1).map(|part| part.get(..3).unwrap_or_default()).collect();
    assert_eq!(statuses, ["200", "200", "400"], "{said}");
}

#[test]
fn pipelined_requests_are_answered_in_order_and_their_bodies_kept_apart() {
    let origin = Origin::start(|seen, reply| {
        let body = String::from_utf8_lossy(&seen.body);
        reply.send(200, &[], &format!("<{} {body}>", seen.target));
    });
    let oust = Oust::before(&origin);
    let mut text = String::new();
    for number in 0..20 {
        text += &match number % 3 {
            0 => format!("GET /{number} HTTP/1.1\r\nHost: h.test\r\n\r\n"),
            1 => format!("POST /{number} HTTP/1.1\r\nHost: h.test\r\nContent-Length: 4\r\n\r\nGET "),
            _ => format!(
                "POST /{number} HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nGE\r\n2\r\nT \r\n0\r\nT: 1\r\n\r\n"
            ),
        };
    }
    text += "GET /last HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n";
    let said = answers(&oust, text.as_bytes());
    let bodies: Vec<_> = said.match_indices('<').map(|(at, _)| said[at..].split('>').next().unwrap()).collect();
    let wanted: Vec<_> =
        (0..20).map(|number| format!("</{number} {}", if number % 3 == 0 { "" } else { "GET " })).collect();
    assert_eq!(bodies[..20], wanted, "{said}");
    assert_eq!(bodies[20], "</last ");
}

#[test]
fn heads_have_a_largest_size() {
    let origin = Origin::versions();
    let oust = Oust::before(&origin);
    let long = format!("GET /p HTTP/1.1\r\nHost: h.test\r\nX: {}\r\n\r\n", "x".repeat(40_000));
    assert!(answers(&oust, long.as_bytes()).starts_with("HTTP/1.1 431 "));
    let endless = format!("GET /p HTTP/1.1\r\nHost: h.test\r\nX: {}", "x".repeat(100_000));
    let said = answers(&oust, endless.as_bytes());
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 4"), "{said}");
    let many = format!("GET /p HTTP/1.1\r\nHost: h.test\r\n{}\r\n", "X: 1\r\n".repeat(200));
    assert!(answers(&oust, many.as_bytes()).starts_with("HTTP/1.1 431 "));
    assert_eq!(origin.count(), 0);
    assert_eq!(oust.get("/p").status, 200);
}
