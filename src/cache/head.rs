//! Status and header fields, and their encoding inside an entry.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Status and header fields of a response.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Head {
    /// Status code.
    pub status: StatusCode,
    /// Header fields, repeated ones in their order.
    pub headers: HeaderMap,
}

impl Head {
    /// A head.
    pub fn new(status: StatusCode, headers: HeaderMap) -> Self {
        Self { status, headers }
    }
}

/// Header fields as length-prefixed names and values.
pub(crate) fn encode(headers: &HeaderMap) -> Vec<u8> {
    let mut out = Vec::with_capacity(headers.iter().map(|(n, v)| n.as_str().len() + v.len() + 6).sum());
    for (name, value) in headers {
        let name = name.as_str().as_bytes();
        out.extend_from_slice(&u16::try_from(name.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(value.as_bytes());
    }
    out
}

/// The fields back; values are slices of one copy.
pub(crate) fn decode(encoded: &[u8]) -> HeaderMap {
    let mut rest = Bytes::copy_from_slice(encoded);
    let mut headers = HeaderMap::new();
    while let Some((name, value)) = field(&mut rest) {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(&name), HeaderValue::from_maybe_shared(value)) {
            headers.append(name, value);
        }
    }
    headers
}

fn field(rest: &mut Bytes) -> Option<(Bytes, Bytes)> {
    let len = usize::from(u16::from_le_bytes(*rest.first_chunk()?));
    let name = take(rest, 2, len)?;
    let len = u32::from_le_bytes(*rest.first_chunk()?) as usize;
    Some((name, take(rest, 4, len)?))
}

fn take(rest: &mut Bytes, skip: usize, len: usize) -> Option<Bytes> {
    if rest.len() < skip + len {
        return None;
    }
    let mut taken = rest.split_to(skip + len);
    Some(taken.split_off(skip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_back_in_order() {
        let mut headers = HeaderMap::new();
        headers.append("set-thing", HeaderValue::from_static("a"));
        headers.append("etag", HeaderValue::from_static("\"x\""));
        headers.append("set-thing", HeaderValue::from_bytes(b"\xff").unwrap());
        assert_eq!(decode(&encode(&headers)), headers);
        assert!(decode(&encode(&headers)[..7]).is_empty());
    }
}
