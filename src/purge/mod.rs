//! Purging: selectors, rules and the protocol.

mod cost;
mod error;
pub(crate) mod gates;
mod glushkov;
pub(crate) mod history;
mod literals;
mod match_set;
mod nfa;
mod pattern;
mod program;
mod regex;
pub(crate) mod rules;
mod selector;
mod span;
pub(crate) mod table;
mod tags;
#[cfg(test)]
mod tests;
mod verdict;

use std::fmt;
use std::sync::Arc;

pub use cost::{Class, Cost, Usage};
pub use error::SelectorError;
pub use match_set::MatchSet;
pub(crate) use rules::{Rule, Snapshot};
pub(crate) use selector::{Compiled, Shape, Subject, cost, is_below};
pub use selector::{MAX_FIELD_BYTES, MAX_FIELDS, MAX_SELECTOR, Matcher, Selector};
pub use tags::MAX_TAG;
pub(crate) use tags::{Tags, TagsRef};
pub(crate) use verdict::Verdict;

/// What becomes of the objects a purge takes; ordered by strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "who translates a purge must translate each action; on disk a fourth would be another format"
)]
pub enum Action {
    /// Expired as of now.
    Soft,
    /// Kept, but validated before the next use.
    Invalidate,
    /// Gone.
    Delete,
}

/// Tiers a purge names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "callers make it, and a third tier would be theirs to decide about")]
pub struct Layers {
    /// The memory tier.
    pub edge: bool,
    /// The mmap tier.
    pub l2: bool,
}

/// A purge request: all its selectors take effect together or not at all.
#[derive(Debug, Clone)]
#[must_use = "it does nothing before `Cache::purge` gets it"]
pub struct Purge {
    pub(crate) selectors: Vec<Selector>,
    pub(crate) action: Action,
    pub(crate) layers: Layers,
    pub(crate) by: String,
    pub(crate) durability: Durability,
}

/// When a purge is acknowledged. It is in force for lookups before, in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Durability {
    /// Once it is on disk, where there is a journal (G5).
    #[default]
    Disk,
    /// At once: after a crash it may be undone.
    Memory,
}

impl Purge {
    /// A purge of one selector that deletes from every layer.
    pub fn new(selector: Selector) -> Self {
        Self::batch(vec![selector])
    }
    /// A purge of several selectors that deletes from every layer.
    pub fn batch(selectors: Vec<Selector>) -> Self {
        Self {
            selectors,
            action: Action::Delete,
            layers: Layers { edge: true, l2: true },
            by: String::new(),
            durability: Durability::Disk,
        }
    }
    /// With another action.
    pub fn action(mut self, action: Action) -> Self {
        self.action = action;
        self
    }
    /// With other layers.
    pub fn layers(mut self, layers: Layers) -> Self {
        self.layers = layers;
        self
    }
    /// Acknowledged at this moment.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }
    /// With a name for the history.
    pub fn by(mut self, by: impl Into<String>) -> Self {
        self.by = by.into();
        self
    }
}

/// Identity of a purge: the epoch of the cache's numbers and the number of its last rule. Text `<epoch>-<seq>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "who keeps its parts apart makes it of them again")]
pub struct PurgeId {
    /// Random, drawn when the cache's numbering starts.
    pub epoch: u64,
    /// Number of the purge's last rule.
    pub seq: u64,
}

impl fmt::Display for PurgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.seq)
    }
}

impl std::str::FromStr for PurgeId {
    type Err = InvalidPurgeId;
    fn from_str(s: &str) -> Result<Self, InvalidPurgeId> {
        let (epoch, seq) = s.split_once('-').ok_or(InvalidPurgeId)?;
        let number = |text: &str| text.parse().map_err(|_| InvalidPurgeId);
        Ok(Self { epoch: number(epoch)?, seq: number(seq)? })
    }
}

/// A text is no [`PurgeId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidPurgeId;

impl fmt::Display for InvalidPurgeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no purge id: <epoch>-<seq>")
    }
}

impl std::error::Error for InvalidPurgeId {}

/// State of a purge in force: effective from its ack on, swept when nothing it takes is held any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PurgeState {
    /// In force.
    Effective,
    /// Its objects are reclaimed, its rules retired.
    Swept,
}

/// Objects and bytes of one layer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Count {
    /// Objects.
    pub objects: u64,
    /// Their bytes as charged to the layer.
    pub bytes: u64,
}

/// A purge as the history knows it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PurgeRecord {
    /// Its identity.
    pub id: PurgeId,
    /// Its state.
    pub state: PurgeState,
    /// How many rules it published.
    pub rules: usize,
    /// What it takes.
    pub selectors: Arc<[Selector]>,
    /// With which action.
    pub action: Action,
    /// From which layers.
    pub layers: Layers,
    /// Who asked.
    pub by: String,
    /// When it was published, milliseconds since the Unix epoch.
    pub created_ms: u64,
    /// When a sweep took it up.
    pub started_ms: Option<u64>,
    /// When it was swept.
    pub swept_ms: Option<u64>,
    /// What it ended in the memory tier so far.
    pub edge: Count,
    /// What it ended in the second tier so far.
    pub l2: Count,
    /// Whether it is on disk.
    pub durable: bool,
}

/// Why a purge was refused. Nothing of it took effect.
#[derive(Debug)]
pub struct PurgeError {
    pub(crate) kind: PurgeErrorKind,
    pub(crate) selector: Option<usize>,
    pub(crate) position: Option<usize>,
    pub(crate) limit: Option<(&'static str, u64)>,
    pub(crate) message: String,
}

/// The kind of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PurgeErrorKind {
    /// The request or a selector is malformed.
    Malformed,
    /// A batch or text is too long.
    TooLarge,
    /// A budget was passed.
    OverBudget,
    /// The cap of live rules is reached.
    TooManyRules,
    /// A layer was named that this cache does not have.
    NoSuchLayer,
    /// The journal cannot be written. The purge is in force, but a restart would undo it: repeat it until it is acknowledged.
    NotDurable,
}

impl PurgeError {
    fn new(kind: PurgeErrorKind, message: String) -> Self {
        Self { kind, selector: None, position: None, limit: None, message }
    }

    pub(crate) fn empty() -> Self {
        Self::new(PurgeErrorKind::Malformed, "a purge needs at least one selector".into())
    }

    pub(crate) fn batch_too_long(selectors: usize, most: usize) -> Self {
        let message = format!("{selectors} selectors in one purge, the most is {most}");
        Self { limit: Some(("max_batch", most as u64)), ..Self::new(PurgeErrorKind::TooLarge, message) }
    }

    pub(crate) fn no_such_layer() -> Self {
        Self::new(PurgeErrorKind::NoSuchLayer, "this cache has no l2 layer".into())
    }

    pub(crate) fn not_durable(error: &dyn fmt::Display) -> Self {
        Self::new(PurgeErrorKind::NotDurable, format!("the purge is in force but not on disk: {error}"))
    }

    pub(crate) fn too_many_rules(cap: usize) -> Self {
        let message = format!(
            "the cap of {cap} live rules is reached; retry when older purges are swept, or purge a host or everything"
        );
        Self { limit: Some(("max_rules", cap as u64)), ..Self::new(PurgeErrorKind::TooManyRules, message) }
    }

    pub(crate) fn not_admitted(selector: usize, limit: (&'static str, u64)) -> Self {
        let (name, most) = limit;
        let message = format!("over {most} {name}; retry when older purges are swept, or purge a directory or host");
        Self { selector: Some(selector), limit: Some(limit), ..Self::new(PurgeErrorKind::TooManyRules, message) }
    }

    /// Index of the selector at fault.
    pub fn selector(&self) -> Option<usize> {
        self.selector
    }

    /// Byte in that selector's text.
    pub fn position(&self) -> Option<usize> {
        self.position
    }

    /// The limit that was passed: its name and value.
    pub fn limit(&self) -> Option<(&'static str, u64)> {
        self.limit
    }

    /// The kind of refusal.
    pub fn kind(&self) -> PurgeErrorKind {
        self.kind
    }
}

impl fmt::Display for PurgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
impl std::error::Error for PurgeError {}
