//! HTTP/2 requests that would become something else in HTTP/1.1 (downgrades), or that are no requests.

use super::common::Oust;
use super::frames::{CONTINUATION, DATA, END_HEADERS, END_STREAM, End, HEADERS, ask, block, frame, get, preface, send};
use super::wire::{certificate, plain, tls, tls_addr};
use super::{echo, serve};

type Field = (&'static [u8], &'static [u8]);
type Fields = Vec<Field>;

/// Blocks that are refused, whole and without a word to any origin.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let with = |name: &'static [u8], value: &'static [u8]| get(b"/x", &[(name, value)]);
    let pseudo = |fields: &[(&'static [u8], &'static [u8])]| block(fields);
    let [method, scheme, authority, path]: [Field; 4] =
        [(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h.test"), (b":path", b"/x")];
    vec![
        ("transfer-encoding", with(b"transfer-encoding", b"chunked")),
        ("connection", with(b"connection", b"close")),
        ("keep-alive", with(b"keep-alive", b"timeout=5")),
        ("proxy-connection", with(b"proxy-connection", b"keep-alive")),
        ("upgrade", with(b"upgrade", b"h2c")),
        ("te", with(b"te", b"chunked")),
        ("CRLF in a value", with(b"x", b"a\r\nTransfer-Encoding: chunked")),
        ("LF in a value", with(b"x", b"a\nb")),
        ("CR in a value", with(b"x", b"a\rb")),
        ("NUL in a value", with(b"x", b"a\0b")),
        ("CRLF in a name", with(b"x: a\r\ny", b"b")),
        ("colon in a name", with(b"transfer-encoding: chunked\r\nx", b"b")),
        ("space in a name", with(b"x y", b"b")),
        ("upper case in a name", with(b"X-Upper", b"b")),
        ("empty name", with(b"", b"b")),
        ("length with a sign", with(b"content-length", b"+0")),
        ("length with a list", with(b"content-length", b"0, 0")),
        ("space in the path", get(b"/x HTTP/1.1", &[])),
        ("CRLF in the path", get(b"/x HTTP/1.1\r\nHost: evil.test\r\n\r\n", &[])),
        ("LF in the path", get(b"/x\ny", &[])),
        ("NUL in the path", get(b"/x\0", &[])),
        ("empty path", get(b"", &[])),
        ("path without a slash", get(b"x", &[])),
        ("path of another host", get(b"@evil.test/x", &[])),
        ("asterisk", get(b"*", &[])),
        ("absolute path", get(b"http://evil.test/x", &[])),
        ("no method", pseudo(&[scheme, authority, path])),
        ("no scheme", pseudo(&[method, authority, path])),
        ("no path", pseudo(&[method, scheme, authority])),
        ("two methods", pseudo(&[method, method, scheme, authority, path])),
        ("two paths", pseudo(&[method, scheme, authority, path, (b":path", b"/y")])),
        ("two authorities", pseudo(&[method, scheme, authority, path, (b":authority", b"evil.test")])),
        ("unknown pseudo-field", pseudo(&[method, scheme, authority, path, (b":x", b"y")])),
        ("status of a request", pseudo(&[method, scheme, authority, path, (b":status", b"200")])),
        ("pseudo-field behind a field", pseudo(&[method, scheme, authority, (b"x", b"y"), path])),
        ("method with a space", pseudo(&[(b":method", b"GET /y HTTP/1.1\r\nX:"), scheme, authority, path])),
        ("method with a line", pseudo(&[(b":method", b"GET\r\nX: y"), scheme, authority, path])),
        ("scheme with a URL", pseudo(&[method, (b":scheme", b"http://evil.test/?"), authority, path])),
        ("another scheme", pseudo(&[method, (b":scheme", b"ftp"), authority, path])),
        ("https on a plain connection", pseudo(&[method, (b":scheme", b"https"), authority, path])),
        ("empty authority", pseudo(&[method, scheme, (b":authority", b""), path])),
        ("authority with userinfo", pseudo(&[method, scheme, (b":authority", b"u@h.test"), path])),
        ("authority with a path", pseudo(&[method, scheme, (b":authority", b"h.test/evil"), path])),
        ("authority with a line", pseudo(&[method, scheme, (b":authority", b"h.test\r\nX: y"), path])),
        ("two hosts", pseudo(&[method, scheme, authority, path, (b"host", b"h.test"), (b"host", b"h.test")])),
        ("another host", pseudo(&[method, scheme, authority, path, (b"host", b"evil.test")])),
        ("no host at all", pseudo(&[method, scheme, path])),
        (
            "extended CONNECT",
            pseudo(&[(b":method", b"CONNECT"), (b":protocol", b"websocket"), scheme, authority, path]),
        ),
        ("CONNECT", pseudo(&[(b":method", b"CONNECT"), (b":authority", b"169.254.169.254:80")])),
        ("PURGE", pseudo(&[(b":method", b"PURGE"), scheme, authority, path])),
        ("TRACE", pseudo(&[(b":method", b"TRACE"), scheme, authority, path])),
    ]
}

#[test]
fn what_is_no_request_is_refused_and_reaches_no_origin() {
    let origin = echo();
    let oust = Oust::before(&origin);
    for (name, block) in malformed() {
        let end = ask(plain(oust.listen), &block, None);
        assert!(end.is_refusal(), "{name}: {}", end.text());
        assert_eq!(origin.count(), 0, "{name}: {:?}", origin.seen());
    }
    assert_eq!(ask(plain(oust.listen), &get(b"/ok", &[]), None).text(), "0 h.test/ok");
}

#[test]
fn by_tls_no_less() {
    let origin = echo();
    let (entry, _) = certificate("http2", &["h.test"]);
    let text = format!(
        "[server]\ntls_listen = [\"127.0.0.1:0\"]\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n{entry}",
        origin.url()
    );
    let oust = Oust::configured("hostile_http2_tls", &text);
    for (name, block) in malformed() {
        if name.starts_with("https") {
            continue;
        }
        let end = ask(tls(tls_addr(&oust), "h.test", &["h2"]), &block, None);
        assert!(end.is_refusal(), "{name}: {}", end.text());
        assert_eq!(origin.count(), 0, "{name}: {:?}", origin.seen());
    }
}

/// Content-Length and DATA that differ: nothing of it may be taken for the next request by an origin.
#[test]
fn a_length_that_is_not_that_of_the_data_is_refused() {
    let origin = echo();
    let oust = serve("http2_length", "", &origin.url());
    let post = |length: &'static [u8]| {
        let fields: Fields = vec![
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":authority", b"h.test"),
            (b":path", b"/x"),
            (b"content-length", length),
        ];
        block(&fields)
    };
    let smuggled = b"GET /smuggled HTTP/1.1\r\nHost: h.test\r\n\r\n";
    for length in [&b"0"[..], b"1", b"1000"] {
        let end = ask(plain(oust.listen), &post(length), Some(smuggled));
        assert!(!matches!(end, End::Answer(200, _)), "{end:?}");
    }
    let two = block(&[
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":authority", b"h.test"),
        (b":path", b"/x"),
        (b"content-length", b"3"),
        (b"content-length", b"42"),
    ]);
    let end = ask(plain(oust.listen), &two, Some(smuggled));
    assert!(!matches!(end, End::Answer(200, _)), "{end:?}");
    // What an origin may have seen are requests that end with their connection, never a second one.
    assert!(origin.seen().iter().all(|seen| seen.target == "/x"), "{:?}", origin.seen());
    let good = ask(plain(oust.listen), &post(b"40"), Some(&smuggled[..40]));
    assert_eq!(good.status(), Some(200), "{good:?}");
}

/// Cookies in pieces are one field behind us, and what else is repeated stays apart.
#[test]
fn fields_mean_the_same_behind_us() {
    let origin = echo();
    let oust = Oust::before(&origin);
    let fields: Fields = vec![(b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"te", b"trailers"), (b"x", b"caf\xc3\xa9")];
    let end = ask(plain(oust.listen), &get(b"/x", &fields), None);
    assert_eq!(end.status(), Some(200));
    let seen = origin.seen().remove(0);
    assert_eq!(seen.headers.iter().filter(|(name, _)| name == "cookie").count(), 1);
    assert_eq!((seen.header("cookie"), seen.header("te")), (Some("a=1; b=2"), None));
}

/// Frames that no client may send end the connection, and it alone.
#[test]
fn frames_out_of_place_end_the_connection() {
    let origin = echo();
    let oust = Oust::before(&origin);
    let head = get(b"/x", &[]);
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("DATA of no stream", frame(DATA, 0, 1, b"x")),
        ("HEADERS on stream 0", frame(HEADERS, END_HEADERS | END_STREAM, 0, &head)),
        ("an even stream", frame(HEADERS, END_HEADERS | END_STREAM, 2, &head)),
        ("CONTINUATION of nothing", frame(CONTINUATION, END_HEADERS, 1, &head)),
        ("another frame within a block", [frame(HEADERS, END_STREAM, 1, &head), frame(DATA, 0, 1, b"x")].concat()),
        ("a frame longer than any", frame(HEADERS, END_HEADERS | END_STREAM, 1, &vec![0; 1 << 20])),
        ("a window of none", frame(8, 0, 0, &[0; 4])),
        ("a window beyond 2^31", frame(8, 0, 0, &[0x7f, 255, 255, 255])),
        ("settings of five bytes", frame(4, 0, 0, &[0; 5])),
        ("a ping of seven bytes", frame(6, 0, 0, &[0; 7])),
        (
            "a block that does not decode",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        ),
    ];
    for (name, bytes) in cases {
        let end = send(plain(oust.listen), &[preface(), bytes].concat());
        assert!(matches!(end, End::GoAway(_) | End::Closed | End::Reset(_)), "{name}: {end:?}");
    }
    assert_eq!(origin.count(), 0);
    assert_eq!(oust.get("/x").status, 200);
}
