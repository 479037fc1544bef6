//! Reading bodies before it is known who sends them.
//!
//! Invariant: however many requests there are, what is held of their bodies is at most [`OWN`] each and [`SHARED`] together.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use oust_api::MAX_BODY;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::proxy::Body;

/// What a request may send without asking, in bytes: more than nearly all of them do.
const OWN: usize = 64 << 10;
/// What all of them may send beyond it together.
const SHARED: usize = 256 << 20;
/// What is counted of the latter at once.
const UNIT: usize = 64 << 10;

/// The memory for bodies.
#[derive(Debug, Clone)]
pub(super) struct Room {
    units: Arc<Semaphore>,
    patience: Duration,
}

/// A body, and its share of the room while it is needed.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

/// Why a body is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unread {
    TooLong,
    /// It stopped, or there was no room for it in time.
    Stalled,
}

impl Room {
    /// Waits so long for a body's next bytes, and for room for them.
    pub(super) fn new(patience: Duration) -> Self {
        Self { units: Arc::new(Semaphore::new(SHARED / UNIT)), patience }
    }

    /// Reads a body to its end, which has its own patience.
    pub(super) async fn read(&self, mut body: Body) -> Result<Held, Unread> {
        if body.size_hint().lower() > u64::try_from(MAX_BODY).unwrap_or(u64::MAX) {
            return Err(Unread::TooLong);
        }
        let mut bytes = BytesMut::new();
        let mut share: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Unread::Stalled)?.into_data() else { continue };
            let length = bytes.len() + data.len();
            if length > MAX_BODY {
                return Err(Unread::TooLong);
            }
            let has = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let lacks = length.saturating_sub(OWN).div_ceil(UNIT).saturating_sub(has);
            if lacks > 0 {
                let more = self.units.clone().acquire_many_owned(u32::try_from(lacks).unwrap_or(u32::MAX));
                let more = tokio::time::timeout(self.patience, more).await;
                let Ok(Ok(more)) = more else { return Err(Unread::Stalled) };
                match &mut share {
                    Some(share) => share.merge(more),
                    None => share = Some(more),
                }
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Held { bytes: bytes.freeze(), _share: share })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
    }

    #[test]
    fn bodies_share_what_they_have_beyond_their_own() {
        run(async {
            let room = Room { units: Arc::new(Semaphore::new(2)), patience: Duration::from_millis(10) };
            let read = |length| room.read(Body::text(vec![b'x'; length]));
            let large = read(OWN + 2 * UNIT).await.expect("there is room");
            assert_eq!((large.bytes.len(), room.units.available_permits()), (OWN + 2 * UNIT, 0));
            assert_eq!(read(OWN).await.expect("it needs none").bytes.len(), OWN);
            assert_eq!(read(OWN + 1).await.err(), Some(Unread::Stalled));
            drop(large);
            assert!(read(OWN + 1).await.is_ok());
            assert_eq!(room.units.available_permits(), 2);
        });
    }

    #[test]
    fn the_longest_body() {
        run(async {
            let room = Room::new(Duration::from_secs(20));
            assert_eq!(room.read(Body::text(vec![b'x'; MAX_BODY])).await.expect("read").bytes.len(), MAX_BODY);
            assert_eq!(room.read(Body::text(vec![b'x'; MAX_BODY + 1])).await.err(), Some(Unread::TooLong));
            assert!(room.read(Body::Empty).await.expect("read").bytes.is_empty());
        });
    }
}
