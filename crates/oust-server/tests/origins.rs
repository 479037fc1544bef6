//! Origins that misbehave, fail, come back, and are spoken to in other ways than plain HTTP/1.1.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Instant;

use common::http2::http2;
use common::scripted::{Scripted, certified};
use common::{Origin, Oust, PATIENCE, Response, behind, gate, request};

fn site(server: &str, urls: &[String], rules: &str) -> String {
    // Connections are kept by thread: with one, which is used next is no matter of chance.
    format!("[server]\nthreads = 1\n{server}\n[[site]]\nhosts = [\"*\"]\norigins = {urls:?}\n{rules}\n")
}

fn ask(oust: &Oust, method: &'static str, path: &str, body: &'static str) -> std::thread::JoinHandle<Response> {
    let (addr, path) = (oust.listen, path.to_owned());
    behind(move || request(addr, method, &path, &[], body.as_bytes()))
}

/// The value of a metric with this beginning.
fn metric(oust: &Oust, begins: &str) -> Option<String> {
    let text = oust.api("GET", "/metrics", "").text();
    text.lines().find(|line| line.starts_with(begins)).and_then(|line| line.rsplit(' ').next()).map(str::to_owned)
}

/// Waits for what has no event of its own.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// An address where nobody listens.
fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn descriptors(oust: &Oust) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", oust.child.id())).unwrap().count()
}

/// Everything the server sends on one connection.
fn all_of(oust: &Oust, path: &str) -> std::thread::JoinHandle<String> {
    let mut stream = TcpStream::connect(oust.listen).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n").unwrap();
    behind(move || {
        let mut bytes = Vec::new();
        // Cut off is what some of these tests are about.
        drop(stream.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

// ===== hostile origins =====

#[test]
fn hostile_answers_are_refused_and_leave_nothing_behind() {
    let origin = Origin::scripted();
    let oust = Oust::configured("hostile", &site("", &[origin.url()], "retries = 0"));
    // For those that are to take too long, and for no others.
    let rules = "retries = 0\nfirst_byte_timeout = \"200ms\"";
    let hasty = Oust::configured("hostile-hasty", &site("", &[origin.url()], rules));
    let warm = ask(&oust, "GET", "/warm", "");
    let mut wire = origin.accept();
    wire.request().unwrap();
    wire.reply(200, "Connection: close\r\n", "x");
    assert_eq!(warm.join().unwrap().status, 200);
    wire.ended();
    let before = descriptors(&oust);

    let huge = format!("HTTP/1.1 200 OK\r\nX-Big: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(100 << 10));
    let many = format!("HTTP/1.1 200 OK\r\n{}Content-Length: 0\r\n\r\n", "X-One: 1\r\n".repeat(300));
    let flood = "HTTP/1.1 103 Early Hints\r\n\r\n".repeat(100);
    let cases: [(&str, &str, u16, &str); 13] = [
        ("garbage", "\0\u{1}nothing of the kind\r\n\r\n", 502, "origin-nonsense"),
        ("huge field", &huge, 502, "origin-nonsense"),
        ("many fields", &many, 502, "origin-nonsense"),
        ("interim answers", &flood, 502, "origin-nonsense"),
        ("another protocol", "HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 502, "origin-nonsense"),
        (
            "two lengths by two means",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            502,
            "origin-nonsense",
        ),
        (
            "a coding",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            502,
            "origin-nonsense",
        ),
        ("two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc", 502, "origin-nonsense"),
        ("a negative length", "HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc", 502, "origin-nonsense"),
        ("304 out of the blue", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n", 502, "origin-nonsense"),
        ("half a head", "HTTP/1.1 200 OK\r\nX-A: ", 504, "origin-timeout"),
        ("nothing", "", 504, "origin-timeout"),
        ("version 0.9", "just text\r\n", 502, "origin-nonsense"),
    ];
    for (name, bytes, status, detail) in cases {
        let asked = if status == 504 { &hasty } else { &oust };
        let answer = ask(asked, "GET", &format!("/{}", name.replace(' ', "-")), "");
        let mut wire = origin.accept();
        wire.request().unwrap();
        wire.write(bytes.as_bytes());
        let answer = answer.join().unwrap();
        assert_eq!(answer.status, status, "{name}: {}", answer.cache_status());
        assert!(answer.cache_status().contains(detail), "{name}: {}", answer.cache_status());
        // 304 leaves a connection that is good for more.
        if !name.starts_with("304") {
            wire.ended();
        }
    }

    // A head without end.
    let answer = ask(&oust, "GET", "/endless", "");
    let mut wire = origin.accept();
    wire.request().unwrap();
    wire.write(b"HTTP/1.1 200 OK\r\n");
    while wire.write(b"X-More: and more of the same, and more of the same\r\n") {}
    let answer = answer.join().unwrap();
    assert_eq!((answer.status, answer.cache_status().contains("origin-nonsense")), (502, true));
    drop(wire);

    // Cut off before an answer.
    let answer = ask(&oust, "GET", "/reset", "");
    let mut wire = origin.accept();
    wire.request().unwrap();
    wire.reset();
    let answer = answer.join().unwrap();
    assert_eq!((answer.status, answer.cache_status().contains("origin-reset")), (502, true));
    until("descriptors are back", || descriptors(&oust) <= before);
}

#[test]
fn bodies_that_break_off_are_cut_off_and_not_stored() {
    let origin = Origin::scripted();
    let rules = "retries = 0\nfirst_byte_timeout = \"20s\"";
    let oust = Oust::configured("broken-bodies", &site("body_timeout = \"300ms\"", &[origin.url()], rules));
    let head = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n";
    for (rest, ends) in [
        ("Content-Length: 10\r\n\r\nabc", true),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", true),
        ("Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nno size\r\n", true),
        ("Content-Length: 10\r\n\r\nabc", false),
    ] {
        let answer = all_of(&oust, "/cut");
        let mut wire = origin.accept();
        wire.request().unwrap();
        wire.write(format!("{head}{rest}").as_bytes());
        let wire = if ends {
            wire.end();
            None
        } else {
            // It dribbles: what is left does not come.
            Some(wire)
        };
        let text = answer.join().unwrap();
        // The server ends the connection, at times before the head is out, or sees the end before it begins to answer.
        let answered = ["HTTP/1.1 200", "HTTP/1.1 502"].iter().any(|begin| text.starts_with(begin));
        assert!(text.is_empty() || answered, "{text}");
        assert!(!text.ends_with("0\r\n\r\n"), "a whole body: {text}");
        if let Some(wire) = wire {
            wire.ended();
        }
    }
    // Nothing of it was kept.
    let answer = ask(&oust, "GET", "/cut", "");
    let mut wire = origin.accept();
    wire.request().unwrap();
    wire.reply(200, "Connection: close\r\n", "whole");
    assert_eq!(answer.join().unwrap().text(), "whole");
}

// ===== retries =====

#[test]
fn a_dead_pooled_connection_costs_a_safe_request_nothing() {
    let origin = Origin::scripted();
    let oust = Oust::configured("dead-pooled", &site("", &[origin.url()], "retries = 0"));
    let first = ask(&oust, "GET", "/a", "");
    let mut wire = origin.accept();
    wire.request().unwrap();
    wire.reply(200, "", "a");
    assert_eq!(first.join().unwrap().text(), "a");

    let second = ask(&oust, "GET", "/b", "");
    assert_eq!(wire.request().unwrap().target, "/b", "the connection is used again");
    wire.end();
    let mut wire = origin.accept();
    assert_eq!(wire.request().unwrap().target, "/b");
    wire.reply(200, "", "b");
    assert_eq!(second.join().unwrap().text(), "b");

    // Who knows what a POST did that was on its way.
    let third = ask(&oust, "POST", "/c", "");
    assert_eq!(wire.request().unwrap().method, "POST");
    wire.end();
    let answer = third.join().unwrap();
    assert_eq!((answer.status, answer.cache_status().contains("origin-reset")), (502, true), "{answer:?}");
    assert!(origin.is_quiet(), "it was sent twice");
}

#[test]
fn a_safe_request_is_retried_so_often_and_an_unsafe_one_is_not() {
    let origin = Origin::scripted();
    let oust = Oust::configured("retried", &site("", &[origin.url()], "retries = 2"));
    let answer = ask(&oust, "GET", "/a", "");
    for _ in 0..3 {
        let mut wire = origin.accept();
        assert_eq!(wire.request().unwrap().target, "/a");
        wire.end();
    }
    let answer = answer.join().unwrap();
    assert_eq!((answer.status, answer.cache_status().contains("origin-reset")), (502, true), "{answer:?}");
    for method in ["DELETE", "PUT"] {
        let answer = ask(&oust, method, "/a", "");
        let mut wire = origin.accept();
        assert_eq!(wire.request().unwrap().method, method);
        wire.end();
        assert_eq!(answer.join().unwrap().status, 502);
    }
    assert!(origin.is_quiet());
    assert_eq!(metric(&oust, "oust_origin_retries_total").unwrap(), "2");
}

#[test]
fn an_origin_that_is_down_passes_its_turn_on_and_is_taken_out() {
    let live = Origin::start(|seen, reply| reply.send(200, &[("Cache-Control", "no-store")], &seen.method));
    let dead = nobody();
    let oust = Oust::configured("one-down", &site("", &[dead.clone(), live.url()], ""));
    for turn in 0..4 {
        // Bodies too: nothing of them was sent where nobody listened.
        for (method, body) in [("GET", ""), ("POST", "a body")] {
            let answer = request(oust.listen, method, &format!("/{turn}"), &[], body.as_bytes());
            assert_eq!((answer.status, answer.text().as_str()), (200, method), "{}", answer.cache_status());
        }
    }
    assert_eq!(live.count(), 8);
    assert!(live.seen().iter().all(|seen| seen.method == "GET" || seen.body == b"a body"));
    assert_eq!(metric(&oust, &format!("oust_origin_up{{site=\"*\",origin=\"{dead}\"}}")).unwrap(), "0");
    assert_eq!(metric(&oust, &format!("oust_origin_up{{site=\"*\",origin=\"{}\"}}", live.url())).unwrap(), "1");
}

#[test]
fn all_origins_out_are_all_asked() {
    let oust = Oust::configured("all-down", &site("", &[nobody(), nobody()], ""));
    for turn in 0..10 {
        let answer = oust.get(&format!("/{turn}"));
        assert_eq!((answer.status, answer.cache_status().contains("origin-down")), (502, true), "{answer:?}");
    }
    let text = oust.api("GET", "/metrics", "").text();
    let asked: Vec<u64> = text
        .lines()
        .filter(|line| line.starts_with("oust_origin_fetches_total") && line.contains("outcome=\"origin-down\""))
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(asked.iter().all(|&count| count >= 3), "{asked:?}");
}

// ===== health =====

#[test]
fn checks_take_an_origin_out_and_in_again() {
    let status = Arc::new(AtomicU16::new(200));
    let told = status.clone();
    let checked = Origin::start(move |seen, reply| match seen.target.as_str() {
        "/health" => reply.send(told.load(Ordering::SeqCst), &[], ""),
        _ => reply.send(200, &[("Cache-Control", "no-store")], "checked"),
    });
    let other = Origin::start(|_, reply| reply.send(200, &[("Cache-Control", "no-store")], "other"));
    let rules = "health = { path = \"/health\", interval = \"5ms\", timeout = \"2s\", unhealthy = 2, healthy = 2 }";
    let oust = Oust::configured("checked", &site("", &[checked.url(), other.url()], rules));
    let up = format!("oust_origin_up{{site=\"*\",origin=\"{}\"}}", checked.url());
    until("it is asked", || oust.get("/").text() == "checked");
    status.store(503, Ordering::SeqCst);
    until("checks find it down", || metric(&oust, &up).unwrap() == "0");
    for _ in 0..6 {
        assert_eq!(oust.get("/").text(), "other");
    }
    status.store(200, Ordering::SeqCst);
    until("checks find it up", || metric(&oust, &up).unwrap() == "1");
    until("it is asked again", || oust.get("/").text() == "checked");
    assert!(checked.seen().iter().any(|seen| seen.header("user-agent") == Some("oust-health")));
}

// ===== the cap =====

#[test]
fn h22_fetches_are_capped_and_wait_in_a_bounded_queue() {
    let (gate, held) = gate();
    let origin = Origin::start(move |seen, reply| {
        if seen.target == "/first" {
            held.hold();
        }
        reply.send(200, &[], &seen.target);
    });
    let oust = Oust::configured("capped", &site("", &[origin.url()], "max_fetches = 1"));
    let first = ask(&oust, "GET", "/first", "");
    gate.arrived();
    let waiting: Vec<_> = (0..16).map(|number| ask(&oust, "GET", &format!("/{number}"), "")).collect();
    until("they wait", || metric(&oust, "oust_site_fetches_waiting").unwrap() == "16");
    let refused = oust.get("/beyond");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{refused:?}");
    assert!(refused.cache_status().contains("origin-busy"), "{}", refused.cache_status());
    assert_eq!(origin.count(), 1);
    gate.release();
    assert_eq!(first.join().unwrap().status, 200);
    for (number, answer) in waiting.into_iter().enumerate() {
        assert_eq!(answer.join().unwrap().text(), format!("/{number}"));
    }
    assert_eq!(metric(&oust, "oust_site_fetches_waiting").unwrap(), "0");
}

// ===== TLS and HTTP/2 =====

#[test]
fn tls_origins_have_to_be_who_they_are_asked_as() {
    let made = certified(&["localhost"]);
    let file = made.file("tls-origins");
    let serve = |protocols: &[&str]| -> Scripted { Origin::scripted_tls(made.server(protocols)) };
    for (host, rules, good) in [
        ("localhost", format!("origin_ca = {file:?}"), true),
        ("127.0.0.1", format!("origin_ca = {file:?}\norigin_sni = \"localhost\""), true),
        ("127.0.0.1", format!("origin_ca = {file:?}"), false),
        ("localhost", format!("origin_ca = {file:?}\norigin_sni = \"other.example\""), false),
        ("localhost", String::new(), false),
    ] {
        let origin = serve(&["http/1.1"]);
        let url = format!("https://{host}:{}", origin.addr.port());
        let oust = Oust::configured("tls", &site("", &[url], &rules));
        let answer = ask(&oust, "GET", "/", "");
        let mut wire = origin.accept();
        let seen = wire.request();
        assert_eq!(seen.is_some(), good, "{host} {rules}");
        if good {
            assert_eq!(seen.unwrap().header("host"), Some("h.test"));
            wire.reply(200, "", "secret");
        }
        let answer = answer.join().unwrap();
        if good {
            assert_eq!((answer.status, answer.text().as_str()), (200, "secret"));
        } else {
            assert_eq!((answer.status, answer.cache_status().contains("origin-tls")), (502, true), "{answer:?}");
        }
    }
}

#[test]
fn an_origin_that_does_not_shake_hands_is_given_up() {
    let origin = Origin::scripted();
    let url = format!("https://{}", origin.addr);
    let oust = Oust::configured("no-handshake", &site("", &[url], "connect_timeout = \"100ms\""));
    let answer = ask(&oust, "GET", "/", "");
    let wire = origin.accept();
    let answer = answer.join().unwrap();
    assert_eq!(answer.status, 504, "{answer:?}");
    assert!(answer.cache_status().contains("origin-connect-timeout"), "{}", answer.cache_status());
    wire.ended();
}

#[test]
fn http2_is_spoken_where_tls_agrees_on_it() {
    let made = certified(&["origin.example"]);
    let ca = made.file("http2-origins");
    for (mode, version) in [("auto", "HTTP/2.0"), ("always", "HTTP/2.0")] {
        let origin = http2(Some(made.server(&["h2", "http/1.1"])));
        let rules = format!("origin_ca = {ca:?}\norigin_sni = \"origin.example\"\norigin_http2 = \"{mode}\"");
        let oust = Oust::configured(&format!("h2-{mode}"), &site("", &[format!("https://{}", origin.addr)], &rules));
        for path in ["/a", "/b", "/c"] {
            let answer = oust.get(path);
            assert_eq!(answer.text(), format!("{version} GET https://h.test{path} hosts=0"), "{answer:?}");
        }
        assert_eq!(origin.connections.load(Ordering::SeqCst), 1, "one connection for all of a thread");
        assert_eq!(*origin.names.lock().unwrap(), [Some("origin.example".to_owned())]);
        assert!(oust.get("/a").is_hit());
    }
    // What offers HTTP/1.1 only.
    let origin = Origin::scripted_tls(made.server(&["http/1.1"]));
    let rules = format!("origin_ca = {ca:?}\norigin_sni = \"origin.example\"\norigin_http2 = \"always\"");
    let oust = Oust::configured("h2-missing", &site("", &[origin.url()], &rules));
    let answer = ask(&oust, "GET", "/", "");
    let mut wire = origin.accept();
    assert!(wire.request().is_none());
    assert!(answer.join().unwrap().cache_status().contains("origin-tls"));
}

#[test]
fn http2_without_tls_is_for_who_asks_for_it() {
    let origin = http2(None);
    let url = format!("http://{}", origin.addr);
    let oust = Oust::configured("h2c", &site("", std::slice::from_ref(&url), "origin_http2 = \"always\""));
    let together: Vec<_> = (0..8).map(|number| ask(&oust, "GET", &format!("/{number}"), "")).collect();
    for (number, answer) in together.into_iter().enumerate() {
        let text = answer.join().unwrap().text();
        assert_eq!(text, format!("HTTP/2.0 GET http://h.test/{number} hosts=0"));
    }
    assert_eq!(origin.connections.load(Ordering::SeqCst), 1, "one connection for all of a thread");
    let posted = ask(&oust, "POST", "/p", "a body").join().unwrap();
    assert_eq!(posted.text(), "HTTP/2.0 POST http://h.test/p hosts=0");
    let garbage = Origin::scripted();
    let oust = Oust::configured("h2c-garbage", &site("", &[garbage.url()], "origin_http2 = \"always\"\nretries = 0"));
    let answer = ask(&oust, "GET", "/", "");
    let mut wire = garbage.accept();
    wire.write(b"HTTP/1.1 400 What?\r\nContent-Length: 0\r\n\r\n");
    let answer = answer.join().unwrap();
    assert_eq!(answer.status, 502, "{answer:?}");
    wire.ended();
}
