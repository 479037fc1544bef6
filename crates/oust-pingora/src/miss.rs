//! Writing: a response on its way into the store.

use async_trait::async_trait;
use bytes::Bytes;
use oust::cache::{Admit, FillWriter};
use pingora_cache::CacheEntryId;
use pingora_cache::storage::streaming_write::U64WriteId;
use pingora_cache::storage::{HandleMiss, MissFinishType};
use pingora_error::Result;

use crate::storage::OustStorage;

/// Feeds a fill. Dropped before it is finished, the fill is broken: nothing is stored, and all who read along get an error.
pub(crate) struct Writing {
    pub(crate) storage: &'static OustStorage,
    pub(crate) writer: FillWriter,
    pub(crate) id: u64,
    pub(crate) tag: U64WriteId,
    /// What the head says the length is.
    pub(crate) length: Option<u64>,
    pub(crate) written: u64,
    /// What the object takes without its body.
    pub(crate) weight: usize,
    pub(crate) own: Own,
}

/// Takes the leader's own reader away with the handler, if it was not asked for.
pub(crate) struct Own(pub(crate) &'static OustStorage, pub(crate) u64);

impl Drop for Own {
    fn drop(&mut self) {
        drop(self.0.take_own(self.1));
    }
}

#[async_trait]
impl HandleMiss for Writing {
    async fn write_body(&mut self, data: Bytes, _eof: bool) -> Result<()> {
        self.written += data.len() as u64;
        // Never waits for a reader: its own would be read by the very task that writes.
        self.writer.write(data);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<MissFinishType> {
        let Self { storage, writer, length, written, weight, own, .. } = *self;
        drop(own);
        if length.is_some_and(|length| length != written) {
            // Told to the readers, not to Pingora, which would take the reader from under the client.
            drop(writer);
            log::warn!("{written} bytes came where {length:?} were announced: not stored");
            return Ok(MissFinishType::Created(0));
        }
        let admit = writer.finish();
        storage.note(admit);
        let body = usize::try_from(written).unwrap_or(usize::MAX);
        Ok(MissFinishType::Created(if admit == Admit::Stored { weight.saturating_add(body) } else { 0 }))
    }

    fn streaming_write_tag(&self) -> Option<&[u8]> {
        Some(self.tag.as_bytes())
    }

    fn entry_id(&self) -> Option<CacheEntryId> {
        Some(CacheEntryId::new(self.id))
    }
}
