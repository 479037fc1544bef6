//! One suite for all media.

use std::io::ErrorKind;
use std::sync::Arc;

use crate::disk::Media;
#[cfg(target_os = "linux")]
use crate::disk::media::{Access, Directory};
use crate::disk::media::{Crash, Memory};

fn kind<T: std::fmt::Debug>(result: std::io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

fn sorted(media: &dyn Media) -> Vec<String> {
    let mut names = media.list().unwrap();
    names.sort();
    names
}

/// Runs every check against a fresh media made by `make`.
fn suite(make: impl Fn() -> Arc<dyn Media>) {
    for check in [
        a_created_file_is_zeros,
        a_name_is_created_once,
        names_that_are_none_are_refused,
        what_is_not_there_is_not_found,
        reads_give_what_was_written,
        reads_past_the_end_fail,
        a_write_past_the_end_lengthens,
        an_empty_write_changes_nothing,
        no_file_is_longer_than_there_are_files,
        a_rename_replaces,
        a_rename_to_itself_changes_nothing,
        handles_of_a_removed_file_stay_good,
        views_of_a_removed_file_stay_good,
        a_frozen_file_is_not_written,
        bytes_are_the_same_frozen_or_not,
        an_empty_file_can_be_frozen,
        a_name_used_again_is_another_file,
        two_handles_are_one_file,
        threads_write_apart,
    ] {
        let media = make();
        check(&*media);
    }
}

#[test]
fn memory_conforms() {
    suite(|| Arc::new(Memory::new()));
}

#[test]
fn crash_conforms() {
    suite(|| Arc::new(Crash::new()));
}

#[cfg(target_os = "linux")]
#[test]
fn mapped_directory_conforms() {
    directory_conforms(Access::Mmap);
}

#[cfg(target_os = "linux")]
#[test]
fn read_directory_conforms() {
    directory_conforms(Access::Pread);
}

#[cfg(target_os = "linux")]
fn directory_conforms(access: Access) {
    let parent = tempfile::tempdir().unwrap();
    let made = std::cell::Cell::new(0);
    suite(|| {
        made.set(made.get() + 1);
        Arc::new(Directory::open(parent.path().join(made.get().to_string()), access).unwrap())
    });
}

fn a_created_file_is_zeros(media: &dyn Media) {
    let file = media.create("a", 10_000).unwrap();
    assert_eq!(file.size().unwrap(), 10_000);
    let mut read = vec![1; 10_000];
    file.read_at(0, &mut read).unwrap();
    assert_eq!(read, vec![0; 10_000]);
    assert_eq!(sorted(media), ["a"]);
    assert_eq!(media.create("empty", 0).unwrap().size().unwrap(), 0);
    assert!(file.is_intact());
}

fn a_name_is_created_once(media: &dyn Media) {
    let file = media.create("a", 4).unwrap();
    file.write_at(0, b"keep").unwrap();
    assert_eq!(kind(media.create("a", 8)), ErrorKind::AlreadyExists);
    assert_eq!(&file.bytes(0..4).unwrap()[..], b"keep");
}

fn names_that_are_none_are_refused(media: &dyn Media) {
    drop(media.create("a", 1).unwrap());
    let long = "x".repeat(256);
    for name in ["", ".", "..", "a/b", "/a", "../a", "a\0b", "lock", &long] {
        assert_eq!(kind(media.create(name, 1)), ErrorKind::InvalidInput, "{name:?}");
        assert_eq!(kind(media.open(name)), ErrorKind::InvalidInput, "{name:?}");
        assert_eq!(kind(media.remove(name)), ErrorKind::InvalidInput, "{name:?}");
        assert_eq!(kind(media.rename("a", name)), ErrorKind::InvalidInput, "{name:?}");
        assert_eq!(kind(media.rename(name, "b")), ErrorKind::InvalidInput, "{name:?}");
    }
    drop(media.create(&"x".repeat(255), 1).unwrap());
    drop(media.create("...", 1).unwrap());
}

fn what_is_not_there_is_not_found(media: &dyn Media) {
    assert_eq!(kind(media.open("a")), ErrorKind::NotFound);
    assert_eq!(kind(media.remove("a")), ErrorKind::NotFound);
    assert_eq!(kind(media.rename("a", "b")), ErrorKind::NotFound);
    assert!(media.list().unwrap().is_empty());
}

fn reads_give_what_was_written(media: &dyn Media) {
    let file = media.create("a", 8192).unwrap();
    file.write_at(4090, b"across a page").unwrap();
    file.sync().unwrap();
    media.sync_dir().unwrap();
    let mut read = [0; 15];
    file.read_at(4089, &mut read).unwrap();
    assert_eq!(&read, b"\0across a page\0");
    assert_eq!(&media.open("a").unwrap().bytes(4090..4096).unwrap()[..], b"across");
    assert_eq!(file.size().unwrap(), 8192);
}

fn reads_past_the_end_fail(media: &dyn Media) {
    let file = media.create("a", 100).unwrap();
    for _ in 0..2 {
        assert_eq!(kind(file.read_at(90, &mut [0; 11])), ErrorKind::UnexpectedEof);
        assert_eq!(kind(file.read_at(u64::MAX, &mut [0; 11])), ErrorKind::UnexpectedEof);
        assert_eq!(kind(file.bytes(90..101)), ErrorKind::UnexpectedEof);
        assert_eq!(kind(file.bytes(u64::MAX - 1..u64::MAX)), ErrorKind::UnexpectedEof);
        #[expect(clippy::reversed_empty_ranges, reason = "what a damaged record may ask for")]
        let reversed = 20..10;
        assert_eq!(kind(file.bytes(reversed)), ErrorKind::InvalidInput);
        assert_eq!(file.bytes(90..100).unwrap().len(), 10);
        assert!(file.bytes(100..100).unwrap().is_empty());
        file.read_at(100, &mut []).unwrap();
        file.freeze().unwrap();
    }
}

fn a_write_past_the_end_lengthens(media: &dyn Media) {
    let file = media.create("a", 4).unwrap();
    file.write_at(10, b"far").unwrap();
    assert_eq!(file.size().unwrap(), 13);
    assert_eq!(&file.bytes(0..13).unwrap()[..], b"\0\0\0\0\0\0\0\0\0\0far");
}

fn an_empty_write_changes_nothing(media: &dyn Media) {
    let file = media.create("a", 4).unwrap();
    file.write_at(10, b"").unwrap();
    assert_eq!(file.size().unwrap(), 4);
}

fn no_file_is_longer_than_there_are_files(media: &dyn Media) {
    let file = media.create("a", 4).unwrap();
    file.write_at(u64::MAX, b"x").unwrap_err();
    file.write_at(u64::MAX / 2, b"x").unwrap_err();
    assert_eq!(file.size().unwrap(), 4);
    media.create("b", u64::MAX).unwrap_err();
    assert_eq!(sorted(media), ["a"]);
}

fn a_rename_replaces(media: &dyn Media) {
    let new = media.create("new", 3).unwrap();
    new.write_at(0, b"new").unwrap();
    let old = media.create("old", 3).unwrap();
    old.write_at(0, b"old").unwrap();
    media.rename("new", "old").unwrap();
    assert_eq!(sorted(media), ["old"]);
    assert_eq!(&media.open("old").unwrap().bytes(0..3).unwrap()[..], b"new");
    assert_eq!(&old.bytes(0..3).unwrap()[..], b"old");
    assert_eq!(media.open("old").unwrap().identity().unwrap(), new.identity().unwrap());
}

fn a_rename_to_itself_changes_nothing(media: &dyn Media) {
    let file = media.create("a", 3).unwrap();
    media.rename("a", "a").unwrap();
    assert_eq!(sorted(media), ["a"]);
    assert_eq!(media.open("a").unwrap().identity().unwrap(), file.identity().unwrap());
}

fn handles_of_a_removed_file_stay_good(media: &dyn Media) {
    let file = media.create("a", 4).unwrap();
    media.remove("a").unwrap();
    media.sync_dir().unwrap();
    file.write_at(0, b"good").unwrap();
    file.sync().unwrap();
    assert_eq!(&file.bytes(0..4).unwrap()[..], b"good");
    assert!(media.list().unwrap().is_empty());
}

/// H27.
fn views_of_a_removed_file_stay_good(media: &dyn Media) {
    let file = media.create("a", 100_000).unwrap();
    file.write_at(50_000, b"still here").unwrap();
    file.sync().unwrap();
    file.freeze().unwrap();
    let view = file.bytes(50_000..50_010).unwrap();
    media.remove("a").unwrap();
    media.sync_dir().unwrap();
    let late = file.bytes(50_000..50_010).unwrap();
    drop(file);
    drop(media.create("a", 100_000).unwrap());
    assert_eq!(&view[..], b"still here");
    assert_eq!(view, late);
}

fn a_frozen_file_is_not_written(media: &dyn Media) {
    let file = media.create("a", 4).unwrap();
    file.write_at(0, b"keep").unwrap();
    file.freeze().unwrap();
    file.freeze().unwrap();
    let view = file.bytes(0..4).unwrap();
    assert_eq!(kind(file.write_at(0, b"lost")), ErrorKind::PermissionDenied);
    assert_eq!(&view[..], b"keep");
    file.sync().unwrap();
}

fn bytes_are_the_same_frozen_or_not(media: &dyn Media) {
    let file = media.create("a", 20_000).unwrap();
    let written: Vec<u8> = (0..20_000_u32).map(|at| u8::try_from(at % 251).unwrap()).collect();
    file.write_at(0, &written).unwrap();
    let ranges = [0..0, 0..1, 0..20_000, 4095..4097, 4096..8192, 19_999..20_000, 20_000..20_000];
    let copies: Vec<_> = ranges.iter().map(|range| file.bytes(range.clone()).unwrap()).collect();
    file.freeze().unwrap();
    for (range, copy) in ranges.iter().zip(copies) {
        let view = file.bytes(range.clone()).unwrap();
        assert_eq!(view, copy);
        assert_eq!(&view[..], &written[range.start as usize..range.end as usize]);
        assert!(file.is_warm(range.clone()), "what was just read is in memory");
        assert_eq!(file.warm_bytes(range.clone()).unwrap(), Some(view));
    }
    assert!(file.is_intact());
}

fn an_empty_file_can_be_frozen(media: &dyn Media) {
    let file = media.create("a", 0).unwrap();
    file.freeze().unwrap();
    assert!(file.bytes(0..0).unwrap().is_empty());
    assert_eq!(kind(file.bytes(0..1)), ErrorKind::UnexpectedEof);
}

/// H12: a journal that was replaced is not the one whose identity was written down.
fn a_name_used_again_is_another_file(media: &dyn Media) {
    let first = media.create("a", 4).unwrap();
    let identity = first.identity().unwrap();
    assert!(identity.is_some(), "no time of birth here");
    assert_eq!(media.open("a").unwrap().identity().unwrap(), identity);
    media.rename("a", "b").unwrap();
    assert_eq!(media.open("b").unwrap().identity().unwrap(), identity);
    assert_ne!(media.create("a", 4).unwrap().identity().unwrap(), identity);
}

fn two_handles_are_one_file(media: &dyn Media) {
    let one = media.create("a", 4).unwrap();
    let two = media.open("a").unwrap();
    one.freeze().unwrap();
    two.write_at(0, b"both").unwrap();
    assert_eq!(&one.bytes(0..4).unwrap()[..], b"both");
}

fn threads_write_apart(media: &dyn Media) {
    let file = media.create("a", 4 * 4096).unwrap();
    std::thread::scope(|scope| {
        for part in 0..4_u8 {
            let file = &file;
            scope.spawn(move || {
                for at in 0..64 {
                    file.write_at(u64::from(part) * 4096 + at * 64, &[part + 1; 64]).unwrap();
                    file.sync().unwrap();
                }
            });
        }
    });
    for part in 0..4_u8 {
        let start = u64::from(part) * 4096;
        assert!(file.bytes(start..start + 4096).unwrap().iter().all(|byte| *byte == part + 1));
    }
}
