//! Directories whose sums are right and whose contents no engine would write.

use super::*;
use crate::disk::journal::{Entry, Journal, Options};

#[test]
fn g5_rules_that_are_not_as_many_as_their_numbers_take_everything() {
    let deep = deep();
    deep.sink(A, "a");
    let media = Arc::clone(&deep.media);
    drop(deep);
    let (journal, replayed) = Journal::open(media.clone(), &Options::default()).unwrap();
    let first = replayed.next_seq;
    journal.append(Entry::Purge { first, last: 1 << 59, payload: b"no rules" });
    journal.flush().unwrap();
    drop(journal);
    // Not as many as that are made.
    let deep = on(media.crash(0), |config| config);
    assert_eq!(deep.cache.l2_notice(), None);
    assert_eq!((deep.body(A), deep.cache.stats().live_rules), (None, 1));
    deep.cache.sweep();
    assert_eq!((deep.body(A), deep.cache.stats().live_rules), (None, 0));
    deep.keep(A, "b");
    assert_eq!(deep.restarted().body(A).unwrap(), b"b");
}
