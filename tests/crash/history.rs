//! One history: random requests and purges over several lives of one directory, each but the last ended by a loss of power or a restart.

use std::collections::HashMap;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use oust::clock::ManualClock;
use oust::disk::media::{Crash, Failure, Operation};
use oust::freshness::Freshness;
use oust::purge::PurgeErrorKind;
use oust::{Admit, Cache, Config, Fetch, FillTicket, Head, Hit, L2Config, Lookup, Reason};

use super::model::{Mark, Model};
use super::world::{Purges, Random, Slot};

/// Losses of power in a history.
const CUTS: u64 = 4;
/// Most requests and purges in a life.
const STEPS: u64 = 90;
/// Version of a stored response, in a header field.
const VERSION: &str = "x-version";

/// What happened.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Figures {
    /// Losses of power.
    pub(crate) cuts: u64,
    /// Of these, while the directory was being opened.
    pub(crate) cuts_while_opening: u64,
    pub(crate) restarts: u64,
    /// Purges acknowledged as durable; failed ones.
    pub(crate) purges: u64,
    pub(crate) purges_failed: u64,
    /// Lookups after a start, and how many found something to serve or to validate.
    pub(crate) asked: u64,
    pub(crate) found: u64,
    /// Responses that had to be there after a start, and were.
    pub(crate) kept: u64,
    pub(crate) evicted_segments: u64,
    pub(crate) promoted: u64,
    pub(crate) fenced: u64,
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.cuts += other.cuts;
        self.cuts_while_opening += other.cuts_while_opening;
        self.restarts += other.restarts;
        self.purges += other.purges;
        self.purges_failed += other.purges_failed;
        self.asked += other.asked;
        self.found += other.found;
        self.kept += other.kept;
        self.evicted_segments += other.evicted_segments;
        self.promoted += other.promoted;
        self.fenced += other.fenced;
    }
}

/// A fill that has not been answered.
struct InFlight {
    slot: usize,
    /// What it validates.
    base: Option<usize>,
    ticket: FillTicket,
    /// A purge or an unsafe method has taken it.
    taken: bool,
    /// One that failed may have.
    doubtful: bool,
}

/// Runs the history of a seed.
///
/// # Errors
///
/// Says what went wrong, and when.
#[allow(dead_code, reason = "a fuzz target shares this file")]
pub(crate) fn run(seed: u64) -> Result<Figures, String> {
    run_by(Random::new(seed))
}

/// Runs the history that `random` chooses.
///
/// # Errors
///
/// As [`run`].
pub(crate) fn run_by(mut random: Random) -> Result<Figures, String> {
    let capacity = (4 + random.below(12)) << 20;
    let mut history = History {
        slots: Slot::all(),
        media: Arc::new(Crash::new()),
        clock: Arc::new(ManualClock::new(1_000_000_000)),
        capacity,
        random,
        model: Model::default(),
        expected: HashMap::new(),
        losses: [0; 4],
        failing: false,
        newest: 0,
        epoch: None,
        figures: Figures::default(),
        trace: Vec::new(),
    };
    let result = history.live_on();
    result.map(|()| history.figures).map_err(|what| format!("{what}\n  {}", history.trace.join("\n  ")))
}

struct History {
    slots: Vec<Slot>,
    media: Arc<Crash>,
    clock: Arc<ManualClock>,
    capacity: u64,
    random: Random,
    model: Model,
    /// What has to be found after a start, by slot.
    expected: HashMap<usize, usize>,
    /// Evicted and dropped segments, errors, damaged records: a change means that what was there may be gone.
    losses: [u64; 4],
    /// Whether a failure of the device has been asked for in this life.
    failing: bool,
    /// The newest number given out in an earlier life.
    newest: u64,
    epoch: Option<u64>,
    figures: Figures,
    trace: Vec<String>,
}

struct Life {
    cache: Cache,
    flights: Vec<InFlight>,
    /// Something looked up a while ago.
    held: Option<(usize, usize, Hit)>,
    /// The newest number given out so far.
    newest: u64,
}

impl History {
    fn live_on(&mut self) -> Result<(), String> {
        let mut life = self.open(false)?;
        while self.figures.cuts < CUTS {
            let early = self.random.one_in(3);
            if early {
                self.cut_soon(40);
            }
            self.furnish(&mut life)?;
            if !early && !self.random.one_in(4) {
                self.cut_soon(70);
            }
            let steps = 10 + self.random.below(STEPS);
            for _ in 0..steps {
                if self.media.is_off() {
                    break;
                }
                self.step(&mut life)?;
            }
            life = if self.media.is_off() || self.random.one_in(2) { self.crash(life)? } else { self.restart(life)? };
        }
        self.close(life)
    }

    /// Loses power at one of the next changes.
    fn cut_soon(&mut self, changes: u64) {
        let cut = self.random.below(changes);
        self.media.power_off_at(self.media.count(Operation::Change) + cut);
    }

    /// Stores a few, and has most of them written.
    fn furnish(&mut self, life: &mut Life) -> Result<(), String> {
        for _ in 0..self.random.below(24) {
            let slot = self.random.below(self.slots.len() as u64) as usize;
            if self.look(life, slot)?.is_none() {
                self.fill(life, slot)?;
                self.look(life, slot)?;
            }
        }
        if self.random.one_in(5) { Ok(()) } else { self.flush(life) }
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        self.trace.push(what());
    }

    // Starting and ending.

    fn open(&mut self, again: bool) -> Result<Life, String> {
        loop {
            if again && self.random.one_in(4) {
                self.cut_soon(16);
            }
            self.media.set_warm(!self.random.one_in(3));
            let l2 = L2Config::media(self.media.clone(), self.capacity).segment_size(1 << 20).readers(1);
            let config = Config::new().edge_size(1 << 20).shards(1).background_sweep(false).clock(self.clock.clone());
            match config.l2(l2).build() {
                Ok(cache) => {
                    if let Some(notice) = cache.l2_notice() {
                        return Err(format!("the directory is not trusted: {notice}"));
                    }
                    self.losses = losses(&cache);
                    self.failing = false;
                    let newest = cache.stats().seq;
                    if newest < self.newest {
                        return Err(format!("numbers go on at {newest} after {}", self.newest));
                    }
                    let mut life = Life { cache, flights: Vec::new(), held: None, newest };
                    self.look_around(&mut life, again)?;
                    return Ok(life);
                }
                Err(error) if !self.media.is_off() => return Err(format!("cannot be opened: {error}")),
                Err(_) => {
                    self.figures.cuts_while_opening += 1;
                    self.power_cut();
                }
            }
        }
    }

    fn power_cut(&mut self) {
        let seed = self.random.next();
        self.media = Arc::new(self.media.crash(seed));
        self.model.restarted(false);
        self.figures.cuts += 1;
        self.note(|| format!("crash({seed})"));
    }

    /// Asks for everything.
    fn look_around(&mut self, life: &mut Life, again: bool) -> Result<(), String> {
        for slot in 0..self.slots.len() {
            let found = self.look(life, slot)?.map(|(number, mark, _)| (number, mark));
            self.figures.asked += u64::from(again);
            self.figures.found += u64::from(again && found.is_some());
            if let Some(&number) = self.expected.get(&slot)
                && again
                && !self.media.is_off()
            {
                if found != Some((number, Mark::None)) {
                    return Err(format!("slot {slot}: version {number} is gone, {found:?} is there"));
                }
                self.figures.kept += 1;
            }
        }
        Ok(())
    }

    fn end(&mut self, life: Life) {
        self.check_losses(&life.cache);
        let l2 = life.cache.stats().l2.unwrap_or_default();
        self.figures.evicted_segments += l2.evicted_segments;
        self.figures.promoted += l2.promoted;
        self.newest = life.cache.stats().seq;
    }

    fn crash(&mut self, life: Life) -> Result<Life, String> {
        self.media.power_off();
        self.end(life);
        self.power_cut();
        self.open(true)
    }

    fn restart(&mut self, life: Life) -> Result<Life, String> {
        self.media.heal();
        // The handle itself goes only here: what is closed may still be cut.
        self.end(life);
        if self.media.is_off() {
            self.power_cut();
        } else {
            self.note(|| "restart".into());
            self.figures.restarts += 1;
            self.model.restarted(!self.failing);
        }
        self.open(true)
    }

    fn close(&mut self, life: Life) -> Result<(), String> {
        self.end(life);
        Ok(())
    }

    /// What was expected cannot be any more if anything was lost.
    fn check_losses(&mut self, cache: &Cache) -> bool {
        let now = losses(cache);
        let lost = now != self.losses;
        if lost {
            self.expected.clear();
            self.model.lost();
            self.losses = now;
        }
        lost
    }

    // Steps.

    fn step(&mut self, life: &mut Life) -> Result<(), String> {
        let slot = self.random.below(self.slots.len() as u64) as usize;
        match self.random.below(100) {
            0..=27 => self.look(life, slot).map(drop),
            28..=49 => {
                self.fill(life, slot)?;
                if self.random.one_in(2) { Ok(()) } else { self.look(life, slot).map(drop) }
            }
            50..=57 => self.validate(life, slot),
            58..=65 => self.answer_one(life),
            66..=77 => {
                let purges = Purges::any(&mut self.random);
                self.purge(life, &purges)
            }
            78..=79 => self.end_url(life, slot),
            80..=86 => self.sweep(life),
            87..=93 => self.flush(life),
            94..=95 => self.purge(life, &Purges::memory()),
            96..=97 => {
                self.hold(life, slot)?;
                Ok(())
            }
            98 => {
                let warm = self.random.one_in(2);
                self.media.set_warm(warm);
                self.clock.advance(Duration::from_secs(1));
                Ok(())
            }
            _ => {
                self.fail();
                Ok(())
            }
        }
    }

    fn fail(&mut self) {
        self.failing = true;
        let kinds = [
            Operation::Write,
            Operation::Sync,
            Operation::Sync,
            Operation::Create,
            Operation::Rename,
            Operation::Remove,
            Operation::SyncDir,
            Operation::Read,
        ];
        let (kind, failure) = (self.random.of(&kinds), self.random.of(&[Failure::Io, Failure::Full]));
        match self.random.below(4) {
            0 => self.media.fail_all(kind, failure),
            1 => self.media.heal(),
            _ => self.media.fail(kind, self.media.count(kind) + self.random.below(4), failure),
        }
        self.note(|| format!("fail {kind:?} {failure:?}"));
    }

    /// What a request finds: version, state, response.
    fn look(&mut self, life: &mut Life, slot: usize) -> Result<Option<(usize, Mark, Hit)>, String> {
        let at = &self.slots[slot];
        let hits = deep_hits(&life.cache);
        let found = match life.cache.lookup(&at.key, &at.request) {
            Lookup::Deferred(deferred) => deferred.wait(),
            found => found,
        };
        let (hit, mark) = match found {
            Lookup::Hit(hit) => (hit, Mark::None),
            Lookup::Stale(hit, reason) | Lookup::MustValidate(hit, reason) => match reason {
                Reason::PurgedSoft => (hit, Mark::Soft),
                Reason::PurgedInvalidate => (hit, Mark::Invalidate),
                other => return Err(format!("slot {slot}: {other}")),
            },
            _ => return Ok(None),
        };
        let deep = deep_hits(&life.cache) > hits;
        self.note(|| format!("slot {slot}: {:?} {mark:?} deep {deep}", hit.head().headers.get(VERSION)));
        let number = self.check(slot, &hit, mark, deep)?;
        self.model.versions[number].used |= !deep;
        Ok(Some((number, mark, hit)))
    }

    fn check(&mut self, slot: usize, hit: &Hit, mark: Mark, deep: bool) -> Result<usize, String> {
        let head = hit.head();
        let number = head.headers.get(VERSION).and_then(|value| value.to_str().ok()?.parse().ok());
        let number: usize = number.ok_or_else(|| format!("slot {slot}: a header is wrong: {head:?}"))?;
        self.model.served(slot, number, mark, deep).map_err(|why| format!("slot {slot}: {why}"))?;
        let expected = body(self.model.versions[number].body);
        if hit.body().collect::<Vec<_>>().concat() != expected || hit.key_text() != self.slots[slot].key.text() {
            return Err(format!("slot {slot}: the body of version {number} is wrong"));
        }
        Ok(number)
    }

    fn fill(&mut self, life: &mut Life, slot: usize) -> Result<(), String> {
        let at = &self.slots[slot];
        let ticket = if self.random.one_in(4) {
            life.cache.fetch_alone(&at.key, &at.request, None)
        } else {
            match life.cache.fetch(&at.key, &at.request, None) {
                Fetch::Lead(ticket) => ticket,
                Fetch::Found(hit) => return self.check(slot, &hit, Mark::None, false).map(drop),
                _ => return Ok(()),
            }
        };
        let flight = InFlight { slot, base: None, ticket, taken: false, doubtful: false };
        self.answer_or_wait(life, flight)
    }

    fn hold(&mut self, life: &mut Life, slot: usize) -> Result<(), String> {
        if let Some((number, _, hit)) = self.look(life, slot)? {
            life.held = Some((slot, number, hit));
        }
        Ok(())
    }

    /// Validates what is stored, or what was found a while ago.
    fn validate(&mut self, life: &mut Life, slot: usize) -> Result<(), String> {
        let held = life.held.take().filter(|_| self.random.one_in(2));
        let (slot, number, hit) = match held {
            Some(held) => held,
            None => match self.look(life, slot)? {
                Some((number, _, hit)) => (slot, number, hit),
                None => return Ok(()),
            },
        };
        let at = &self.slots[slot];
        let Fetch::Lead(ticket) = life.cache.fetch(&at.key, &at.request, Some(hit)) else { return Ok(()) };
        let base = ticket.base().is_some().then_some(number);
        let flight = InFlight { slot, base, ticket, taken: false, doubtful: false };
        self.answer_or_wait(life, flight)
    }

    fn answer_or_wait(&mut self, life: &mut Life, flight: InFlight) -> Result<(), String> {
        if self.random.one_in(5) {
            life.flights.push(flight);
            return Ok(());
        }
        self.answer(life, flight)
    }

    fn answer_one(&mut self, life: &mut Life) -> Result<(), String> {
        if life.flights.is_empty() {
            return Ok(());
        }
        let flight = life.flights.swap_remove(self.random.below(life.flights.len() as u64) as usize);
        self.answer(life, flight)
    }

    fn answer(&mut self, life: &mut Life, flight: InFlight) -> Result<(), String> {
        let InFlight { slot, base, ticket, taken, doubtful } = flight;
        let at = &self.slots[slot];
        let number = self.model.versions.len();
        let mut fields = HeaderMap::new();
        fields.insert(VERSION, number.into());
        if at.varies() {
            fields.insert(http::header::VARY, http::HeaderValue::from_static("accept-encoding"));
        }
        let (head, fresh) = (Head::new(StatusCode::OK, fields), Freshness::fresh_for(Duration::from_secs(1 << 20)));
        let tags = [at.tag.as_bytes()];
        let refused = life.cache.stats().l2.unwrap_or_default().refused;
        let (admit, of) = match base {
            Some(base) => {
                let live = self.model.is_live(base);
                let Some((_, admit)) = ticket.not_modified(head, Some(fresh), &tags) else {
                    return Err("a ticket lost its base".into());
                };
                if admit == Admit::Stored && !live {
                    return Err(format!("slot {slot}: version {base} was ended, and a 304 has revived it as {number}"));
                }
                (admit, Some(self.model.versions[base].body))
            }
            None => (ticket.store(head, body(number), fresh, &tags), None),
        };
        self.note(|| format!("answer slot {slot} {number} base {base:?} taken {taken}: {admit:?}"));
        match admit {
            Admit::Stored if taken => Err(format!("slot {slot}: a fill that was purged is stored as {number}")),
            Admit::Stored => {
                self.model.store(slot, of, refused);
                self.expected.remove(&slot);
                Ok(())
            }
            Admit::Skipped(Reason::PurgeFenced) if !taken && !doubtful => {
                Err(format!("slot {slot}: nothing took a fill, and it was fenced"))
            }
            _ => {
                self.figures.fenced += u64::from(taken);
                Ok(())
            }
        }
    }

    fn purge(&mut self, life: &mut Life, purges: &Purges) -> Result<(), String> {
        let result = life.cache.purge(&purges.purge);
        let told = result.as_ref().map(|record| (record.id.seq, record.durable)).map_err(ToString::to_string);
        self.note(|| format!("{:?}: {told:?}", purges.purge));
        let slots = &self.slots;
        let takes = |slot: usize| purges.takes(&slots[slot]);
        for flight in life.flights.iter_mut().filter(|flight| takes(flight.slot)) {
            flight.taken |= result.is_ok();
            flight.doubtful = true;
        }
        let record = match result {
            Ok(record) => record,
            Err(error) if error.kind() == PurgeErrorKind::NotDurable => {
                self.figures.purges_failed += 1;
                self.model.purge_failed(takes);
                let model = &self.model;
                self.expected.retain(|_, number| model.is_kept(*number));
                return Ok(());
            }
            Err(error) => return Err(format!("a purge was refused: {error}")),
        };
        self.model.purge(purges.action, purges.layers, takes);
        if record.durable {
            self.figures.purges += 1;
            self.model.acknowledged();
        }
        let model = &self.model;
        self.expected.retain(|_, number| model.is_kept(*number));
        let first = record.id.seq + 1 - purges.rules;
        if first <= self.newest.max(life.newest) {
            return Err(format!("number {first} was given out before: {} {}", self.newest, life.newest));
        }
        life.newest = record.id.seq;
        if *self.epoch.get_or_insert(record.id.epoch) != record.id.epoch {
            return Err("the epoch has changed".into());
        }
        Ok(())
    }

    fn end_url(&mut self, life: &mut Life, slot: usize) -> Result<(), String> {
        let slots = &self.slots;
        life.cache.end_url(&slots[slot].key);
        let same = |other: usize| slots[other].same_url(&slots[slot]);
        self.model.end(|_, version| same(version.slot));
        for flight in life.flights.iter_mut().filter(|flight| same(flight.slot)) {
            (flight.taken, flight.doubtful) = (true, true);
        }
        self.expected.retain(|slot, _| !same(*slot));
        self.note(|| format!("end_url slot {slot}"));
        Ok(())
    }

    fn sweep(&mut self, life: &mut Life) -> Result<(), String> {
        let before = life.cache.stats().low_water;
        life.cache.sweep();
        let stats = life.cache.stats();
        self.note(|| format!("sweep {before} -> {} of {}", stats.low_water, stats.seq));
        if stats.low_water > before {
            // What the rules took was on disk before they were retired.
            self.model.acknowledged();
        }
        if !self.failing && !self.media.is_off() && stats.live_rules > 0 {
            return Err(format!("{} rules are left after a sweep", stats.live_rules));
        }
        Ok(())
    }

    fn flush(&mut self, life: &mut Life) -> Result<(), String> {
        self.check_losses(&life.cache);
        let flushed = life.cache.flush();
        self.model.flushed();
        self.note(|| format!("flush: {flushed:?}"));
        let lost = self.check_losses(&life.cache);
        match flushed {
            Ok(()) => {
                self.model.acknowledged();
                let refused = life.cache.stats().l2.unwrap_or_default().refused;
                if !lost {
                    self.expected.extend(self.model.to_be_written(refused));
                }
                Ok(())
            }
            Err(error) if !self.failing && !self.media.is_off() => Err(format!("a flush failed: {error}")),
            Err(_) => {
                // What could not be written stays in memory, and is not tried again before it is asked for anew.
                self.model.lost();
                Ok(())
            }
        }
    }
}

/// What a version's body is: most are short, some are longer than what is copied out of the disk, some than what is stored in one piece.
fn body(number: usize) -> Bytes {
    let mut random = Random::new(number as u64);
    let most = random.of(&[20, 400, 400, 3000, 20_000, 60_000]);
    let len = random.below(most) as usize;
    let word = format!("version {number};");
    word.as_bytes().iter().copied().cycle().take(word.len().max(len)).collect()
}

fn deep_hits(cache: &Cache) -> u64 {
    cache.stats().l2.unwrap_or_default().hits
}

fn losses(cache: &Cache) -> [u64; 4] {
    let l2 = cache.stats().l2.unwrap_or_default();
    [l2.evicted_segments, l2.dropped_segments, l2.io_errors, l2.damaged]
}
