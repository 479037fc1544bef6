//! HTTP/2 frame by frame, as no sound client would send them.

use std::io::Read;

use super::wire::Both;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const CONTINUATION: u8 = 9;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It was answered: status and body.
    Answer(u16, Vec<u8>),
    /// Its stream was reset with this code.
    Reset(u32),
    /// Its connection was given up with this code.
    GoAway(u32),
    /// Its connection ended without a word.
    Closed,
}

impl End {
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(status, _) => Some(*status),
            _ => None,
        }
    }

    pub fn text(&self) -> String {
        match self {
            Self::Answer(_, body) => String::from_utf8_lossy(body).into_owned(),
            other => format!("{other:?}"),
        }
    }

    /// Neither answered by anybody but us, nor taken: an error of the protocol or a 4xx of ours.
    pub fn is_refusal(&self) -> bool {
        self.status().is_none_or(|status| (400..500).contains(&status))
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The preface and empty settings.
pub fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes
}

/// A block of fields, none of them compressed.
pub fn block(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            number(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    block
}

/// A length behind a prefix of seven bits (RFC 7541 5.1).
fn number(to: &mut Vec<u8>, number: usize) {
    if number < 127 {
        return to.push(u8::try_from(number).unwrap());
    }
    to.push(127);
    let mut left = number - 127;
    while left >= 128 {
        to.push(u8::try_from(left % 128).unwrap() | 128);
        left /= 128;
    }
    to.push(u8::try_from(left).unwrap());
}

/// The fields of a GET of `path` at h.test, and more.
pub fn get<'a>(path: &'a [u8], more: &[(&'a [u8], &'a [u8])]) -> Vec<u8> {
    let mut fields: Vec<(&[u8], &[u8])> =
        vec![(b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"h.test"), (b":path", path)];
    fields.extend_from_slice(more);
    block(&fields)
}

/// What becomes of stream 1 on a connection of its own: this block of fields, then this body, if any.
pub fn ask(stream: impl Both, block: &[u8], body: Option<&[u8]>) -> End {
    let mut bytes = preface();
    bytes.extend(frame(HEADERS, END_HEADERS | if body.is_none() { END_STREAM } else { 0 }, 1, block));
    if let Some(body) = body {
        bytes.extend(frame(DATA, END_STREAM, 1, body));
    }
    send(stream, &bytes)
}

/// The same for any bytes.
pub fn send(mut stream: impl Both, bytes: &[u8]) -> End {
    // A server may refuse before it has read everything.
    drop(stream.write_all(bytes));
    drop(stream.flush());
    end_of(&mut stream, 1)
}

/// Reads until it is known how `wanted` ended.
pub fn end_of(stream: &mut impl Both, wanted: u32) -> End {
    let (mut status, mut body) = (None, Vec::new());
    while let Some((kind, flags, id, payload)) = read(stream) {
        let code = |at: usize| payload.get(at..at + 4).map_or(0, |code| u32::from_be_bytes(code.try_into().unwrap()));
        match kind {
            RST_STREAM if id == wanted => {
                // A whole answer may be followed by a reset that says not to go on sending.
                return End::Reset(code(0));
            }
            GOAWAY if code(4) != 0 => return End::GoAway(code(4)),
            HEADERS if id == wanted => status = status.or_else(|| Some(self::status(&payload))),
            DATA if id == wanted => body.extend_from_slice(&payload),
            _ => continue,
        }
        if id == wanted && flags & END_STREAM != 0 && matches!(kind, DATA | HEADERS) {
            return End::Answer(status.unwrap_or_default(), body);
        }
    }
    End::Closed
}

/// The next frame: kind, flags, stream, payload.
pub fn read(stream: &mut impl Read) -> Option<(u8, u8, u32, Vec<u8>)> {
    let mut outline = [0; 9];
    stream.read_exact(&mut outline).map_err(still_open).ok()?;
    let [a, b, c, kind, flags, id @ ..] = outline;
    let mut payload = vec![0; usize::try_from(u32::from_be_bytes([0, a, b, c])).unwrap()];
    stream.read_exact(&mut payload).map_err(still_open).ok()?;
    Some((kind, flags, u32::from_be_bytes(id) & 0x7fff_ffff, payload))
}

fn still_open(error: std::io::Error) {
    assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "neither an answer nor an end");
}

/// The status of an answer's first block: its first field, from the static table or as a literal.
fn status(block: &[u8]) -> u16 {
    let (&first, rest) = block.split_first().unwrap();
    if first & 128 != 0 {
        return [200, 204, 206, 304, 400, 404, 500][usize::from(first & 127) - 8];
    }
    let (&length, value) = rest.split_first().unwrap();
    let value = &value[..usize::from(length & 127)];
    if length & 128 == 0 {
        return std::str::from_utf8(value).unwrap().parse().unwrap();
    }
    // Huffman: digits have five or six bits (RFC 7541 B).
    let bits: String = value.iter().map(|byte| format!("{byte:08b}")).collect();
    let codes = ["00000", "00001", "00010", "011001", "011010", "011011", "011100", "011101", "011110", "011111"];
    let (mut at, mut number) = (0, 0);
    for _ in 0..3 {
        let digit = codes.iter().position(|code| bits[at..].starts_with(code)).expect("a digit");
        at += codes[digit].len();
        number = number * 10 + u16::try_from(digit).unwrap();
    }
    number
}
