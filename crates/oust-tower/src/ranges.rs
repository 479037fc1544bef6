//! Which pieces of a whole body a request for ranges gets (RFC 9110 14).

use http::StatusCode;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use oust::freshness::range::{self, Multipart, Selection};

use super::cut::Piece;

/// How ranges are answered.
pub(crate) enum Answered {
    /// By these.
    Cut(Pieces),
    /// There is nothing where they are: 416 with this `Content-Range`.
    Outside(HeaderValue),
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
        let mut end = 0;
        self.pieces.iter().all(|piece| match *piece {
            Piece::Text(_) => true,
            Piece::Span { from, to } => from >= std::mem::replace(&mut end, to),
        })
    }
}

/// What the ranges of `request` are of a response with these fields, whose body has `len` bytes; `None`: the whole.
pub(crate) fn answer(request: &HeaderMap, status: StatusCode, response: &HeaderMap, len: u64) -> Option<Answered> {
    let span = |range: &std::ops::Range<u64>| Piece::Span { from: range.start, to: range.end };
    match range::select(request, status, response, len) {
        Selection::Whole => None,
        Selection::One(range) => Some(Answered::Cut(Pieces {
            pieces: vec![span(&range)],
            field: (header::CONTENT_RANGE, range::content_range(&range, len)),
        })),
        Selection::Many(ranges) => {
            let multipart = Multipart::new(ranges, len, response.get(header::CONTENT_TYPE));
            let parts = multipart.parts().iter().flat_map(|part| [Piece::Text(part.head.clone()), span(&part.range)]);
            let pieces = parts.chain([Piece::Text(multipart.end().clone())]).collect();
            Some(Answered::Cut(Pieces { pieces, field: (header::CONTENT_TYPE, multipart.content_type()) }))
        }
        Selection::Unsatisfiable => Some(Answered::Outside(range::unsatisfied(len))),
    }
}
