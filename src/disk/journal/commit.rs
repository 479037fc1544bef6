//! Group commit: one of those who wait writes and syncs for all of them.

use std::mem;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::error::JournalError;
use super::live::Live;
use super::writer::{Checkpointed, Writer};
use super::{Journal, Log};

/// Whose turn it is to commit.
#[derive(Debug, Default)]
pub(super) struct Turn {
    leading: bool,
    /// Commits that ended.
    round: u64,
    failure: Option<Failure>,
}

#[derive(Debug)]
struct Failure {
    round: u64,
    /// Entries up to here were to be made durable.
    upto: u64,
    error: JournalError,
}

/// How far a commit was to go, and how it ended.
struct Outcome {
    upto: u64,
    result: Result<(), JournalError>,
}

impl Journal {
    /// Waits for a commit that takes `upto` with it, or does it.
    pub(super) fn wait_or_lead(&self, upto: u64) -> Result<(), JournalError> {
        let mut turn = self.turn.lock();
        let entered = turn.round;
        while turn.leading {
            self.turned.wait(&mut turn);
            if self.durable.load(Ordering::Acquire) >= upto {
                return Ok(());
            }
            if let Some(failure) = &turn.failure
                && failure.round > entered
                && failure.upto >= upto
            {
                return Err(failure.error.clone());
            }
        }
        if self.durable.load(Ordering::Acquire) >= upto {
            return Ok(());
        }
        turn.leading = true;
        drop(turn);
        let mut leading = Leading { journal: self, outcome: None };
        let outcome = self.round();
        let reached = outcome.upto >= upto;
        let result = outcome.result.clone();
        leading.outcome = Some(outcome);
        drop(leading);
        result.and_then(|()| if reached { Ok(()) } else { Err(JournalError::broken("sync")) })
    }

    /// Commits everything appended so far, alone: for opening.
    pub(super) fn commit(&self) -> Result<(), JournalError> {
        self.round().result
    }

    fn round(&self) -> Outcome {
        let mut writer = self.writer.lock();
        let begun = Instant::now();
        let mut batch = Batch::take(&mut self.log.lock());
        let (rolled, upto, reserved, result) = if writer.has_room_for(batch.records.len()) {
            let result = if batch.records.is_empty() {
                Ok(())
            } else {
                writer.write(&mut batch.records, self.durable.load(Ordering::Acquire))
            };
            (false, batch.upto, batch.reserved, result)
        } else {
            // The batch is part of the state that the new file begins with; the old one is done with, whatever happens now.
            writer.abandon();
            let (upto, reserved, result) = self.roll(&mut writer);
            (true, upto, reserved, result)
        };
        if result.is_ok() {
            self.reserved.fetch_max(reserved, Ordering::AcqRel);
            self.durable.fetch_max(upto, Ordering::AcqRel);
        }
        self.count(&writer, begun, rolled, result.is_ok());
        Outcome { upto, result }
    }

    fn roll(&self, writer: &mut Writer) -> (u64, u64, Result<(), JournalError>) {
        let (live, source, position, reserved) = {
            let mut log = self.log.lock();
            log.last += 1;
            log.pending.clear();
            // A checkpoint is no clean end.
            let reserved = if mem::take(&mut log.closed) { 0 } else { log.live.reserved_upto };
            (log.live.clone(), log.source.clone(), log.last, reserved)
        };
        let Live { swept_upto, reserved_upto, .. } = live;
        // Without the lock of `log`: marks of entries up to here were set before they were appended, and later ones are appended later.
        let records = live.checkpoint(position, source.as_deref());
        let result = writer.roll(Checkpointed { epoch: self.epoch, position, swept_upto, reserved_upto, records });
        (position, reserved, result)
    }

    fn count(&self, writer: &Writer, begun: Instant, rolled: bool, succeeded: bool) {
        let mut stats = self.stats.lock();
        if succeeded {
            stats.succeeded(begun.elapsed(), rolled);
        } else {
            stats.failed();
        }
        stats.bytes = writer.used();
        stats.reserved_bytes = writer.len();
        stats.files = writer.files();
    }
}

/// What one commit writes.
struct Batch {
    records: Vec<u8>,
    upto: u64,
    reserved: u64,
}

impl Batch {
    fn take(log: &mut Log) -> Self {
        let reserved = if log.closed { 0 } else { log.live.reserved_upto };
        Self { records: mem::take(&mut log.pending), upto: log.last, reserved }
    }
}

/// Passes the turn on, also when the leader panics: the writer then has no file, and the next commit makes one.
struct Leading<'a> {
    journal: &'a Journal,
    outcome: Option<Outcome>,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let outcome = self
            .outcome
            .take()
            .unwrap_or_else(|| Outcome { upto: u64::MAX, result: Err(JournalError::broken("write")) });
        let mut turn = self.journal.turn.lock();
        turn.leading = false;
        turn.round += 1;
        if let Err(error) = outcome.result {
            turn.failure = Some(Failure { round: turn.round, upto: outcome.upto, error });
        }
        drop(turn);
        self.journal.turned.notify_all();
    }
}
