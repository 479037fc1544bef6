//! Callbacks on their way: a state machine without I/O.
//!
//! Invariants:
//!
//! 1. A callback is handed out at most four times, never while an earlier hand-out is unreported and younger than a minute.
//! 2. No more than [`MAX_PENDING`] callbacks of an account are kept, [`MAX_OUT`] of them are out at a time, and [`MAX_OUT_WEBHOOK`] of one webhook:
//!    whoever sends them can begin with all at once, so that a receiver that does not answer keeps no other waiting.

use std::collections::{BTreeMap, HashMap};

use oust::purge::PurgeId;

/// Most callbacks kept for an account.
pub(super) const MAX_PENDING: usize = 1_000;

/// Most callbacks of an account handed out and not reported.
const MAX_OUT: usize = 8;

/// Most callbacks of a webhook handed out and not reported.
const MAX_OUT_WEBHOOK: usize = 2;

/// Pauses before the second and later attempts, in milliseconds.
const PAUSES: [u64; 3] = [1_000, 5_000, 25_000];

/// When an unreported hand-out counts as lost, in milliseconds.
const LOST: u64 = 60_000;

/// A callback on its way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) account: usize,
    pub(super) webhook: String,
    pub(super) task: String,
    /// Hand-outs so far.
    attempts: usize,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// The purge is not made yet.
    Reserved,
    /// The purge is not swept yet.
    Sweeping(PurgeId),
    /// To be handed out from this time on.
    Due(u64),
    /// Handed out at this time.
    Out(u64),
}

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Delivered,
    /// It is tried again.
    Failed,
    /// It is not tried again.
    GivenUp,
}

/// All callbacks on their way, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    pending: BTreeMap<u64, Pending>,
    last: u64,
}

impl Deliveries {
    /// Keeps a place for the callback of a task; `None` if the account has too many.
    pub(super) fn reserve(&mut self, account: usize, webhook: &str, task: &str) -> Option<u64> {
        if self.pending.values().filter(|pending| pending.account == account).count() >= MAX_PENDING {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        let (webhook, task) = (webhook.to_owned(), task.to_owned());
        self.pending.insert(self.last, Pending { account, webhook, task, attempts: 0, state: State::Reserved });
        Some(self.last)
    }

    /// The purge of a reserved callback was made, or was not. Nothing happens if the webhook was deleted meanwhile.
    pub(super) fn settle(&mut self, id: u64, purge: Option<PurgeId>) {
        match (purge, self.pending.get_mut(&id)) {
            (Some(purge), Some(pending)) => pending.state = State::Sweeping(purge),
            _ => drop(self.pending.remove(&id)),
        }
    }

    /// Drops what is on its way to a webhook.
    pub(super) fn forget(&mut self, webhook: &str) {
        self.pending.retain(|_, pending| pending.webhook != webhook);
    }

    /// Hands out what is due: to `send`, with its identity. `is_swept` tells of purges, `lost` is told of those that are given up because
    /// the last hand-out was never reported. O(pending), nothing if there are none.
    pub(super) fn due(
        &mut self,
        now_ms: u64,
        is_swept: impl Fn(PurgeId) -> bool,
        mut lost: impl FnMut(&Pending),
        mut send: impl FnMut(u64, &Pending),
    ) {
        if self.pending.is_empty() {
            return;
        }
        let mut out: HashMap<usize, usize> = HashMap::new();
        let mut out_webhook: HashMap<String, usize> = HashMap::new();
        self.pending.retain(|_, pending| {
            match pending.state {
                State::Sweeping(purge) if is_swept(purge) => pending.state = State::Due(now_ms),
                State::Out(since) if now_ms.abs_diff(since) >= LOST => {
                    if pending.attempts > PAUSES.len() {
                        lost(pending);
                        return false;
                    }
                    pending.state = State::Due(now_ms);
                }
                State::Out(_) => {
                    *out.entry(pending.account).or_default() += 1;
                    *out_webhook.entry(pending.webhook.clone()).or_default() += 1;
                }
                _ => {}
            }
            true
        });
        for (&id, pending) in &mut self.pending {
            let State::Due(at) = pending.state else { continue };
            // What is due later than any pause is long was set by a clock that has been set back.
            let is_due = at <= now_ms || at > now_ms.saturating_add(PAUSES[2]);
            if !is_due {
                continue;
            }
            let out = out.entry(pending.account).or_default();
            let out_webhook = out_webhook.entry(pending.webhook.clone()).or_default();
            if *out < MAX_OUT && *out_webhook < MAX_OUT_WEBHOOK {
                *out += 1;
                *out_webhook += 1;
                pending.attempts += 1;
                pending.state = State::Out(now_ms);
                send(id, pending);
            }
        }
    }

    /// The outcome of a hand-out, with the callback; `None` if it is not out.
    pub(super) fn done(&mut self, id: u64, delivered: bool, now_ms: u64) -> Option<(Outcome, String)> {
        let pending = self.pending.get_mut(&id).filter(|pending| matches!(pending.state, State::Out(_)))?;
        let webhook = pending.webhook.clone();
        let pause = pending.attempts.checked_sub(1).and_then(|index| PAUSES.get(index));
        let outcome = match pause {
            _ if delivered => Outcome::Delivered,
            Some(pause) => {
                pending.state = State::Due(now_ms.saturating_add(*pause));
                return Some((Outcome::Failed, webhook));
            }
            None => Outcome::GivenUp,
        };
        self.pending.remove(&id);
        Some((outcome, webhook))
    }
}
