//! Origins that are hostile, or were made to be: what they send behind, within or instead of an answer is nobody else's.
//! What is refused of heads is in `origins.rs`.

use super::common::{Origin, Oust, Response, behind, request};
use super::serve;

fn ask(oust: &Oust, method: &'static str, path: &str) -> std::thread::JoinHandle<Response> {
    let (addr, path) = (oust.listen, path.to_owned());
    behind(move || request(addr, method, &path, &[("Cache-Control", "no-store")], b""))
}

/// Response smuggling: the bytes behind an answer must not become the answer to the next request, whoever sends that.
#[test]
fn what_comes_behind_an_answer_is_nobodys() {
    let poison = "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 6\r\n\r\npoison";
    for (name, method, answer) in [
        ("length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"),
        ("chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n0\r\n\r\n"),
        ("no content", "GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        ("length with no content", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 4\r\n\r\n"),
        ("HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"),
        ("empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let origin = Origin::scripted();
        let oust = serve("behind_answer", "", &origin.url());
        let first = ask(&oust, method, "/first");
        let mut wire = origin.accept();
        wire.request().unwrap();
        wire.write(format!("{answer}{poison}").as_bytes());
        let first = first.join().unwrap();
        assert!(!first.text().contains("poison"), "{name}");
        // Its connection is given up: the next request comes on another.
        wire.ended();
        let second = ask(&oust, "GET", "/second");
        let mut wire = origin.accept();
        assert_eq!(wire.request().unwrap().target, "/second");
        wire.reply(200, "", "second");
        assert_eq!(second.join().unwrap().text(), "second", "{name}");
    }
}

/// The same for an answer that comes before it was asked for.
#[test]
fn an_answer_nobody_asked_for_is_nobodys() {
    let origin = Origin::scripted();
    let oust = serve("unasked", "", &origin.url());
    let first = ask(&oust, "GET", "/first");
    let mut wire = origin.accept();
    wire.request().unwrap();
    wire.reply(200, "", "first");
    assert_eq!(first.join().unwrap().text(), "first");
    wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    wire.ended();
    let second = ask(&oust, "GET", "/second");
    let mut wire = origin.accept();
    wire.request().unwrap();
    wire.reply(200, "", "second");
    assert_eq!(second.join().unwrap().text(), "second");
}

/// Some origins answer HEAD with a body, a moment later. Its connection is not used again.
#[test]
fn an_answer_to_head_is_the_last_of_its_connection() {
    let origin = Origin::scripted();
    let oust = serve("after_head", "", &origin.url());
    let first = ask(&oust, "HEAD", "/first");
    let mut wire = origin.accept();
    assert_eq!(wire.request().unwrap().method, "HEAD");
    wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 51\r\n\r\n");
    assert_eq!(first.join().unwrap().status, 200);
    wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison");
    let second = ask(&oust, "GET", "/second");
    let mut other = origin.accept();
    assert_eq!(other.request().unwrap().target, "/second");
    other.reply(200, "", "second");
    assert_eq!(second.join().unwrap().text(), "second");
    wire.ended();
}

/// Heads of answers that readers disagree about: refused as 502, and not stored.
#[test]
fn heads_that_are_read_differently_are_refused() {
    let origin = Origin::scripted();
    let oust = serve("response_heads", "", &origin.url());
    for (name, head) in [
        ("bare CR", "X: a\rSet-Cookie: b=c\r\nContent-Length: 1\r\n"),
        ("NUL", "X: a\0b\r\nContent-Length: 1\r\n"),
        ("folded", "X: a\r\n b\r\nContent-Length: 1\r\n"),
        ("space before the colon", "X : a\r\nContent-Length: 1\r\n"),
        ("no colon", "nothing\r\nContent-Length: 1\r\n"),
        ("length, sign", "Content-Length: +1\r\n"),
        ("length, list", "Content-Length: 1, 2\r\n"),
        ("length, hexadecimal", "Content-Length: 0x1\r\n"),
        ("coding, not the last", "Transfer-Encoding: chunked, identity\r\n"),
        ("coding, twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        ("coding of an old version", "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n"),
        ("coding beside a length", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
    ] {
        let answer = ask(&oust, "GET", "/x");
        let mut wire = origin.accept();
        wire.request().unwrap();
        let version = u8::from(!name.ends_with("version"));
        wire.write(format!("HTTP/1.{version} 200 OK\r\nCache-Control: max-age=60\r\n{head}\r\nx").as_bytes());
        let answer = answer.join().expect(name);
        assert_eq!(answer.status, 502, "{name}: {:?}", answer.headers);
        wire.ended();
    }
    assert_eq!(oust.api("GET", "/v1/stats", "").json()["edge"]["objects"], 0);
}

/// Fields of the origin's own connection are for nobody behind us, also those it names itself.
#[test]
fn fields_of_the_origins_connection_stay_there() {
    let origin = Origin::start(|_, reply| {
        let fields = [
            ("Connection", "keep-alive, X-Internal"),
            ("Keep-Alive", "timeout=5"),
            ("X-Internal", "secret"),
            ("Proxy-Authenticate", "Basic"),
            ("Upgrade", "h2c"),
            ("Cache-Control", "max-age=60"),
        ];
        reply.send(200, &fields, "body");
    });
    let oust = Oust::before(&origin);
    for hit in [false, true] {
        let answer = oust.get("/p");
        assert_eq!(answer.is_hit(), hit);
        for field in ["keep-alive", "x-internal", "proxy-authenticate", "upgrade"] {
            assert_eq!(answer.header(field), None, "{field}");
        }
    }
}

/// A body in a content coding is passed on as it is: nothing here decompresses, so nothing grows.
#[test]
fn nothing_is_decompressed() {
    // A gzip stream's head, and then no such stream.
    let bomb = "\x1f\u{8b}\u{8}\0 not decompressed";
    let origin = Origin::start(move |seen, reply| {
        let coding = seen.header("accept-encoding").unwrap_or("identity").to_owned();
        let fields = [
            ("Cache-Control", "max-age=60"),
            ("Content-Encoding", "gzip, gzip, br"),
            ("Vary", "Accept-Encoding"),
            ("X-Asked", coding.as_str()),
        ];
        reply.send(200, &fields, bomb);
    });
    let oust = Oust::before(&origin);
    for coding in ["gzip", "gzip;q=0", "*", "br;q=1, zstd", "identity", "x-unknown, ,,"] {
        for hit in [false, true] {
            let answer = oust.get_with("/p", &[("Accept-Encoding", coding)]);
            assert_eq!((answer.is_hit(), answer.body.as_slice()), (hit, bomb.as_bytes()), "{coding}");
            assert_eq!(answer.header("content-encoding"), Some("gzip, gzip, br"));
            assert_eq!(answer.header("x-asked"), Some(coding), "what is stored is of who asked so");
        }
    }
}
