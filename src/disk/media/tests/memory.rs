//! What is special to files in memory.

use std::io::ErrorKind;

use crate::disk::Media;
use crate::disk::media::Memory;

#[test]
fn what_passes_the_limit_is_refused_and_leaves_nothing() {
    let media = Memory::with_limit(100);
    let file = media.create("a", 60).unwrap();
    assert_eq!(media.create("b", 41).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(media.list().unwrap(), ["a"]);
    assert_eq!(file.write_at(95, b"longer").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!((file.size().unwrap(), media.used()), (60, 60));
    file.write_at(94, b"longer").unwrap();
    assert_eq!((file.size().unwrap(), media.used()), (100, 100));
}

#[test]
fn a_removed_file_counts_until_its_last_handle_is_dropped() {
    let media = Memory::with_limit(100);
    let file = media.create("a", 100).unwrap();
    media.remove("a").unwrap();
    media.create("b", 1).unwrap_err();
    drop(file);
    assert_eq!(media.used(), 0);
    let replaced = media.create("b", 50).unwrap();
    drop(media.create("c", 50).unwrap());
    media.rename("c", "b").unwrap();
    assert_eq!(media.used(), 100);
    drop(replaced);
    assert_eq!(media.used(), 50);
}

#[test]
fn bytes_of_a_frozen_file_are_views_which_no_write_changes() {
    let media = Memory::new();
    let file = media.create("a", 8).unwrap();
    file.freeze().unwrap();
    let (one, two) = (file.bytes(0..8).unwrap(), file.bytes(2..8).unwrap());
    assert_eq!(one[2..].as_ptr(), two.as_ptr(), "no copy");
    media.open("a").unwrap().write_at(2, b"new").unwrap();
    assert_eq!(&two[..3], b"\0\0\0");
    assert_eq!(&file.bytes(2..5).unwrap()[..], b"new");
}

#[test]
fn clones_are_the_same_directory() {
    let media = Memory::new();
    drop(media.clone().create("a", 1).unwrap());
    assert_eq!(media.list().unwrap(), ["a"]);
}
