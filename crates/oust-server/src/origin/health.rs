//! Whether an origin is to be asked.
//!
//! 1. An origin is out if its checks say so, or while the time its last failures cost it runs.
//! 2. When that time is over, one request every [`TRIAL`] tries it; one answer takes it in again at once.
//! 3. The schedule is a function of events and time: no chance in it.
//!
//! Lock: one, a leaf.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::config::HealthCheck;

/// Failures in a row that take an origin out.
const TOLERATED: u32 = 3;
/// The first time it is out for, doubled with every failed trial.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// Between two trials whose outcome is not known.
const TRIAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Health(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// In a row, while it is in.
    failures: u32,
    /// Times it was taken out since it last answered.
    rounds: u32,
    /// Set while it is out.
    until: Option<Instant>,
    /// Whether a request tries it.
    trial: bool,
    check_failed: bool,
    /// Checks in a row that say otherwise than `check_failed`.
    against: usize,
}

impl Health {
    /// Whether a request may be sent to it. Of an origin that is out and due for a trial, the request that is told so is the trial.
    pub(super) fn admit(&self, now: Instant) -> bool {
        self.with(|state| match state.until {
            _ if state.check_failed => false,
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                state.until = Some(now + TRIAL);
                state.trial = true;
                true
            }
        })
    }

    /// Whether it counts as up.
    pub(super) fn is_up(&self) -> bool {
        self.with(|state| !state.check_failed && state.until.is_none())
    }

    /// It answered. True if it was out.
    pub(super) fn answered(&self) -> bool {
        self.with(|state| {
            let was_out = state.until.take().is_some();
            (state.failures, state.rounds, state.trial) = (0, 0, false);
            was_out
        })
    }

    /// It did not answer. Returns for how long it is out, if that is new.
    pub(super) fn failed(&self, now: Instant) -> Option<Duration> {
        self.with(|state| {
            if state.until.is_some() && !state.trial {
                // A request from before it was taken out: that is known by now.
                return None;
            }
            state.failures = state.failures.saturating_add(1);
            if !state.trial && state.failures < TOLERATED {
                return None;
            }
            let out = FIRST.saturating_mul(1 << state.rounds.min(16)).min(LONGEST);
            state.rounds = state.rounds.saturating_add(1);
            state.until = Some(now + out);
            state.trial = false;
            Some(out)
        })
    }

    /// The outcome of a check. Some(up) if that changes what is thought of the origin.
    pub(super) fn checked(&self, good: bool, rules: &HealthCheck) -> Option<bool> {
        self.with(|state| {
            if good != state.check_failed {
                state.against = 0;
                return None;
            }
            state.against += 1;
            let needed = if good { rules.healthy } else { rules.unhealthy };
            if state.against < needed {
                return None;
            }
            state.against = 0;
            state.check_failed = !good;
            if good {
                (state.failures, state.rounds, state.trial, state.until) = (0, 0, false, None);
            }
            Some(good)
        })
    }

    /// No checks any more: what they said does not count.
    pub(super) fn unchecked(&self) {
        self.with(|state| (state.check_failed, state.against) = (false, 0));
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use http::uri::PathAndQuery;

    use super::*;

    #[test]
    fn failures_take_it_out_for_a_growing_and_bounded_time() {
        let health = Health::default();
        let mut now = Instant::now();
        assert_eq!((health.failed(now), health.failed(now)), (None, None));
        assert!(health.is_up() && health.admit(now));
        let mut times = vec![health.failed(now).expect("out").as_secs()];
        for _ in 0..8 {
            assert!(!health.is_up() && !health.admit(now));
            assert_eq!(health.failed(now), None, "a failure from before");
            now += Duration::from_secs(*times.last().expect("one"));
            assert!(health.admit(now), "the trial");
            assert!(!health.admit(now), "one trial at a time");
            times.push(health.failed(now).expect("out again").as_secs());
        }
        assert_eq!(times, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        now += LONGEST;
        assert!(health.admit(now) && health.answered());
        assert!(health.is_up() && health.admit(now));
        assert_eq!((health.failed(now), health.failed(now)), (None, None));
        assert_eq!(health.failed(now), Some(FIRST), "it begins anew");
    }

    #[test]
    fn a_trial_without_an_outcome_does_not_keep_it_out() {
        let health = Health::default();
        let mut now = Instant::now();
        while health.failed(now).is_none() {}
        now += FIRST;
        assert!(health.admit(now) && !health.admit(now));
        now += TRIAL;
        assert!(health.admit(now));
    }

    #[test]
    fn checks_need_to_agree_in_a_row() {
        let rules = HealthCheck {
            path: PathAndQuery::from_static("/"),
            interval: FIRST,
            timeout: FIRST,
            unhealthy: 3,
            healthy: 2,
            status: 200,
        };
        let health = Health::default();
        let told: Vec<_> = [false, false, true, false, false, false, true, false, true, true]
            .map(|good| health.checked(good, &rules))
            .to_vec();
        let mut expected = vec![None; 10];
        (expected[5], expected[9]) = (Some(false), Some(true));
        assert_eq!(told, expected);
        for _ in 0..3 {
            health.checked(false, &rules);
        }
        assert!(!health.admit(Instant::now()));
        health.unchecked();
        assert!(health.admit(Instant::now()));
    }
}
