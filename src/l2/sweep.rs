//! The sweep of the second tier: ends the records that pending rules take, makes that durable, and only then lets the rules retire.
//!
//! Order (I1, I2): take and drop the append lock, so that appends that judged by an older snapshot are visible; ask the segments for candidates; set
//! marks in RAM and hand them to the journal; take and drop the locks under which others end records; the journal's `swept` entry behind all of it;
//! fsync; `swept_upto`. What fails leaves the rules in force, to
//! be tried again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::L2;
use super::scope::scopes;
use crate::cache::Engine;
use crate::disk::journal::{Entry, JournalError, Position};
use crate::disk::store::{Scope, Visited};
use crate::entry::Mark;
use crate::key::KeyRef;
use crate::purge::rules::Pending;
use crate::purge::{Compiled, Rule, Snapshot, Subject, TagsRef};
use crate::sync::point;
use crate::vary::VaryRef;

/// Rules a record is asked of in turn before it is cheaper to ask the table for all of them.
const FEW: usize = 4;

/// What the memory tier has been swept of, but this one has not.
#[derive(Debug, Default)]
pub(crate) struct Todo {
    rules: Vec<Arc<Rule>>,
    upto: u64,
    /// Swept in RAM, not yet on disk.
    unsynced: Option<(Position, u64)>,
}

impl Engine {
    /// Sweeps the second tier of everything the memory tier was swept of; the rules that may retire now, and the number up to which. Nothing while
    /// the tier is loading, or if the journal fails.
    pub(crate) fn sweep_l2(&self, l2: &L2, pending: Pending) -> Option<Pending> {
        let mut todo = l2.todo.lock();
        todo.rules.extend(pending.rules);
        todo.upto = todo.upto.max(pending.upto);
        if l2.is_loading() || (todo.rules.is_empty() && todo.unsynced.is_none()) {
            return None;
        }
        let upto = todo.upto;
        if todo.unsynced.is_none_or(|(_, synced)| synced < upto) {
            // Appends that judged by an older snapshot have finished then.
            drop(l2.store.try_appender().unwrap_or_else(|| {
                point("l2:append-blocked");
                l2.store.appender()
            }));
            point("l2:sweep-passed");
            let done = todo.unsynced.map_or(0, |(_, upto)| upto);
            self.end_records(l2, &todo.rules, done, upto);
            point("l2:sweep-marked");
            self.pass_burials(l2);
            let at = l2.journal.append(Entry::Swept { upto });
            todo.unsynced = Some((at, upto));
        }
        let (at, upto) = todo.unsynced?;
        if let Err(error) = l2.journal.sync(at) {
            l2.report(&error);
            return None;
        }
        point("l2:sweep-synced");
        l2.swept_upto.fetch_max(upto, Ordering::AcqRel);
        todo.unsynced = None;
        Some(Pending { rules: std::mem::take(&mut todo.rules), upto })
    }

    /// Takes and drops every lock under which records are ended. What was dead in memory when it was looked at is dead in the journal then, before
    /// `swept` vouches for it: after a crash it would count as judged.
    fn pass_burials(&self, l2: &L2) {
        drop(l2.store.appender());
        for shard in self.edge.shards() {
            let table = shard.table.try_read().unwrap_or_else(|| {
                point("l2:sweep-blocked");
                shard.table.read()
            });
            drop(table);
        }
    }

    /// Marks every record that a rule in (done, upto] takes.
    fn end_records(&self, l2: &L2, rules: &[Arc<Rule>], done: u64, upto: u64) {
        let snapshot = self.rules.load();
        let rules: Vec<&Rule> =
            rules.iter().map(|rule| &**rule).filter(|rule| rule.seq > done && rule.layers.l2).collect();
        let by = Judge { snapshot: &snapshot, rules: &rules, upto };
        for scope in scopes(rules.iter().flat_map(|rule| rule.parts()).map(Compiled::shape)) {
            self.end_visited(l2, scope, by);
        }
    }

    fn end_visited(&self, l2: &L2, scope: Scope<'_>, by: Judge<'_>) {
        let mut end = |visited: Visited<'_>| {
            point("l2:sweep-record");
            if let Some((mark, rule, url_hash)) = by.ask(l2, &visited) {
                let at_ms = rule.record.created_ms;
                if l2.store.set_mark(url_hash, visited.id, mark, i64::try_from(at_ms).unwrap_or(i64::MAX)) {
                    rule.record.count_l2(visited.weight);
                    l2.journal.append(Entry::Mark { record: visited.id, mark: mark.bits(), at_ms });
                }
            }
        };
        for segment in l2.store.segments() {
            if !l2.store.visit(segment.id, scope, &mut end) {
                // It could not be looked through: nothing of it may come back.
                l2.bury_segment(segment.id);
            }
        }
        l2.bury_condemned();
    }
}

/// How records are judged.
#[derive(Debug, Clone, Copy)]
struct Judge<'a> {
    snapshot: &'a Snapshot,
    /// In order of their numbers.
    rules: &'a [&'a Rule],
    upto: u64,
}

impl<'a> Judge<'a> {
    /// The strongest mark, a rule that gives it, and the hash of the record's URL.
    fn ask(&self, l2: &L2, visited: &Visited<'_>) -> Option<(Mark, &'a Rule, u64)> {
        let effective = visited.seq.max(l2.swept_upto.load(Ordering::Acquire));
        let layout = crate::key::Layout::of(visited.key)?;
        let subject = Subject {
            key: KeyRef::from_stored(visited.key, layout),
            vary: Some(VaryRef::from_stored(visited.vary)),
            tags: TagsRef::from_stored(visited.tags),
        };
        if self.rules.len() <= FEW {
            let newer = self.rules.iter().filter(|rule| rule.seq > effective && rule.matches(&subject));
            let rule = newer.max_by_key(|rule| (rule.action, rule.seq))?;
            return Some((rule.action.into(), rule, subject.key.url_hash()));
        }
        let (action, seq) = self.snapshot.judge_upto(&subject, effective, self.upto).l2?;
        let at = self.rules.partition_point(|rule| rule.seq < seq);
        let rule = self.rules.get(at).filter(|rule| rule.seq == seq)?;
        Some((action.into(), rule, subject.key.url_hash()))
    }
}

impl L2 {
    fn report(&self, _error: &JournalError) {
        self.counters.sync_errors.fetch_add(1, Ordering::Relaxed);
    }
}
