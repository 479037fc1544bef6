//! No number is given out twice (H28).

use super::*;

#[test]
fn h28_numbers_go_on_above_the_reservation_after_an_unclean_stop() {
    let media = Crash::new();
    let (journal, first) = open(&media);
    journal.reserve(first.next_seq).unwrap();
    drop(journal);
    let next = open(&media.crash(3)).1.next_seq;
    assert_eq!(next, 65, "a number of the block may have been given out");
}

#[test]
fn numbers_go_on_where_they_ended_after_a_clean_stop() {
    let media = Crash::new();
    let (journal, _) = open(&media);
    journal.reserve(10).unwrap();
    journal.close(10).unwrap();
    drop(journal);
    for seed in 0..8 {
        assert_eq!(open(&media.crash(seed)).1.next_seq, 11);
    }
}

#[test]
fn h28_a_close_followed_by_anything_is_no_clean_stop() {
    let media = Crash::new();
    let (journal, _) = open(&media);
    journal.reserve(10).unwrap();
    journal.close(10).unwrap();
    journal.reserve(11).unwrap();
    assert!(open(&media.crash(1)).1.next_seq > 64);
    journal.close(11).unwrap();
    assert_eq!(open(&media.crash(1)).1.next_seq, 12);
    journal.append(mark(1, 1, 1));
    journal.reserve(12).unwrap();
    assert!(open(&media.crash(1)).1.next_seq > 64);
}

#[test]
fn a_close_that_meets_a_full_file_is_a_clean_stop() {
    for fill in 0..120 {
        let media = Crash::new();
        let (journal, _) = open(&media);
        journal.sync(purge(&journal, 1, &vec![1; 1600 + fill])).unwrap();
        journal.close(5).unwrap();
        assert_eq!(open(&media.crash(1)).1.next_seq, 6);
    }
}

#[test]
fn a_reservation_is_asked_for_before_it_is_needed() {
    let media = Crash::new();
    let (journal, _) = open(&media);
    let before = media.count(Operation::Sync);
    for seq in 1..=64 {
        journal.reserve(seq).unwrap();
    }
    assert_eq!(media.count(Operation::Sync), before, "within a block nothing waits");
    journal.sync(purge(&journal, 64, b"")).unwrap();
    let before = media.count(Operation::Sync);
    journal.reserve(65).unwrap();
    assert_eq!(media.count(Operation::Sync), before, "the next block came with the purge");
    journal.reserve(1000).unwrap();
    assert_eq!(media.count(Operation::Sync), before + 1, "a number beyond it waits");
    assert!(open(&media.crash(1)).1.next_seq > 1000);
}

#[test]
fn numbers_replayed_are_not_given_out_whatever_was_reserved() {
    let media = Crash::new();
    let (journal, _) = open(&media);
    journal.sync(purge(&journal, 5000, b"")).unwrap();
    journal.close(3).unwrap();
    assert_eq!(open(&media.crash(1)).1.next_seq, 5001);
}

#[test]
fn the_end_of_all_numbers_is_no_panic() {
    let media = Crash::new();
    let (journal, _) = open(&media);
    journal.reserve(u64::MAX).unwrap();
    drop(journal);
    let recovered = open(&media).1;
    assert!(recovered.distrust.is_some());
    assert_eq!(recovered.next_seq, 1);
}
