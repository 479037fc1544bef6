//! What may be served: for each stored response the weakest state it can be in, in each tier and after a loss of power.
//!
//! Knows nothing of stamps, sweeps, segments or journals; only what was told and what was answered.

use oust::{Action, Layers};

/// The strongest purge that took a response. `Dead`: it is not to be served from there, or is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    None,
    Soft,
    Invalidate,
    Dead,
}

impl From<Action> for Mark {
    fn from(action: Action) -> Self {
        match action {
            Action::Soft => Self::Soft,
            Action::Invalidate => Self::Invalidate,
            Action::Delete => Self::Dead,
        }
    }
}

/// A stored response: a body with the header it was stored or validated under.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) slot: usize,
    /// The version whose body it has: its own, or that of what was validated.
    pub(crate) body: usize,
    edge: Mark,
    l2: Mark,
    /// What the second tier may say of it if the power goes now.
    disk: Mark,
    /// The strongest rule that took it from the second tier: what is written there again is no better.
    floor: Mark,
    /// A rule took it, or may have.
    tainted: bool,
    /// A rule took it from the second tier, or may have.
    tainted_l2: bool,
    /// A lookup has found it in the memory tier since it was stored, which has it written.
    pub(crate) used: bool,
    /// The outbox's refusals when it was stored.
    pub(crate) refused: u64,
    life: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) versions: Vec<Version>,
    life: u64,
}

impl Model {
    /// A response was stored: it takes the place of all others there.
    pub(crate) fn store(&mut self, slot: usize, body: Option<usize>, refused: u64) {
        self.end(|_, version| version.slot == slot);
        let body = body.unwrap_or(self.versions.len());
        self.versions.push(Version {
            slot,
            body,
            edge: Mark::None,
            l2: Mark::Dead,
            disk: Mark::Dead,
            floor: Mark::None,
            tainted: false,
            tainted_l2: false,
            used: false,
            refused,
            life: self.life,
        });
    }

    /// What an unsafe method or a newer response ends: at once here, on disk with the next acknowledgement.
    pub(crate) fn end(&mut self, which: impl Fn(usize, &Version) -> bool) {
        for (number, version) in self.versions.iter_mut().enumerate() {
            if which(number, version) {
                (version.edge, version.l2) = (Mark::Dead, Mark::Dead);
                (version.tainted, version.tainted_l2) = (true, true);
            }
        }
    }

    /// A purge is in force.
    pub(crate) fn purge(&mut self, action: Action, layers: Layers, takes: impl Fn(usize) -> bool) {
        let mark = Mark::from(action);
        for version in self.versions.iter_mut().filter(|version| takes(version.slot)) {
            if layers.edge {
                version.edge = version.edge.max(mark);
            }
            if layers.l2 {
                version.l2 = version.l2.max(mark);
                version.floor = version.floor.max(mark);
                version.tainted_l2 = true;
            }
            version.tainted = true;
        }
    }

    /// A purge failed: it may be in force.
    pub(crate) fn purge_failed(&mut self, takes: impl Fn(usize) -> bool) {
        for version in self.versions.iter_mut().filter(|version| takes(version.slot)) {
            (version.tainted, version.tainted_l2) = (true, true);
        }
    }

    /// Everything told so far is on disk.
    pub(crate) fn acknowledged(&mut self) {
        for version in &mut self.versions {
            version.disk = version.l2;
        }
    }

    /// What is in memory may have been written.
    pub(crate) fn flushed(&mut self) {
        for version in self.versions.iter_mut().filter(|version| version.edge != Mark::Dead) {
            version.l2 = version.l2.min(version.edge.max(version.floor));
            version.disk = version.disk.min(version.l2);
        }
    }

    /// The cache was closed and opened again; `orderly` if nothing failed on the way.
    pub(crate) fn restarted(&mut self, orderly: bool) {
        if orderly {
            self.acknowledged();
        }
        self.life += 1;
        for version in &mut self.versions {
            (version.edge, version.l2, version.floor) = (Mark::Dead, version.disk, Mark::None);
        }
    }

    /// A response was served as if `mark` were its state, read from the second tier or not.
    ///
    /// # Errors
    ///
    /// Says why that may not be.
    pub(crate) fn served(&mut self, slot: usize, number: usize, mark: Mark, deep: bool) -> Result<(), String> {
        let Some(version) = self.versions.get_mut(number) else { return Err(format!("{number} was never stored")) };
        if version.slot != slot {
            return Err(format!("{number} was stored in place of {slot}: {version:?}"));
        }
        let weakest = version.edge.min(version.l2);
        if mark < weakest {
            return Err(format!("{number} is served as {mark:?}: {version:?}"));
        }
        if mark > Mark::None && !version.tainted {
            return Err(format!("{number} is served as {mark:?}, but nothing took it: {version:?}"));
        }
        if deep {
            version.edge = version.edge.min(version.l2);
        }
        // There is one of a kind: having seen this one, no other may be seen.
        for (other, version) in self.versions.iter_mut().enumerate() {
            if version.slot == slot && other != number {
                (version.edge, version.l2) = (Mark::Dead, Mark::Dead);
            }
        }
        Ok(())
    }

    /// Segments are gone: what was to be written may be among them, and is not written again.
    pub(crate) fn lost(&mut self) {
        self.versions.iter_mut().for_each(|version| version.life = u64::MAX);
    }

    /// Whether it may be found now.
    pub(crate) fn is_live(&self, number: usize) -> bool {
        self.versions.get(number).is_some_and(|version| version.edge.min(version.l2) != Mark::Dead)
    }

    /// Whether no rule has taken it from the second tier.
    pub(crate) fn is_kept(&self, number: usize) -> bool {
        self.versions.get(number).is_some_and(|version| !version.tainted_l2)
    }

    /// Untouched versions of this life that were found in memory since they were stored, and so are to be written.
    pub(crate) fn to_be_written(&self, refused: u64) -> impl Iterator<Item = (usize, usize)> {
        let wanted = move |version: &Version| {
            version.used && !version.tainted && version.refused == refused && version.life == self.life
        };
        self.versions.iter().enumerate().filter(move |(_, version)| wanted(version)).map(|(n, v)| (v.slot, n))
    }
}
