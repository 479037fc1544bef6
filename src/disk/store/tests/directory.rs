//! The same on a file system, mapped and read.

use super::*;
use crate::disk::media::{Access, Directory};

#[test]
fn objects_survive_a_restart_and_the_rest_of_the_media_is_not_touched() {
    for access in [Access::Mmap, Access::Pread] {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("l2");
        let store = |expect: usize| {
            let media: Arc<dyn Media> = Arc::new(Directory::open(&path, access).unwrap());
            let store = Store::open(media, StoreOptions { segment_size: 1 << 20, ..options_of(16 << 20) }).unwrap();
            store.load(&keep, &|_| {});
            let found = (0..500).filter(|n| !get(&store, &format!("http://h/{n}")).is_empty()).count();
            assert_eq!(found, expect);
            store
        };
        let first = store(0);
        (0..300).for_each(|n| drop(put(&first, &format!("http://h/{n}"), n + 1)));
        first.seal();
        let pinned = get(&first, "http://h/0").pop().unwrap().body();
        // Left open: what was written comes back, what was in memory does not.
        (300..500).for_each(|n| drop(put(&first, &format!("http://h/{n}"), n + 1)));
        first.segments().iter().filter(|info| !info.sealed).for_each(|info| {
            first.segment(info.id).unwrap().flush(1).unwrap();
        });
        drop(first);
        drop(pinned);
        let second = store(500);
        while second.evict_oldest(&mut |_, _| None, &|_| (), &|_| ()).is_some() {}
        drop(second);
        drop(store(0));
    }
}

fn options_of(capacity: u64) -> StoreOptions {
    StoreOptions { capacity, ..options() }
}
