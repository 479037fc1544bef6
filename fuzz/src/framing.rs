//! Where HTTP/1.1 requests end: the listener's follower, a naive reading of RFC 9112 and hyper (with `httparse` for each head) on the same bytes.
//!
//! 1. The follower refuses what the naive reading refuses, and finds as many heads.
//! 2. What it hands on is what came, up to some byte, and NUL from there.
//! 3. A head is for `httparse` as long as for the naive reading, or it is an error.
//! 4. The requests that hyper completes out of what is handed on are the first of those of the naive reading: same method, same body.
//!    It may refuse more, and end earlier where a request says so.
//! 5. None of that hangs on how the bytes are cut into reads.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use oust_reference::Entropy;
use oust_server_parts::Follower;

/// As the listener has it.
const MAX_HEAD: usize = 64 << 10;
const LONGEST: usize = 1 << 17;

const PIECES: [&str; 76] = [
    "GET / HTTP/1.1\r\n",
    "GET /a HTTP/1.0\r\n",
    "POST /p HTTP/1.1\r\n",
    "PUT / HTTP/1.1\r\n",
    "HEAD / HTTP/1.1\r\n",
    "CONNECT h:1 HTTP/1.1\r\n",
    "OPTIONS * HTTP/1.1\r\n",
    "GET / HTTP/1.2\r\n",
    "GET  / HTTP/1.1\r\n",
    "GET /\r\n",
    "PRI * HTTP/2.0\r\n",
    " GET / HTTP/1.1\r\n",
    "Host: h\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: 5\r\n",
    "content-length:5\r\n",
    "Content-Length: 05\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: +5\r\n",
    "Content-Length : 5\r\n",
    "Content-Length: 6\r\n",
    "Content-Length:\t5 \r\n",
    "Content-Length: -1\r\n",
    "Content-Length: 18446744073709551616\r\n",
    "Content-Length: 0x5\r\n",
    "Content-Length:\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding:CHUNKED\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: chunked, \r\n",
    "Transfer-Encoding:\x0bchunked\r\n",
    "Transfer-Encoding : chunked\r\n",
    "Transfer-Encoding: chunked\r\n chunked\r\n",
    "Transfer_Encoding: chunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: x\r\n",
    "Expect: 100-continue\r\n",
    "TE: trailers\r\n",
    "X: y\r\n",
    "X: a\rb\r\n",
    "X: \x01\r\n",
    "X : y\r\n",
    ": y\r\n",
    "X\r\n",
    " folded\r\n",
    "\tX: y\r\n",
    "X: y\n",
    "X: \u{e9}\r\n",
    "X:\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\n",
    "\r",
    "\r\r\n",
    "hello",
    "0\r\n",
    "0\r\n\r\n",
    "5\r\nhello\r\n",
    "5;a=b\r\nhello\r\n",
    "5;a=\"\r\n\"\r\nhello\r\n",
    "5 \r\nhello\r\n",
    "05\r\nhello\r\n",
    "A\r\n0123456789\r\n",
    "a\r\n",
    "fffffffffffffffff\r\n",
    "+1\r\nx\r\n",
    "5\nhello\r\n",
    "5\r\nhelloX",
    "T: v\r\n",
    "\0",
    "HTTP/1.1",
    "5;\rx\r\nhello\r\n",
];

/// Any bytes as those of a connection, or some made of pieces.
pub fn framing(data: &[u8]) {
    let mut entropy = Entropy::new(data);
    let step = 1 + usize::from(entropy.byte());
    let bytes = if entropy.one_in(3) { entropy.rest().to_vec() } else { made(&mut entropy) };
    if bytes.len() > LONGEST {
        return;
    }
    let wanted = naive(&bytes);
    for head in &wanted.heads {
        let mut fields = [httparse::EMPTY_HEADER; 2048];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(head) {
            Ok(httparse::Status::Complete(length)) => assert_eq!(length, head.len(), "{}", head.escape_ascii()),
            Ok(httparse::Status::Partial) => panic!("a head goes on: {}", head.escape_ascii()),
            Err(_) => {}
        }
    }
    let mut before: Option<Vec<Message>> = None;
    for step in [step, 1, bytes.len().max(1)] {
        let told = || format!("{} in reads of {step}", bytes.escape_ascii());
        let mut follower = Follower::default();
        let mut handed = Vec::new();
        let mut violations = 0;
        for part in bytes.chunks(step) {
            let mut part = part.to_vec();
            violations += usize::from(follower.feed(&mut part).is_some());
            handed.extend(part);
        }
        assert_eq!(violations, usize::from(follower.is_refused()), "told once: {}", told());
        assert_eq!(follower.is_refused(), wanted.refused, "{}", told());
        assert_eq!(
            usize::try_from(follower.heads()),
            Ok(wanted.heads.len() + usize::from(wanted.refused_at_end)),
            "{}",
            told()
        );
        let same = handed.iter().zip(&bytes).take_while(|(handed, came)| handed == came).count();
        assert!(handed.len() == bytes.len() && handed[same..].iter().all(|&byte| byte == 0), "{}", told());
        assert!(wanted.refused || same == bytes.len(), "{}", told());

        let got = served(handed, step);
        assert!(got.len() <= wanted.messages.len(), "{got:?} of {:?}: {}", wanted.messages, told());
        assert_eq!(got, wanted.messages[..got.len()], "{}", told());
        if let Some(before) = before.replace(got.clone()) {
            assert_eq!(before, got, "{}", told());
        }
    }
}

fn made(entropy: &mut Entropy<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..entropy.below(5) {
        if !entropy.one_in(8) {
            bytes.extend_from_slice(PIECES[entropy.below(4)].as_bytes());
        }
        for _ in 0..entropy.below(10) {
            let piece = entropy.pick(&PIECES).as_bytes();
            // A flood of fields now and then.
            let times = if entropy.one_in(32) { usize::from(entropy.byte()) } else { 1 };
            (0..times).for_each(|_| bytes.extend_from_slice(piece));
        }
        if !entropy.one_in(4) {
            bytes.extend_from_slice(b"\r\n");
        }
        if entropy.one_in(2) {
            bytes.extend_from_slice(entropy.pick(&PIECES[58..73]).as_bytes());
        }
    }
    if entropy.one_in(8) && !bytes.is_empty() {
        let at = (usize::from(entropy.byte()) * 7) % bytes.len();
        bytes[at] ^= 1 << entropy.below(8);
    }
    bytes
}

/// A method and a body.
type Message = (Vec<u8>, Vec<u8>);

#[derive(Debug, Default)]
struct Reading {
    /// The texts of all heads that are whole and good, with the empty lines before them.
    heads: Vec<Vec<u8>>,
    /// Those with their whole bodies.
    messages: Vec<Message>,
    refused: bool,
    /// By the last line of a head.
    refused_at_end: bool,
}

/// RFC 9112 without its leniency: a line is what CRLF ends.
fn naive(bytes: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let mut rest = bytes;
    while let Some(ended) = message(&mut rest, &mut reading) {
        if let Err(()) = ended {
            reading.refused = true;
            break;
        }
    }
    reading
}

/// One line without its end; nothing if it is not whole.
fn line<'a>(rest: &mut &'a [u8]) -> Option<Result<&'a [u8], ()>> {
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    let line = &rest[..end];
    *rest = &rest[end + 1..];
    Some(line.strip_suffix(b"\r").ok_or(()))
}

/// A field's name and value.
fn field(line: &[u8]) -> Result<(String, String), ()> {
    let text: String = line.iter().map(|&byte| char::from(byte)).collect();
    let (name, value) = text.split_once(':').ok_or(())?;
    let is_white = |c: char| c.is_ascii_whitespace();
    if name.is_empty() || name.starts_with([' ', '\t']) || name.ends_with(is_white) {
        return Err(());
    }
    Ok((name.to_ascii_lowercase(), value.trim_matches(is_white).to_owned()))
}

/// Reads a message off `rest`; `None`: it is not whole, or what follows is none.
fn message(rest: &mut &[u8], reading: &mut Reading) -> Option<Result<(), ()>> {
    macro_rules! line {
        () => {
            match line(rest)? {
                Ok(line) => line,
                Err(()) => return Some(Err(())),
            }
        };
    }
    let start = *rest;
    let mut first = line!();
    while first.is_empty() {
        first = line!();
    }
    let mut fields = Vec::new();
    loop {
        match line!() {
            [] => break,
            other => match field(other) {
                Ok((name, value)) => {
                    // What cannot be a length is found where it stands.
                    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
                    if name == "content-length" && (!digits || value.parse::<u64>().is_err()) {
                        return Some(Err(()));
                    }
                    let differs = |earlier: &(String, String)| {
                        earlier.0 == name && earlier.1.parse::<u64>() != value.parse::<u64>()
                    };
                    if name == "content-length" && fields.iter().any(differs) {
                        return Some(Err(()));
                    }
                    let again = fields.iter().any(|(other, _): &(String, String)| *other == name);
                    if name == "transfer-encoding" && (again || !value.eq_ignore_ascii_case("chunked")) {
                        return Some(Err(()));
                    }
                    fields.push((name, value));
                }
                Err(()) => return Some(Err(())),
            },
        }
    }
    let of = |name: &str| fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str());
    let chunked = of("transfer-encoding").is_some();
    let length = of("content-length").and_then(|text| text.parse::<u64>().ok());
    if chunked && (length.is_some() || first.ends_with(b" HTTP/1.0")) {
        reading.refused_at_end = true;
        return Some(Err(()));
    }
    reading.heads.push(start[..start.len() - rest.len()].to_vec());
    let mut body = Vec::new();
    if chunked {
        loop {
            let size = line!();
            let digits: Vec<u8> = size.iter().copied().take_while(|&byte| byte != b';').collect();
            let text = String::from_utf8(digits).unwrap_or_default();
            let good = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let Some(size) = u64::from_str_radix(&text, 16).ok().filter(|_| good) else { return Some(Err(())) };
            if size == 0 {
                break;
            }
            let size = usize::try_from(size).ok().filter(|&size| size <= rest.len())?;
            body.extend_from_slice(&rest[..size]);
            *rest = &rest[size..];
            if !line!().is_empty() {
                return Some(Err(()));
            }
        }
        loop {
            match line!() {
                [] => break,
                other if field(other).is_err() => return Some(Err(())),
                _ => {}
            }
        }
    } else if let Some(length) = length {
        let length = usize::try_from(length).ok().filter(|&length| length <= rest.len())?;
        body.extend_from_slice(&rest[..length]);
        *rest = &rest[length..];
    }
    let method = first.split(|&byte| byte == b' ').next().unwrap_or_default();
    reading.messages.push((method.to_vec(), body));
    // Behind these the bytes are no HTTP any more.
    if first.starts_with(b"CONNECT ") || of("upgrade").is_some() { None } else { Some(Ok(())) }
}

/// The requests that hyper completes, bodies included, out of these bytes and their end.
fn served(bytes: Vec<u8>, step: usize) -> Vec<Message> {
    let out: Rc<RefCell<Vec<Message>>> = Rc::default();
    let service = service_fn({
        let out = out.clone();
        move |request: Request<Incoming>| {
            let out = out.clone();
            async move {
                let (parts, body) = request.into_parts();
                let method = parts.method.as_str().as_bytes().to_vec();
                let mut response = Response::new(Empty::<Bytes>::new());
                // As the listener has it.
                if parts.headers.contains_key(header::UPGRADE) || parts.method == http::Method::CONNECT {
                    response.headers_mut().insert(header::CONNECTION, http::HeaderValue::from_static("close"));
                }
                if let Ok(body) = body.collect().await {
                    out.borrow_mut().push((method, body.to_bytes().to_vec()));
                }
                Ok::<_, Infallible>(response)
            }
        }
    });
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_buf_size(2 * MAX_HEAD).max_header_size(MAX_HEAD);
    let mut connection = pin!(builder.serve_connection(Wire { bytes, at: 0, step }, service));
    let mut cx = Context::from_waker(Waker::noop());
    // It reads without waiting, so that each poll goes as far as it can.
    for _ in 0..10_000 {
        if connection.as_mut().poll(&mut cx).is_ready() {
            break;
        }
    }
    let got = out.borrow().clone();
    got
}

/// A connection whose other end has sent all that it will.
struct Wire {
    bytes: Vec<u8>,
    at: usize,
    step: usize,
}

impl Read for Wire {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, mut buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let count = self.step.min(self.bytes.len() - self.at).min(buf.remaining());
        buf.put_slice(&self.bytes[self.at..self.at + count]);
        self.at += count;
        Poll::Ready(Ok(()))
    }
}

impl Write for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
