//! Purge tokens: what an account may purge a day, counted from what it purged.
//!
//! A day (UTC) brings its share of tokens. What a day lacks is borrowed from the next one, which then brings that much less; beyond two
//! days' shares nothing is lent.

use parking_lot::Mutex;

use super::refusal::Refusal;

/// File URLs a day.
const FILES: u64 = 1_000_000;

/// Directory URLs and regexes a day.
const DIRECTORIES: u64 = 100_000;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// Tokens of each kind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tokens {
    pub(super) files: u64,
    pub(super) directories: u64,
}

/// What one account used in one environment.
#[derive(Debug, Default)]
pub(super) struct Quota {
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    day: u64,
    tokens: Tokens,
}

impl Used {
    /// Lets the days since the last use pay back. A clock that was set back pays nothing.
    fn turn(&mut self, now_ms: u64) {
        let day = now_ms / DAY_MS;
        let days = day.saturating_sub(self.day);
        self.tokens.files = self.tokens.files.saturating_sub(days.saturating_mul(FILES));
        self.tokens.directories = self.tokens.directories.saturating_sub(days.saturating_mul(DIRECTORIES));
        self.day = self.day.max(day);
    }

    fn left(&self) -> Tokens {
        Tokens {
            files: (2 * FILES).saturating_sub(self.tokens.files),
            directories: (2 * DIRECTORIES).saturating_sub(self.tokens.directories),
        }
    }
}

impl Quota {
    /// What can be purged now, tomorrow's share included.
    pub(super) fn left(&self, now_ms: u64) -> Tokens {
        let mut used = self.used.lock();
        used.turn(now_ms);
        used.left()
    }

    /// Takes tokens, all or none.
    pub(super) fn take(&self, wanted: Tokens, now_ms: u64) -> Result<(), Refusal> {
        let mut used = self.used.lock();
        used.turn(now_ms);
        let left = used.left();
        if wanted.files > left.files || wanted.directories > left.directories {
            let message = format!(
                "The daily purge quota is used up: {} file and {} directory tokens are left.",
                left.files, left.directories
            );
            return Err(Refusal::too_many(message, DAY_MS.saturating_sub(now_ms % DAY_MS)));
        }
        used.tokens.files = used.tokens.files.saturating_add(wanted.files);
        used.tokens.directories = used.tokens.directories.saturating_add(wanted.directories);
        Ok(())
    }

    /// Gives back what a refused purge took.
    pub(super) fn give_back(&self, taken: Tokens) {
        let mut used = self.used.lock();
        used.tokens.files = used.tokens.files.saturating_sub(taken.files);
        used.tokens.directories = used.tokens.directories.saturating_sub(taken.directories);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_pay_back_what_was_borrowed() {
        let quota = Quota::default();
        let directories = |count| Tokens { files: 0, directories: count };
        quota.take(directories(150_000), 5 * DAY_MS).unwrap();
        assert_eq!(quota.left(5 * DAY_MS).directories, 50_000);
        assert!(quota.take(directories(50_001), 6 * DAY_MS - 1).is_err(), "over both days' shares");
        assert_eq!(quota.left(6 * DAY_MS).directories, 150_000, "50,000 of this day were borrowed");
        assert_eq!(quota.left(3 * DAY_MS).directories, 150_000, "a clock set back");
        assert_eq!(quota.left(6 * DAY_MS).directories, 150_000, "pays nothing when it is right again");
        assert_eq!(quota.left(7 * DAY_MS).directories, 200_000);
        quota.take(Tokens { files: 7, directories: 1 }, 7 * DAY_MS).unwrap();
        quota.give_back(Tokens { files: 7, directories: 0 });
        let left = quota.left(7 * DAY_MS);
        assert_eq!((left.files, left.directories), (2 * FILES, 2 * DIRECTORIES - 1));
    }
}
