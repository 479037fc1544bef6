//! What a rule costs the lookups it may concern.

use std::fmt;

/// How a rule is found among all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Class {
    /// By a URL, key, host or tag; or it is for everything.
    Exact,
    /// By how a key begins.
    Beginning,
    /// By how a key begins and ends.
    Ending,
    /// By a literal that occurs in a key.
    Occurring,
    /// By a key or a parent domain, then compared: variants and variations of a URL, patterns of many hosts.
    Compared,
    /// By nothing: every key of its directory is asked. Few of these are admitted for a host at a time.
    Unanchored,
}

impl Class {
    /// Its name: `exact`, `beginning`, `ending`, `occurring`, `compared` or `unanchored`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Beginning => "beginning",
            Self::Ending => "ending",
            Self::Occurring => "occurring",
            Self::Compared => "compared",
            Self::Unanchored => "unanchored",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a selector costs while it is live, and what bounds that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cost {
    /// How it is found; of the places it names, the most expensive.
    pub class: Class,
    /// Work a byte of a key once it is found, in units of about a nanosecond; 0 where a compare tells.
    pub work: u32,
    /// Bytes of its automata.
    pub memory: usize,
    /// Under how many places it is filed: one for each scheme and host it names.
    pub places: usize,
    /// The budget it counts against: name and value. `None` but for the last two classes and for what has an automaton.
    pub budget: Option<(&'static str, u64)>,
}

/// What the live rules of a host, a URL's variants or a parent domain use of their budgets.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Root of the host (`http://h/`), the URL, or the domain.
    pub of: String,
    /// Rules of class [`Class::Unanchored`].
    pub unanchored: u64,
    /// Their work a byte.
    pub unanchored_work: u64,
    /// Rules of class [`Class::Compared`].
    pub compared: u64,
    /// Work a byte of all its automata.
    pub work: u64,
    /// Bytes of all its automata.
    pub memory: u64,
}
