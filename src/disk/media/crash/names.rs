//! What is in the directory, and what of it a disk may hold.
//!
//! 1. `now` is what the running system sees.
//! 2. `base` with the durable changes of `log` over it is on the disk whatever happens.
//! 3. A change is on the disk only with all earlier ones of the same names, as in the file systems there are: a file is never lost because it
//!    was renamed. Changes of unlike names are independent of each other.

use std::collections::BTreeMap;

use super::contents::Fate;
use super::random::Random;

/// A change of the directory.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Create { name: String, inode: u64 },
    Rename { from: String, to: String },
    Remove { name: String },
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Create { name, inode } => drop(names.insert(name.clone(), *inode)),
            Self::Rename { from, to } => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Self::Remove { name } => drop(names.remove(name)),
        }
    }

    fn names(&self) -> [&str; 2] {
        match self {
            Self::Create { name, .. } | Self::Remove { name } => [name, name],
            Self::Rename { from, to } => [from, to],
        }
    }

    fn shares_a_name(&self, other: &Self) -> bool {
        self.names().iter().any(|name| other.names().contains(name))
    }
}

#[derive(Default)]
pub(super) struct Names {
    pub(super) now: BTreeMap<String, u64>,
    base: BTreeMap<String, u64>,
    log: Vec<(Change, Fate)>,
}

impl Names {
    /// A directory that is on the disk as it is.
    pub(super) fn settled(names: BTreeMap<String, u64>) -> Self {
        Self { now: names.clone(), base: names, log: Vec::new() }
    }

    pub(super) fn record(&mut self, change: Change) {
        change.apply(&mut self.now);
        self.log.push((change, Fate::Pending));
    }

    /// All changes since the last sync are on the disk from now on.
    pub(super) fn sync(&mut self) {
        let chosen = closed(&self.log, self.log.iter().map(|(_, fate)| *fate != Fate::Doubtful).collect());
        for ((_, fate), chosen) in self.log.iter_mut().zip(chosen) {
            if chosen {
                *fate = Fate::Durable;
            }
        }
        let decided = self.log.iter().position(|(_, fate)| *fate != Fate::Durable).unwrap_or(self.log.len());
        for (change, _) in self.log.drain(..decided) {
            change.apply(&mut self.base);
        }
    }

    /// Nothing is known of the changes since the last sync.
    pub(super) fn sync_failed(&mut self) {
        for (_, fate) in self.log.iter_mut().filter(|(_, fate)| *fate == Fate::Pending) {
            *fate = Fate::Doubtful;
        }
    }

    /// Whether a file has, or may have after a crash, a name.
    pub(super) fn holds(&self, inode: u64) -> bool {
        let created = |(change, _): &(Change, Fate)| matches!(change, Change::Create { inode: of, .. } if *of == inode);
        self.now.values().chain(self.base.values()).any(|of| *of == inode) || self.log.iter().any(created)
    }

    /// What a disk may hold after power was lost now.
    pub(super) fn survive(&self, random: &mut Random) -> BTreeMap<String, u64> {
        let odds = match random.below(4) {
            0 => 0,
            1 => 8,
            _ => random.below(7).saturating_add(1),
        };
        let chosen = self.log.iter().map(|(_, fate)| *fate == Fate::Durable || random.chance(odds)).collect();
        let mut names = self.base.clone();
        for ((change, _), chosen) in self.log.iter().zip(closed(&self.log, chosen)) {
            if chosen {
                change.apply(&mut names);
            }
        }
        names
    }
}

/// `chosen` with all that must come before (invariant 3).
fn closed(log: &[(Change, Fate)], mut chosen: Vec<bool>) -> Vec<bool> {
    let mut wanted: Vec<&Change> = Vec::new();
    for ((change, _), chosen) in log.iter().zip(&mut chosen).rev() {
        *chosen = *chosen || wanted.iter().any(|later| later.shares_a_name(change));
        if *chosen {
            wanted.push(change);
        }
    }
    chosen
}
