//! The sweep: ends what pending rules take, then retires the rules.
//!
//! Order (I1, I2): take up the pending rules; take and drop every shard's lock, catching up its fills; only then ask the index for candidates,
//! since commits that judged by an older snapshot have finished by then; end the matching objects that are older than the rule; raise each
//! shard's `swept_upto`; retire. Locks are held for one chunk of candidates at a time (G8).

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::Engine;
use crate::edge::index::{Place, Scope};
use crate::edge::shard::Shard;
use crate::entry::{EntryRef, Mark, Tick};
use crate::key::root_len;
use crate::l2::history::Note;
use crate::purge::rules::Pending;
use crate::purge::{Action, Compiled, Rule, Shape, Snapshot, Subject};
use crate::sync::{Condvar, Mutex, point, thread};

/// How often threads' fronts are cleared of dead entries when nothing else happens.
const ROUND: Duration = Duration::from_millis(200);

/// Rules that an object is asked of in turn before it is cheaper to ask the table for all of them: a compare against a hash of the key.
const FEW: usize = 4;

/// Entries that are judged at a time.
const CHUNK: usize = 256;

/// A part of a rule with the rule.
type Part<'a> = (&'a Rule, &'a Compiled);

impl Engine {
    /// Sweeps all rules published so far. One sweep at a time.
    pub(crate) fn sweep(&self) {
        let _one = self.sweeping.lock();
        let pending = self.rules.seal();
        if !pending.rules.is_empty() {
            let now = self.clock.now_ms();
            pending.rules.iter().for_each(|rule| rule.record.set_started(now));
            point("sweep:sealed");
            self.pass_locks();
            point("sweep:passed");
            self.end_all(&pending);
            for shard in self.edge.shards() {
                shard.swept_upto.fetch_max(pending.upto, Ordering::AcqRel);
            }
            point("sweep:swept");
        }
        let swept = match &self.l2 {
            Some(l2) => self.sweep_l2(l2, pending),
            None => Some(pending).filter(|pending| !pending.rules.is_empty()),
        };
        if let Some(swept) = swept {
            self.catch_up_leaving();
            self.rules.retire(swept.upto);
            let now = self.clock.now_ms();
            for rule in swept.rules.iter().filter(|rule| rule.seq == rule.record.last) {
                rule.record.set_swept(now);
                if let Some(l2) = &self.l2 {
                    l2.history.note(Note::Changed, &rule.record);
                }
            }
        }
        self.rules.free_retired();
        self.edge.fronts.sweep();
    }

    /// Takes and drops every shard's lock: commits that judged by an older snapshot have finished. Fills in flight are judged on the way.
    fn pass_locks(&self) {
        for shard in self.edge.shards() {
            let table = shard.table.try_write().unwrap_or_else(|| {
                point("sweep:blocked");
                shard.table.write()
            });
            let snapshot = self.rules.load();
            for fill in &table.fills {
                fill.catch_up(&snapshot);
            }
            for leaving in &table.leaving {
                leaving.catch_up(&snapshot, |seq| self.softened_at(seq));
            }
        }
    }

    /// Judges what waits to be written, before the rules retire that it has not been judged by (I2): what was evicted after its shard was passed. What
    /// is evicted from now on has been swept.
    fn catch_up_leaving(&self) {
        if self.l2.is_none() {
            return;
        }
        for shard in self.edge.shards() {
            let table = shard.table.read();
            let snapshot = self.rules.load();
            for leaving in &table.leaving {
                leaving.catch_up(&snapshot, |seq| self.softened_at(seq));
            }
        }
    }

    fn end_all(&self, pending: &Pending) {
        let snapshot = self.rules.load();
        let table = Judge::Table { snapshot: &snapshot, pending };
        let mut by_directory: BTreeMap<&[u8], [Vec<Part<'_>>; 2]> = BTreeMap::new();
        let mut by_host: Vec<Part<'_>> = Vec::new();
        for rule in &pending.rules {
            for part in rule.parts() {
                if let Some(found) = self.edge.direct(part.shape()) {
                    let Some(first) = found.first() else { continue };
                    let shard = self.edge.shard(first.key().url_hash());
                    for chunk in found.chunks(CHUNK) {
                        self.end_in(shard, chunk, Judge::Each(&[(rule, part)]));
                    }
                } else if let Some((dir, recursive)) = part.shape().walks() {
                    by_directory.entry(dir).or_default()[usize::from(recursive)].push((rule, part));
                } else if let Shape::Tag(tag) = part.shape() {
                    self.end_walked(Scope::Tag(tag), &[(rule, part)], Judge::Each(&[(rule, part)]));
                } else {
                    by_host.push((rule, part));
                }
            }
        }
        // A directory's own come right after it in this order: what a walk by the table has passed has been judged by every rule.
        let mut judged: Option<&[u8]> = None;
        for (&dir, [one, all]) in &by_directory {
            if judged.is_some_and(|above| dir.starts_with(above)) {
                continue;
            }
            for (parts, recursive) in [(all, true), (one, false)] {
                let by = if parts.len() > FEW { table } else { Judge::Each(parts) };
                if recursive && parts.len() > FEW {
                    judged = Some(dir);
                }
                if !parts.is_empty() {
                    self.end_walked(Scope::Directory { dir, recursive }, parts, by);
                }
                if judged == Some(dir) {
                    break;
                }
            }
        }
        if !by_host.is_empty() {
            let by = if by_host.len() > FEW { table } else { Judge::Each(&by_host) };
            self.end_walked(Scope::Hosts, &by_host, by);
        }
    }

    fn end_walked(&self, scope: Scope<'_>, parts: &[Part<'_>], by: Judge<'_>) {
        let mut walk = self.edge.index.walk(scope);
        let mut places: Vec<Place> = Vec::new();
        // Below a root, asking many rules of each directory costs more than asking the table of what is in it.
        let concerned = |dir: &[u8]| {
            let below = parts.len() > FEW && root_len(dir) < dir.len();
            below || parts.iter().any(|(_, part)| part.shape().reaches(dir))
        };
        loop {
            let more = walk.next_chunk(&mut places, concerned);
            point("sweep:chunk");
            self.end_places(&mut places, by);
            if !more {
                return;
            }
        }
    }

    /// Ends those of a chunk of candidates that match, shard by shard. What is in a slot now is judged, whatever was there when the index was
    /// asked: matching and older than the rule is all that counts (H26).
    fn end_places(&self, places: &mut Vec<Place>, by: Judge<'_>) {
        places.sort_unstable_by_key(|&place| self.edge.at(place).0);
        for of_shard in places.chunk_by(|&a, &b| self.edge.at(a).0 == self.edge.at(b).0) {
            let Some(&first) = of_shard.first() else { continue };
            let shard = &self.edge.shards()[self.edge.at(first).0];
            let table = shard.table.read();
            let entries: Vec<EntryRef> =
                of_shard.iter().filter_map(|&place| table.in_slot(self.edge.at(place).1).cloned()).collect();
            drop(table);
            self.end_in(shard, &entries, by);
        }
        places.clear();
    }

    /// Judges entries of one shard without its lock, however many rules there are, then takes out the dead under it. Their memory is given back
    /// outside again.
    fn end_in(&self, shard: &Shard, entries: &[EntryRef], by: Judge<'_>) {
        let dead: Vec<&EntryRef> = entries.iter().filter(|entry| self.end(entry, by) == Mark::Dead).collect();
        if !dead.is_empty() {
            let mut table = shard.table.write();
            for entry in dead {
                self.edge.unlink(&mut table, entry);
            }
        }
    }

    /// Ends `entry` by each rule that is newer than it and matches; its mark then.
    fn end(&self, entry: &EntryRef, by: Judge<'_>) -> Mark {
        let (stamp, mut mark) = entry.control().load();
        let subject = Subject { key: entry.key(), vary: Some(entry.vary()), tags: entry.tags() };
        let mark_by = |rule: &Rule, verdict: Mark, at: Tick| {
            let had = entry.judge(0, verdict, at);
            if verdict > had {
                rule.record.count(entry.weight());
            }
            had.max(verdict)
        };
        match by {
            Judge::Each(parts) => {
                for (rule, part) in parts {
                    let verdict = Mark::from(rule.action);
                    if rule.layers.l2 && !rule.layers.edge && stamp < rule.seq && part.matches(&subject) {
                        entry.set_no_demote();
                    }
                    if mark < verdict && rule.layers.edge && stamp < rule.seq && part.matches(&subject) {
                        mark = mark_by(rule, verdict, self.tick_of(rule.record.created_ms));
                    }
                }
            }
            Judge::Table { snapshot, pending } => {
                let verdict = snapshot.judge_upto(&subject, stamp, pending.upto);
                if verdict.leaves_edge_alone() {
                    entry.set_no_demote();
                }
                let Some((action, seq)) = verdict.edge else { return mark };
                if mark < Mark::from(action)
                    && let Some(rule) = pending.rule(seq)
                {
                    let at = match action {
                        Action::Soft => {
                            self.softened_at(snapshot.first_soft(&subject, stamp, seq, |verdict| verdict.edge))
                        }
                        _ => self.tick_of(rule.record.created_ms),
                    };
                    mark = mark_by(rule, action.into(), at);
                }
            }
        }
        mark
    }
}

/// How candidates are judged.
#[derive(Debug, Clone, Copy)]
enum Judge<'a> {
    /// By each of these in turn.
    Each(&'a [Part<'a>]),
    /// By the rule table, which holds every pending rule: a question costs the same however many they are.
    Table { snapshot: &'a Snapshot, pending: &'a Pending },
}

impl Engine {
    /// Wakes the sweeper thread.
    pub(crate) fn wake_sweeper(&self) {
        self.wake.wake();
    }
}

/// What wakes the sweeper.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    state: Mutex<WakeState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct WakeState {
    work: bool,
    stop: bool,
}

impl Wake {
    pub(crate) fn wake(&self) {
        self.state.lock().work = true;
        self.changed.notify_one();
    }

    /// Waits for work or the end of a round; whether to go on.
    fn wait(&self) -> bool {
        let mut state = self.state.lock();
        if !state.work && !state.stop {
            self.changed.wait_for(&mut state, ROUND);
        }
        state.work = false;
        !state.stop
    }
}

/// The sweeper thread, stopped and joined when the last handle of its cache goes.
#[derive(Debug)]
pub(crate) struct Sweeper {
    engine: Weak<Engine>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Sweeper {
    pub(crate) fn start(engine: &Arc<Engine>) -> std::io::Result<Self> {
        let swept = Arc::clone(engine);
        let thread = thread::Builder::new().name("oust-sweep".into()).spawn(move || {
            while swept.wake.wait() {
                swept.sweep();
            }
        })?;
        Ok(Self { engine: Arc::downgrade(engine), thread: Some(thread) })
    }
}

impl Drop for Sweeper {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.upgrade() {
            engine.wake.state.lock().stop = true;
            engine.wake.changed.notify_one();
        }
        if let Some(thread) = self.thread.take() {
            // A sweeper that panicked has nothing more to say here; the panic was printed.
            drop(thread.join());
        }
    }
}
