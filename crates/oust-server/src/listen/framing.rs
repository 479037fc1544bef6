//! Where one HTTP/1 request ends and the next begins, seen in the raw bytes of a connection before the parser sees them.
//!
//! The parser is lenient where recipients have been made to disagree about a message's end: it lets `Transfer-Encoding` win over
//! `Content-Length` and hides the latter, and takes a bare LF for a line's end. Here such a head is refused, by overwriting what is left of it
//! with NUL, which is an error wherever it stands in a head, so that the parser itself answers 400 in its turn and closes.
//!
//! Invariants:
//!
//! 1. What this takes for a message's end the parser does too, or refuses: it is stricter in everything that decides on it.
//! 2. The last byte of a head is handed on only after the whole head was judged.
//! 3. After a violation nothing but NUL is handed on.
//! 4. At most [`MAX_LINE`] bytes are kept, and only of a line that came in parts.

use memchr::memchr;

/// Longest line, beyond what the parser takes of a whole head.
const MAX_LINE: usize = 64 << 10;
/// Longest line of a chunk's size with its extensions.
const MAX_CHUNK_LINE: usize = 4 << 10;

/// Why the rest of a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Violation {
    /// A line does not end with CRLF.
    BareLf,
    /// A field is continued on the next line.
    ObsFold,
    /// White space before the colon, or no colon.
    FieldName,
    /// `Content-Length` is no number, or two of them differ.
    ContentLength,
    /// `Transfer-Encoding` is not `chunked` alone.
    TransferEncoding,
    /// Both lengths are given.
    TwoLengths,
    /// `Transfer-Encoding` in HTTP/1.0.
    OldVersion,
    /// A chunk that is none.
    Chunk,
    /// A line longer than any that is taken.
    TooLong,
}

impl Violation {
    /// All of them, for figures.
    pub(crate) const ALL: [Self; 9] = [
        Self::BareLf,
        Self::ObsFold,
        Self::FieldName,
        Self::ContentLength,
        Self::TransferEncoding,
        Self::TwoLengths,
        Self::OldVersion,
        Self::Chunk,
        Self::TooLong,
    ];

    /// Its name in figures.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::BareLf => "bare-lf",
            Self::ObsFold => "obs-fold",
            Self::FieldName => "field-name",
            Self::ContentLength => "content-length",
            Self::TransferEncoding => "transfer-encoding",
            Self::TwoLengths => "two-lengths",
            Self::OldVersion => "transfer-encoding-1.0",
            Self::Chunk => "chunk",
            Self::TooLong => "line-too-long",
        }
    }
}

/// Follows the requests of one connection.
#[derive(Debug, Default)]
pub(super) struct Framing {
    state: State,
    /// Of the current head.
    head: Head,
    /// How many heads have ended; it may wrap.
    heads: u32,
    /// The current line, as far as it came in earlier reads.
    line: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before or in a request line.
    #[default]
    Start,
    Fields,
    /// A body of so many bytes more.
    Sized(u64),
    ChunkSize,
    /// Data of a chunk.
    Chunk(u64),
    ChunkEnd,
    Trailers,
    /// After a request that may change the protocol: the connection ends, or is no HTTP any more.
    Raw,
    /// After a violation.
    Refused,
}

#[derive(Debug, Default, Clone, Copy)]
struct Head {
    old_version: bool,
    chunked: bool,
    length: Option<u64>,
    leaves_http: bool,
}

impl Framing {
    /// Takes note of the bytes that come next, and overwrites those that are not to be parsed.
    pub(super) fn feed(&mut self, bytes: &mut [u8]) -> Result<(), Violation> {
        let mut at = 0;
        while let Some(rest) = bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
            match self.state {
                State::Raw => return Ok(()),
                State::Refused => {
                    rest.fill(0);
                    return Ok(());
                }
                State::Sized(left) => {
                    let taken = left.min(rest.len() as u64);
                    self.state = State::Sized(left - taken);
                    at += usize::try_from(taken).unwrap_or(rest.len());
                    if left == taken {
                        self.next_message();
                    }
                }
                State::Chunk(left) => {
                    let taken = left.min(rest.len() as u64);
                    self.state = if left == taken { State::ChunkEnd } else { State::Chunk(left - taken) };
                    at += usize::try_from(taken).unwrap_or(rest.len());
                }
                State::Start | State::Fields | State::ChunkSize | State::ChunkEnd | State::Trailers => {
                    match self.take_line(rest) {
                        Ok(Some(taken)) => at += taken,
                        Ok(None) => return Ok(()),
                        Err(violation) => {
                            rest.fill(0);
                            self.state = State::Refused;
                            self.line = Vec::new();
                            return Err(violation);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Whether a head has begun and not ended.
    pub(super) fn in_head(&self) -> bool {
        self.state == State::Fields || (self.state == State::Start && !self.line.is_empty())
    }

    /// Changes whenever a head has ended.
    pub(super) fn heads(&self) -> u32 {
        self.heads
    }

    /// Whether nothing more is to be read.
    pub(super) fn is_refused(&self) -> bool {
        self.state == State::Refused
    }

    /// Judges the line that ends in `rest` and tells how many bytes of it that took; keeps what is no whole line.
    fn take_line(&mut self, rest: &[u8]) -> Result<Option<usize>, Violation> {
        let limit = if matches!(self.state, State::ChunkSize | State::ChunkEnd) { MAX_CHUNK_LINE } else { MAX_LINE };
        let end = memchr(b'\n', rest).map(|at| at + 1);
        if self.line.len() + end.unwrap_or(rest.len()) > limit {
            return Err(Violation::TooLong);
        }
        let Some(part) = end.and_then(|end| rest.get(..end)) else {
            self.line.extend_from_slice(rest);
            return Ok(None);
        };
        if self.line.is_empty() {
            self.judge(part)?;
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(part);
            self.judge(&line)?;
        }
        Ok(end)
    }

    fn judge(&mut self, line: &[u8]) -> Result<(), Violation> {
        let Some(line) = line.strip_suffix(b"\r\n") else { return Err(Violation::BareLf) };
        match self.state {
            // Empty lines before a request are passed over (RFC 9112 2.2).
            State::Start if line.is_empty() => {}
            State::Start => {
                let leaves_http = line.starts_with(b"CONNECT ");
                self.head = Head { old_version: line.ends_with(b" HTTP/1.0"), leaves_http, ..Head::default() };
                self.state = State::Fields;
            }
            State::Fields if line.is_empty() => self.end_head()?,
            State::Fields => self.field(line)?,
            State::Trailers if line.is_empty() => self.next_message(),
            State::Trailers => drop(field_name(line)?),
            State::ChunkEnd if line.is_empty() => self.state = State::ChunkSize,
            State::ChunkSize => {
                self.state = match chunk_size(line).ok_or(Violation::Chunk)? {
                    0 => State::Trailers,
                    size => State::Chunk(size),
                };
            }
            _ => return Err(Violation::Chunk),
        }
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Violation> {
        let (name, value) = field_name(line)?;
        let head = &mut self.head;
        match name.len() {
            7 if name.eq_ignore_ascii_case(b"upgrade") => head.leaves_http = true,
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = number(value, 10).ok_or(Violation::ContentLength)?;
                if head.length.replace(length).is_some_and(|earlier| earlier != length) {
                    return Err(Violation::ContentLength);
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                if head.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(Violation::TransferEncoding);
                }
                head.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }

    fn end_head(&mut self) -> Result<(), Violation> {
        let head = self.head;
        self.heads = self.heads.wrapping_add(1);
        if head.chunked && head.old_version {
            return Err(Violation::OldVersion);
        }
        if head.chunked && head.length.is_some() {
            return Err(Violation::TwoLengths);
        }
        match head.length {
            Some(length) if length > 0 => self.state = State::Sized(length),
            _ if head.chunked => self.state = State::ChunkSize,
            _ => self.next_message(),
        }
        Ok(())
    }

    fn next_message(&mut self) {
        self.state = if self.head.leaves_http { State::Raw } else { State::Start };
    }
}

fn field_name(line: &[u8]) -> Result<(&[u8], &[u8]), Violation> {
    if line.first().is_some_and(|byte| matches!(byte, b' ' | b'\t')) {
        return Err(Violation::ObsFold);
    }
    let (name, value) = memchr(b':', line).and_then(|at| line.split_at_checked(at)).ok_or(Violation::FieldName)?;
    if name.is_empty() || name.last().is_some_and(u8::is_ascii_whitespace) {
        return Err(Violation::FieldName);
    }
    Ok((name, value.get(1..).unwrap_or_default().trim_ascii()))
}

/// The size of a chunk: hexadecimal digits, then nothing or extensions. White space in between is nobody's need.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = memchr(b';', line).map_or(Some(line), |at| line.get(..at))?;
    number(digits, 16)
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    let text = std::str::from_utf8(digits).ok()?;
    // `from_str_radix` takes a sign too.
    if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(text, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is handed on when `text` comes in parts of `step` bytes, and the first violation.
    fn fed(text: &[u8], step: usize) -> (Vec<u8>, Option<Violation>, Framing) {
        let mut framing = Framing::default();
        let (mut out, mut found) = (Vec::new(), None);
        for part in text.chunks(step) {
            let mut part = part.to_vec();
            if let Err(violation) = framing.feed(&mut part) {
                assert_eq!(found.replace(violation), None, "told once");
            }
            out.extend(part);
        }
        (out, found, framing)
    }

    #[test]
    fn good_requests_pass_as_they_are_in_any_parts() {
        let text = b"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\nPOST /a HTTP/1.1\r\ncontent-length: 5\r\nContent-Length:5\r\n\r\nX: y\nPUT / HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n5;a=\"b\"\r\nh\nllo\r\n0A\r\n0123456789\r\n0\r\nT: v\r\n\r\nGET /last HTTP/1.0\r\nTE: gzip\r\n\r\n";
        for step in 1..=text.len() {
            let (out, found, framing) = fed(text, step);
            assert_eq!((out.as_slice(), found), (&text[..], None), "{step}");
            assert_eq!(framing.state, State::Start, "{step}");
            assert!(!framing.in_head());
        }
    }

    #[test]
    fn what_recipients_read_differently_is_refused_before_its_head_ends() {
        use Violation::*;
        for (text, violation) in [
            ("GET / HTTP/1.1\nHost: h\n\n", BareLf),
            ("GET / HTTP/1.1\r\nHost: h\n\r\n", BareLf),
            ("GET / HTTP/1.1\r\nHost: h\r\n\n", BareLf),
            ("GET / HTTP/1.1\r\nX: 1\r\n 2\r\n\r\n", ObsFold),
            ("GET / HTTP/1.1\r\n X: 1\r\n\r\n", ObsFold),
            ("GET / HTTP/1.1\r\nContent-Length : 1\r\n\r\n", FieldName),
            ("GET / HTTP/1.1\r\nnothing\r\n\r\n", FieldName),
            ("GET / HTTP/1.1\r\n: x\r\n\r\n", FieldName),
            ("GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", ContentLength),
            ("GET / HTTP/1.1\r\nContent-Length: 1, 1\r\n\r\n", ContentLength),
            ("GET / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", ContentLength),
            ("GET / HTTP/1.1\r\nContent-Length: a\r\n\r\n", ContentLength),
            ("GET / HTTP/1.1\r\nContent-Length:\r\n\r\n", ContentLength),
            ("GET / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", ContentLength),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", TransferEncoding),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n", TransferEncoding),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n", TransferEncoding),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n", TransferEncoding),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", TwoLengths),
            ("GET / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n", TwoLengths),
            ("GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", OldVersion),
        ] {
            for step in 1..=text.len() {
                let (out, found, framing) = fed(text.as_bytes(), step);
                assert_eq!(found, Some(violation), "{text:?}");
                assert!(!out.ends_with(b"\n") && out.contains(&0), "{text:?}: {out:?}");
                assert!(framing.is_refused());
            }
        }
    }

    #[test]
    fn chunks_are_what_they_say() {
        for bad in ["5 \r\n", "\r\n", "0x5\r\n", "5\n", "+5\r\n", "fffffffffffffffff\r\n", "1\r\naXX", "0\r\n x\r\n"] {
            let text = format!("PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{bad}\r\n");
            assert!(fed(text.as_bytes(), 7).1.is_some(), "{bad:?}");
        }
    }

    #[test]
    fn after_an_upgrade_bytes_are_not_looked_at() {
        let text = b"GET / HTTP/1.1\r\nUpgrade: x\r\n\r\nanything\n\n";
        for step in [1, 5, text.len()] {
            assert_eq!(fed(text, step).0, text);
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused() {
        let (_, found, framing) = fed(&vec![b'x'; MAX_LINE + 1], 1000);
        assert_eq!((found, framing.line.capacity()), (Some(Violation::TooLong), 0));
    }
}
