//! What is filed where, and what is admitted.
//!
//! | shape | filed under | found by |
//! | --- | --- | --- |
//! | URL, key, host, tag, everything | its text | the key's own hashes |
//! | `/d/**`, `/d/*`, `/d/a*` | the node of its literal beginning | taps of the key; lengths of beginnings in use |
//! | `/d/*.ext`, `a**b` | node and ending | lengths of endings in use |
//! | several runs, regex with a literal | node and ending, or node and a literal that must occur | endings; windows of the key |
//! | regex without any | node | asked one by one |
//! | variants, patterns of a variation | the key, the URL | the key's own hashes |
//! | patterns of many hosts | the name they are below | the key's parent domains |
//!
//! What is asked itself (all but the first three rows) stands in buckets. The bucket of a literal takes [`CROWD`] texts; the next of its kind looks for another literal of its own, and is at last one without any. Those are asked of every key of their directory, so their number
//! and work is bounded for each host's root and each of its first directories, across both generations: a key meets the programs of two such
//! places at most. Readers are bounded; the publisher who goes beyond is told to come again when older rules are swept.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;

use super::scan::{Spot, beginning_hash, ending_hash};
use super::{Form, Generation, Run, SCALES, host_hash, seed, tapped};
use crate::key::{hash as flat_hash, prefix_hash, root_len, url_of};
use crate::purge::cost::{Class, Cost, Usage};
use crate::purge::program::Program;
use crate::purge::rules::Prepared;
use crate::purge::selector::Shape;
use crate::purge::span::Span;

/// Most programs that one literal leads to.
const CROWD: u32 = 32;
/// Most directories of a beginning behind which literals are looked for: each such node of a key is a pass over the key, and rules can be nested.
const SCANNED_DIRECTORIES: usize = 16;
/// Most bytes of a name that follow the directory there.
const SCANNED_BYTES: usize = 64;
/// Most bytes of a literal that are looked for where it may occur: each distance of a first and a last window is asked for at every byte.
const MAX_OCCURRING: usize = (1 << SCALES) - 1;
/// Most programs that no literal leads to: of a host's root, and of each of its first directories with all below.
const UNANCHORED: u64 = 32;
/// Their work a byte together, in units of about a nanosecond. A single one may be over it.
const UNANCHORED_WORK: u64 = 64;
/// Work a byte of all programs of a host.
const HOST_WORK: u64 = 1 << 15;
/// Most variants and patterns of variations of one URL, and patterns of the hosts below one name: a compare each.
const COMPARED: u64 = 1024;
/// Bytes of all programs.
const MEMORY: u64 = 256 << 20;

/// A literal beginning: a directory and what follows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning<'a> {
    pub(super) prefix: &'a [u8],
    /// Where the directory ends.
    pub(super) dir: usize,
}

impl<'a> Beginning<'a> {
    fn of(prefix: &'a [u8], dir: usize) -> Self {
        Self { prefix, dir }
    }

    fn hash(&self) -> u64 {
        let (dir, rest) = self.prefix.split_at_checked(self.dir).unwrap_or((self.prefix, &[]));
        let top = directory(prefix_hash(dir));
        if rest.is_empty() { top } else { beginning(top, rest) }
    }

    /// As much of it as windows are looked for behind: at most [`SCANNED_DIRECTORIES`], and [`SCANNED_BYTES`] behind fewer of them.
    fn scanned(self) -> Self {
        let (dir, rest) = self.prefix.split_at_checked(self.dir).unwrap_or((self.prefix, &[]));
        let root = root_len(dir);
        let deep = dir.get(root..).and_then(|dir| memchr::memchr_iter(b'/', dir).nth(SCANNED_DIRECTORIES - 1));
        let (end, dir) = match deep.map(|slash| root + slash + 1).filter(|&end| end < dir.len()) {
            Some(end) => (end, end),
            None => (dir.len() + rest.len().min(SCANNED_BYTES), dir.len()),
        };
        Self { prefix: self.prefix.get(..end).unwrap_or(self.prefix), dir }
    }
}

/// Where a shape goes.
#[derive(Debug)]
pub(super) enum Place<'a> {
    /// Its text says all.
    Exact(Form, u64),
    /// All that begins so, or all of it without a further slash in the path.
    Everything { beginning: Beginning<'a>, one: bool },
    /// All that begins and ends so.
    Ending { beginning: Beginning<'a>, run: Run, suffix: &'a [u8] },
    /// To be asked itself, in one of these, best first. The last takes what the others have no room for.
    Asked(Vec<Bucket<'a>>),
}

/// A place for texts that are asked themselves.
#[derive(Debug)]
pub(super) struct Bucket<'a> {
    pub(super) hash: u64,
    pub(super) form: Form,
    pub(super) beginning: Option<Beginning<'a>>,
    pub(super) by: By,
}

/// What leads to a bucket besides its node.
#[derive(Debug)]
pub(super) enum By {
    Ending { run: Run, len: usize },
    Occurring(Spot),
    Nothing,
}

/// Node of a directory, by the directory's prefix hash.
#[inline]
pub(super) fn directory(prefix: u64) -> u64 {
    tapped(Form::Directory, prefix)
}

/// Node of a directory and what follows it.
pub(super) fn beginning(directory: u64, rest: &[u8]) -> u64 {
    beginning_of(directory, rest.len(), beginning_hash(rest))
}

/// The same by length and hash of what follows.
#[inline]
pub(super) fn beginning_of(directory: u64, len: usize, hash: u64) -> u64 {
    tapped(Form::Beginning, directory.rotate_left(17) ^ hash.wrapping_add(len as u64))
}

pub(super) fn ending(node: u64, run: Run, suffix: &[u8]) -> u64 {
    ending_of(node, run, suffix.len(), ending_hash(suffix))
}

/// Hash of a node and an ending by length and hash.
#[inline]
pub(super) fn ending_of(node: u64, run: Run, len: usize, hash: u64) -> u64 {
    tapped(Form::Ending, node.rotate_left(17) ^ hash.wrapping_add((run as u64) << 32 | len as u64))
}

/// Hash of a node and the first window of a literal.
#[inline]
pub(super) fn window(node: u64, scale: u32, first: u64) -> u64 {
    tapped(Form::Window, node.rotate_left(17) ^ first.wrapping_add(u64::from(scale).wrapping_mul(seed(Form::Window))))
}

/// Hash of both windows of a literal.
pub(super) fn occurring(window: u64, offset: usize, last: u64) -> u64 {
    tapped(Form::Occurring, window.rotate_left(29) ^ last.wrapping_add(offset as u64))
}

/// Hash of the bucket that something leads to.
#[inline]
pub(super) fn bucket(leads: u64) -> u64 {
    tapped(Form::Bucket, leads)
}

/// Bucket of the patterns of all hosts below a name.
pub(super) fn below(name: &[u8]) -> u64 {
    tapped(Form::Below, flat_hash(name))
}

/// Bucket of the variants of a key, by its prefix hash.
pub(super) fn variants(key: u64) -> u64 {
    tapped(Form::Variant, key)
}

/// Bucket of the patterns of a URL's variation, by the URL's prefix hash.
pub(super) fn variations(url: u64) -> u64 {
    tapped(Form::Variation, url)
}

/// Hash of a host name with a port.
pub(super) fn host_and_port(name: &[u8], port: u16) -> u64 {
    tapped(Form::HostPort, flat_hash(name) ^ u64::from(port))
}

/// Hash of all hosts below a name, of one port or of every.
pub(super) fn host_below(name: &[u8], port: Option<u16>) -> u64 {
    tapped(Form::HostBelow, flat_hash(name) ^ port.map_or(0, |port| u64::from(port) + 1))
}

/// Hash of what tells a text that is asked itself from all others.
pub(super) fn identity(shape: &Shape) -> u64 {
    let source = |program: &Program| flat_hash(program.source());
    let hash = match shape {
        Shape::Variant { key, headers } => headers.iter().fold(flat_hash(key), |sum, (name, value)| {
            let field = flat_hash(name.as_str().as_bytes()).rotate_left(7) ^ flat_hash(value.as_bytes());
            sum.wrapping_add(field)
        }),
        Shape::Below { scheme, name, program, .. } => flat_hash(name) ^ flat_hash(scheme.name()) ^ source(program),
        shape => shape.program().map_or(0, source),
    };
    tapped(Form::Text, hash)
}

/// Where a shape goes.
pub(super) fn places(shape: &Shape) -> Place<'_> {
    let one = |form, hash| Place::Asked(vec![Bucket { hash, form, beginning: None, by: By::Nothing }]);
    match shape {
        Shape::Url(text) => Place::Exact(Form::Url, tapped(Form::Url, prefix_hash(text))),
        Shape::Key(text) => Place::Exact(Form::Key, tapped(Form::Key, prefix_hash(text))),
        Shape::Tag(tag) => Place::Exact(Form::Tag, tapped(Form::Tag, flat_hash(tag))),
        Shape::All => Place::Exact(Form::All, seed(Form::All)),
        Shape::Host { name, port: Some(port), below: false } => {
            Place::Exact(Form::HostPort, host_and_port(name, *port))
        }
        Shape::Host { name, below: false, .. } => Place::Exact(Form::Host, host_hash(name)),
        Shape::Host { name, port, .. } => Place::Exact(Form::HostBelow, host_below(name, *port)),
        Shape::Variant { key, .. } => one(Form::Variant, variants(prefix_hash(key))),
        Shape::Below { name, .. } => one(Form::Below, below(name)),
        Shape::Span(span) => of_span(span),
        Shape::Residual(program) => {
            if let Some(url) = program.url() {
                return one(Form::Variation, variations(prefix_hash(url)));
            }
            let beginning = Beginning::of(program.beginning(), program.directory().len());
            let node = beginning.hash();
            let anchors = program.anchors();
            let candidate = |beginning, leads: u64, by: By| Bucket {
                hash: bucket(leads),
                form: Form::Bucket,
                beginning: Some(beginning),
                by,
            };
            let by_ending = (!anchors.suffix.is_empty()).then(|| {
                let run = if anchors.by_path { Run::PathProgram } else { Run::UrlProgram };
                let len = anchors.suffix.len();
                candidate(beginning, ending(node, run, anchors.suffix), By::Ending { run, len })
            });
            let required = anchors.required.get(..MAX_OCCURRING).unwrap_or(anchors.required);
            let by_occurring = Spot::of(required).map(|spot| {
                let scanned = beginning.scanned();
                let leads = occurring(window(scanned.hash(), spot.scale, spot.first), spot.offset, spot.last);
                candidate(scanned, leads, By::Occurring(spot))
            });
            // An ending is looked for with one probe, an occurrence at every byte; but the longer literal leads to fewer keys.
            let ending_first = anchors.suffix.len() >= anchors.required.len().min(3);
            let by_literal = if ending_first { [by_ending, by_occurring] } else { [by_occurring, by_ending] };
            let by_nothing = candidate(beginning, node, By::Nothing);
            let candidates = by_literal.into_iter().flatten().chain([by_nothing]).collect();
            Place::Asked(candidates)
        }
    }
}

fn of_span(span: &Span) -> Place<'_> {
    let beginning = Beginning::of(span.prefix(), span.directory().len());
    if span.suffix().is_empty() {
        return Place::Everything { beginning, one: !span.crossing };
    }
    let run = match (span.by_path, span.crossing) {
        (true, true) => Run::PathAll,
        (true, false) => Run::PathOne,
        (false, true) => Run::UrlAll,
        (false, false) => Run::UrlOne,
    };
    Place::Ending { beginning, run, suffix: span.suffix() }
}

/// What programs cost the keys of a host.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Load {
    /// Programs that no literal leads to.
    unanchored: u64,
    unanchored_work: u64,
    /// Variants, patterns of many hosts.
    compared: u64,
    work: u64,
    pub(super) memory: u64,
}

impl Load {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            unanchored: self.unanchored + other.unanchored,
            unanchored_work: self.unanchored_work + other.unanchored_work,
            compared: self.compared + other.compared,
            work: self.work + other.work,
            memory: self.memory + other.memory,
        }
    }

    /// What counts for a host, and what for a first directory of it.
    pub(super) fn split(self) -> [Self; 2] {
        let of_directory =
            Self { unanchored: self.unanchored, unanchored_work: self.unanchored_work, ..Self::default() };
        [Self { unanchored: 0, unanchored_work: 0, ..self }, of_directory]
    }

    /// The limit it passes.
    fn passes(&self) -> Option<(&'static str, u64)> {
        let heavy = self.unanchored > 1 && self.unanchored_work > UNANCHORED_WORK;
        [
            (self.unanchored > UNANCHORED, "live rules without a literal of a host or first directory", UNANCHORED),
            (heavy, "work of the live rules without a literal of a host or first directory", UNANCHORED_WORK),
            (self.compared > COMPARED, "live rules of one URL's variants or of the hosts below one name", COMPARED),
            (self.work > HOST_WORK, "work of the live regexes of a host", HOST_WORK),
        ]
        .into_iter()
        .find_map(|(over, name, limit)| over.then_some((name, limit)))
    }
}

/// What a shape's work is counted for: its host (or what else it names), and of what no literal leads to its first directory.
pub(super) fn loaded(shape: &Shape) -> [&[u8]; 2] {
    match shape {
        Shape::Variant { key, .. } => [url_of(key), b""],
        Shape::Residual(program) if program.url().is_some() => [program.url().unwrap_or_default(), b""],
        Shape::Below { name, .. } => [name, b""],
        shape => {
            let dir = shape.walks().map_or(&[][..], |(dir, _)| dir);
            let (root, below) = dir.split_at_checked(root_len(dir)).unwrap_or((dir, &[]));
            let first = memchr::memchr(b'/', below).map_or(root.len(), |slash| root.len() + slash + 1);
            [root, dir.get(..first).unwrap_or(dir)]
        }
    }
}

/// Whether it is found by a URL or a parent domain, and compared then.
fn is_compared(shape: &Shape) -> bool {
    match shape {
        Shape::Variant { .. } | Shape::Below { .. } => true,
        Shape::Residual(program) => program.url().is_some(),
        _ => false,
    }
}

/// Which bucket each part of a rule goes to.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    parts: SmallVec<[(usize, Load); 1]>,
}

impl Plan {
    pub(super) fn choice(&self, part: u32) -> usize {
        self.parts.get(part as usize).map_or(0, |(choice, _)| *choice)
    }

    pub(super) fn load(&self, part: u32) -> Load {
        self.parts.get(part as usize).map(|(_, load)| *load).unwrap_or_default()
    }
}

/// Why a rule is not admitted now: which of the batch, and the limit it passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Overfull {
    pub(crate) rule: usize,
    pub(crate) limit: (&'static str, u64),
}

impl Generation {
    /// Finds a place for each rule of a batch, or names the first that has none. Changes nothing. `sealed` holds the rules that are being swept.
    pub(crate) fn plan(&self, batch: &[Prepared], sealed: Option<&Self>) -> Result<Vec<Plan>, Overfull> {
        let mut crowds: HashMap<u64, u32> = HashMap::new();
        let mut loads: HashMap<&[u8], Load> = HashMap::new();
        let mut texts: HashMap<u64, &Shape> = HashMap::new();
        let mut memory = self.memory() + sealed.map_or(0, Self::memory);
        let mut plans = Vec::with_capacity(batch.len());
        for (rule, prepared) in batch.iter().enumerate() {
            let mut plan = Plan::default();
            for part in &prepared.parts {
                let shape = part.shape();
                let Place::Asked(candidates) = places(shape) else {
                    plan.parts.push((0, Load::default()));
                    continue;
                };
                let identity = identity(shape);
                let known = texts.get(&identity).is_some_and(|text| text.same_text(shape));
                if known || self.text_of(identity, shape).is_some() {
                    plan.parts.push((0, Load::default()));
                    continue;
                }
                texts.insert(identity, shape);
                let has_room = |bucket: &Bucket<'_>| {
                    let here = self.first_text(bucket.hash).and_then(|at| self.texts.get(at as usize));
                    let here = here.map_or(0, |text| text.rank + 1);
                    !matches!(bucket.by, By::Nothing) && here + crowds.get(&bucket.hash).copied().unwrap_or(0) < CROWD
                };
                let anchored = candidates.iter().position(has_room);
                let choice = anchored.unwrap_or(candidates.len() - 1);
                let load = load_of(shape, anchored.is_some());
                memory += load.memory;
                if memory > MEMORY {
                    return Err(Overfull { rule, limit: ("bytes of live programs", MEMORY) });
                }
                for (whose, load) in loaded(shape).into_iter().zip(load.split()) {
                    let all = loads.entry(whose).or_insert_with(|| {
                        self.load(whose).and(sealed.map_or_else(Load::default, |sealed| sealed.load(whose)))
                    });
                    *all = all.and(load);
                    if let Some(limit) = all.passes() {
                        return Err(Overfull { rule, limit });
                    }
                }
                if let Some(bucket) = candidates.get(choice) {
                    *crowds.entry(bucket.hash).or_default() += 1;
                }
                plan.parts.push((choice, load));
            }
            plans.push(plan);
        }
        Ok(plans)
    }

    fn load(&self, whose: &[u8]) -> Load {
        self.loads.lock().get(whose).copied().unwrap_or_default()
    }

    fn memory(&self) -> u64 {
        self.memory.load(Ordering::Relaxed)
    }
}

fn load_of(shape: &Shape, anchored: bool) -> Load {
    let work = shape.program().map_or(0, |program| u64::from(program.work()));
    let memory = shape.program().map_or(0, |program| program.memory() as u64);
    let load = Load { work, memory, ..Load::default() };
    match is_compared(shape) {
        true => Load { compared: 1, ..load },
        false if anchored => load,
        false => Load { unanchored: 1, unanchored_work: work, ..load },
    }
}

/// What a shape costs, as [`Cost`] has it.
pub(crate) fn cost_of(shape: &Shape) -> Cost {
    let mut class = match places(shape) {
        Place::Exact(..) => Class::Exact,
        Place::Everything { .. } => Class::Beginning,
        Place::Ending { .. } => Class::Ending,
        Place::Asked(candidates) => match candidates.first().map(|bucket| &bucket.by) {
            Some(By::Ending { .. }) => Class::Ending,
            Some(By::Occurring(_)) => Class::Occurring,
            Some(By::Nothing) | None => Class::Unanchored,
        },
    };
    if is_compared(shape) {
        class = Class::Compared;
    }
    let budget = match class {
        Class::Compared => Some(("live rules of one URL's variants or of the hosts below one name", COMPARED)),
        Class::Unanchored => Some(("live rules without a literal of a host or first directory", UNANCHORED)),
        _ => shape.program().map(|_| ("work of the live regexes of a host", HOST_WORK)),
    };
    Cost {
        class,
        work: shape.program().map_or(0, Program::work),
        memory: shape.program().map_or(0, Program::memory),
        places: 1,
        budget,
    }
}

impl Generation {
    /// What its rules use of their budgets, by whom it counts for.
    pub(crate) fn usage(&self, into: &mut HashMap<Box<[u8]>, Usage>) {
        for (of, load) in self.loads.lock().iter() {
            let all = into.entry(of.clone()).or_insert_with(|| Usage {
                of: String::from_utf8_lossy(of).into_owned(),
                unanchored: 0,
                unanchored_work: 0,
                compared: 0,
                work: 0,
                memory: 0,
            });
            all.unanchored += load.unanchored;
            all.unanchored_work += load.unanchored_work;
            all.compared += load.compared;
            all.work += load.work;
            all.memory += load.memory;
        }
    }
}
