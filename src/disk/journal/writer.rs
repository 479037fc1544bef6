//! The file that is written now, and the making of the next one.
//!
//! Steps of a roll, each done before the next: create with space reserved; header, sync; checkpoint, sync; sync the directory; remove older
//! files. Whatever fails before the directory is synced leaves a file that need not count, beside the older one that still does.

use std::collections::BTreeSet;
use std::io;
use std::mem;
use std::sync::Arc;

use super::error::JournalError;
use super::record::{self, HEADER, Header};
use crate::disk::{File, Media};

/// The name of file `id`.
pub(super) fn file_name(id: u64) -> String {
    format!("journal-{id:016x}.log")
}

/// A random number.
pub(crate) fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(u64::from_le_bytes(bytes))
}

/// What a new file begins with.
#[derive(Debug)]
pub(super) struct Checkpointed {
    pub(super) epoch: u64,
    pub(super) position: u64,
    pub(super) swept_upto: u64,
    pub(super) reserved_upto: u64,
    /// Records not sealed yet.
    pub(super) records: Vec<u8>,
}

/// The files of a journal; owned by whoever commits.
#[derive(Debug)]
pub(super) struct Writer {
    media: Arc<dyn Media>,
    limit: u64,
    /// `None` after any failure: that file is never written again.
    current: Option<Current>,
    next_id: u64,
    /// The last file that counted.
    previous: u64,
    /// Files to be removed.
    old: BTreeSet<u64>,
}

#[derive(Debug)]
struct Current {
    id: u64,
    file: Arc<dyn File>,
    salt: u64,
    at: u64,
    len: u64,
}

impl Writer {
    /// `ids`: all files there are. `previous`: the one that counts, 0 if none does.
    pub(super) fn new(media: Arc<dyn Media>, limit: u64, ids: &[u64], previous: u64) -> Self {
        let next_id = ids.iter().max().map_or(1, |max| max.saturating_add(1));
        Self { media, limit, current: None, next_id, previous, old: ids.iter().copied().collect() }
    }

    /// Whether a batch can be written to the current file.
    pub(super) fn has_room_for(&self, bytes: usize) -> bool {
        self.current.as_ref().is_some_and(|current| current.len.saturating_sub(current.at) >= len_u64(bytes))
    }

    /// Seals a batch of records, writes and syncs it.
    pub(super) fn write(&mut self, batch: &mut [u8], synced_upto: u64) -> Result<(), JournalError> {
        // Back only when all is well.
        let Some(mut current) = self.current.take() else {
            return Err(JournalError::broken("write to"));
        };
        record::seal(batch, current.salt, synced_upto);
        let named = |operation| move |error| JournalError::new(operation, file_name(current.id), error);
        current.file.write_at(current.at, batch).map_err(named("write to"))?;
        current.file.sync().map_err(named("sync"))?;
        current.at = current.at.saturating_add(len_u64(batch.len()));
        self.current = Some(current);
        Ok(())
    }

    /// Never writes the current file again.
    pub(super) fn abandon(&mut self) {
        self.current = None;
    }

    /// Makes a new file the one that counts.
    pub(super) fn roll(&mut self, start: Checkpointed) -> Result<(), JournalError> {
        self.current = None;
        let id = self.next_id;
        let name = file_name(id);
        let Some(next_id) = id.checked_add(1) else {
            return Err(JournalError::new("number", name, io::Error::other("file numbers have run out")));
        };
        self.next_id = next_id;
        self.old.insert(id);
        let current = match self.make(id, &name, start) {
            Ok(current) => current,
            Err(error) => {
                self.clean(Some(id));
                return Err(error);
            }
        };
        self.current = Some(current);
        self.old.remove(&id);
        let previous = mem::replace(&mut self.previous, id);
        if previous != 0 {
            self.old.insert(previous);
        }
        self.clean(None);
        Ok(())
    }

    fn make(&self, id: u64, name: &str, mut start: Checkpointed) -> Result<Current, JournalError> {
        let failed = |operation| move |error| JournalError::new(operation, name, error);
        let salt = random().map_err(failed("choose a salt for"))?;
        record::seal(&mut start.records, salt, 0);
        let used = len_u64(HEADER).saturating_add(len_u64(start.records.len()));
        // Twice the checkpoint, so that rolling costs no more than what is appended.
        let wanted = used.saturating_mul(2).max(self.limit);
        let least = used.saturating_add(LEAST);
        let (file, len) = match self.media.create(name, wanted) {
            Err(error)
                if least < wanted && JournalError::new("create", name, io::Error::from(error.kind())).is_full() =>
            {
                (self.media.create(name, least).map_err(failed("create"))?, least)
            }
            made => (made.map_err(failed("create"))?, wanted),
        };
        let header = Header {
            id,
            epoch: start.epoch,
            identity: file.identity().map_err(failed("identify"))?,
            swept_upto: start.swept_upto,
            reserved_upto: start.reserved_upto,
            previous: self.previous,
            position: start.position,
            len,
            salt,
            begin: u32::try_from(HEADER).unwrap_or(u32::MAX),
        };
        file.write_at(0, &header.encode()).map_err(failed("write to"))?;
        file.sync().map_err(failed("sync"))?;
        file.write_at(len_u64(HEADER), &start.records).map_err(failed("write to"))?;
        file.sync().map_err(failed("sync"))?;
        self.media.sync_dir().map_err(failed("sync the directory of"))?;
        Ok(Current { id, file, salt, at: used, len })
    }

    /// Removes `only` this file, or all old ones. What cannot be removed is tried again after the next roll.
    fn clean(&mut self, only: Option<u64>) {
        let media = &self.media;
        self.old.retain(|&id| {
            if only.is_some_and(|only| only != id) {
                return true;
            }
            matches!(media.remove(&file_name(id)), Err(error) if error.kind() != io::ErrorKind::NotFound)
        });
    }

    /// Bytes in use of the current file.
    pub(super) fn used(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.at)
    }

    /// Bytes reserved for the current file.
    pub(super) fn len(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| current.len)
    }

    /// Files there are, those to be removed included.
    pub(super) fn files(&self) -> usize {
        self.old.len().saturating_add(usize::from(self.current.is_some()))
    }
}

/// Room behind the checkpoint where space is short.
const LEAST: u64 = 64 << 10;

fn len_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
