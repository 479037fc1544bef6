//! What was fetched, purged and served, and what must not have been served.
//!
//! Every answer of the origin has a number. The body carries that of the answer it came with; the head that of the newest answer, which may have been
//! a 304. A fetch knows the newest rule in force when the origin was asked: below a purge's number, it began before that purge was published.
//!
//! Nobody else runs while the history is written or read, so its order is that of what it tells.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use oust::{Action, Layers};

/// How often each of [`As`] was judged, and how often something had to be there at the end and was: in all executions of the process.
pub static JUDGED: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];

fn count(what: usize) {
    if let Some(counter) = JUDGED.get(what) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Number of an answer of the origin.
pub type Number = usize;

/// An answer of the origin.
#[derive(Debug, Clone)]
struct Fetched {
    key: usize,
    /// The newest rule when the origin was asked.
    newest: u64,
    asked_at: u64,
    /// May only be given to who leads the fetch.
    private: bool,
    /// The newest rule when it was handed to the cache.
    handed_at_rule: u64,
    /// When it was handed to the cache, and when that said it is stored.
    handed_at: u64,
    stored_at: Option<u64>,
    /// The tiers that had it when the threads began.
    began_in: (bool, bool),
}

/// An acknowledged purge, or an unsafe method.
#[derive(Debug, Clone)]
pub struct Purged {
    /// Which keys it takes.
    pub keys: [bool; 2],
    /// What it does to them.
    pub action: Action,
    /// Where.
    pub layers: Layers,
    /// Its numbers; `None` for an unsafe method.
    pub rules: Option<(u64, u64)>,
    /// When it was asked for.
    pub called_at: u64,
}

/// How an answer was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// From the cache, as fresh.
    Fresh,
    /// From the cache, although stale.
    Stale,
    /// Not served, but lent for validation.
    Base,
    /// By a fetch of somebody else that was joined.
    Joined,
}

#[derive(Debug, Default)]
struct Log {
    time: u64,
    fetched: Vec<Fetched>,
    acknowledged: Vec<Purged>,
    /// Published or about to be, acknowledged or not.
    asked: Vec<([bool; 2], u64)>,
    /// The newest rule when the first write to the second tier, and the first request, began.
    wrote_from: Option<u64>,
    looked_from: Option<u64>,
    evicted: bool,
    ended: [bool; 2],
}

/// The history of one execution.
#[derive(Debug, Default)]
pub struct History(Mutex<Log>);

/// When a request began.
#[derive(Debug, Clone, Copy)]
pub struct Began {
    at: u64,
    acknowledged: usize,
}

impl History {
    fn log(&self) -> MutexGuard<'_, Log> {
        let mut log = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        log.time += 1;
        log
    }

    /// A request begins.
    pub fn begin(&self, newest: u64) -> Began {
        let mut log = self.log();
        log.looked_from.get_or_insert(newest);
        Began { at: log.time, acknowledged: log.acknowledged.len() }
    }

    /// The origin is asked: the number of its answer.
    pub fn fetch(&self, key: usize, newest: u64, private: bool) -> Number {
        let mut log = self.log();
        let (asked_at, never) = (log.time, u64::MAX);
        log.fetched.push(Fetched {
            key,
            newest,
            asked_at,
            private,
            handed_at_rule: never,
            handed_at: never,
            stored_at: None,
            began_in: (false, false),
        });
        log.fetched.len() - 1
    }

    /// The answer is handed to the cache.
    pub fn hand(&self, number: Number, newest: u64) {
        let mut log = self.log();
        let time = log.time;
        if let Some(fetched) = log.fetched.get_mut(number) {
            (fetched.handed_at, fetched.handed_at_rule) = (time, newest);
        }
    }

    /// The cache has stored it.
    pub fn stored(&self, number: Number) {
        let mut log = self.log();
        let time = log.time;
        if let Some(fetched) = log.fetched.get_mut(number) {
            fetched.stored_at = Some(time);
        }
    }

    /// The threads are about to begin: the newest answer of `key` is in these tiers.
    pub fn settled(&self, key: usize, tiers: (bool, bool)) {
        let mut log = self.log();
        if let Some(fetched) = log.fetched.iter_mut().rev().find(|fetched| fetched.key == key) {
            fetched.began_in = tiers;
        }
        (log.wrote_from, log.looked_from) = (None, None);
    }

    /// A purge of these keys is about to be published: when.
    pub fn ask(&self, keys: [bool; 2]) -> u64 {
        let mut log = self.log();
        let time = log.time;
        log.asked.push((keys, time));
        time
    }

    /// A purge is acknowledged.
    pub fn acknowledge(&self, purged: Purged) {
        self.log().acknowledged.push(purged);
    }

    /// An unsafe method is about to end what is stored under `key`: when.
    pub fn end(&self, key: usize) -> u64 {
        let mut log = self.log();
        if let Some(ended) = log.ended.get_mut(key) {
            *ended = true;
        }
        log.time
    }

    /// The second tier is about to be written to.
    pub fn write(&self, newest: u64) {
        self.log().wrote_from.get_or_insert(newest);
    }

    /// The memory tier is about to evict, or the second one.
    pub fn evict(&self) {
        self.log().evicted = true;
    }

    /// Something was served to a request for `key`: head and body of these numbers.
    ///
    /// # Panics
    ///
    /// If that must not be.
    pub fn serve(&self, key: usize, began: Began, (head, body): (Number, Number), how: As) {
        count(how as usize);
        let log = self.log();
        let (Some(validated), Some(fetched)) = (log.fetched.get(head), log.fetched.get(body)) else {
            panic!("served what was never fetched: {head} {body}");
        };
        let told = || {
            format!(
                "head {head} {validated:?}, body {body} {fetched:?}, {how:?} to a request that began at {began:?} {log:#?}"
            )
        };
        assert!(validated.key == key && fetched.key == key, "another key's: {}", told());
        assert!(!validated.private && !fetched.private, "somebody else's private response: {}", told());
        for purged in
            log.acknowledged.iter().take(began.acknowledged).filter(|purged| purged.keys.get(key) == Some(&true))
        {
            let Some((first, _)) = purged.rules else {
                let older = |of: &Fetched| of.asked_at < purged.called_at;
                // RFC 9111 4.4 asks for a validation; what the origin has validated since may be served.
                assert!(!older(validated), "ended before: {}", told());
                continue;
            };
            // What a validation validated may have stayed where the purge did not reach, also for those who joined it.
            let in_flight = how == As::Joined && head == body;
            let older = |of: &Fetched| of.newest < first && (in_flight || !log.may_have_stayed(of, purged, first));
            let gone = match purged.action {
                Action::Delete => older(fetched) || older(validated),
                Action::Invalidate => how != As::Base && older(validated),
                Action::Soft => matches!(how, As::Fresh | As::Joined) && older(validated),
            };
            assert!(!gone, "purged by {purged:?}: {}", told());
        }
        let replaced = log.fetched.iter().any(|newer| {
            newer.key == key
                && newer.stored_at.is_some_and(|stored| stored < began.at)
                && validated.stored_at.is_some_and(|stored| stored < newer.handed_at)
        });
        assert!(how == As::Joined || !replaced, "replaced before: {}", told());
    }

    /// Nothing fresh was found under `key` when all threads had ended; `head` if something was.
    ///
    /// # Panics
    ///
    /// If the newest answer has to be there.
    pub fn found_at_the_end(&self, key: usize, head: Option<Number>) {
        let log = self.log();
        let of_key = || log.fetched.iter().enumerate().filter(|(_, fetched)| fetched.key == key);
        let Some((number, newest)) =
            of_key().filter(|(_, fetched)| fetched.stored_at.is_some()).max_by_key(|(_, f)| f.stored_at)
        else {
            return;
        };
        let alone = of_key().all(|(other, fetched)| {
            other == number
                || fetched.handed_at == u64::MAX
                || fetched.stored_at.is_some_and(|at| at < newest.handed_at)
        });
        let purged = log.asked.iter().any(|(keys, at)| keys.get(key) == Some(&true) && *at > newest.asked_at)
            || log.acknowledged.iter().any(|purged| {
                purged.keys.get(key) == Some(&true) && purged.rules.is_none_or(|(_, last)| last > newest.newest)
            });
        let ended = log.ended.get(key) == Some(&true);
        if alone && !purged && !ended && !log.evicted {
            count(4);
            assert_eq!(head, Some(number), "what nothing took is gone: {log:#?}");
        }
    }
}

impl Log {
    /// Whether a purge of one tier alone may have left an answer in the other.
    fn may_have_stayed(&self, of: &Fetched, purged: &Purged, first: u64) -> bool {
        // What was handed over later than the purge was published is stored nowhere.
        if purged.layers.edge && purged.layers.l2 || of.handed_at_rule >= first {
            return false;
        }
        if purged.layers.edge {
            of.began_in.1 || self.wrote_from.is_some_and(|from| from < first)
        } else {
            // Whatever is handed over comes to the memory tier; only what has left it needs a request to be promoted.
            of.began_in != (false, true) || self.looked_from.is_some_and(|from| from < first)
        }
    }
}
