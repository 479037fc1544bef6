//! All rules of one generation, filed so that a key meets only the rules that can concern it.
//!
//! A rule is filed under the hash of what it names literally: the URL, the key, the host, the tag, or its longest literal beginning, which is a
//! [`Node`] of the table. One pass over a key gives the hashes of all its prefixes ([`Taps`]), so a lookup costs the key's depth, not the number
//! of rules. What hangs on a node is found by more literals: the ending of the key ([`Endings`](scan::Endings)), or a literal that must
//! occur in it ([`Spot`](scan::Spot)). See [`place`] for what is filed where, and for what bounds the few that no literal leads to.
//!
//! A text's newest [`Cell`] carries the newest number per verb and tier *of itself and all older cells of the same text*, and the way to the
//! previous one, so that a reader whose snapshot is older than the cell steps back to what it may see. Repeated rules cost nothing.
//!
//! Invariants:
//!
//! 1. One writer (the publisher) appends; whatever leads to a cell is published by a `Release` store after the cell is complete, and only ever
//!    moves to a newer cell of the same text.
//! 2. Along `older`, numbers fall. The first cell not newer than a reader's snapshot says all there is to say of a text.
//! 3. No verdict without a compare of every byte the rule names: a hash only leads to candidates.

mod judge;
mod place;
mod scan;
mod store;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use smallvec::SmallVec;

pub(crate) use place::cost_of;

use self::place::{Beginning, Bucket, Load, Place, Plan, places};
use self::scan::Lengths;
use self::store::Store;
use super::Action;
use super::rules::Rule;
use super::selector::{Compiled, Shape};
use crate::key::{KeyRef, hash as flat_hash, prefix_hash};
use crate::sync::Mutex;

/// What a hash is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Form {
    Url,
    Key,
    Host,
    HostPort,
    HostBelow,
    Tag,
    All,
    /// A directory.
    Directory,
    /// A directory and what of a literal beginning follows it.
    Beginning,
    /// A node and how a key ends, by how the run between is bound.
    Ending,
    /// A node and the first window of a literal that must occur.
    Window,
    /// The same with the last window.
    Occurring,
    /// Programs to be asked one by one: of a node, an ending or an occurrence.
    Bucket,
    /// Variants of a key.
    Variant,
    /// Patterns of the variation of a URL.
    Variation,
    /// Patterns of all hosts below a name.
    Below,
    /// A text that is asked itself, for the publisher to find.
    Text,
}

const EDGE: usize = 0;
const L2: usize = 1;

/// Newest number per action and tier; 0 = none.
type Newest = [[u64; 2]; 3];

#[derive(Debug)]
struct Cell {
    hash: u64,
    rule: Arc<Rule>,
    part: u32,
    /// Index of the next older cell of this text plus one; 0 = none.
    older: u32,
    newest: Newest,
}

impl Cell {
    fn shape(&self) -> &Shape {
        self.rule.shape(self.part)
    }
}

/// One distinct program, variant or pattern of many hosts: what is asked itself. Those of one bucket are a chain.
#[derive(Debug)]
struct Text {
    bucket: u64,
    rule: Arc<Rule>,
    part: u32,
    /// How many are before it in its bucket.
    rank: u32,
    /// Index of the next text of this bucket plus one; 0 = none.
    next: u32,
    /// Index of its newest cell plus one.
    newest: AtomicU32,
}

impl Text {
    fn compiled(&self) -> Option<&Compiled> {
        self.rule.parts().get(self.part as usize)
    }

    fn shape(&self) -> &Shape {
        self.rule.shape(self.part)
    }
}

/// A literal beginning and what is filed under it.
#[derive(Debug)]
struct Node {
    hash: u64,
    text: Box<[u8]>,
    /// Newest cell plus one: everything that begins so.
    all: AtomicU32,
    /// Newest cell plus one: what begins so and has no further slash in its path.
    one: AtomicU32,
    more: OnceLock<Box<More>>,
}

/// What is looked for in keys that begin with a node.
#[derive(Debug, Default)]
struct More {
    /// Endings of the path, and of the URL part.
    path: Lengths,
    url: Lengths,
    /// Bits of [`Run`] in use.
    runs: AtomicU32,
    /// For a directory: what follows it in literal beginnings.
    beginnings: Lengths,
    /// For each size of windows, by its log, how far apart the first and the last window of literals are, plus one.
    windows: OnceLock<Box<[Lengths; SCALES]>>,
    /// Logs of the sizes in use.
    scales: AtomicU32,
    /// Whether there are programs that no literal leads to.
    unanchored: AtomicU32,
}

impl More {
    fn bytes(&self) -> usize {
        let windows = self.windows.get().map_or(&[][..], |windows| &windows[..]);
        let lengths = [&self.path, &self.url, &self.beginnings].into_iter().chain(windows);
        size_of::<Self>() + size_of_val(windows) + lengths.map(Lengths::bytes).sum::<usize>()
    }
}

/// Sizes of windows: 1 to 64 bytes.
const SCALES: usize = 7;

/// How the run between a beginning and an ending is bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Run {
    PathAll,
    PathOne,
    PathProgram,
    UrlAll,
    UrlOne,
    UrlProgram,
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
#[derive(Debug, Default)]
pub(crate) struct Generation {
    store: Store,
    cells: boxcar::Vec<Cell>,
    texts: boxcar::Vec<Text>,
    nodes: boxcar::Vec<Node>,
    /// Bits of [`Form`] in use.
    forms: AtomicU32,
    /// Rules that can only be judged once the response is known (tags, variants), in order of their numbers.
    late: Arc<boxcar::Vec<Arc<Rule>>>,
    /// What programs cost the keys of each host. The publisher's.
    loads: Mutex<HashMap<Box<[u8]>, Load>>,
    /// Bytes of all programs. The publisher's.
    memory: AtomicU64,
}

impl Generation {
    pub(crate) fn is_empty(&self) -> bool {
        self.cells.count() == 0
    }

    /// Whether anybody else holds it.
    pub(crate) fn is_shared(this: &Arc<Self>) -> bool {
        Arc::strong_count(this) > 1
    }

    /// Bytes of the table, the rules' own texts and programs left out. O(nodes).
    pub(crate) fn bytes(&self) -> usize {
        let more = self.nodes.iter().filter_map(|(_, node)| node.more.get());
        self.store.bytes()
            + more.map(|more| more.bytes()).sum::<usize>()
            + self.cells.count() * size_of::<Cell>()
            + self.texts.count() * size_of::<Text>()
            + self.nodes.iter().map(|(_, node)| size_of::<Node>() + node.text.len()).sum::<usize>()
    }

    fn uses(&self, form: Form) -> bool {
        self.forms.load(Ordering::Acquire) & (1 << form as u8) != 0
    }

    /// Files every part of `rule`. Only the publisher calls this, with the plan it made for the rule.
    pub(crate) fn insert(&self, rule: &Arc<Rule>, plan: &Plan) {
        let mut late = false;
        for (part, compiled) in (0_u32..).zip(rule.parts()) {
            let shape = compiled.shape();
            late |= matches!(shape, Shape::Tag(_) | Shape::Variant { .. });
            match places(shape) {
                Place::Exact(form, hash) => self.file_exact(form, hash, rule, part),
                Place::Everything { beginning, one } => {
                    let Some(node) = self.node(&beginning) else { continue };
                    let chain = if one { &node.one } else { &node.all };
                    let older = chain.load(Ordering::Relaxed);
                    chain.store(self.push(node.hash, rule, part, older), Ordering::Release);
                }
                Place::Ending { beginning, run, suffix } => {
                    let Some(node) = self.node(&beginning) else { continue };
                    let hash = place::ending(node.hash, run, suffix);
                    self.file_exact(Form::Ending, hash, rule, part);
                    self.open_ending(node, run, suffix.len());
                }
                Place::Asked(candidates) => {
                    let chosen = plan.choice(part);
                    if let Some(bucket) = candidates.get(chosen).or_else(|| candidates.last()) {
                        self.file_asked(bucket, rule, part, plan.load(part));
                    }
                }
            }
        }
        if late {
            self.late.push(Arc::clone(rule));
        }
    }

    /// A cell for `part` of `rule`; its index plus one.
    fn push(&self, hash: u64, rule: &Arc<Rule>, part: u32, older: u32) -> u32 {
        let mut newest = older
            .checked_sub(1)
            .and_then(|at| self.cells.get(at as usize))
            .map_or_else(Newest::default, |cell| cell.newest);
        for (tier, named) in [rule.layers.edge, rule.layers.l2].into_iter().enumerate() {
            if named {
                newest[verb(rule.action)][tier] = rule.seq;
            }
        }
        let index = self.cells.push(Cell { hash, rule: Arc::clone(rule), part, older, newest });
        // Rules are capped far below what 32 bits number.
        u32::try_from(index + 1).unwrap_or(u32::MAX)
    }

    fn file_exact(&self, form: Form, hash: u64, rule: &Arc<Rule>, part: u32) {
        let shape = rule.shape(part);
        let same = |at: u32| {
            let cell = self.cells.get(at as usize);
            cell.is_some_and(|cell| cell.hash == hash && cell.shape().same_text(shape))
        };
        let older = self.store.find(hash, same);
        let index = self.push(hash, rule, part, older.map_or(0, |at| at + 1));
        self.forms.fetch_or(1 << form as u8, Ordering::Release);
        self.store.put(hash, index as usize - 1, older);
    }

    /// Files a program, a variant or a pattern of many hosts in a bucket, after whatever of the same text is there.
    fn file_asked(&self, bucket: &Bucket<'_>, rule: &Arc<Rule>, part: u32, load: Load) {
        let shape = rule.shape(part);
        let identity = place::identity(shape);
        if let Some(at) = self.text_of(identity, shape)
            && let Some(text) = self.texts.get(at as usize)
        {
            let older = text.newest.load(Ordering::Relaxed);
            text.newest.store(self.push(text.bucket, rule, part, older), Ordering::Release);
            return;
        }
        let first = self.first_text(bucket.hash);
        let rank = first.and_then(|at| self.texts.get(at as usize)).map_or(0, |text| text.rank + 1);
        let newest = AtomicU32::new(self.push(bucket.hash, rule, part, 0));
        let next = first.map_or(0, |at| at + 1);
        let rule_of_text = Arc::clone(rule);
        let index = self.texts.push(Text { bucket: bucket.hash, rule: rule_of_text, part, rank, next, newest });
        self.store.put(bucket.hash, index, first);
        self.store.put(identity, index, None);
        if let Some(beginning) = &bucket.beginning
            && let Some(node) = self.node(beginning)
        {
            self.open_bucket(node, bucket);
        }
        self.forms.fetch_or(1 << bucket.form as u8, Ordering::Release);
        self.memory.fetch_add(load.memory, Ordering::Relaxed);
        let mut loads = self.loads.lock();
        for (whose, load) in place::loaded(shape).into_iter().zip(load.split()) {
            let all = loads.entry(whose.into()).or_default();
            *all = all.and(load);
        }
    }

    /// Index of the newest text of a bucket.
    fn first_text(&self, bucket: u64) -> Option<u32> {
        self.store.find(bucket, |at| self.texts.get(at as usize).is_some_and(|text| text.bucket == bucket))
    }

    /// The texts of a bucket, newest first.
    fn texts_in(&self, bucket: u64) -> impl Iterator<Item = &Text> {
        let text = |at: u32| self.texts.get(at as usize);
        std::iter::successors(self.first_text(bucket).and_then(text), move |last| text(last.next.checked_sub(1)?))
    }

    /// Index of the text of a shape, by its [`identity`](place::identity).
    fn text_of(&self, identity: u64, shape: &Shape) -> Option<u32> {
        self.store.find(identity, |at| self.texts.get(at as usize).is_some_and(|text| text.shape().same_text(shape)))
    }

    /// The node of a literal beginning, made if it is new.
    fn node(&self, beginning: &Beginning<'_>) -> Option<&Node> {
        let Beginning { prefix, dir } = *beginning;
        let (dir, rest) = prefix.split_at_checked(dir)?;
        let top = self.node_at(place::directory(prefix_hash(dir)), dir)?;
        if rest.is_empty() {
            return Some(top);
        }
        let node = self.node_at(place::beginning(top.hash, rest), prefix);
        self.more(top).beginnings.add(rest.len());
        node
    }

    fn node_at(&self, hash: u64, prefix: &[u8]) -> Option<&Node> {
        let found = self.store.find(hash, |at| {
            self.nodes.get(at as usize).is_some_and(|node| node.hash == hash && *node.text == *prefix)
        });
        let index = match found {
            Some(at) => at as usize,
            None => {
                let index = self.nodes.push(Node {
                    hash,
                    text: prefix.into(),
                    all: AtomicU32::new(0),
                    one: AtomicU32::new(0),
                    more: OnceLock::new(),
                });
                self.forms.fetch_or(1 << Form::Directory as u8, Ordering::Release);
                self.store.put(hash, index, None);
                index
            }
        };
        self.nodes.get(index)
    }

    fn more<'a>(&self, node: &'a Node) -> &'a More {
        node.more.get_or_init(Box::default)
    }

    fn open_ending(&self, node: &Node, run: Run, len: usize) {
        let more = self.more(node);
        match run {
            Run::PathAll | Run::PathOne | Run::PathProgram => more.path.add(len),
            Run::UrlAll | Run::UrlOne | Run::UrlProgram => more.url.add(len),
        }
        more.runs.fetch_or(1 << run as u8, Ordering::Release);
    }

    fn open_bucket(&self, node: &Node, bucket: &Bucket<'_>) {
        match &bucket.by {
            place::By::Ending { run, len } => self.open_ending(node, *run, *len),
            place::By::Occurring(spot) => {
                // Readers ask for the first window before they look for the last one.
                self.store.announce(place::window(node.hash, spot.scale, spot.first));
                let more = self.more(node);
                if let Some(offsets) = more.windows.get_or_init(Box::default).get(spot.scale as usize) {
                    offsets.add(spot.offset + 1);
                }
                more.scales.fetch_or(1 << spot.scale, Ordering::Release);
            }
            place::By::Nothing => {
                self.more(node).unanchored.store(1, Ordering::Release);
            }
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
    /// Of no key.
    pub(crate) fn new() -> Self {
        Self { url: 0, key: 0, directories: SmallVec::new() }
    }

    /// Makes them those of `key`, where they are: they are too large to be handed around.
    #[inline]
    pub(crate) fn read(&mut self, key: KeyRef<'_>) {
        let layout = key.layout();
        let all = self;
        crate::key::taps(key, |end, hash| {
            if end > usize::from(layout.path) && end <= usize::from(layout.path_end) && key.text()[end - 1] == b'/' {
                all.directories.push((end as u16, hash));
            }
            if end == usize::from(layout.url_end) {
                all.url = hash;
            }
            all.key = hash;
        });
    }
}

fn seed(form: Form) -> u64 {
    (form as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn tapped(form: Form, hash: u64) -> u64 {
    let mixed = (hash ^ seed(form)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    mixed ^ (mixed >> 32)
}

fn host_hash(name: &[u8]) -> u64 {
    tapped(Form::Host, flat_hash(name))
}

fn verb(action: Action) -> usize {
    match action {
        Action::Soft => 0,
        Action::Invalidate => 1,
        Action::Delete => 2,
    }
}
