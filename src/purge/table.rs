//! All rules of one generation, filed so that a key meets only the rules that can concern it.
//!
//! A rule is filed under the hash of what it names literally: the URL, the key, the directory, the host, the tag. One pass over a key gives the
//! hashes of all its prefixes ([`Taps`]), so a lookup costs the key's depth, not the number of rules. A slot of the open-addressing table
//! leads to the newest [`Cell`] of its text; a cell carries the newest number per verb and tier *of itself and all older cells of the same
//! text*, and the way to the previous one, so that a reader whose snapshot is older than the cell steps back to what it may see.
//!
//! Invariants:
//!
//! 1. One writer (the publisher) appends; a slot is published by a `Release` store after its cell is complete, and only ever moves to a
//!    newer cell of the same text.
//! 2. Along `older`, numbers fall. The first cell not newer than a reader's snapshot says all there is to say of a pure form.
//! 3. No verdict without a compare of every byte the rule names: a hash only leads to candidates.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use smallvec::SmallVec;

use super::rules::Rule;
use super::selector::{Compiled, Shape, Subject};
use super::{Action, Layers, Verdict};
use crate::key::{KeyRef, hash as flat_hash, prefix_hash};

/// How a cell's text is compared, and where in the key its hash is tapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Form {
    Url,
    Key,
    Variant,
    DirectoryAll,
    DirectoryOne,
    ExtensionAll,
    ExtensionOne,
    Residual,
    Host,
    HostPort,
    HostBelow,
    Tag,
    All,
}

const FORMS: usize = Form::All as usize + 1;

impl Form {
    /// Forms whose text says everything; the others ask the rule itself.
    fn is_pure(self) -> bool {
        !matches!(self, Self::Variant | Self::Residual)
    }
}

const EDGE: usize = 0;
const L2: usize = 1;

/// Newest number per action and tier; 0 = none.
type Newest = [[u64; 2]; 3];

#[derive(Debug)]
struct Cell {
    rule: Arc<Rule>,
    part: u32,
    form: Form,
    /// Index of the next older cell of this text plus one; 0 = none.
    older: u32,
    newest: Newest,
}

impl Cell {
    fn compiled(&self) -> &Compiled {
        &self.rule.parts()[self.part as usize]
    }
}

/// Rules that only a response can answer, shared with their generation; who holds them holds none of its others.
#[derive(Debug)]
pub(crate) struct Late {
    rules: Arc<boxcar::Vec<Arc<Rule>>>,
    range: std::ops::Range<usize>,
}

impl Late {
    pub(crate) fn len(&self) -> usize {
        self.range.len()
    }

    /// In order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Rule>> {
        self.range.clone().filter_map(|index| self.rules.get(index))
    }
}

/// Rules of one generation. Readers share it through the snapshot; the publisher alone adds to it.
#[derive(Debug)]
pub(crate) struct Generation {
    slots: Box<[AtomicU64]>,
    cells: Arc<boxcar::Vec<Cell>>,
    /// For each form the directory depths at which a rule is filed (depths from 63 on share a bit); nonzero = the form is in use.
    depths: Arc<[AtomicU64; FORMS]>,
    /// Rules that can only be judged once the response is known (tags, variants), in order of their numbers.
    late: Arc<boxcar::Vec<Arc<Rule>>>,
}

const FIRST_SLOTS: usize = 32;

impl Generation {
    pub(crate) fn new() -> Self {
        Self {
            slots: empty_slots(FIRST_SLOTS),
            cells: Arc::new(boxcar::Vec::new()),
            depths: Arc::new(Default::default()),
            late: Arc::new(boxcar::Vec::new()),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cells.count() == 0
    }

    /// Whether anybody else holds it, or an earlier size of it.
    pub(crate) fn is_shared(this: &Arc<Self>) -> bool {
        Arc::strong_count(this) > 1 || Arc::strong_count(&this.cells) > 1
    }

    /// The same rules with twice the slots, if another `rules` would fill more than half of them.
    pub(crate) fn grown(&self, cells: usize) -> Option<Self> {
        let need = (self.cells.count() + cells) * 2;
        if need <= self.slots.len() {
            return None;
        }
        let next = Self {
            slots: empty_slots((need * 2).next_power_of_two()),
            cells: Arc::clone(&self.cells),
            depths: Arc::clone(&self.depths),
            late: Arc::clone(&self.late),
        };
        for slot in &self.slots {
            let word = slot.load(Ordering::Relaxed);
            if word != 0 {
                let cell = &self.cells[(word as u32 - 1) as usize];
                next.place(filing(cell.form, cell.compiled().shape()), word);
            }
        }
        Some(next)
    }

    /// Files every part of `rule`. Only the publisher calls this, after [`grown`](Self::grown).
    pub(crate) fn insert(&self, rule: &Arc<Rule>) {
        let mut late = false;
        for (part, compiled) in rule.parts().iter().enumerate() {
            let shape = compiled.shape();
            let form = form_of(shape);
            late |= matches!(form, Form::Tag | Form::Variant);
            let hash = filing(form, shape);
            let known = self.find(hash, |cell| cell.form == form && same_text(cell.compiled().shape(), shape));
            let mut newest = known.map_or_else(Newest::default, |index| self.cells[index].newest);
            for (tier, named) in [rule.layers.edge, rule.layers.l2].into_iter().enumerate() {
                if named {
                    newest[verb(rule.action)][tier] = rule.seq;
                }
            }
            let older = known.map_or(0, |index| index as u32 + 1);
            let cell = Cell { rule: Arc::clone(rule), part: part as u32, form, older, newest };
            let index = self.cells.push(cell);
            self.depths[form as usize].fetch_or(depth_bits(form, shape), Ordering::Release);
            self.place(hash, (hash & !0xffff_ffff) | (index as u64 + 1));
        }
        if late {
            self.late.push(Arc::clone(rule));
        }
    }

    /// Stores `word` in the slot of its text: that of its older cell, or the first free one.
    fn place(&self, hash: u64, word: u64) {
        let older = self.cells[(word as u32 - 1) as usize].older;
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let held = self.slots[at].load(Ordering::Relaxed);
            if held == 0 || (older != 0 && held as u32 == older) {
                self.slots[at].store(word, Ordering::Release);
                return;
            }
            at = (at + 1) & mask;
        }
    }

    /// Index of the newest cell under `hash` that passes `same`.
    #[inline]
    fn find(&self, hash: u64, same: impl Fn(&Cell) -> bool) -> Option<usize> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let word = self.slots[at].load(Ordering::Acquire);
            if word == 0 {
                return None;
            }
            if word >> 32 == hash >> 32 {
                let index = (word as u32 - 1) as usize;
                if same(self.cells.get(index)?) {
                    return Some(index);
                }
            }
            at = (at + 1) & mask;
        }
    }

    /// Rules of this generation in (after, upto] that only a response can answer; `None` if there are none. O(log rules), nothing is copied.
    pub(crate) fn late(&self, after: u64, upto: u64) -> Option<Late> {
        let place = |seq: u64| {
            let (mut low, mut high) = (0, self.late.count());
            while low < high {
                let mid = low.midpoint(high);
                if self.late.get(mid).is_some_and(|rule| rule.seq <= seq) { low = mid + 1 } else { high = mid }
            }
            low
        };
        let range = place(after)..place(upto);
        (!range.is_empty()).then(|| Late { rules: Arc::clone(&self.late), range })
    }

    /// Adds to `verdict` what the rules in (after, upto] say of `subject`. O(depth of the key + residual rules of its directories).
    pub(crate) fn judge(&self, taps: &Taps, subject: &Subject<'_>, after: u64, upto: u64, verdict: &mut Verdict) {
        let mut range = Range { generation: self, subject, after, upto, verdict };
        let used = |form: Form| self.depths[form as usize].load(Ordering::Acquire);
        let key = subject.key;
        if used(Form::All) != 0 {
            range.probe(Form::All, seed(Form::All), |_| true);
        }
        if used(Form::Url) != 0 {
            range.probe(
                Form::Url,
                tapped(Form::Url, taps.url),
                |shape| matches!(shape, Shape::Url(url) if **url == *key.url()),
            );
        }
        if used(Form::Key) != 0 {
            range.probe(
                Form::Key,
                tapped(Form::Key, taps.key),
                |shape| matches!(shape, Shape::Key(text) if **text == *key.text()),
            );
        }
        if used(Form::Variant) != 0 && subject.vary.is_some() {
            range.probe(
                Form::Variant,
                tapped(Form::Variant, taps.key),
                |shape| matches!(shape, Shape::Variant { key: text, .. } if **text == *key.text()),
            );
        }
        range.directories(taps);
        range.hosts();
        if used(Form::Tag) != 0 {
            for tag in subject.tags.iter() {
                let hash = tapped(Form::Tag, flat_hash(tag));
                range.probe(Form::Tag, hash, |shape| matches!(shape, Shape::Tag(text) if **text == *tag));
            }
        }
    }
}

fn empty_slots(slots: usize) -> Box<[AtomicU64]> {
    (0..slots).map(|_| AtomicU64::new(0)).collect()
}

/// One question to one generation.
struct Range<'a, 'b> {
    generation: &'a Generation,
    subject: &'a Subject<'a>,
    after: u64,
    upto: u64,
    verdict: &'b mut Verdict,
}

impl Range<'_, '_> {
    fn probe(&mut self, form: Form, hash: u64, same: impl Fn(&Shape) -> bool) {
        let Some(mut index) = self.generation.find(hash, |cell| cell.form == form && same(cell.compiled().shape()))
        else {
            return;
        };
        while let Some(cell) = self.generation.cells.get(index) {
            let seq = cell.rule.seq;
            if seq <= self.after {
                return;
            }
            if seq <= self.upto {
                if form.is_pure() {
                    self.add_newest(&cell.newest);
                    return;
                }
                // The rule's own number decides here: a strict subset of the text's rules may match.
                if !self.verdict.covers(cell.rule.action, cell.rule.layers) && cell.compiled().matches(self.subject) {
                    self.verdict.add(cell.rule.action, cell.rule.layers, seq);
                }
            }
            match cell.older {
                0 => return,
                older => index = older as usize - 1,
            }
        }
    }

    /// What a cell of a pure form says: per tier every action with a number in range.
    fn add_newest(&mut self, newest: &Newest) {
        for (index, action) in [Action::Soft, Action::Invalidate, Action::Delete].into_iter().enumerate() {
            for (tier, &seq) in newest[index].iter().enumerate().filter(|(_, seq)| **seq > self.after) {
                self.verdict.add(action, Layers { edge: tier == EDGE, l2: tier == L2 }, seq);
            }
        }
    }

    fn directories(&mut self, taps: &Taps) {
        let used = |form: Form| self.generation.depths[form as usize].load(Ordering::Acquire);
        let (all, one, residual) = (used(Form::DirectoryAll), used(Form::DirectoryOne), used(Form::Residual));
        let (extension_all, extension_one) = (used(Form::ExtensionAll), used(Form::ExtensionOne));
        if all | one | residual | extension_all | extension_one == 0 {
            return;
        }
        let key = self.subject.key;
        let extension = extension_of(key);
        let last = taps.directories.len().saturating_sub(1);
        for (depth, &(end, hash)) in taps.directories.iter().enumerate() {
            let bit = depth_bit(depth);
            let text = &key.url()[..usize::from(end)];
            if all & bit != 0 {
                self.probe(
                    Form::DirectoryAll,
                    tapped(Form::DirectoryAll, hash),
                    |shape| matches!(shape, Shape::Directory { dir, .. } if **dir == *text),
                );
            }
            if one & bit != 0 && depth == last {
                self.probe(
                    Form::DirectoryOne,
                    tapped(Form::DirectoryOne, hash),
                    |shape| matches!(shape, Shape::Directory { dir, .. } if **dir == *text),
                );
            }
            if residual & bit != 0 {
                self.probe(
                    Form::Residual,
                    tapped(Form::Residual, hash),
                    |shape| matches!(shape, Shape::Residual { dir, .. } if **dir == *text),
                );
            }
            if let Some(extension) = extension {
                let named = |shape: &Shape| matches!(shape, Shape::Extension { dir, ext, .. } if **dir == *text && **ext == *extension);
                if extension_all & bit != 0 {
                    self.probe(Form::ExtensionAll, with_extension(Form::ExtensionAll, hash, extension), named);
                }
                if extension_one & bit != 0 && depth == last {
                    self.probe(Form::ExtensionOne, with_extension(Form::ExtensionOne, hash, extension), named);
                }
            }
        }
    }

    fn hosts(&mut self) {
        let used = |form: Form| self.generation.depths[form as usize].load(Ordering::Acquire) != 0;
        let (any, port, below) = (used(Form::Host), used(Form::HostPort), used(Form::HostBelow));
        if !(any || port || below) {
            return;
        }
        let host = self.subject.key.host();
        let named = |wanted: &[u8]| {
            let wanted = wanted.to_vec();
            move |shape: &Shape| matches!(shape, Shape::Host { name, .. } if **name == *wanted)
        };
        if any {
            self.probe(Form::Host, tapped(Form::Host, flat_hash(host)), named(host));
        }
        if port {
            let here = self.subject.key.port();
            let hash = tapped(Form::HostPort, flat_hash(host) ^ u64::from(here));
            self.probe(
                Form::HostPort,
                hash,
                |shape| matches!(shape, Shape::Host { name, port: Some(port), .. } if **name == *host && *port == here),
            );
        }
        if below {
            let mut rest = host;
            while let Some(dot) = memchr::memchr(b'.', rest) {
                rest = &rest[dot + 1..];
                self.probe(Form::HostBelow, tapped(Form::HostBelow, flat_hash(rest)), named(rest));
            }
        }
    }
}

/// The hashes of a key's parts that rules are filed under, from one pass.
#[derive(Debug)]
pub(crate) struct Taps {
    pub(crate) url: u64,
    pub(crate) key: u64,
    /// End and hash of each directory prefix of the path, the host's root first.
    pub(crate) directories: SmallVec<[(u16, u64); 12]>,
}

impl Taps {
    pub(crate) fn of(key: KeyRef<'_>) -> Self {
        let layout = key.layout();
        let mut all = Self { url: 0, key: 0, directories: SmallVec::new() };
        crate::key::taps(key, |end, hash| {
            if end > usize::from(layout.path) && end <= usize::from(layout.path_end) && key.text()[end - 1] == b'/' {
                all.directories.push((end as u16, hash));
            }
            if end == usize::from(layout.url_end) {
                all.url = hash;
            }
            all.key = hash;
        });
        all
    }
}

fn form_of(shape: &Shape) -> Form {
    match shape {
        Shape::Url(_) => Form::Url,
        Shape::Key(_) => Form::Key,
        Shape::Variant { .. } => Form::Variant,
        Shape::Directory { recursive: true, .. } => Form::DirectoryAll,
        Shape::Directory { .. } => Form::DirectoryOne,
        Shape::Extension { recursive: true, .. } => Form::ExtensionAll,
        Shape::Extension { .. } => Form::ExtensionOne,
        Shape::Residual { .. } => Form::Residual,
        Shape::Host { below: true, .. } => Form::HostBelow,
        Shape::Host { port: Some(_), .. } => Form::HostPort,
        Shape::Host { .. } => Form::Host,
        Shape::Tag(_) => Form::Tag,
        Shape::All => Form::All,
    }
}

/// The hash a rule is filed under; the same that a key which it may concern is probed with.
fn filing(form: Form, shape: &Shape) -> u64 {
    match shape {
        Shape::Url(text) => tapped(form, prefix_hash(text)),
        Shape::Key(text) | Shape::Variant { key: text, .. } => tapped(form, prefix_hash(text)),
        Shape::Directory { dir, .. } | Shape::Residual { dir, .. } => tapped(form, prefix_hash(dir)),
        Shape::Extension { dir, ext, .. } => with_extension(form, prefix_hash(dir), ext),
        Shape::Host { name, port, below: false } => tapped(form, flat_hash(name) ^ port.map_or(0, u64::from)),
        Shape::Host { name, .. } => tapped(form, flat_hash(name)),
        Shape::Tag(tag) => tapped(form, flat_hash(tag)),
        Shape::All => seed(form),
    }
}

fn same_text(a: &Shape, b: &Shape) -> bool {
    match (a, b) {
        (Shape::Url(a), Shape::Url(b)) | (Shape::Key(a), Shape::Key(b)) | (Shape::Tag(a), Shape::Tag(b)) => a == b,
        (Shape::Variant { key: a, .. }, Shape::Variant { key: b, .. }) => a == b,
        (Shape::Directory { dir: a, .. }, Shape::Directory { dir: b, .. })
        | (Shape::Residual { dir: a, .. }, Shape::Residual { dir: b, .. }) => a == b,
        (Shape::Extension { dir: a, ext: x, .. }, Shape::Extension { dir: b, ext: y, .. }) => a == b && x == y,
        (Shape::Host { name: a, port: p, .. }, Shape::Host { name: b, port: q, .. }) => a == b && p == q,
        (Shape::All, Shape::All) => true,
        _ => false,
    }
}

fn seed(form: Form) -> u64 {
    (form as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn tapped(form: Form, hash: u64) -> u64 {
    let mixed = (hash ^ seed(form)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 32)
}

fn with_extension(form: Form, directory: u64, extension: &[u8]) -> u64 {
    tapped(form, directory.rotate_left(17) ^ flat_hash(extension))
}

/// The dot and what follows it in the last segment of the path.
fn extension_of(key: KeyRef<'_>) -> Option<&[u8]> {
    let path = key.path();
    let name = &path[memchr::memrchr(b'/', path).map_or(0, |at| at + 1)..];
    memchr::memrchr(b'.', name).map(|at| &name[at..])
}

fn depth_bit(depth: usize) -> u64 {
    1 << depth.min(63)
}

fn depth_bits(form: Form, shape: &Shape) -> u64 {
    match shape {
        Shape::Directory { dir, .. } | Shape::Residual { dir, .. } | Shape::Extension { dir, .. } => {
            // `scheme://host/` has three slashes and depth 0.
            depth_bit(memchr::memchr_iter(b'/', dir).count().saturating_sub(3))
        }
        _ => seed(form) | 1,
    }
}

fn verb(action: Action) -> usize {
    match action {
        Action::Soft => 0,
        Action::Invalidate => 1,
        Action::Delete => 2,
    }
}
