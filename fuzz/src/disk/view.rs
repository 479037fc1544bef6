//! What a directory comes to by the document: which objects may be served, how, and which have to be.

use oust_reference::format::{
    Batch, JournalReading, JournalState, SegmentReading, StoredPurge, StoredRecord, read_journal, read_kept,
    read_purge, read_record, read_segment,
};
use oust_reference::{Act, Selector, matches, parse_key};

use super::files::{Files, HOME};
use super::scene::{LONG, NOW};

/// What the journal's files come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There was none.
    Fresh,
    /// Damage: everything is discarded.
    Distrusted,
    /// This one counts.
    Trusted(Box<JournalState>),
    /// The document leaves it open.
    Open,
}

/// A rule, by its number.
#[derive(Debug, Clone)]
pub struct Rule {
    pub seq: u64,
    /// `None`: it cannot be read, and takes everything.
    pub purge: Option<StoredPurge>,
    /// Which of the purge's selectors.
    pub at: usize,
}

/// An intact record of a segment that is used.
#[derive(Debug, Clone)]
pub struct Item {
    pub record: StoredRecord,
    /// Whether the file's footer, if it has one, says what its records say.
    pub exact: bool,
    /// The mark by journal, record and footer together.
    pub mark: u8,
}

/// What is known of an object: the strongest purge that took it for certain, and the strongest that may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Judged {
    pub least: u8,
    pub most: u8,
}

#[derive(Debug, Clone)]
pub struct View {
    pub verdict: Verdict,
    pub rules: Vec<Rule>,
    pub items: Vec<Item>,
    pub swept: u64,
    /// The newest number by the journal.
    pub newest: u64,
}

/// Numbers of a directory's journals, falling.
pub fn journals(files: &Files) -> Vec<(u64, &Vec<u8>)> {
    let id = |name: &str| {
        let digits = name.strip_prefix("journal-")?.strip_suffix(".log")?;
        u64::from_str_radix(digits, 16).ok().filter(|&id| super::files::journal_name(id) == name)
    };
    let mut all: Vec<_> = files.iter().filter_map(|(name, bytes)| Some((id(name)?, bytes))).collect();
    all.sort_by_key(|(id, _)| std::cmp::Reverse(*id));
    all
}

/// Segments by number, and whether they are sealed; of two of a number the sealed one.
pub fn segments(files: &Files) -> Vec<(u32, bool, &Vec<u8>)> {
    let parse = |name: &str| {
        let (id, kind) = name.strip_prefix("seg-")?.split_once('.')?;
        let (id, sealed) = (u32::from_str_radix(id, 16).ok()?, kind == "seg");
        (super::files::segment_name(id, sealed) == name).then_some((id, sealed))
    };
    let mut all: Vec<_> =
        files.iter().filter_map(|(name, bytes)| parse(name).map(|(id, sealed)| (id, sealed, bytes))).collect();
    all.sort_by_key(|&(id, sealed, _)| (id, !sealed));
    all.dedup_by_key(|(id, ..)| *id);
    all
}

fn verdict(files: &Files) -> Verdict {
    let mut lost = 0;
    for (id, bytes) in journals(files) {
        match read_journal(bytes, id) {
            JournalReading::HalfMade(header) => lost = lost.max(header.map_or(0, |header| header.previous)),
            JournalReading::Damaged => return Verdict::Distrusted,
            JournalReading::Open => return Verdict::Open,
            JournalReading::Whole(state) => {
                let home = state.header.identity == Some(HOME);
                return if home && lost <= id { Verdict::Trusted(state) } else { Verdict::Distrusted };
            }
        }
    }
    if lost > 0 { Verdict::Distrusted } else { Verdict::Fresh }
}

impl View {
    pub fn of(files: &Files) -> Self {
        let verdict = verdict(files);
        let mut view = Self { verdict, rules: Vec::new(), items: Vec::new(), swept: 0, newest: 0 };
        let Verdict::Trusted(state) = view.verdict.clone() else { return view };
        (view.swept, view.newest) = (state.swept_upto, state.next.saturating_sub(1));
        if files.get("sites").and_then(|bytes| read_kept(bytes)) != read_kept(&super::files::sites()) {
            // By other rules, or unknown ones: everything is purged, or hosts of it.
            return view;
        }
        view.rules = state.batches.iter().flat_map(rules).collect();
        for (id, sealed, bytes) in segments(files) {
            let epoch = state.header.epoch;
            let told = |ordinal: u32| state.marks.get(&(id, ordinal)).map_or(0, |mark| mark.0);
            let mark = |ordinal| told(ordinal).max(if told(u32::MAX) > 0 { 3 } else { 0 });
            match read_segment(bytes, sealed, epoch, id) {
                SegmentReading::Removed => {}
                SegmentReading::Open(records, _) => view.items.extend(records.into_iter().map(|record| Item {
                    mark: mark(record.ordinal).max(record.mark & 3),
                    record,
                    exact: true,
                })),
                SegmentReading::Sealed(entries, exact) => {
                    for (ordinal, entry) in (0..).zip(entries) {
                        let Ok(at) = usize::try_from(entry.at) else { continue };
                        let Some(record) = read_record(bytes, at, epoch, id, ordinal) else { continue };
                        view.items.push(Item { mark: mark(ordinal).max(entry.mark & 3), record, exact });
                    }
                }
            }
        }
        view
    }

    /// What becomes of an object.
    pub fn judge(&self, item: &Item) -> Judged {
        let mut judged = Judged { least: item.mark, most: item.mark };
        let stamp = item.record.stamp.max(self.swept);
        for rule in self.rules.iter().filter(|rule| rule.seq > stamp) {
            let taken = taken(rule, &item.record);
            judged.least = judged.least.max(taken.least);
            judged.most = judged.most.max(taken.most);
        }
        judged
    }

    /// Whether a newer object of the same key has certainly taken its place.
    pub fn is_superseded(&self, item: &Item) -> bool {
        let rivals = |item: &Item, other: &Item| {
            let same = other.record.vary == item.record.vary || names(&other.record.vary) != names(&item.record.vary);
            other.exact
                && other.mark < 3
                && other.record.key == item.record.key
                && same
                && other.record.write > item.record.write
        };
        let certain = |item: &Item| !self.items.iter().any(|other| rivals(item, other));
        self.items.iter().any(|other| rivals(item, other) && certain(other))
    }

    /// Whether it must be found: nothing is known that would excuse its absence.
    pub fn must_be_found(&self, item: &Item) -> bool {
        let record = &item.record;
        let long = i64::try_from(NOW).unwrap_or(0) + LONG;
        let plain = record.flags == 0 && record.expires_ms == long && record.born_ms < long && record.status == 200;
        let version = String::from_utf8_lossy(record.head.get(15..).unwrap_or_default()).parse();
        let known = version.is_ok_and(|version: u64| record.head == super::scene::head(version));
        let alone = !self.items.iter().any(|other| {
            let same = other.record.vary == record.vary || names(&other.record.vary) != names(&record.vary);
            other.record.key == record.key
                && same
                && (other.record.at, other.record.body.as_ptr()) != (record.at, record.body.as_ptr())
        });
        let distinct = self.items.iter().all(|other| other.exact);
        plain && known && alone && distinct && self.judge(item).most == 0 && names(&record.vary).is_some()
    }

    /// A purge came into force now.
    pub fn purge(&mut self, seq: u64, purge: StoredPurge) {
        for at in 0..purge.selectors.len() {
            let seq = seq - (purge.selectors.len() - 1 - at) as u64;
            self.rules.push(Rule { seq, purge: Some(purge.clone()), at });
        }
    }
}

fn rules(batch: &Batch) -> Vec<Rule> {
    let count = batch.last - batch.first + 1;
    let purge = read_purge(&batch.rules).filter(|purge| purge.selectors.len() as u64 == count);
    match purge {
        None => vec![Rule { seq: batch.last, purge: None, at: 0 }],
        Some(purge) => (batch.first..=batch.last)
            .enumerate()
            .map(|(at, seq)| Rule { seq, purge: Some(purge.clone()), at })
            .collect(),
    }
}

fn strength(act: Act) -> u8 {
    match act {
        Act::Soft => 1,
        Act::Invalidate => 2,
        Act::Delete => 3,
    }
}

fn taken(rule: &Rule, record: &StoredRecord) -> Judged {
    let Some(purge) = &rule.purge else { return Judged { least: 3, most: 3 } };
    let strength = strength(purge.act);
    if !purge.l2 {
        return Judged { least: 0, most: 0 };
    }
    let (both, perhaps) = (Judged { least: strength, most: strength }, Judged { least: 0, most: strength });
    let Some(mut subject) = parse_key(&record.key) else { return perhaps };
    subject.tags = tags(&record.tags);
    match (&purge.selectors[rule.at], matches(&purge.selectors[rule.at], &subject)) {
        (_, Ok(false)) => Judged { least: 0, most: 0 },
        (Selector::Variant(..), _) | (_, Err(_)) => perhaps,
        (_, Ok(true)) => both,
    }
}

fn tags(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut out, mut rest) = (Vec::new(), bytes);
    while let Some((len, more)) = rest.split_first_chunk::<2>() {
        let Some((tag, more)) = more.split_at_checked(usize::from(u16::from_le_bytes(*len))) else { break };
        out.push(tag.to_vec());
        rest = more;
    }
    out
}

/// The selecting fields; `None` if they are damaged.
pub fn fields(bytes: &[u8]) -> Option<Vec<(Vec<u8>, Option<Vec<u8>>)>> {
    fn text<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
        let (len, more) = rest.split_first_chunk::<4>()?;
        let (text, more) = more.split_at_checked(u32::from_le_bytes(*len) as usize)?;
        *rest = more;
        Some(text)
    }
    let (mut out, mut rest) = (Vec::new(), bytes);
    while !rest.is_empty() {
        let name = text(&mut rest)?.to_vec();
        let (&has, more) = rest.split_first()?;
        rest = more;
        let value = match has {
            0 => None,
            1 => Some(text(&mut rest)?.to_vec()),
            _ => return None,
        };
        out.push((name, value));
    }
    Some(out)
}

fn names(vary: &[u8]) -> Option<Vec<Vec<u8>>> {
    Some(fields(vary)?.into_iter().map(|(name, _)| name).collect())
}

/// Whether a request with this `Accept-Encoding` selects it; `None` where the fields are damaged.
pub fn selects(vary: &[u8], variant: Option<&str>) -> Option<bool> {
    let own = variant.map(|value| value.as_bytes().to_vec());
    let wanted = |name: &[u8]| if name == b"accept-encoding" { own.clone() } else { None };
    Some(fields(vary)?.iter().all(|(name, value)| *value == wanted(name)))
}
