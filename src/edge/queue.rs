//! A FIFO queue linked through the shard's slab, weighed in bytes: O(1) push, pop and removal from the middle.

use super::shard::Slot;

const NONE: u32 = u32::MAX;

/// Neighbours of a slot in its queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Links {
    older: u32,
    newer: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self { older: NONE, newer: NONE }
    }
}

/// Ends of a queue and the bytes in it.
#[derive(Debug)]
pub(crate) struct Queue {
    oldest: u32,
    newest: u32,
    bytes: u64,
}

impl Default for Queue {
    fn default() -> Self {
        Self { oldest: NONE, newest: NONE, bytes: 0 }
    }
}

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.oldest == NONE
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The oldest slot.
    pub(crate) fn front(&self) -> Option<u32> {
        (self.oldest != NONE).then_some(self.oldest)
    }

    /// Appends `slot`, which must be in no queue.
    pub(crate) fn push(&mut self, slab: &mut [Slot], slot: u32, weight: u64) {
        slab[slot as usize].links = Links { older: self.newest, newer: NONE };
        match self.newest {
            NONE => self.oldest = slot,
            newest => slab[newest as usize].links.newer = slot,
        }
        self.newest = slot;
        self.bytes += weight;
    }

    /// Takes `slot` out, which must be in this queue.
    pub(crate) fn remove(&mut self, slab: &mut [Slot], slot: u32, weight: u64) {
        let Links { older, newer } = std::mem::take(&mut slab[slot as usize].links);
        match older {
            NONE => self.oldest = newer,
            older => slab[older as usize].links.newer = newer,
        }
        match newer {
            NONE => self.newest = older,
            newer => slab[newer as usize].links.older = older,
        }
        self.bytes -= weight;
    }

    /// The slots from oldest to newest.
    #[cfg(any(test, fuzzing, oust_shuttle))]
    pub(crate) fn iter<'a>(&self, slab: &'a [Slot]) -> impl Iterator<Item = u32> + use<'a> {
        let first = self.front();
        std::iter::successors(first, |&slot| {
            let newer = slab[slot as usize].links.newer;
            (newer != NONE).then_some(newer)
        })
    }
}
