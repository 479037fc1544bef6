//! What explorations of schedules (`crates/oust-schedules`) do and see beyond the public interface.

use super::Cache;
use crate::key::Key;

#[doc(hidden)]
impl Cache {
    /// The number of the newest rule in force. Nobody else runs between its reading and the return.
    pub fn newest_rule(&self) -> u64 {
        self.engine.rules.load().seq
    }

    /// Evicts everything from the memory tier.
    pub fn evict_all(&self) {
        while self.engine.edge.evict_any() {}
    }

    /// Evicts the oldest segment of the second tier; false if there is none to evict.
    pub fn evict_segment(&self) -> bool {
        let Some(l2) = &self.engine.l2 else { return false };
        self.engine.evict_segment(l2).is_some()
    }

    /// Whether the memory tier and the second tier have something under `key`.
    pub fn tiers_of(&self, key: &Key) -> (bool, bool) {
        let edge = self.engine.edge.lock(key).of_key(key.hash(), key.text()).next().is_some();
        let deep = self.engine.l2.as_ref().is_some_and(|l2| !l2.store.find(key.url_hash(), key.hash()).is_empty());
        (edge, deep)
    }
}
