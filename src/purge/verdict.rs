//! What the rules say of a holder.

use super::{Action, Layers};

/// Per tier the strongest action and the number of a rule that says so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) edge: Option<(Action, u64)>,
    pub(crate) l2: Option<(Action, u64)>,
}

impl Verdict {
    /// Adds one rule.
    pub(super) fn add(&mut self, action: Action, layers: Layers, seq: u64) {
        for (named, said) in [(layers.edge, &mut self.edge), (layers.l2, &mut self.l2)] {
            if named {
                *said = Some(said.map_or((action, seq), |had| had.max((action, seq))));
            }
        }
    }

    /// Whether a rule with this action and these layers could add nothing but its number.
    pub(super) fn covers(&self, action: Action, layers: Layers) -> bool {
        let covered = |said: Option<(Action, u64)>| said.is_some_and(|(had, _)| had >= action);
        (!layers.edge || covered(self.edge)) && (!layers.l2 || covered(self.l2))
    }

    /// Whether no rule could add anything but its number.
    pub(super) fn is_final(&self) -> bool {
        self.covers(Action::Delete, Layers { edge: true, l2: true })
    }

    /// Whether some rule took it from the second tier more thoroughly than any from the memory tier: what is kept there must not come back by
    /// demotion.
    pub(crate) fn leaves_edge_alone(&self) -> bool {
        self.l2.map(|(action, _)| action) > self.edge.map(|(action, _)| action)
    }

    /// Fills and revalidations are fenced by every rule, whatever its action and layers.
    pub(crate) fn takes_fill(&self) -> bool {
        self.edge.is_some() || self.l2.is_some()
    }
}
