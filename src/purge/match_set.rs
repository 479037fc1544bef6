//! The rule table on its own, without a cache: for trying selectors, for measuring and for fuzzing.

use std::sync::Arc;

use parking_lot::Mutex;

use super::history::Record;
use super::rules::{Prepared, RuleSet};
use super::selector::{Selector, Subject};
use super::tags::TagsRef;
use super::{Action, Layers, Purge, PurgeError};
use crate::key::KeyRef;
use crate::site::Sites;

/// Many selectors as one: the table in which a cache keeps its live rules.
///
/// One publisher at a time adds and retires; any number of readers judge meanwhile, never wait, and see each batch whole or not at all.
/// [`MatchSet::judge`] takes time that grows with the length of the key, not with the number of rules. Shared by reference between threads.
///
/// ```
/// use oust::{Action, Key, Selector, purge::MatchSet, site::Sites};
/// let set = MatchSet::new(Sites::default(), 100_000);
/// set.add(&[Selector::Pattern("http://h/img/**".into()), Selector::Glob("http://h/*-old*".into())], Action::Delete)?;
/// assert_eq!(set.judge(Key::parse(b"http://h/a-old.css")?.as_ref(), 0), Some((Action::Delete, 2)));
/// assert_eq!(set.judge(Key::parse(b"http://h/a.css")?.as_ref(), 0), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct MatchSet {
    rules: RuleSet,
    sites: Sites,
    /// One retirement at a time: the second half of one must not meet the first half of another.
    retiring: Mutex<()>,
}

impl MatchSet {
    /// An empty set for at most `max_rules` live selectors, under the aliases and key policies of `sites`.
    pub fn new(sites: Sites, max_rules: usize) -> Self {
        Self { rules: RuleSet::new(max_rules), sites, retiring: Mutex::new(()) }
    }

    /// Adds selectors, all or none, under consecutive numbers; returns that of the last. Numbers begin with 1.
    ///
    /// After this returns, every later [`judge`](Self::judge) counts all of them.
    ///
    /// # Errors
    ///
    /// As [`Cache::purge`](crate::Cache::purge): a selector is malformed or over a budget, or there are too many.
    pub fn add(&self, selectors: &[Selector], action: Action) -> Result<u64, PurgeError> {
        let layers = Layers { edge: true, l2: true };
        let compile = |(index, selector): (usize, &Selector)| {
            let parts = selector.compile(&self.sites).map_err(|error| error.into_purge_error(index))?;
            Ok(Prepared { parts, action, layers })
        };
        let batch: Vec<Prepared> = selectors.iter().enumerate().map(compile).collect::<Result<_, PurgeError>>()?;
        if batch.is_empty() {
            return Err(PurgeError::empty());
        }
        // Nobody asks this set for its history.
        let nothing = Purge::batch(Vec::new()).action(action);
        let record =
            self.rules.publish(batch, |first, last| Ok(Arc::new(Record::new(0, (first, last), &nothing, 0))))?;
        Ok(record.last)
    }

    /// The strongest action of the selectors numbered above `after` that take `key`, with the number of one that says so. Tags and
    /// variants are left out.
    pub fn judge(&self, key: KeyRef<'_>, after: u64) -> Option<(Action, u64)> {
        let subject = Subject { key, vary: None, tags: TagsRef::default() };
        self.rules.load().judge(&subject, after).edge
    }

    /// Drops every selector added so far. O(1) for readers; their memory is given back when the last of them is done.
    pub fn retire(&self) {
        let _one = self.retiring.lock();
        let pending = self.rules.seal();
        self.rules.retire(pending.upto);
        self.rules.free_retired();
    }

    /// Bytes of the table itself: without the selectors' own texts and automata, which [`Matcher::cost`](super::Matcher::cost) tells.
    pub fn table_bytes(&self) -> usize {
        self.rules.table_bytes()
    }

    /// How many selectors are live.
    pub fn live(&self) -> u64 {
        self.rules.live()
    }
}
