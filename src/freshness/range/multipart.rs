//! Several parts of a representation as one body (RFC 9110 14.6).

use std::hash::{BuildHasher, Hasher, RandomState};
use std::ops::Range;

use bytes::Bytes;
use http::HeaderValue;

/// A `multipart/byteranges` body, to be streamed part by part: for each of [`parts`](Self::parts) its head, then the bytes of its range; then
/// [`end`](Self::end).
#[derive(Debug, Clone)]
pub struct Multipart {
    boundary: String,
    parts: Vec<Part>,
    end: Bytes,
    length: u64,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Part {
    /// What goes before its bytes: delimiter and fields.
    pub head: Bytes,
    /// Which bytes of the representation it holds.
    pub range: Range<u64>,
}

impl Multipart {
    /// Of a representation of `length` bytes whose `Content-Type` is `content_type`, with a boundary that nobody can guess: what a body holds must
    /// not be able to end a part.
    pub fn new(ranges: Vec<Range<u64>>, length: u64, content_type: Option<&HeaderValue>) -> Self {
        // Each state has random keys.
        let random = || RandomState::new().build_hasher().finish();
        Self::with_boundary(format!("{:016x}{:016x}", random(), random()), ranges, length, content_type)
    }

    fn with_boundary(
        boundary: String,
        ranges: Vec<Range<u64>>,
        length: u64,
        content_type: Option<&HeaderValue>,
    ) -> Self {
        let mut total = 0u64;
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            let mut head = Vec::with_capacity(160);
            if !parts.is_empty() {
                head.extend_from_slice(b"\r\n");
            }
            head.extend_from_slice(b"--");
            head.extend_from_slice(boundary.as_bytes());
            if let Some(content_type) = content_type {
                head.extend_from_slice(b"\r\nContent-Type: ");
                head.extend_from_slice(content_type.as_bytes());
            }
            head.extend_from_slice(b"\r\nContent-Range: ");
            head.extend_from_slice(super::content_range(&range, length).as_bytes());
            head.extend_from_slice(b"\r\n\r\n");
            total = total.saturating_add(head.len() as u64).saturating_add(range.end.saturating_sub(range.start));
            parts.push(Part { head: Bytes::from(head), range });
        }
        let end = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        let length = total.saturating_add(end.len() as u64);
        Self { boundary, parts, end, length }
    }

    /// The `Content-Type` of the answer.
    pub fn content_type(&self) -> HeaderValue {
        // The boundary is hexadecimal digits.
        HeaderValue::try_from(format!("multipart/byteranges; boundary={}", self.boundary))
            .unwrap_or_else(|_| HeaderValue::from_static("multipart/byteranges"))
    }

    /// The text between parts, without its dashes.
    pub fn boundary(&self) -> &str {
        &self.boundary
    }

    /// The parts, in order.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What goes after the last part.
    pub fn end(&self) -> &Bytes {
        &self.end
    }

    /// Length of the whole body, the answer's `Content-Length`.
    pub fn total_length(&self) -> u64 {
        self.length
    }
}
