//! Hyperscan or Vectorscan: many patterns compiled to one database, scanned in block mode until the first match.

use std::fmt;

use hyperscan::{BlockDatabase, Builder, Matching, Pattern, PatternFlags, Patterns, Scratch};

/// A database with the scratch memory of one thread.
pub struct Hyperscan {
    database: BlockDatabase,
    scratch: Scratch,
}

impl fmt::Debug for Hyperscan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hyperscan").field("bytes", &self.database.size().ok()).finish_non_exhaustive()
    }
}

impl Hyperscan {
    /// Compiles `patterns`, which carry their own anchors.
    ///
    /// # Errors
    ///
    /// As the library says it.
    pub fn new(patterns: Vec<String>) -> Result<Self, String> {
        let flags = PatternFlags::SINGLEMATCH | PatternFlags::DOTALL;
        let patterns: Result<Vec<Pattern>, _> =
            patterns.into_iter().map(|pattern| Pattern::with_flags(pattern, flags)).collect();
        let patterns = Patterns(patterns.map_err(|error| error.to_string())?);
        let database: BlockDatabase = patterns.build().map_err(|error| error.to_string())?;
        let scratch = database.alloc_scratch().map_err(|error| error.to_string())?;
        Ok(Self { database, scratch })
    }

    /// Whether one of the patterns matches.
    #[inline]
    pub fn is_match(&self, text: &[u8]) -> bool {
        let mut found = false;
        // A scan that was stopped at a match says so as an error.
        let scanned = self.database.scan(text, &self.scratch, |_, _, _, _| {
            found = true;
            Matching::Terminate
        });
        debug_assert!(found || scanned.is_ok(), "{scanned:?}");
        found
    }
}
