//! Fingerprints of what was evicted from the small queue: an object that comes back is worth more than it looked.
//!
//! Direct mapped, four bytes a slot, at most one slot for each object the shard has held: a newer eviction overwrites an older one, which
//! ages the table the way a FIFO would.

/// A table of fingerprints.
#[derive(Debug, Default)]
pub(crate) struct Ghost {
    fingerprints: Vec<u32>,
}

impl Ghost {
    /// Remembers `hash`; the table has room for about `objects`.
    pub(crate) fn add(&mut self, objects: usize, hash: u64) {
        let want = objects.next_power_of_two().max(64);
        if self.fingerprints.len() < want {
            // What was remembered is lost on growth: a warming cache evicts little.
            self.fingerprints = vec![0; want];
        }
        let slot = self.slot(hash);
        self.fingerprints[slot] = fingerprint(hash);
    }

    /// Whether `hash` was remembered; forgets it.
    pub(crate) fn take(&mut self, hash: u64) -> bool {
        if self.fingerprints.is_empty() {
            return false;
        }
        let slot = self.slot(hash);
        let known = self.fingerprints[slot] == fingerprint(hash);
        if known {
            self.fingerprints[slot] = 0;
        }
        known
    }

    pub(crate) fn bytes(&self) -> usize {
        self.fingerprints.capacity() * size_of::<u32>()
    }

    fn slot(&self, hash: u64) -> usize {
        hash as usize & (self.fingerprints.len() - 1)
    }
}

/// Never zero, which means an empty slot.
fn fingerprint(hash: u64) -> u32 {
    (hash >> 32) as u32 | 1
}
