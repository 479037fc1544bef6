//! Floods and clients that take their time: bounded memory, bounded time, nothing left behind. Heads, resets of streams, idle and stuck clients and the
//! number of connections are in `framing.rs`, `front.rs`, `limits.rs` and `crowd.rs`.

use std::io::{Read, Write};

use super::common::{Origin, Oust, PATIENCE, gate};
use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, End, HEADERS, PING, SETTINGS, block, end_of, frame, get, preface, send,
};
use super::wire::{all, plain, rest, statuses};
use super::{costs, echo, is_as_before, serve, until};

/// More than any of these attacks may cost, and less than what each sends or asks for.
const ROOM: u64 = 24 << 20;

/// Writes until the server ends the connection; it must before `most` bytes are gone.
fn pour(oust: &Oust, first: &[u8], again: &[u8], most: usize) {
    let mut stream = plain(oust.listen);
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(first).unwrap();
    let mut sent = 0;
    while stream.write_all(again).is_ok() {
        sent += again.len();
        assert!(sent < most, "{sent} bytes were taken");
    }
}

#[test]
fn a_head_in_endless_continuations_is_cut() {
    let origin = echo();
    let oust = serve("continuations", "", &origin.url());
    oust.get("/warm");
    let before = costs(&oust);
    let first = [preface(), frame(HEADERS, END_STREAM, 1, &get(b"/x", &[]))].concat();
    let more = block(&[(b"x-more", &[b'y'; 1000])]);
    // With fields, and with nothing at all (CVE-2024-27316).
    for part in [frame(CONTINUATION, 0, 1, &more), frame(CONTINUATION, 0, 1, b"").repeat(1000)] {
        pour(&oust, &first, &part, 64 << 20);
    }
    assert_eq!(origin.count(), 1);
    is_as_before(&oust, before, ROOM);
}

#[test]
fn pings_settings_and_empty_frames_without_end_are_not_answered_without_end() {
    let origin = echo();
    let oust = serve("pings", "body_timeout = \"300ms\"\nheader_timeout = \"300ms\"", &origin.url());
    oust.get("/warm");
    let before = costs(&oust);
    // Answers to these are never read: the server stops to read, and then ends it.
    for flood in [frame(PING, 0, 0, &[0; 8]), frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])] {
        pour(&oust, &preface(), &flood.repeat(1000), 1 << 30);
    }
    is_as_before(&oust, before, ROOM);
    // Those that ask for no answer: within a body, and of a stream that is no more.
    let post = block(&[(b":method", b"POST"), (b":scheme", b"http"), (b":authority", b"h.test"), (b":path", b"/x")]);
    let open = [preface(), frame(HEADERS, END_HEADERS, 1, &post)].concat();
    let mut stream = plain(oust.listen);
    stream.write_all(&open).unwrap();
    for _ in 0..100 {
        if stream.write_all(&frame(DATA, 0, 1, b"").repeat(100)).is_err() {
            break;
        }
    }
    drop(stream.write_all(&frame(DATA, END_STREAM, 1, b"")));
    let end = end_of(&mut stream, 1);
    assert!(matches!(end, End::Answer(200, _) | End::GoAway(_) | End::Closed), "{end:?}");
    drop(stream);
    is_as_before(&oust, before, ROOM);
}

/// HPACK: one long field in the table, named again and again by one byte each.
#[test]
fn a_head_that_unpacks_to_more_than_may_be_is_refused() {
    let origin = echo();
    let oust = serve("hpack", "", &origin.url());
    oust.get("/warm");
    let before = costs(&oust);
    let ask = |times: usize| {
        let mut block = get(b"/x", &[]);
        // With incremental indexing: a name of one byte, a value of 4,000.
        block.extend([0x40, 1, b'a', 127, 0xa1, 0x1e]);
        block.extend(vec![b'b'; 127 + 0x21 + (0x1e << 7)]);
        block.extend(vec![0x80 | 62; times]);
        send(plain(oust.listen), &[preface(), frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)].concat())
    };
    // A few times is no bomb.
    assert_eq!(ask(3).status(), Some(200));
    let end = ask(10_000);
    assert!(end.is_refusal(), "{end:?}");
    assert_eq!(origin.count(), 2);
    is_as_before(&oust, before, ROOM);
}

#[test]
fn heads_over_http2_have_a_largest_size_too() {
    let origin = echo();
    let oust = serve("http2_heads", "", &origin.url());
    let value = vec![b'x'; 1000];
    let many: Vec<(&[u8], &[u8])> = (0..60).map(|_| (&b"x"[..], &value[..])).collect();
    let tiny: Vec<(&[u8], &[u8])> = (0..5000).map(|_| (&b"x"[..], &b"y"[..])).collect();
    let long = [b"/".to_vec(), vec![b'p'; 60_000]].concat();
    for (name, block) in [("large", get(b"/x", &many)), ("many", get(b"/x", &tiny)), ("long path", get(&long, &[]))] {
        let mut bytes = preface();
        let mut parts = block.chunks(16 << 10).peekable();
        let mut kind = HEADERS;
        while let Some(part) = parts.next() {
            let last = if parts.peek().is_none() { END_HEADERS } else { 0 };
            bytes.extend(frame(kind, last | if kind == HEADERS { END_STREAM } else { 0 }, 1, part));
            kind = CONTINUATION;
        }
        let end = send(plain(oust.listen), &bytes);
        assert!(end.is_refusal(), "{name}: {end:?}");
    }
    assert_eq!(origin.count(), 0);
}

/// A head that comes byte by byte has no more time than one that does not come.
#[test]
fn a_head_that_dribbles_is_cut() {
    let origin = echo();
    let oust = serve("dribble", "header_timeout = \"150ms\"", &origin.url());
    oust.get("/warm");
    let before = costs(&oust);
    let http2 = [preface(), vec![0, 0x40, 0, CONTINUATION]].concat();
    for begin in [&b"GET / HTTP/1.1\r\nX: "[..], &http2] {
        let mut stream = plain(oust.listen);
        stream.write_all(begin).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_millis(5))).unwrap();
        let begun = std::time::Instant::now();
        loop {
            assert!(begun.elapsed() < PATIENCE, "still open");
            if stream.write_all(b"x").is_err() {
                break;
            }
            match stream.read(&mut [0; 512]) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
    }
    is_as_before(&oust, before, ROOM);
}

/// A body that does not come ends its connection, and the one to the origin that waits for it.
#[test]
fn a_body_that_does_not_come_is_given_up_at_both_ends() {
    let origin = Origin::scripted();
    let oust = serve("slow_body", "body_timeout = \"200ms\"", &origin.url());
    let before = costs(&oust);
    let mut stream = plain(oust.listen);
    stream.write_all(b"POST /x HTTP/1.1\r\nHost: h.test\r\nContent-Length: 10\r\n\r\nhalf.").unwrap();
    let wire = origin.accept();
    let said = rest(stream);
    assert!(statuses(&said).iter().all(|&status| status >= 400), "{}", String::from_utf8_lossy(&said));
    wire.ended();
    until("all is given back", || costs(&oust).1 <= before.1);
}

/// A window of nothing: the answer is not taken, its stream holds no more than a bound, and its connection ends.
#[test]
fn a_window_that_is_never_opened_holds_little_and_not_for_ever() {
    let origin = Origin::start(|_, reply| {
        reply.begin(200, &[("Cache-Control", "max-age=60")], Some(8 << 20));
        reply.write(&vec![b'x'; 8 << 20]);
    });
    let oust = serve("window", "body_timeout = \"200ms\"", &origin.url());
    oust.get("/big");
    oust.get("/big");
    let before = costs(&oust);
    let mut crowd = Vec::new();
    for _ in 0..8 {
        let mut stream = plain(oust.listen);
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        // INITIAL_WINDOW_SIZE 0.
        bytes.extend(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
        for stream in 0..50 {
            bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * stream + 1, &get(b"/big", &[])));
        }
        stream.write_all(&bytes).unwrap();
        crowd.push(stream);
    }
    // 400 answers of 8 MiB.
    for stream in crowd {
        rest(stream);
    }
    is_as_before(&oust, before, 2 * ROOM);
}

/// A slow origin holds who asked it, nobody else; and no more of its requests than are asked.
#[test]
fn a_slow_origin_keeps_no_other_waiting() {
    let (gate, held) = gate();
    let origin = Origin::start(move |seen, reply| {
        if seen.target == "/slow" {
            held.hold();
        }
        reply.send(200, &[("Cache-Control", "max-age=60")], &seen.target);
    });
    let oust = serve("slow_origin", "", &origin.url());
    let mut crowd: Vec<_> = (0..50)
        .map(|_| {
            let mut stream = plain(oust.listen);
            stream.write_all(b"GET /slow HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n").unwrap();
            stream
        })
        .collect();
    gate.arrived();
    assert_eq!(oust.get("/quick").text(), "/quick");
    assert!(oust.get("/quick").is_hit());
    gate.release();
    for stream in crowd.drain(..) {
        assert!(rest(stream).ends_with(b"/slow"));
    }
    assert_eq!(origin.seen().iter().filter(|seen| seen.target == "/slow").count(), 1);
}

/// URLs and fields of any length, many times: what is too long is told so, and nothing of it stays.
#[test]
fn long_urls_and_fields_leave_nothing() {
    let origin = echo();
    let oust = serve("long", "", &origin.url());
    oust.get("/warm");
    let before = costs(&oust);
    for round in 0..50 {
        for (path, field) in [(31 << 10, 1), (40 << 10, 1), (1, 31 << 10), (1, 40 << 10), (200 << 10, 1)] {
            let text = format!(
                "GET /{} HTTP/1.1\r\nHost: h.test\r\nX-Long: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
                "p".repeat(path),
                "f".repeat(field)
            );
            let found = statuses(&all(plain(oust.listen), text.as_bytes()));
            assert!(found.iter().all(|&status| status == 200 || (400..500).contains(&status)), "{round}: {found:?}");
        }
    }
    is_as_before(&oust, before, ROOM);
}
