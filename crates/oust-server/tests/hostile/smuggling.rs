//! HTTP/1.1 requests whose end, line or target is read differently by different recipients. What `framing.rs` shows is not repeated; here are the
//! named attacks, by TLS too.

use std::sync::{Arc, Mutex};

use super::common::{Origin, Oust, Seen};
use super::wire::{all, certificate, plain, statuses, tls, tls_addr};
use super::{echo, serve};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\n";

/// Requests that end their connection with one 400, nothing of which reaches an origin.
fn in_doubt() -> Vec<(&'static str, String)> {
    let post = |name, fields: &str, body: &str| {
        (name, format!("POST /x HTTP/1.1\r\nHost: h.test\r\n{fields}\r\n{body}{SMUGGLED}"))
    };
    let chunked = |name, body: &str| post(name, "Transfer-Encoding: chunked\r\n", body);
    let line = |name, line: &str| (name, format!("{line}\r\nHost: h.test\r\n\r\n{SMUGGLED}"));
    vec![
        post("CL.TE", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG"),
        post("TE.CL", "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\n"),
        post("TE.TE, other case", "Transfer-Encoding: chunked\r\nTransfer-encoding: cow\r\n", "0\r\n\r\n"),
        post("TE.TE, first another", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("TE, tab before the colon", "Transfer-Encoding\t: chunked\r\n", "0\r\n\r\n"),
        post("TE, vertical tab", "Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n"),
        post("TE, quoted", "Transfer-Encoding: \"chunked\"\r\n", "0\r\n\r\n"),
        post("TE, parameter", "Transfer-Encoding: chunked;q=1\r\n", "0\r\n\r\n"),
        post("TE, empty member", "Transfer-Encoding: ,chunked\r\n", "0\r\n\r\n"),
        post("TE, empty", "Transfer-Encoding:\r\n", "0\r\n\r\n"),
        post("TE, folded", "Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n"),
        post("TE behind a bare CR", "X: a\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        post("NUL in a value", "X: a\0b\r\n", ""),
        post("NUL in a name", "X\0: a\r\n", ""),
        post("CR in a name", "X\r: a\r\n", ""),
        post("name with a space", "Content Length: 4\r\n", ""),
        post("first field folded", " X: a\r\n", ""),
        post("two lengths", "Content-Length: 4\r\nContent-Length: 5\r\n", "abcd"),
        post("length, sign", "Content-Length: +4\r\n", "abcd"),
        post("length, negative", "Content-Length: -4\r\n", "abcd"),
        post("length, list", "Content-Length: 4, 4\r\n", "abcd"),
        post("length, inner space", "Content-Length: 4 4\r\n", "abcd"),
        post("length, hexadecimal", "Content-Length: 0x4\r\n", "abcd"),
        post("length, hexadecimal digit", "Content-Length: a\r\n", "abcd"),
        post("length, fraction", "Content-Length: 4.0\r\n", "abcd"),
        post("length, empty", "Content-Length: \r\n", "abcd"),
        post("length beyond 64 bits", "Content-Length: 18446744073709551620\r\n", "abcd"),
        chunked("chunk, negative", "-1\r\na\r\n0\r\n\r\n"),
        chunked("chunk, sign", "+1\r\na\r\n0\r\n\r\n"),
        chunked("chunk, prefix", "0x1\r\na\r\n0\r\n\r\n"),
        chunked("chunk, space before", " 1\r\na\r\n0\r\n\r\n"),
        chunked("chunk, space behind", "1 \r\na\r\n0\r\n\r\n"),
        chunked("chunk, size beyond 64 bits", "10000000000000001\r\na\r\n0\r\n\r\n"),
        chunked("chunk, no size", "\r\na\r\n0\r\n\r\n"),
        chunked("chunk, bare LF behind the size", "1\na\r\n0\r\n\r\n"),
        chunked("chunk, bare LF behind data", "1\r\na\n0\r\n\r\n"),
        chunked("chunk, bare CR behind the size", "1\ra\r\n0\r\n\r\n"),
        chunked("chunk, longer than it says", "1\r\nab\r\n0\r\n\r\n"),
        chunked("extension behind a bare LF", "1;a\nb\r\na\r\n0\r\n\r\n"),
        chunked("extension without end", &format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(8000))),
        chunked("trailer behind a bare LF", "0\r\nX: 1\n\r\n"),
        chunked("trailer, folded", "0\r\n X: 1\r\n\r\n"),
        line("two spaces", "GET  / HTTP/1.1"),
        line("tab", "GET\t/ HTTP/1.1"),
        line("no version", "GET /"),
        line("space in the target", "GET /a b HTTP/1.1"),
        line("version 1.2", "GET / HTTP/1.2"),
        line("version 2", "GET / HTTP/2.0"),
        line("lower case version", "GET / http/1.1"),
        line("space behind the version", "GET / HTTP/1.1 "),
        line("bare CR in the target", "GET /a\rb HTTP/1.1"),
        line("NUL in the target", "GET /a\0b HTTP/1.1"),
        line("method with a colon", "GE:T / HTTP/1.1"),
    ]
}

fn are_refused_once(origin: &Origin, said: impl Fn(&[u8]) -> Vec<u8>) {
    for (name, text) in in_doubt() {
        let said = said(text.as_bytes());
        assert_eq!(statuses(&said), [400], "{name}: {}", String::from_utf8_lossy(&said));
        // Of a body that breaks off an origin may have seen the beginning, but no request that is whole.
        assert_eq!(origin.count(), 0, "{name}: {:?}", origin.seen());
    }
}

#[test]
fn what_is_in_doubt_is_one_400_and_the_end() {
    let origin = echo();
    let oust = Oust::before(&origin);
    are_refused_once(&origin, |bytes| all(plain(oust.listen), bytes));
    assert_eq!(oust.get("/p").text(), "0 h.test/p");
}

#[test]
fn by_tls_no_less() {
    let origin = echo();
    let (entry, _) = certificate("smuggling", &["h.test"]);
    let text = format!(
        "[server]\ntls_listen = [\"127.0.0.1:0\"]\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n{entry}",
        origin.url()
    );
    let oust = Oust::configured("hostile_smuggling_tls", &text);
    let addr = tls_addr(&oust);
    are_refused_once(&origin, |bytes| all(tls(addr, "h.test", &["http/1.1"]), bytes));
}

/// CL.0 and 0.CL, and a body with GET or HEAD: the bytes behind the head are the body its length says, for us and for the origin.
#[test]
fn a_body_is_a_body_whatever_the_method() {
    let origin = echo();
    let oust = Oust::before(&origin);
    let length = SMUGGLED.len();
    for method in ["POST", "GET", "HEAD", "OPTIONS", "DELETE", "FROB"] {
        for path in ["/x", "/a.css"] {
            let before = origin.count();
            let text = format!(
                "{method} {path} HTTP/1.1\r\nHost: h.test\r\nContent-Length: {length}\r\n\r\n{SMUGGLED}GET /next HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n"
            );
            assert_eq!(statuses(&all(plain(oust.listen), text.as_bytes())), [200, 200], "{method} {path}");
            let seen = origin.seen().split_off(before);
            assert_eq!((seen[0].method.as_str(), seen[0].body.as_slice()), (method, SMUGGLED.as_bytes()), "{method}");
            assert!(seen.iter().all(|seen| seen.target != "/smuggled"), "{seen:?}");
        }
    }
    // The other way round: the origin is told a length of none where there is none.
    for (text, said) in [
        ("POST /x HTTP/1.1\r\nHost: h.test\r\nContent-Length: 0\r\n\r\n", Some("0")),
        ("POST /x HTTP/1.1\r\nHost: h.test\r\n\r\n", None),
    ] {
        let closing = format!("{text}GET /last HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n");
        let before = origin.count();
        assert_eq!(statuses(&all(plain(oust.listen), closing.as_bytes())).len(), 2);
        let seen = origin.seen().split_off(before).remove(0);
        let told = seen.header("content-length");
        assert!(told == said || told == Some("0"), "{told:?}");
        assert!(seen.body.is_empty() && seen.header("transfer-encoding").is_none());
    }
}

/// Whatever a client sends of chunks, extensions and trailers, an origin gets chunks of ours, without them.
#[test]
fn extensions_and_trailers_go_no_further() {
    let heads = Arc::new(Mutex::new(Vec::<Seen>::new()));
    let kept = heads.clone();
    let origin = Origin::start(move |seen, reply| {
        kept.lock().unwrap().push(seen.clone());
        reply.send(200, &[], "");
    });
    let oust = Oust::before(&origin);
    let text = "POST /x HTTP/1.1\r\nHost: h.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Admin\r\nConnection: close\r\n\r\n3;ext=\"a;b\"\r\nabc\r\n0;last\r\nX-Admin: 1\r\nContent-Length: 99\r\n\r\n";
    assert_eq!(statuses(&all(plain(oust.listen), text.as_bytes())), [200]);
    let seen = heads.lock().unwrap().remove(0);
    assert_eq!(seen.body, b"abc");
    for field in ["x-admin", "trailer", "content-length"] {
        assert_eq!(seen.header(field), None, "{field}");
    }
}

#[test]
fn targets_of_other_forms() {
    let origin = echo();
    let oust = Oust::before(&origin);
    let ask = |line: &str, host: &str| {
        all(plain(oust.listen), format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes())
    };
    // The absolute form is asked for as any other, if `Host` agrees.
    assert!(String::from_utf8_lossy(&ask("GET http://h.test/abs", "h.test")).ends_with("0 h.test/abs"));
    for (line, host, status) in [
        ("GET http://evil.test/abs", "h.test", 400),
        ("GET http://h.test:8080/abs", "h.test", 400),
        ("GET http://user@h.test/abs", "h.test", 400),
        ("GET http://user@h.test/abs", "user@h.test", 400),
        ("GET https://h.test/abs", "h.test", 421),
        ("GET ftp://h.test/abs", "h.test", 421),
        ("GET http:///abs", "h.test", 400),
        ("GET //evil.test/abs", "h.test", 200),
        ("GET h.test:80", "h.test", 400),
        ("GET *", "h.test", 400),
        ("GET abs", "h.test", 400),
        ("GET ?abs", "h.test", 400),
        ("OPTIONS *", "h.test", 204),
        ("CONNECT h.test:443", "h.test:443", 405),
        ("CONNECT 169.254.169.254:80", "169.254.169.254:80", 405),
        ("TRACE /", "h.test", 405),
    ] {
        let said = ask(line, host);
        assert_eq!(statuses(&said), [status], "{line} {host}: {}", String::from_utf8_lossy(&said));
    }
    // What looks like another host is a path of this one.
    let targets: Vec<_> =
        origin.seen().iter().map(|seen| (seen.header("host").unwrap().to_owned(), seen.target.clone())).collect();
    assert!(targets.iter().all(|(host, target)| host == "h.test" && target.starts_with('/')), "{targets:?}");
}

#[test]
fn expectations_go_no_further_and_keep_nobody_waiting() {
    let origin = echo();
    let oust = Oust::before(&origin);
    for expect in ["100-continue", "100-Continue", "200-ok", "100-continue, x", " y 100-continue"] {
        let text = format!(
            "POST /x HTTP/1.1\r\nHost: h.test\r\nExpect: {expect}\r\nContent-Length: 3\r\n\r\nabcGET /last HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n"
        );
        let said = all(plain(oust.listen), text.as_bytes());
        let found = statuses(&said);
        assert!(found == [200, 200] || found == [417], "{expect}: {}", String::from_utf8_lossy(&said));
    }
    // GET with an expectation and no body: an origin that waited for one would keep everybody waiting.
    let text = "GET /e HTTP/1.1\r\nHost: h.test\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n";
    assert_eq!(statuses(&all(plain(oust.listen), text.as_bytes())), [200]);
    assert!(origin.seen().iter().all(|seen| seen.header("expect").is_none()));
}

/// h2c smuggling: an origin that takes the offer would answer requests that nobody here sees.
#[test]
fn no_client_gets_http_by_an_upgrade() {
    let origin = Origin::start(|seen, reply| {
        if seen.header("upgrade").is_some() {
            reply.begin(101, &[("Connection", "Upgrade"), ("Upgrade", "h2c")], None);
            return reply.write(b"through");
        }
        reply.send(200, &[], "plain");
    });
    let oust = Oust::before(&origin);
    for fields in [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c\r\n",
        "Connection: upgrade\r\nUpgrade: H2C\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        "Connection: Upgrade\r\nUpgrade: HTTP/2.0\r\n",
        "Connection: Upgrade\r\nUpgrade: TLS/1.0, HTTP/1.1\r\n",
        "Upgrade: h2c\r\n",
    ] {
        let text = format!("GET /x HTTP/1.1\r\nHost: h.test\r\n{fields}\r\n{SMUGGLED}");
        let said = all(plain(oust.listen), text.as_bytes());
        assert_eq!(statuses(&said), [200], "{fields}: {}", String::from_utf8_lossy(&said));
    }
    let seen = origin.seen();
    assert!(seen.iter().all(|seen| seen.header("upgrade").is_none() && seen.target == "/x"), "{seen:?}");
}

/// What is refused for its host ends the connection too, so that what was sent behind it is nobody's.
#[test]
fn nothing_behind_a_bad_request_is_read() {
    let origin = echo();
    let oust = serve("behind", "", &origin.url());
    for bad in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: h.test\r\nHost: h.test\r\nContent-Length: 50\r\n\r\n",
    ] {
        let said = all(plain(oust.listen), format!("{bad}{SMUGGLED}{SMUGGLED}").as_bytes());
        assert_eq!(statuses(&said), [400], "{bad}");
    }
    assert_eq!(origin.count(), 0);
}
