//! Tokens that are had by logging in: random, good for four hours.
//!
//! Kept as digests, so many of each account; an account that logs in more often forgets its own oldest.

use std::collections::{HashMap, VecDeque};

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::task::{hex, random};

/// How long a token is good for, in milliseconds.
const LIFE_MS: u64 = 4 * 3600 * 1000;

/// Tokens kept of one account.
const KEEP: usize = 1000;

type Digest = [u8; 32];

/// The tokens of all accounts.
#[derive(Debug)]
pub(super) struct Sessions {
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    by_digest: HashMap<Digest, Session>,
    /// Oldest first, of each account.
    order: Vec<VecDeque<Digest>>,
}

#[derive(Debug)]
struct Session {
    account: usize,
    expires_ms: u64,
}

impl Sessions {
    pub(super) fn new(accounts: usize) -> Self {
        let order = (0..accounts).map(|_| VecDeque::new()).collect();
        Self { kept: Mutex::new(Kept { by_digest: HashMap::new(), order }) }
    }

    /// A new token of an account, and when it expires.
    ///
    /// # Errors
    ///
    /// If the operating system has no randomness to give.
    pub(super) fn open(&self, account: usize, now_ms: u64) -> Result<(String, u64), getrandom::Error> {
        let token = hex(&random::<32>()?);
        let digest = digest(&token);
        let expires_ms = now_ms.saturating_add(LIFE_MS);
        let mut kept = self.kept.lock();
        let Kept { by_digest, order } = &mut *kept;
        if let Some(order) = order.get_mut(account) {
            while order.len() >= KEEP {
                order.pop_front().map(|oldest| by_digest.remove(&oldest));
            }
            order.push_back(digest);
            by_digest.insert(digest, Session { account, expires_ms });
        }
        Ok((token, expires_ms))
    }

    /// Whose a token is that has not expired.
    pub(super) fn account(&self, token: &str, now_ms: u64) -> Option<usize> {
        // Looked up by digest: how long that takes says nothing of the tokens that are kept.
        let digest = digest(token);
        let kept = self.kept.lock();
        kept.by_digest.get(&digest).filter(|session| now_ms < session.expires_ms).map(|session| session.account)
    }
}

fn digest(token: &str) -> Digest {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_of_an_account_are_forgotten() {
        let sessions = Sessions::new(2);
        let other = sessions.open(1, 0).unwrap().0;
        let tokens: Vec<String> = (0..=KEEP).map(|_| sessions.open(0, 0).unwrap().0).collect();
        assert_eq!(sessions.account(&tokens[0], 0), None);
        assert_eq!(sessions.account(&tokens[1], 0), Some(0));
        assert_eq!(sessions.account(&other, 0), Some(1), "another account's stay");
        assert_eq!(sessions.kept.lock().by_digest.len(), KEEP + 1);
    }

    #[test]
    fn tokens_expire() {
        let sessions = Sessions::new(1);
        let (token, expires_ms) = sessions.open(0, 1000).unwrap();
        assert_eq!(expires_ms, 1000 + LIFE_MS);
        assert_eq!(sessions.account(&token, expires_ms - 1), Some(0));
        assert_eq!(sessions.account(&token, expires_ms), None);
    }
}
