//! The sweep: ends what pending rules take, then retires the rules.
//!
//! Order (I1, I2): take up the pending rules; take and drop every shard's lock, catching up its fills; only then ask the index for candidates,
//! since commits that judged by an older snapshot have finished by then; end the matching objects that are older than the rule; raise each
//! shard's `swept_upto`; retire. Locks are held for one chunk of candidates at a time (G8).

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Engine;
use crate::edge::index::{Place, Scope};
use crate::edge::shard::{Shard, Table};
use crate::entry::{EntryRef, Mark};
use crate::key::{prefix_hash, url_of};
use crate::purge::{Compiled, Rule, Shape, Subject};
use crate::sync::point;

/// How often threads' fronts are cleared of dead entries when nothing else happens.
const ROUND: Duration = Duration::from_millis(200);

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
            self.end_all(&pending.rules);
            for shard in self.edge.shards() {
                shard.swept_upto.fetch_max(pending.upto, Ordering::AcqRel);
            }
            point("sweep:swept");
            self.rules.retire(pending.upto);
            let now = self.clock.now_ms();
            for rule in pending.rules.iter().filter(|rule| rule.seq == rule.record.last) {
                rule.record.set_swept(now);
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
        }
    }

    fn end_all(&self, rules: &[Arc<Rule>]) {
        let mut by_directory: HashMap<(&[u8], bool), Vec<Part<'_>>> = HashMap::new();
        let mut by_host: Vec<Part<'_>> = Vec::new();
        for rule in rules {
            for part in rule.parts() {
                match part.shape() {
                    Shape::Url(url) => self.end_direct(rule, part, prefix_hash(url), |table, hash| {
                        table.of_url(hash, url).cloned().collect()
                    }),
                    Shape::Key(key) | Shape::Variant { key, .. } => {
                        let url_hash = prefix_hash(url_of(key));
                        self.end_direct(rule, part, url_hash, |table, _| {
                            table.of_key(prefix_hash(key), key).cloned().collect()
                        });
                    }
                    Shape::Tag(tag) => self.end_walked(Scope::Tag(tag), &[(rule, part)]),
                    Shape::Host { .. } | Shape::All => by_host.push((rule, part)),
                    Shape::Directory { .. } | Shape::Extension { .. } | Shape::Residual { .. } => {
                        let (dir, recursive) = part.shape().walks().unwrap_or((b"", true));
                        by_directory.entry((dir, recursive)).or_default().push((rule, part));
                    }
                }
            }
        }
        for ((dir, recursive), parts) in &by_directory {
            self.end_walked(Scope::Directory { dir, recursive: *recursive }, parts);
        }
        if !by_host.is_empty() {
            self.end_walked(Scope::Hosts, &by_host);
        }
    }

    /// Ends what is found by hash.
    fn end_direct(&self, rule: &Rule, part: &Compiled, url_hash: u64, find: impl FnOnce(&Table, u64) -> Vec<EntryRef>) {
        let found = find(&self.edge.shard(url_hash).table.read(), url_hash);
        for chunk in found.chunks(CHUNK) {
            self.end_in(self.edge.shard(url_hash), chunk, &[(rule, part)]);
        }
    }

    fn end_walked(&self, scope: Scope<'_>, parts: &[Part<'_>]) {
        let mut walk = self.edge.index.walk(scope);
        let mut places: Vec<Place> = Vec::new();
        let concerned = |root: &[u8]| parts.iter().any(|(_, part)| part.shape().covers_root(root));
        loop {
            let more = walk.next_chunk(&mut places, concerned);
            point("sweep:chunk");
            self.end_places(&mut places, parts);
            if !more {
                return;
            }
        }
    }

    /// Ends those of a chunk of candidates that match, shard by shard. What is in a slot now is judged, whatever was there when the index was
    /// asked: matching and older than the rule is all that counts (H26).
    fn end_places(&self, places: &mut Vec<Place>, parts: &[Part<'_>]) {
        places.sort_unstable_by_key(|&place| self.edge.at(place).0);
        for of_shard in places.chunk_by(|&a, &b| self.edge.at(a).0 == self.edge.at(b).0) {
            let Some(&first) = of_shard.first() else { continue };
            let shard = &self.edge.shards()[self.edge.at(first).0];
            let table = shard.table.read();
            let entries: Vec<EntryRef> =
                of_shard.iter().filter_map(|&place| table.in_slot(self.edge.at(place).1).cloned()).collect();
            drop(table);
            self.end_in(shard, &entries, parts);
        }
        places.clear();
    }

    /// Judges entries of one shard without its lock, however many rules there are, then takes out the dead under it. Their memory is given back
    /// outside again.
    fn end_in(&self, shard: &Shard, entries: &[EntryRef], parts: &[Part<'_>]) {
        let dead: Vec<&EntryRef> = entries.iter().filter(|entry| self.end(entry, parts) == Mark::Dead).collect();
        if !dead.is_empty() {
            let mut table = shard.table.write();
            for entry in dead {
                self.edge.unlink(&mut table, entry);
            }
        }
    }

    /// Ends `entry` by each of `parts` that is newer than it and matches; its mark then.
    fn end(&self, entry: &EntryRef, parts: &[Part<'_>]) -> Mark {
        let (stamp, mut mark) = entry.control().load();
        let subject = Subject { key: entry.key(), vary: Some(entry.vary()), tags: entry.tags() };
        for (rule, part) in parts {
            let verdict = Mark::from(rule.action);
            if mark >= verdict || !rule.layers.edge || stamp >= rule.seq || !part.matches(&subject) {
                continue;
            }
            let had = entry.judge(0, verdict, self.tick_of(rule.record.created_ms));
            if verdict > had {
                rule.record.count(entry.weight());
            }
            mark = had.max(verdict);
        }
        mark
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
    thread: Option<JoinHandle<()>>,
}

impl Sweeper {
    pub(crate) fn start(engine: &Arc<Engine>) -> std::io::Result<Self> {
        let swept = Arc::clone(engine);
        let thread = std::thread::Builder::new().name("oust-sweep".into()).spawn(move || {
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
