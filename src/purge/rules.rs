//! The live rules: one snapshot pointer that lookups read and one publisher swaps, and the gates in front of it.
//!
//! Invariants (numbers of `docs/design.md` section 2):
//!
//! - I2: `lwm` of a snapshot is at most the effective stamp of every holder; only rules up to it are dropped.
//! - I3: a snapshot with number c holds every rule in (lwm, c]; a batch takes consecutive numbers and one swap.
//! - Gates are raised before the snapshot that holds their rule is swapped in, and never fall: whoever sees an acknowledged purge sees its
//!   gates. A holder whose stamp is not below its gates has been judged, whatever was retired meanwhile.
//!
//! Rules live in two generations: the young one takes new rules; a sweep seals it and, when done, drops the sealed one whole.
//!
//! Lock order: the publisher's lock is taken with no other held, or under none but a shard's (never the reverse).

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::Guard;

use super::gates::Gates;
use super::history::Record;
use super::selector::{Compiled, Shape, Subject};
use super::table::{Generation, Late, Taps};
use super::{Action, Layers, PurgeError, Usage, Verdict};
use crate::sync::{ArcSwap, Mutex, point};

/// A numbered rule: one selector of a purge, with all the shapes it stands for.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) seq: u64,
    pub(crate) action: Action,
    pub(crate) layers: Layers,
    pub(crate) record: Arc<Record>,
    parts: Box<[Compiled]>,
}

impl Rule {
    /// What the selector was compiled to: several shapes where it names both schemes or several hosts.
    pub(crate) fn parts(&self) -> &[Compiled] {
        &self.parts
    }

    /// One of the shapes; [`Shape::All`] for a number that is none, so that a slip takes too much rather than too little.
    pub(crate) fn shape(&self, part: u32) -> &Shape {
        self.parts.get(part as usize).map_or(&Shape::All, Compiled::shape)
    }

    pub(crate) fn matches(&self, subject: &Subject<'_>) -> bool {
        self.parts.iter().any(|part| part.matches(subject))
    }
}

/// All live rules up to a number, as one consistent whole.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Number of the newest rule in it.
    pub(crate) seq: u64,
    /// Every rule up to this number is retired.
    pub(crate) lwm: u64,
    young: Arc<Generation>,
    sealed: Option<Arc<Generation>>,
}

impl Snapshot {
    fn generations(&self) -> impl Iterator<Item = &Arc<Generation>> {
        std::iter::once(&self.young).chain(&self.sealed)
    }

    /// What the rules in (after, `self.seq`] say of `subject`.
    pub(crate) fn judge(&self, subject: &Subject<'_>, after: u64) -> Verdict {
        self.judge_upto(subject, after, self.seq)
    }

    /// What the rules in (after, upto] say of `subject`.
    pub(crate) fn judge_upto(&self, subject: &Subject<'_>, after: u64, upto: u64) -> Verdict {
        let mut verdict = Verdict::default();
        if after < upto {
            let mut taps = Taps::new();
            taps.read(subject.key);
            for generation in self.generations().filter(|generation| !generation.is_empty()) {
                generation.judge(&taps, subject, after, upto, &mut verdict);
            }
        }
        verdict
    }

    /// Of the soft rules in (after, newest] that match, the first: what has expired does not expire again later. `newest` is the one that `of` picked
    /// of a verdict on all rules after `after`, so that none of them is stronger. Of more than a few that no sweep has seen yet, one of the newer.
    pub(crate) fn first_soft(
        &self,
        subject: &Subject<'_>,
        after: u64,
        newest: u64,
        of: impl Fn(&Verdict) -> Option<(Action, u64)>,
    ) -> u64 {
        const FEW: usize = 16;
        let older = |&seq: &u64| of(&self.judge_upto(subject, after, seq.saturating_sub(1))).map(|(_, seq)| seq);
        std::iter::successors(Some(newest), older).take(FEW).last().unwrap_or(newest)
    }

    /// The rules in (after, `self.seq`] that only a response can answer.
    pub(crate) fn late(&self, after: u64) -> impl Iterator<Item = Late> {
        self.generations().filter_map(move |generation| generation.late(after, self.seq))
    }
}

/// Rules of hosts and of everything that are accepted beyond twice the cap.
const COARSE_RULES: usize = 100_000;

/// A selector ready to be published.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) parts: Vec<Compiled>,
    pub(crate) action: Action,
    pub(crate) layers: Layers,
}

/// The rule set of a cache.
#[derive(Debug)]
pub(crate) struct RuleSet {
    pub(crate) gates: Gates,
    current: ArcSwap<Snapshot>,
    live: AtomicU64,
    publisher: Mutex<Publisher>,
    /// Generations that are retired but may have readers. Touched by sweeps alone.
    retired: Mutex<Vec<Arc<Generation>>>,
    max_rules: usize,
}

#[derive(Debug, Default)]
struct Publisher {
    /// Rules that no sweep has taken up yet, in order.
    pending: Vec<Arc<Rule>>,
}

/// What a sweep has to do: every rule up to `upto` that was not swept yet.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) rules: Vec<Arc<Rule>>,
    pub(crate) upto: u64,
}

impl Pending {
    /// The rule of a number.
    pub(crate) fn rule(&self, seq: u64) -> Option<&Rule> {
        let at = self.rules.partition_point(|rule| rule.seq < seq);
        self.rules.get(at).filter(|rule| rule.seq == seq).map(|rule| &**rule)
    }
}

impl RuleSet {
    /// An empty set, whose first rule will be number 1.
    pub(crate) fn new(max_rules: usize) -> Self {
        Self::resumed(max_rules, 0, 0)
    }

    /// A set that goes on from another: its next rule is number `seq + 1`, rules up to `lwm` are retired, and those between are to be
    /// [restored](Self::restore) before anything is looked up.
    pub(crate) fn resumed(max_rules: usize, lwm: u64, seq: u64) -> Self {
        let first = Snapshot { seq, lwm, young: Arc::default(), sealed: None };
        Self {
            gates: Gates::new(),
            current: ArcSwap::from_pointee(first),
            live: AtomicU64::new(0),
            publisher: Mutex::default(),
            retired: Mutex::default(),
            max_rules,
        }
    }

    /// The rules in force. Never blocks.
    pub(crate) fn load(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    pub(crate) fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    pub(crate) fn max_rules(&self) -> usize {
        self.max_rules
    }

    /// Publishes `batch` under consecutive numbers in one swap. `record` makes the history's record of numbers `first..=last`;
    /// if it fails nothing has changed.
    ///
    /// After this returns, every lookup that starts later judges by all of them; no lookup judges by some of them only.
    pub(crate) fn publish(
        &self,
        batch: Vec<Prepared>,
        record: impl FnOnce(u64, u64) -> Result<Arc<Record>, PurgeError>,
    ) -> Result<Arc<Record>, PurgeError> {
        let mut publisher = self.publisher.lock();
        let fine = batch
            .iter()
            .any(|rule| !rule.parts.iter().all(|part| matches!(part.shape(), Shape::Host { .. } | Shape::All)));
        // Hosts and everything are not held up by fine selectors, but what waits for a sweep is bounded all the same (G7).
        let most = if fine { self.max_rules } else { self.max_rules.saturating_mul(2).saturating_add(COARSE_RULES) };
        if self.live() as usize + batch.len() > most {
            return Err(PurgeError::too_many_rules(self.max_rules));
        }
        let old = self.current.load_full();
        let young = Arc::clone(&old.young);
        let plans = young
            .plan(&batch, old.sealed.as_deref())
            .map_err(|overfull| PurgeError::not_admitted(overfull.rule, overfull.limit))?;
        let first = old.seq + 1;
        let last = old.seq + batch.len() as u64;
        let record = record(first, last)?;
        for ((prepared, plan), seq) in batch.into_iter().zip(&plans).zip(first..) {
            let Prepared { parts, action, layers } = prepared;
            let rule =
                Arc::new(Rule { seq, action, layers, record: Arc::clone(&record), parts: parts.into_boxed_slice() });
            young.insert(&rule, plan);
            point("publish:rule");
            self.gates.raise(&rule);
            publisher.pending.push(rule);
        }
        self.live.fetch_add(last + 1 - first, Ordering::Relaxed);
        point("publish:before-swap");
        self.current.store(Arc::new(Snapshot { seq: last, lwm: old.lwm, young, sealed: old.sealed.clone() }));
        Ok(record)
    }

    /// Puts back into force a batch that was published before a restart, under its old numbers from `first` on. Refused by no cap; what the
    /// table does not admit is widened to everything, so that too much is taken rather than too little.
    pub(crate) fn restore(&self, batch: Vec<Prepared>, first: u64, record: &Arc<Record>) {
        let mut publisher = self.publisher.lock();
        let young = Arc::clone(&self.current.load().young);
        let mut batch = batch;
        let plans = loop {
            match young.plan(&batch, None) {
                Ok(plans) => break plans,
                Err(overfull) => match batch.get_mut(overfull.rule) {
                    Some(rule) => rule.parts = vec![Compiled { shape: Shape::All }],
                    // Cannot be: an overfull rule is one of the batch.
                    None => return,
                },
            }
        };
        for ((Prepared { parts, action, layers }, plan), seq) in batch.into_iter().zip(&plans).zip(first..) {
            let rule =
                Arc::new(Rule { seq, action, layers, record: Arc::clone(record), parts: parts.into_boxed_slice() });
            young.insert(&rule, plan);
            self.gates.raise(&rule);
            publisher.pending.push(rule);
            self.live.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes up all pending rules and seals the generation they are in.
    pub(crate) fn seal(&self) -> Pending {
        let mut publisher = self.publisher.lock();
        let old = self.current.load_full();
        let rules = std::mem::take(&mut publisher.pending);
        if !old.young.is_empty() && old.sealed.is_none() {
            self.current.store(Arc::new(Snapshot {
                seq: old.seq,
                lwm: old.lwm,
                young: Arc::default(),
                sealed: Some(Arc::clone(&old.young)),
            }));
        }
        Pending { rules, upto: old.seq }
    }

    /// Retires every rule up to `upto`: no holder is judged below it any more. [`free_retired`](Self::free_retired) frees them.
    pub(crate) fn retire(&self, upto: u64) {
        let publisher = self.publisher.lock();
        let old = self.current.load_full();
        self.live.store(publisher.pending.len() as u64, Ordering::Relaxed);
        self.current.store(Arc::new(Snapshot {
            seq: old.seq,
            lwm: upto.max(old.lwm),
            young: Arc::clone(&old.young),
            sealed: None,
        }));
        drop(publisher);
        self.retired.lock().extend(old.sealed.clone());
    }

    /// Frees the retired rules that nobody reads any more. That takes long where they are many: it is for a sweep to do, not for the lookup that
    /// happens to be their last reader.
    pub(crate) fn free_retired(&self) {
        self.retired.lock().retain(Generation::is_shared);
    }

    /// Bytes of the rule table, without the rules' own texts and automata. O(directories the rules name).
    pub(crate) fn table_bytes(&self) -> usize {
        self.load().generations().map(|generation| generation.bytes()).sum()
    }

    /// What live rules use of their budgets, the most used first, at most `most`.
    pub(crate) fn usage(&self, most: usize) -> Vec<Usage> {
        let mut usage = HashMap::new();
        self.load().generations().for_each(|generation| generation.usage(&mut usage));
        let mut usage: Vec<Usage> = usage.into_values().collect();
        usage.sort_unstable_by(|a, b| (b.unanchored, b.work, &b.of).cmp(&(a.unanchored, a.work, &a.of)));
        usage.truncate(most);
        usage
    }

    /// The oldest rule that no sweep has taken up.
    pub(crate) fn oldest_pending(&self) -> Option<Arc<Rule>> {
        self.publisher.lock().pending.first().cloned()
    }
}
