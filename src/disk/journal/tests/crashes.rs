//! Random histories, cut by power failures anywhere, against a model (G5, H9, H28).

use super::*;
use crate::disk::media::Failure;

const HISTORIES: u64 = 800;
const LIVES: u64 = 4;

/// An entry that can be kept.
#[derive(Debug, Clone)]
enum Op {
    Purge(u64, u64, Vec<u8>),
    Mark(RecordId, u8, u64),
    Swept(u64),
    Dropped(u32),
}

impl Op {
    fn entry(&self) -> Entry<'_> {
        match self {
            Self::Purge(first, last, payload) => Entry::Purge { first: *first, last: *last, payload },
            Self::Mark(record, mark, at_ms) => Entry::Mark { record: *record, mark: *mark, at_ms: *at_ms },
            Self::Swept(upto) => Entry::Swept { upto: *upto },
            Self::Dropped(segment) => Entry::Dropped { segment: *segment },
        }
    }
}

/// What a journal is to hold, told anew.
#[derive(Debug, Clone, Default, PartialEq)]
struct State {
    purges: Vec<(u64, u64, Vec<u8>)>,
    marks: BTreeMap<RecordId, (u8, u64)>,
    swept: u64,
    segment: u32,
}

impl State {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Purge(first, last, payload) => self.purges.push((*first, *last, payload.clone())),
            Op::Mark(record, mark, at) => {
                self.segment = self.segment.max(record.segment);
                let known = self.marks.entry(*record).or_insert((*mark, *at));
                if *mark > known.0 {
                    *known = (*mark, *at);
                }
            }
            Op::Swept(upto) => self.swept = self.swept.max(*upto),
            Op::Dropped(segment) => {
                self.segment = self.segment.max(*segment);
                self.marks.retain(|record, _| record.segment != *segment);
            }
        }
        let swept = self.swept;
        self.purges.retain(|purge| purge.1 > swept);
    }

    fn of(replayed: &Replayed) -> Self {
        let marks = replayed.marks.iter().flat_map(|(&segment, marks)| {
            marks.iter().map(move |&(ordinal, mark, at)| (RecordId { segment, ordinal }, (mark, at)))
        });
        Self {
            purges: replayed.purges.iter().map(|p| (p.first, p.last, p.payload.to_vec())).collect(),
            marks: marks.collect(),
            swept: replayed.swept_upto,
            segment: replayed.max_segment,
        }
    }
}

struct History {
    random: u64,
    media: Crash,
    /// As of the last open, and what was appended since, the first `acknowledged` of it synced.
    base: State,
    ops: Vec<Op>,
    acknowledged: usize,
    epoch: Option<u64>,
    /// The highest number given out, and the one the journal was closed at.
    given: u64,
    closed: Option<u64>,
}

impl History {
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mixed = (self.random ^ (self.random >> 29)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 33) % bound
    }

    /// Opens and checks that what is there is what was acknowledged, and perhaps some more of what was appended.
    fn open(&mut self) -> Option<(Journal, u64)> {
        // An open that fails may have made a file that counts, with a reservation of its own.
        let closed = self.closed.take();
        let (journal, replayed) = Journal::open(Arc::new(self.media.clone()), &options()).ok()?;
        assert_eq!(replayed.distrust, None);
        let found = State::of(&replayed);
        let mut state = self.base.clone();
        let (before, after) = self.ops.split_at(self.acknowledged);
        before.iter().for_each(|op| state.apply(op));
        let matches = found == state
            || after.iter().any(|op| {
                state.apply(op);
                found == state
            });
        assert!(matches, "found {found:?}\nbase {:?}\nops {:?}\n{} synced", self.base, self.ops, self.acknowledged);
        if let Some(epoch) = self.epoch {
            assert!(epoch == replayed.epoch && !replayed.fresh);
        }
        assert!(replayed.next_seq > self.given, "{} was given out, now {}", self.given, replayed.next_seq);
        if let Some(closed) = closed {
            assert_eq!(replayed.next_seq, closed + 1);
        }
        self.epoch = Some(replayed.epoch);
        (self.base, self.ops, self.acknowledged) = (found, Vec::new(), 0);
        Some((journal, replayed.next_seq))
    }

    fn live(&mut self) {
        let change = self.media.count(Operation::Change) + self.below(60);
        if self.below(3) > 0 {
            self.media.power_off_at(change);
        }
        if self.below(3) == 0 {
            let operation =
                [Operation::Write, Operation::Sync, Operation::SyncDir, Operation::Create, Operation::Remove]
                    [usize::try_from(self.below(5)).unwrap()];
            let failure = if self.below(2) == 0 { Failure::Io } else { Failure::Full };
            for _ in 0..=self.below(2) {
                let number = self.media.count(operation) + self.below(6);
                self.media.fail(operation, number, failure);
            }
        }
        let Some((journal, mut next)) = self.open() else { return };
        let tier = Arc::new(Tier::default());
        let attached = self.below(2) == 0;
        if attached {
            tier.0.lock().extend(self.base.marks.clone());
            journal.attach(Arc::clone(&tier) as Arc<dyn Checkpoint>);
        }
        let mut last_position = Position(0);
        for _ in 0..self.below(40) {
            let count = 1 + self.below(3);
            let ops: Vec<Op> = (0..count).filter_map(|_| self.op(&journal, &mut next)).collect();
            for op in &ops {
                apply_to_tier(&tier, op);
            }
            let entries: Vec<Entry<'_>> = ops.iter().map(Op::entry).collect();
            let position = journal.append_all(&entries);
            if !entries.is_empty() {
                last_position = position;
            }
            drop(entries);
            self.ops.extend(ops);
            if self.below(2) == 0 && journal.sync(last_position).is_ok() {
                self.acknowledged = self.ops.len();
            }
        }
        if self.below(4) == 0 && journal.close(self.given.max(next - 1)).is_ok() {
            self.acknowledged = self.ops.len();
            self.closed = Some(next - 1);
        }
    }

    fn op(&mut self, journal: &Journal, next: &mut u64) -> Option<Op> {
        let record = RecordId {
            segment: u32::try_from(1 + self.below(5)).unwrap(),
            ordinal: u32::try_from(self.below(8)).unwrap(),
        };
        Some(match self.below(10) {
            0..=4 => {
                let (first, last) = (*next, *next + self.below(12));
                journal.reserve(last).ok()?;
                self.given = last;
                *next = last + 1;
                let length = usize::try_from(self.below(150)).unwrap();
                let mut payload = first.to_le_bytes().to_vec();
                payload.resize(8 + length, u8::try_from(first & 255).unwrap());
                Op::Purge(first, last, payload)
            }
            5..=7 => Op::Mark(record, u8::try_from(1 + self.below(3)).unwrap(), self.below(1000)),
            8 => Op::Swept(self.given.saturating_sub(self.below(20))),
            _ => Op::Dropped(record.segment),
        })
    }
}

fn apply_to_tier(tier: &Tier, op: &Op) {
    let mut marks = tier.0.lock();
    match op {
        Op::Mark(record, mark, at) => {
            let known = marks.entry(*record).or_insert((*mark, *at));
            if *mark > known.0 {
                *known = (*mark, *at);
            }
        }
        Op::Dropped(segment) => marks.retain(|record, _| record.segment != *segment),
        Op::Purge(..) | Op::Swept(_) => {}
    }
}

#[test]
fn g5_h28_no_crash_loses_what_was_synced_or_gives_a_number_out_twice() {
    let (mut opened, mut crashed, mut cut, mut closed) = (0, 0, 0, 0);
    for seed in 0..HISTORIES {
        let mut history = History {
            random: seed,
            media: Crash::new(),
            base: State::default(),
            ops: Vec::new(),
            acknowledged: 0,
            epoch: None,
            given: 0,
            closed: None,
        };
        for life in 0..LIVES {
            history.live();
            cut += u32::from(history.media.is_off());
            closed += u32::from(history.closed.is_some());
            if history.media.is_off() || history.below(3) > 0 {
                crashed += 1;
                history.media = history.media.crash(seed * LIVES + life);
            } else {
                // The process was killed, the system goes on.
                history.media.heal();
            }
        }
        opened += u32::from(history.open().is_some());
    }
    assert!(opened > 700 && crashed > 2000 && cut > 500 && closed > 100, "{opened} {crashed} {cut} {closed}");
}

#[test]
fn g5_a_crash_at_every_change_of_a_roll_is_survived() {
    let run = |media: &Crash| -> Option<(u64, u64)> {
        let (journal, _) = Journal::open(Arc::new(media.clone()), &options()).ok()?;
        let mut acknowledged = 0;
        for seq in 1..=40 {
            if journal.sync(purge(&journal, seq, &[3; 100])).is_err() {
                break;
            }
            acknowledged = seq;
            journal.append(Entry::Swept { upto: seq - 1 });
        }
        Some((acknowledged, journal.stats().rolls))
    };
    let counted = Crash::new();
    let (_, rolls) = run(&counted).unwrap();
    assert!(rolls > 2);
    for change in 0..counted.count(Operation::Change) {
        for seed in 0..16 {
            let media = Crash::new();
            media.power_off_at(change);
            let acknowledged = run(&media).map_or(0, |(acknowledged, _)| acknowledged);
            let replayed = open(&media.crash(seed)).1;
            assert_eq!(replayed.distrust, None, "{change} {seed}");
            let last = replayed.purges.last().map_or(0, |purge| purge.last);
            assert!(last == acknowledged || last == acknowledged + 1, "{change} {seed}: {last}, {acknowledged}");
        }
    }
}
