//! Tasks: what a vendor's client asks after, as a view of the engine's purge record.
//!
//! A task holds what was asked in the vendor's words and the identity of the purge; its state is that of the purge, read when it is asked for.
//! Bounded in number and, for those added with a weight, in bytes: the oldest of the account that has most are forgotten.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use oust::Cache;
use oust::purge::{Count, PurgeId, PurgeState};
use parking_lot::Mutex;

/// Most bytes of weighed tasks.
const MAX_BYTES: usize = 64 << 20;

/// One purge as its asker knows it.
#[derive(Debug)]
pub(crate) struct Task<I, D> {
    pub(crate) id: I,
    /// Index of the account it belongs to.
    pub(crate) account: usize,
    /// `None` where there was nothing to do.
    pub(crate) purge: Option<PurgeId>,
    pub(crate) created_ms: u64,
    /// What was asked, in the vendor's words.
    pub(crate) asked: D,
}

/// How far a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Effective; the sweep has not begun.
    Waiting,
    /// The sweep has begun at this time, milliseconds since the Unix epoch.
    Running(u64),
    /// Swept: from when to when.
    Done(u64, u64),
}

impl<I, D> Task<I, D> {
    /// Its progress and what it has ended so far. A purge that has left the engine's history counts as swept when it was made.
    pub(crate) fn progress(&self, cache: &Cache) -> (Progress, Count) {
        let Some(record) = self.purge.and_then(|id| cache.purge_record(id)) else {
            return (Progress::Done(self.created_ms, self.created_ms), Count::default());
        };
        let progress = match (record.state, record.started_ms, record.swept_ms) {
            (PurgeState::Swept, started, swept) => {
                let swept = swept.unwrap_or(self.created_ms);
                Progress::Done(started.unwrap_or(swept), swept)
            }
            (_, Some(started), _) => Progress::Running(started),
            _ => Progress::Waiting,
        };
        (progress, record.edge)
    }
}

/// The tasks of one dialect, of all accounts.
///
/// Bounded in number and bytes together. Beyond a bound the account that has most of it forgets its oldest, so that none makes others' forgotten.
#[derive(Debug)]
pub(crate) struct Tasks<I, D> {
    keep: usize,
    kept: Mutex<Kept<I, D>>,
}

#[derive(Debug)]
struct Kept<I, D> {
    by_id: HashMap<I, Arc<Task<I, D>>>,
    by_account: HashMap<usize, Own<I>>,
    bytes: usize,
}

/// The tasks of an account.
#[derive(Debug)]
struct Own<I> {
    /// Oldest first, with their weights.
    order: VecDeque<(I, usize)>,
    bytes: usize,
}

impl<I: Hash + Eq + Clone, D> Tasks<I, D> {
    pub(crate) fn new(keep: usize) -> Self {
        let kept = Kept { by_id: HashMap::new(), by_account: HashMap::new(), bytes: 0 };
        Self { keep: keep.max(1), kept: Mutex::new(kept) }
    }

    /// Adds a task that holds nothing of the client's. Its id is the caller's to make unique.
    pub(crate) fn add(&self, task: Task<I, D>) -> Arc<Task<I, D>> {
        self.add_weighed(task, 0)
    }

    /// As [`Tasks::add`], for a task that holds about so many bytes. The newest always stays.
    pub(crate) fn add_weighed(&self, task: Task<I, D>, bytes: usize) -> Arc<Task<I, D>> {
        let task = Arc::new(task);
        let mut kept = self.kept.lock();
        if kept.by_id.insert(task.id.clone(), Arc::clone(&task)).is_none() {
            let own = kept.by_account.entry(task.account).or_insert(Own { order: VecDeque::new(), bytes: 0 });
            own.order.push_back((task.id.clone(), bytes));
            own.bytes = own.bytes.saturating_add(bytes);
            kept.bytes = kept.bytes.saturating_add(bytes);
        }
        while kept.by_id.len() > self.keep && kept.forget(task.account, |own| own.order.len()) {}
        while kept.bytes > MAX_BYTES && kept.forget(task.account, |own| own.bytes) {}
        task
    }

    /// Whether a task of any account has this id.
    pub(crate) fn has(&self, id: &I) -> bool {
        self.kept.lock().by_id.contains_key(id)
    }

    /// A task of this account; another's is as unknown as none.
    pub(crate) fn of_account(&self, id: &I, account: usize) -> Option<Arc<Task<I, D>>> {
        self.kept.lock().by_id.get(id).filter(|task| task.account == account).cloned()
    }

    /// All tasks of an account, newest first. O(tasks of the account).
    pub(crate) fn list(&self, account: usize) -> Vec<Arc<Task<I, D>>> {
        let kept = self.kept.lock();
        let order = kept.by_account.get(&account).into_iter().flat_map(|own| own.order.iter().rev());
        order.filter_map(|(id, _)| kept.by_id.get(id)).cloned().collect()
    }
}

impl<I: Hash + Eq + Clone, D> Kept<I, D> {
    /// Forgets the oldest task of the account that has most; whether there was one, the newest of `newest` apart. O(accounts).
    fn forget(&mut self, newest: usize, has: impl Fn(&Own<I>) -> usize) -> bool {
        let others =
            self.by_account.iter_mut().filter(|(account, own)| own.order.len() > usize::from(**account == newest));
        let Some((_, own)) = others.max_by_key(|(account, own)| (has(own), **account)) else { return false };
        let Some((oldest, bytes)) = own.order.pop_front() else { return false };
        own.bytes = own.bytes.saturating_sub(bytes);
        self.bytes = self.bytes.saturating_sub(bytes);
        self.by_id.remove(&oldest);
        true
    }
}

/// About how many bytes a task holds that keeps these texts.
pub(crate) fn weight<'a>(texts: impl IntoIterator<Item = &'a String>) -> usize {
    // The task itself; a text's own 24 bytes and an allocation's share.
    texts.into_iter().fold(512, |sum, text| sum.saturating_add(text.len()).saturating_add(40))
}

/// Random bytes for ids that nobody guesses.
///
/// # Errors
///
/// If the operating system has none to give.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: u32) -> Task<u32, ()> {
        of(0, id)
    }

    fn of(account: usize, id: u32) -> Task<u32, ()> {
        Task { id, account, purge: None, created_ms: 0, asked: () }
    }

    fn ids(tasks: &Tasks<u32, ()>) -> Vec<u32> {
        tasks.list(0).iter().map(|task| task.id).collect()
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let tasks = Tasks::new(2);
        (1..=3).for_each(|id| drop(tasks.add(task(id))));
        assert_eq!(ids(&tasks), [3, 2]);
        assert!(tasks.has(&3) && !tasks.has(&1));
        assert!(tasks.of_account(&3, 0).is_some() && tasks.of_account(&3, 1).is_none());
    }

    #[test]
    fn short_texts_weigh_too() {
        assert_eq!(weight(&["/".to_owned(), "/a".to_owned()]), 512 + 41 + 42);
    }

    #[test]
    fn bytes_are_bounded() {
        let tasks = Tasks::new(10);
        (1..=3).for_each(|id| drop(tasks.add_weighed(task(id), MAX_BYTES / 2)));
        assert_eq!(ids(&tasks), [3, 2]);
        tasks.add_weighed(task(4), MAX_BYTES * 2);
        assert_eq!(ids(&tasks), [4], "one that is over the bound by itself");
        tasks.add_weighed(task(5), MAX_BYTES);
        tasks.add(task(6));
        assert_eq!(ids(&tasks), [6, 5], "what was forgotten no longer counts");
    }

    #[test]
    fn no_account_makes_anothers_forgotten() {
        let tasks = Tasks::new(4);
        tasks.add(of(1, 1));
        tasks.add(of(1, 2));
        (10..20).for_each(|id| drop(tasks.add(task(id))));
        assert_eq!(ids(&tasks), [19, 18]);
        assert!(tasks.of_account(&1, 1).is_some() && tasks.of_account(&2, 1).is_some());

        let tasks = Tasks::new(100);
        tasks.add_weighed(of(1, 1), MAX_BYTES / 8);
        (10..20).for_each(|id| drop(tasks.add_weighed(task(id), MAX_BYTES / 4)));
        assert_eq!(ids(&tasks), [19, 18, 17]);
        assert!(tasks.of_account(&1, 1).is_some());
        tasks.add_weighed(of(2, 2), MAX_BYTES / 4);
        assert_eq!(ids(&tasks), [19, 18], "who has most makes room");
    }
}
