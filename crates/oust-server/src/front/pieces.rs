//! Bodies that are views of a mapped file.
//!
//! A page of such a view that the device does not give back reads as zeros once somebody has touched it (see
//! [`oust::disk::media::install_sigbus_handler`]). A connection ends rather than send zeros as content:
//!
//! 1. Where a body is copied before it is sent (TLS, HTTP/2), no piece is handed on before it has been copied here, and the file was found intact
//!    after that.
//! 2. Else the kernel takes it from the map, and reports a page that is missing. Each piece is handed on only if the file is intact; another reader
//!    that loses a page between that and the write is the only way to zeros.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};
use oust::cache::Hit;
use oust_tower::BodyError;

use crate::proxy::Answered;

/// Bytes copied at a time: small enough to stay in a processor's cache until they are encrypted.
const PIECE: usize = 64 << 10;

/// Bytes that are handed on at a time where nothing is copied.
const VIEWED: usize = 256 << 10;

/// Takes a body apart.
#[derive(Debug)]
pub(super) struct Pieces {
    hit: Hit,
    copied: bool,
    /// What is left of the body's last frame.
    rest: Bytes,
}

impl Pieces {
    /// For the body of this hit, or parts of it. `copied`: whether the connection copies what it sends.
    pub(super) fn new(hit: Hit, copied: bool) -> Self {
        Self { hit, copied, rest: Bytes::new() }
    }

    /// The next piece.
    pub(super) fn poll_frame(
        &mut self,
        body: &mut Answered,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                other => return Poll::Ready(other),
            }
        }
        let piece = if self.copied {
            let len = self.rest.len().min(PIECE);
            let piece = Bytes::copy_from_slice(self.rest.get(..len).unwrap_or_default());
            self.rest.advance(len);
            piece
        } else {
            self.rest.split_to(self.rest.len().min(VIEWED))
        };
        if self.hit.is_intact() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        tracing::error!("a page of a stored body could not be read: the connection is cut");
        Poll::Ready(Some(Err(BodyError::broken())))
    }

    /// Whether nothing is left of the last frame.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Bytes left of the last frame.
    pub(super) fn held(&self) -> u64 {
        self.rest.len() as u64
    }
}
