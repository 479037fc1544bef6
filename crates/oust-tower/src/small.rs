//! Short field values that live as long as one answer: many share one allocation, which is used again when all of them are gone.

use std::cell::RefCell;

use bytes::{Bytes, BytesMut};
use http::HeaderValue;

/// What is allocated at once.
const ROOM: usize = 4 << 10;

thread_local! {
    static SPACE: RefCell<BytesMut> = RefCell::new(BytesMut::new());
}

/// A number.
pub(crate) fn number(number: u64) -> HeaderValue {
    let mut digits = itoa::Buffer::new();
    value(&[digits.format(number).as_bytes()]).unwrap_or(HeaderValue::from_static("0"))
}

/// The parts, one behind the other; `None` if that is no field value.
pub(crate) fn value(parts: &[&[u8]]) -> Option<HeaderValue> {
    let len = parts.iter().map(|part| part.len()).sum();
    let written = SPACE.try_with(|space| {
        let mut space = space.try_borrow_mut().ok()?;
        if space.capacity() < len {
            if len > ROOM / 16 {
                return None;
            }
            space.reserve(ROOM);
        }
        for part in parts {
            space.extend_from_slice(part);
        }
        Some(space.split().freeze())
    });
    // The thread is ending, or it is too long to share.
    let bytes = written.ok().flatten().unwrap_or_else(|| Bytes::from(parts.concat()));
    HeaderValue::from_maybe_shared(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_what_they_were_made_of_for_as_long_as_they_live() {
        let long = vec![b'x'; ROOM];
        let made: Vec<_> = (0..10_000_u64).map(number).collect();
        for (at, value) in made.iter().enumerate() {
            assert_eq!(value, &at.to_string());
        }
        assert_eq!(value(&[b"a", &long, b"b"]).map(|value| value.len()), Some(ROOM + 2));
        assert_eq!(value(&[b"a; ", b"b"]).unwrap(), "a; b");
        assert!(value(&[b"a\n"]).is_none());
        assert_eq!(value(&[]).unwrap(), "");
    }
}
