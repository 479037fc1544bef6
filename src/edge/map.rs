//! The table of a shard: entries by hash, a cache line per bucket.
//!
//! A lookup that hits reads one line of the table (five 32-bit tags and five pointers) and then the entry itself. Where two arrays, one of tags
//! and one of slots, cost two misses in a table larger than the caches, this costs one.
//!
//! Buckets are open-addressed: an entry that finds its home full goes to the next bucket with room, and every bucket it passed counts it, so
//! that a search ends at the first bucket nobody passed, or where it began, and a removal leaves no tombstone.
//!
//! Invariants, recomputed by [`Map::validate`]:
//!
//! 1. `passed` of a bucket is the number of entries whose home is at or before it and whose place is beyond it.
//! 2. `len` is the number of entries; at most four fifths of all places are taken.

use crate::entry::EntryRef;

const PLACES: usize = 5;
/// Tags hold this many bits of the hash; the home bucket is told by the tag alone, so that growing reads no entry.
const TAG_SHIFT: u32 = 32;

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bucket {
    tags: [u32; PLACES],
    passed: u32,
    entries: [Option<EntryRef>; PLACES],
}

/// Entries by hash. Several may have the same hash: identity is the caller's test.
#[derive(Debug, Default)]
pub(crate) struct Map {
    /// A power of two of them, or none.
    buckets: Box<[Bucket]>,
    len: usize,
}

impl Map {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Bytes of the buckets.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val::<[Bucket]>(&self.buckets)
    }

    /// The first entry under `hash` that passes `test`. O(1) expected.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut test: impl FnMut(&EntryRef) -> bool) -> Option<&EntryRef> {
        let tag = tag_of(hash);
        let home = self.home(tag)?;
        let mut at = home;
        loop {
            let bucket = &self.buckets[at];
            for (held, entry) in bucket.tags.iter().zip(&bucket.entries) {
                if *held == tag
                    && let Some(entry) = entry
                    && test(entry)
                {
                    return Some(entry);
                }
            }
            at = self.next(at);
            // Every bucket may have been passed: a few long ones that have emptied since are enough in a small table.
            if bucket.passed == 0 || at == home {
                return None;
            }
        }
    }

    /// All entries whose tag is that of `hash`; the caller tests the rest.
    pub(crate) fn under(&self, hash: u64) -> impl Iterator<Item = &EntryRef> {
        let tag = tag_of(hash);
        let home = self.home(tag);
        let mut at = home;
        std::iter::from_fn(move || {
            let here = at?;
            let bucket = &self.buckets[here];
            at = (bucket.passed != 0).then(|| self.next(here)).filter(|&next| Some(next) != home);
            Some(bucket)
        })
        .flat_map(|bucket| bucket.tags.iter().zip(&bucket.entries))
        .filter(move |(held, _)| **held == tag)
        .filter_map(|(_, entry)| entry.as_ref())
    }

    /// Adds `entry` under `hash`, whatever else is there. O(1) amortised.
    pub(crate) fn insert(&mut self, hash: u64, entry: EntryRef) {
        if (self.len + 1) * PLACES > self.buckets.len() * PLACES * (PLACES - 1) {
            self.grow();
        }
        self.place(tag_of(hash), entry);
        self.len += 1;
    }

    /// Removes the very entry `entry` from under `hash`; whether it was there.
    pub(crate) fn remove(&mut self, hash: u64, entry: &EntryRef) -> bool {
        let tag = tag_of(hash);
        let Some(home) = self.home(tag) else { return false };
        let mut at = home;
        loop {
            let bucket = &mut self.buckets[at];
            let here = bucket.entries.iter().position(|held| held.as_ref().is_some_and(|held| held.same(entry)));
            if let Some(place) = here {
                bucket.entries[place] = None;
                bucket.tags[place] = 0;
                break;
            }
            let ends = bucket.passed == 0;
            at = self.next(at);
            if ends || at == home {
                return false;
            }
        }
        let mut passed = home;
        while passed != at {
            self.buckets[passed].passed -= 1;
            passed = self.next(passed);
        }
        self.len -= 1;
        true
    }

    fn place(&mut self, tag: u32, entry: EntryRef) {
        let Some(mut at) = self.home(tag) else { return };
        loop {
            let bucket = &mut self.buckets[at];
            if let Some(free) = bucket.entries.iter().position(Option::is_none) {
                bucket.tags[free] = tag;
                bucket.entries[free] = Some(entry);
                return;
            }
            bucket.passed += 1;
            at = self.next(at);
        }
    }

    #[cold]
    fn grow(&mut self) {
        let larger = (self.buckets.len() * 2).max(4);
        let old = std::mem::replace(&mut self.buckets, (0..larger).map(|_| Bucket::default()).collect());
        for bucket in old {
            for (tag, entry) in bucket.tags.into_iter().zip(bucket.entries) {
                if let Some(entry) = entry {
                    self.place(tag, entry);
                }
            }
        }
    }

    #[inline]
    fn home(&self, tag: u32) -> Option<usize> {
        let last = self.buckets.len().checked_sub(1)?;
        Some(tag as usize & last)
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.buckets.len() - 1)
    }

    /// Recomputes the invariants.
    #[cfg(any(test, fuzzing, oust_shuttle))]
    pub(crate) fn validate(&self) -> Result<(), String> {
        let mut passed = vec![0; self.buckets.len()];
        let mut len = 0;
        for (at, bucket) in self.buckets.iter().enumerate() {
            for (tag, _) in bucket.tags.iter().zip(&bucket.entries).filter(|(_, entry)| entry.is_some()) {
                len += 1;
                let mut from = self.home(*tag).unwrap_or(at);
                while from != at {
                    passed[from] += 1;
                    from = self.next(from);
                }
            }
        }
        if len != self.len || len > self.buckets.len() * (PLACES - 1) {
            return Err(format!("{len} entries, {} counted, {} buckets", self.len, self.buckets.len()));
        }
        match passed.iter().zip(&self.buckets).position(|(passed, bucket)| *passed != bucket.passed) {
            Some(at) => Err(format!("bucket {at} was passed by {}, says {}", passed[at], self.buckets[at].passed)),
            None => Ok(()),
        }
    }
}

#[inline]
fn tag_of(hash: u64) -> u32 {
    (hash >> TAG_SHIFT) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::freshness::Freshness;
    use crate::{Config, Fetch, Head, Key, Lookup};
    use http::{HeaderMap, StatusCode};

    fn entries(count: usize) -> Vec<EntryRef> {
        let cache = Config::new().build().unwrap();
        let entry = |n: usize| {
            let (key, none) = (Key::parse(format!("http://h/{n}").as_bytes()).unwrap(), HeaderMap::new());
            let Fetch::Lead(ticket) = cache.fetch(&key, &none, None) else { panic!("a miss") };
            let fresh = Freshness::fresh_for(std::time::Duration::from_secs(60));
            ticket.store(Head::new(StatusCode::OK, HeaderMap::new()), "x".into(), fresh, &[]);
            let Lookup::Hit(hit) = cache.lookup(&key, &none) else { panic!("stored") };
            hit.entry().clone()
        };
        (0..count).map(entry).collect()
    }

    #[test]
    fn a_bucket_is_a_cache_line() {
        assert_eq!(size_of::<Bucket>(), 64);
    }

    /// Each bucket fills up and is passed; then the first empties, and the last is passed into it.
    #[test]
    fn a_search_ends_where_every_bucket_was_passed() {
        let of_home = |home: usize| (home as u64) << TAG_SHIFT;
        let mut entries = entries(22).into_iter();
        let (mut map, mut first) = (Map::default(), Vec::new());
        for (home, count) in [(0, 6), (1, 5), (2, 5)] {
            for entry in entries.by_ref().take(count) {
                map.insert(of_home(home), entry.clone());
                first.push(entry);
            }
        }
        first[..5].iter().for_each(|entry| assert!(map.remove(of_home(0), entry)));
        entries.by_ref().take(5).for_each(|entry| map.insert(of_home(3), entry));
        assert_eq!((map.buckets.len(), map.len()), (4, 16));
        assert!(map.buckets.iter().all(|bucket| bucket.passed > 0));
        map.validate().unwrap();
        // On a thread of its own: one that does not end must not keep the test from failing.
        let (ended, has_ended) = std::sync::mpsc::channel();
        let stranger = entries.next().unwrap();
        std::thread::spawn(move || {
            let found = (0..4).any(|home| map.find(of_home(home) | 4 << TAG_SHIFT, |_| true).is_some());
            let removed = (0..4).any(|home| map.remove(of_home(home), &stranger));
            let under = (0..4).map(|home| map.under(of_home(home)).count()).sum::<usize>();
            ended.send((found, removed, under)).unwrap_or_default();
        });
        assert_eq!(has_ended.recv_timeout(std::time::Duration::from_secs(60)), Ok((false, false, 16)));
    }
}
