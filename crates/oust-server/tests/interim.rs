//! Interim answers of origins (1xx, RFC 9110 15.2) on their way to clients, byte by byte.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use common::{Origin, Oust, PATIENCE, Reply, gate, request};

const FRESH: (&str, &str) = ("Cache-Control", "max-age=60");
const EARLY: &[u8] = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\r\n";

/// A connection to the server, read as it comes.
struct Wire(BufReader<TcpStream>);

impl Wire {
    fn to(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self(BufReader::new(stream))
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    fn get(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: h.test\r\n\r\n"));
    }

    /// The next head: its status and its lines.
    fn head(&mut self) -> (u16, Vec<String>) {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the connection ended after {lines:?}");
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                let status = lines.first().and_then(|first: &String| first.split(' ').nth(1)?.parse().ok());
                return (status.unwrap_or_else(|| panic!("no status line: {lines:?}")), lines);
            }
            lines.push(line);
        }
    }

    /// The next answer that is final: the statuses before it, its own, its body.
    fn answer(&mut self) -> (Vec<u16>, u16, Vec<u8>) {
        let mut before = Vec::new();
        loop {
            let (status, lines) = self.head();
            if status < 200 {
                before.push(status);
                continue;
            }
            let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.expect("a length")];
            self.0.read_exact(&mut body).unwrap();
            return (before, status, body);
        }
    }

    fn is_silent(&mut self) -> bool {
        self.0.get_ref().set_nonblocking(true).unwrap();
        let silent = self.0.fill_buf().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock);
        self.0.get_ref().set_nonblocking(false).unwrap();
        silent
    }
}

#[test]
fn they_come_before_the_answer_is_there_and_only_to_who_leads() {
    let (gate, held) = gate();
    let origin = Origin::start(move |_, reply| {
        reply.write(b"HTTP/1.1 102 Processing\r\n\r\n");
        reply.write(EARLY);
        held.hold();
        reply.send(200, &[FRESH], "body");
    });
    let oust = Oust::before(&origin);
    let mut leads = Wire::to(oust.listen);
    leads.get("/p");
    gate.arrived();
    assert_eq!(leads.head().0, 102);
    let (status, lines) = leads.head();
    assert_eq!((status, lines[0].as_str()), (103, "HTTP/1.1 103 Early Hints"));
    assert!(lines.contains(&"link: </a.css>".to_owned()) && lines.contains(&"via: 1.1 oust".to_owned()), "{lines:?}");
    assert!(!lines.iter().any(|line| line.starts_with("x-hop") || line.starts_with("connection")), "{lines:?}");
    let mut joins = Wire::to(oust.listen);
    joins.get("/p");
    gate.release();
    assert_eq!(leads.answer(), (vec![], 200, b"body".to_vec()));
    assert_eq!(joins.answer(), (vec![], 200, b"body".to_vec()));
    // A hit on the connection that was told something, kept alive.
    leads.get("/p");
    let (status, lines) = leads.head();
    assert_eq!(status, 200);
    assert!(!lines.iter().any(|line| line.starts_with("link")), "nothing of it is stored: {lines:?}");
    assert_eq!(origin.count(), 1);
}

#[test]
fn they_come_with_an_answer_that_is_there_at_once_and_with_what_is_passed_on() {
    let origin = Origin::start(|seen, reply| {
        let mut all = b"HTTP/1.1 100 Continue\r\n\r\n".to_vec();
        all.extend_from_slice(EARLY);
        all.extend_from_slice(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", seen.method.len()).as_bytes());
        all.extend_from_slice(seen.method.as_bytes());
        reply.write(&all);
    });
    let oust = Oust::before(&origin);
    let mut wire = Wire::to(oust.listen);
    for _ in 0..2 {
        wire.get("/p");
        assert_eq!(wire.answer(), (vec![103], 200, b"GET".to_vec()));
        wire.send("POST /p HTTP/1.1\r\nHost: h.test\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(wire.answer(), (vec![103], 200, b"POST".to_vec()), "no 100 to who expects none");
        wire.send("GET /p HTTP/1.1\r\nHost: h.test\r\nCache-Control: no-store\r\n\r\n");
        assert_eq!(wire.answer(), (vec![103], 200, b"GET".to_vec()));
    }
}

#[test]
fn they_stand_between_pipelined_answers() {
    const BODY: usize = 3 << 20;
    let origin = Origin::start(|seen, reply| {
        reply.write(EARLY);
        let letter = seen.target.chars().next_back().unwrap().to_string();
        reply.send(200, &[FRESH], &letter.repeat(BODY));
    });
    let oust = Oust::before(&origin);
    let mut wire = Wire::to(oust.listen);
    let paths = ["/a", "/b", "/a", "/c"];
    // Nothing is read before all is asked for: large bodies are under way, more than sockets hold.
    paths.iter().for_each(|path| wire.get(path));
    for (path, before) in paths.iter().zip([vec![103], vec![103], vec![], vec![103]]) {
        let (told, status, body) = wire.answer();
        assert_eq!((told, status, body.len()), (before, 200, BODY), "{path}");
        assert!(body.iter().all(|&byte| byte == path.as_bytes()[1]), "{path}: nothing stands within a body");
    }
}

#[test]
fn clients_of_http_1_0_get_none() {
    let origin = Origin::start(|_, reply| {
        reply.write(EARLY);
        reply.send(200, &[FRESH], "body");
    });
    let oust = Oust::before(&origin);
    let mut wire = Wire::to(oust.listen);
    wire.send("GET /p HTTP/1.0\r\nHost: h.test\r\n\r\n");
    assert_eq!(wire.answer(), (vec![], 200, b"body".to_vec()));
}

#[test]
fn an_origin_that_sends_them_without_end_is_left() {
    let origin = Origin::start(|seen, reply| {
        if seen.target == "/p" {
            (0..1000).for_each(|_| reply.write(EARLY));
        }
        reply.send(200, &[FRESH], "body");
    });
    let oust = Oust::before(&origin);
    let mut wire = Wire::to(oust.listen);
    wire.get("/p");
    let (before, status, _) = wire.answer();
    assert_eq!(status, 502);
    assert!(before.len() <= 16 && before.iter().all(|&status| status == 103), "{before:?}");
    // The connection is as good as before.
    wire.get("/q");
    assert_eq!(wire.answer(), (vec![], 200, b"body".to_vec()));
}

#[test]
fn what_comes_for_a_request_that_is_answered_is_not_told_to_the_next() {
    let (first, held_first) = gate();
    let (second, held_second) = gate();
    let hold = move |seen: &common::Seen, reply: &mut Reply| match seen.number {
        0 => reply.send(200, &[("Cache-Control", "max-age=0, stale-while-revalidate=60")], "old"),
        1 => {
            held_first.hold();
            reply.write(b"HTTP/1.1 103 Early Hints\r\nLink: </behind>\r\n\r\n");
            reply.send(200, &[FRESH], "new");
        }
        _ => {
            held_second.hold();
            reply.write(b"HTTP/1.1 102 Processing\r\n\r\n");
            reply.send(200, &[FRESH], "other");
        }
    };
    let origin = Origin::start(hold);
    let oust = Oust::before(&origin);
    oust.get("/p");
    let mut wire = Wire::to(oust.listen);
    // Served stale at once; the connection's own request has begun a fetch that goes on.
    wire.get("/p");
    assert_eq!(wire.answer(), (vec![], 200, b"old".to_vec()));
    first.arrived();
    wire.get("/other");
    second.arrived();
    first.release();
    // Once what it fetched is there, all that the fetch behind had to say was heard.
    while request(oust.listen, "GET", "/p", &[], b"").text() != "new" {
        std::thread::yield_now();
    }
    assert!(wire.is_silent());
    second.release();
    assert_eq!(wire.answer(), (vec![102], 200, b"other".to_vec()));
}

#[test]
fn a_client_that_goes_away_keeps_nobody_from_the_answer() {
    let (gate, held) = gate();
    let origin = Origin::start(move |_, reply| {
        held.hold();
        reply.write(EARLY);
        reply.send(200, &[FRESH], "body");
    });
    let oust = Oust::before(&origin);
    let mut gone = Wire::to(oust.listen);
    gone.get("/p");
    gate.arrived();
    drop(gone);
    gate.release();
    assert_eq!(oust.get("/p").text(), "body");
    assert_eq!(origin.count(), 1);
}
