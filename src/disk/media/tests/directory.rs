//! What is special to a directory of a file system.

use std::error::Error;
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::fault::{child_path, in_a_child, in_a_child_with_a_mount};
use crate::disk::Media;
use crate::disk::media::{Access, Directory};

fn mode_of(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o7777
}

#[test]
fn directory_and_files_are_the_owners_alone() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("made");
    let media = Directory::open(&path, Access::Mmap).unwrap();
    drop(media.create("a", 10).unwrap());
    assert_eq!(mode_of(&path), 0o700);
    assert_eq!(mode_of(&path.join("a")), 0o600);
    assert_eq!(mode_of(&path.join("lock")), 0o600);
    assert_eq!(media.path(), path);
}

#[test]
fn only_the_last_part_of_a_path_is_made() {
    let parent = tempfile::tempdir().unwrap();
    let error = Directory::open(parent.path().join("missing/made"), Access::Mmap).unwrap_err();
    assert!(error.to_string().ends_with("missing/made: cannot make the directory"), "{error}");
    assert!(error.source().unwrap().to_string().contains("No such file"));
}

#[test]
fn a_directory_that_others_may_write_to_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    for mode in [0o777, 0o770, 0o702, 0o1777] {
        std::fs::set_permissions(parent.path(), PermissionsExt::from_mode(mode)).unwrap();
        let error = Directory::open(parent.path(), Access::Mmap).unwrap_err();
        assert!(error.is_insecure(), "{error}");
        assert!(error.to_string().contains(&format!("mode {mode:04o}")), "{error}");
        assert!(!parent.path().join("lock").exists(), "nothing was made");
    }
    std::fs::set_permissions(parent.path(), PermissionsExt::from_mode(0o755)).unwrap();
    drop(Directory::open(parent.path(), Access::Mmap).unwrap());
}

#[test]
fn a_file_is_no_directory() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Directory::open(file.path(), Access::Mmap).unwrap_err();
    assert!(error.to_string().contains("cannot open the directory"), "{error}");
}

#[test]
fn a_directory_is_held_by_one_until_its_last_file_is_dropped() {
    let parent = tempfile::tempdir().unwrap();
    let media = Directory::open(parent.path(), Access::Mmap).unwrap();
    let file = media.create("a", 10_000).unwrap();
    file.freeze().unwrap();
    let view = file.bytes(0..10_000).unwrap();
    assert!(Directory::open(parent.path(), Access::Mmap).unwrap_err().is_locked());
    assert!(Directory::inspect(parent.path()).unwrap_err().is_locked());
    drop(media);
    assert!(Directory::open(parent.path(), Access::Mmap).unwrap_err().is_locked(), "a file may still be written");
    drop(file);
    drop(Directory::open(parent.path(), Access::Mmap).unwrap());
    assert_eq!(view.len(), 10_000);
}

#[test]
fn another_process_is_told_who_has_the_directory() {
    let parent = tempfile::tempdir().unwrap();
    let media = Directory::open(parent.path(), Access::Mmap).unwrap();
    in_a_child("disk::media::tests::directory::child_that_finds_it_locked", parent.path()).succeeds();
    drop(media);
    in_a_child("disk::media::tests::directory::child_that_finds_it_free", parent.path()).succeeds();
}

/// A descriptor that another thread's new process still has between its fork and its exec.
#[test]
fn a_directory_that_was_dropped_is_free_whoever_has_inherited_its_lock() {
    let parent = tempfile::tempdir().unwrap();
    let media = Directory::open(parent.path(), Access::Mmap).unwrap();
    let inherited = media.inherited_lock().unwrap();
    assert!(Directory::open(parent.path(), Access::Mmap).unwrap_err().is_locked());
    drop(media);
    drop(Directory::open(parent.path(), Access::Mmap).unwrap());
    drop(inherited);
}

#[test]
#[ignore = "run as a child of another test"]
fn child_that_finds_it_locked() {
    let error = Directory::open(child_path(), Access::Mmap).unwrap_err();
    assert!(error.is_locked());
    assert!(error.to_string().ends_with("the directory is in use by another process"), "{error}");
}

#[test]
#[ignore = "run as a child of another test"]
fn child_that_finds_it_free() {
    drop(Directory::open(child_path(), Access::Mmap).unwrap());
}

#[test]
fn inspection_reads_and_changes_nothing() {
    let parent = tempfile::tempdir().unwrap();
    assert!(Directory::inspect(parent.path().join("missing")).is_err());
    let media = Directory::open(parent.path(), Access::Mmap).unwrap();
    let file = media.create("a", 4).unwrap();
    file.write_at(0, b"kept").unwrap();
    drop((media, file));

    let one = Directory::inspect(parent.path()).unwrap();
    let two = Directory::inspect(parent.path()).unwrap();
    assert!(Directory::open(parent.path(), Access::Mmap).unwrap_err().is_locked());
    let refused = [
        one.create("b", 1).map(drop),
        one.rename("a", "b"),
        one.remove("a"),
        one.open("a").unwrap().write_at(0, b"lost"),
    ];
    for result in refused {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    }
    assert_eq!(two.list().unwrap(), ["a"]);
    assert_eq!(&two.open("a").unwrap().bytes(0..4).unwrap()[..], b"kept");
}

#[test]
fn a_backup_without_its_lock_file_can_be_inspected() {
    let parent = tempfile::tempdir().unwrap();
    std::fs::write(parent.path().join("a"), b"kept").unwrap();
    let media = Directory::inspect(parent.path()).unwrap();
    assert_eq!(&media.open("a").unwrap().bytes(0..4).unwrap()[..], b"kept");
    assert!(!parent.path().join("lock").exists());
}

#[test]
fn a_created_file_has_its_space() {
    let parent = tempfile::tempdir().unwrap();
    let media = Directory::open(parent.path(), Access::Mmap).unwrap();
    drop(media.create("a", 1 << 20).unwrap());
    assert!(parent.path().join("a").metadata().unwrap().blocks() * 512 >= 1 << 20);
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let media = Directory::open(parent.path(), Access::Mmap).unwrap();
    assert_eq!(media.create("a", 1 << 60).unwrap_err().kind(), ErrorKind::StorageFull);
    assert!(media.list().unwrap().is_empty());
    drop(media.create("a", 10).unwrap());
}

#[test]
fn what_is_no_file_is_neither_listed_nor_opened() {
    let parent = tempfile::tempdir().unwrap();
    let media = Directory::open(parent.path(), Access::Mmap).unwrap();
    drop(media.create("file", 1).unwrap());
    std::fs::create_dir(parent.path().join("directory")).unwrap();
    symlink(parent.path().join("file"), parent.path().join("link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        parent.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(media.list().unwrap(), ["file"]);
    for name in ["directory", "link", "pipe"] {
        media.open(name).unwrap_err();
    }
}

/// H12: what `cp -a` makes is not the original.
#[test]
fn a_copied_file_has_another_identity() {
    let parent = tempfile::tempdir().unwrap();
    let media = Directory::open(parent.path(), Access::Mmap).unwrap();
    let original = media.create("a", 4).unwrap().identity().unwrap();
    std::fs::copy(parent.path().join("a"), parent.path().join("b")).unwrap();
    assert!(original.is_some());
    assert_ne!(media.open("b").unwrap().identity().unwrap(), original);
    drop(media);
    let again = Directory::open(parent.path(), Access::Mmap).unwrap();
    assert_eq!(again.open("a").unwrap().identity().unwrap(), original);
}

#[test]
fn views_of_a_mapped_file_are_no_copies() {
    let parent = tempfile::tempdir().unwrap();
    let media = Directory::open(parent.path(), Access::Mmap).unwrap();
    let file = media.create("a", 100_000).unwrap();
    let before = file.bytes(5_000..6_000).unwrap();
    file.freeze().unwrap();
    let (one, two) = (file.bytes(0..100_000).unwrap(), file.bytes(5_000..6_000).unwrap());
    assert_eq!(one[5_000..].as_ptr(), two.as_ptr());
    assert_ne!(before.as_ptr(), two.as_ptr());
    media.open("a").unwrap().write_at(100_000, b"longer").unwrap();
    assert_eq!(&file.bytes(99_999..100_006).unwrap()[..], b"\0longer", "what is not mapped is read");
}

/// Whether the kernel says that a file's first byte is not in memory. Asking may bring some pages after it, but not a MiB.
fn begins_cold(file: &std::fs::File) -> bool {
    let mut byte = [0];
    let into = &mut [std::io::IoSliceMut::new(&mut byte)];
    rustix::io::preadv2(file, into, 0, rustix::io::ReadWriteFlags::NOWAIT) == Err(rustix::io::Errno::AGAIN)
}

#[test]
fn what_was_dropped_from_memory_is_cold_and_comes_back() {
    use std::os::fd::AsFd;
    let parent = tempfile::tempdir().unwrap();
    for access in [Access::Mmap, Access::Pread] {
        let media = Directory::open(parent.path(), access).unwrap();
        let file = media.create("a", 1 << 20).unwrap();
        file.write_at(0, &vec![7; 1 << 20]).unwrap();
        file.sync().unwrap();
        file.freeze().unwrap();
        let outside = std::fs::File::open(parent.path().join("a")).unwrap();
        // A hint: a file system in memory has nowhere to drop it to, and a page in use elsewhere stays.
        rustix::fs::fadvise(outside.as_fd(), 0, None, rustix::fs::Advice::DontNeed).unwrap();
        if begins_cold(&outside) {
            assert!(!file.is_warm(0..1 << 20), "{access:?}");
            assert!(file.warm_bytes(0..1 << 20).unwrap().is_none(), "{access:?}");
        }
        assert!(file.bytes(0..1 << 20).unwrap().iter().all(|byte| *byte == 7));
        assert!(file.is_warm(0..1 << 20), "{access:?}");
        assert!(file.is_intact());
        media.remove("a").unwrap();
    }
}

#[test]
#[ignore = "needs the right to mount"]
fn a_file_system_that_cannot_be_used_is_named() {
    let run = |name, kind, options| {
        let parent = tempfile::tempdir().unwrap();
        in_a_child_with_a_mount(&format!("disk::media::tests::directory::{name}"), kind, options, parent.path())
            .succeeds();
    };
    run("child_without_fallocate", "ramfs", "mode=0700");
    run("child_that_must_not_write", "tmpfs", "mode=0700,ro");
    run("child_on_a_full_disk", "tmpfs", "mode=0700,size=1m");
}

#[test]
#[ignore = "run as a child of another test"]
fn child_without_fallocate() {
    let error = Directory::open(child_path(), Access::Mmap).unwrap_err();
    assert!(error.is_unsupported());
    assert!(error.to_string().ends_with("the file system (ramfs) does not support fallocate"), "{error}");
}

#[test]
#[ignore = "run as a child of another test"]
fn child_that_must_not_write() {
    for path in [child_path(), child_path().join("made")] {
        let error = Directory::open(path, Access::Mmap).unwrap_err();
        assert!(error.is_read_only());
        assert!(error.to_string().ends_with("the file system is read-only"), "{error}");
    }
    assert!(Directory::inspect(child_path()).unwrap().list().unwrap().is_empty());
}

#[test]
#[ignore = "run as a child of another test"]
fn child_on_a_full_disk() {
    let media = Directory::open(child_path(), Access::Mmap).unwrap();
    let file = media.create("a", 900_000).unwrap();
    assert_eq!(media.create("b", 200_000).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.write_at(1_000_000, &[1; 200_000]).unwrap_err().kind(), ErrorKind::StorageFull);
    file.write_at(0, &[1; 900_000]).unwrap();
    drop(file);
    media.remove("a").unwrap();
    drop(media.create("b", 900_000).unwrap());
    assert_eq!(media.list().unwrap(), ["b"]);
    drop(media);
    drop(Directory::open(child_path(), Access::Mmap).unwrap());
}
