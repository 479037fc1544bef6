//! On a file system.

use super::*;
use crate::disk::media::{Access, Directory};

#[test]
fn h12_a_journal_in_a_directory_is_replayed_and_its_copy_is_not() {
    let parent = tempfile::tempdir().unwrap();
    let (own, copy) = (parent.path().join("own"), parent.path().join("copy"));
    let media = || Arc::new(Directory::open(&own, Access::Pread).unwrap());
    let (journal, first) = Journal::open(media(), &options()).unwrap();
    for seq in 1..=60 {
        journal.reserve(seq).unwrap();
        journal.sync(purge(&journal, seq, &[1; 100])).unwrap();
    }
    journal.append(Entry::Swept { upto: 50 });
    journal.close(60).unwrap();
    let rolls = journal.stats().rolls;
    assert!(rolls > 1);
    drop(journal);

    let media = media();
    let newest = media.open(&file_name(super::super::replay::ids(&*media).unwrap()[0])).unwrap();
    let identified = newest.identity().unwrap().is_some();
    let copied = Arc::new(Directory::open(&copy, Access::Pread).unwrap());
    for name in media.list().unwrap() {
        std::fs::copy(own.join(&name), copy.join(&name)).unwrap();
    }
    let replayed = Journal::open(media, &options()).unwrap().1;
    if identified {
        assert_eq!((replayed.distrust, replayed.epoch), (None, first.epoch));
        assert_eq!(replayed.purges.iter().map(|p| p.first).collect::<Vec<_>>(), (51..=60).collect::<Vec<_>>());
        assert_eq!(replayed.next_seq, 61);
    } else {
        assert!(replayed.distrust.unwrap().contains("cannot tell"), "a file system without times of birth");
    }
    assert!(Journal::open(copied, &options()).unwrap().1.distrust.is_some());
}
