//! Why: one enum for `Cache-Status`, logs and metrics.

use std::fmt;

/// Why a lookup missed, a response was not stored, or a reader must fetch for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing is stored under the key.
    UriMiss,
    /// Variants are stored, none is selected.
    VaryMiss,
    /// The stored response has expired.
    Expired,
    /// The response asks for validation before each use.
    NoCache,
    /// A delete took it.
    PurgedDelete,
    /// An invalidate took it.
    PurgedInvalidate,
    /// A soft purge took it.
    PurgedSoft,
    /// The key is marked uncacheable.
    Uncacheable,
    /// A purge overtook the fill.
    PurgeFenced,
    /// The stored response it validated is not there any more.
    Superseded,
    /// The response may not be stored.
    NotStorable,
    /// Larger than the largest object.
    TooLarge,
    /// No room.
    NoRoom,
    /// The fill broke.
    Failed,
}

impl Reason {
    pub(crate) const COUNT: usize = Self::ALL.len();

    /// All reasons, in the order of their counters.
    pub(crate) const ALL: [Self; 14] = [
        Self::UriMiss,
        Self::VaryMiss,
        Self::Expired,
        Self::NoCache,
        Self::PurgedDelete,
        Self::PurgedInvalidate,
        Self::PurgedSoft,
        Self::Uncacheable,
        Self::PurgeFenced,
        Self::Superseded,
        Self::NotStorable,
        Self::TooLarge,
        Self::NoRoom,
        Self::Failed,
    ];

    /// A stable token, such as `uri-miss` (RFC 9211 where it has a word).
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UriMiss => "uri-miss",
            Self::VaryMiss => "vary-miss",
            Self::Expired => "expired",
            Self::NoCache => "no-cache",
            Self::PurgedDelete => "purged-delete",
            Self::PurgedInvalidate => "purged-invalidate",
            Self::PurgedSoft => "purged-soft",
            Self::Uncacheable => "uncacheable",
            Self::PurgeFenced => "purge-fenced",
            Self::Superseded => "superseded",
            Self::NotStorable => "not-storable",
            Self::TooLarge => "too-large",
            Self::NoRoom => "no-room",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a response was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admit {
    /// Stored: later lookups may find it.
    Stored,
    /// Not stored.
    Skipped(Reason),
}
