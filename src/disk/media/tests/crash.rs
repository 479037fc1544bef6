//! What is special to the simulation of crashes.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::sync::Arc;

use crate::disk::media::{Crash, Failure, Operation};
use crate::disk::{File, Media};

const SEEDS: u64 = 2_000;

fn read(media: &Crash, name: &str) -> Option<Vec<u8>> {
    let file = media.open(name).ok()?;
    Some(file.bytes(0..file.size().unwrap()).unwrap().to_vec())
}

/// A durable file.
fn durable(media: &Crash, name: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = media.create(name, bytes.len() as u64).unwrap();
    file.write_at(0, bytes).unwrap();
    file.sync().unwrap();
    media.sync_dir().unwrap();
    file
}

/// What file `name` is after each of many crashes.
fn outcomes(media: &Crash, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..SEEDS).map(|seed| read(&media.crash(seed), name)).collect()
}

#[test]
fn what_is_synced_survives_every_crash() {
    let media = Crash::new();
    let file = durable(&media, "a", b"first");
    file.write_at(0, b"later").unwrap();
    file.sync().unwrap();
    assert_eq!(outcomes(&media, "a"), [Some(b"later".to_vec())].into());
}

#[test]
fn a_crash_is_the_same_for_the_same_seed() {
    let media = Crash::new();
    let file = durable(&media, "a", &[0; 4096]);
    for at in 0..20 {
        file.write_at(at * 200, &[at as u8 + 1; 200]).unwrap();
    }
    drop(media.create("b", 10).unwrap());
    let all = |seed| {
        let after = media.crash(seed);
        (after.names(), read(&after, "a"), read(&after, "b"))
    };
    for seed in 0..50 {
        assert_eq!(all(seed), all(seed));
    }
    assert!((0..50).map(all).collect::<BTreeSet<_>>().len() > 20);
}

#[test]
fn of_unsynced_writes_any_may_survive_in_part() {
    let media = Crash::new();
    let file = durable(&media, "a", &[b'.'; 1536]);
    file.write_at(0, &[b'1'; 1024]).unwrap();
    file.write_at(1024, &[b'2'; 512]).unwrap();
    let seen = outcomes(&media, "a");
    // By sectors: those of the first write apart, the second write without the first.
    let sectors: BTreeSet<String> = seen
        .iter()
        .map(|image| image.as_ref().unwrap().chunks(512))
        .filter(|chunks| chunks.clone().all(|chunk| chunk.iter().all(|byte| *byte == chunk[0])))
        .map(|chunks| chunks.map(|chunk| char::from(chunk[0])).collect())
        .collect();
    let expected = ["...", "1..", ".1.", "11.", "..2", "1.2", ".12", "112"];
    assert_eq!(sectors, expected.map(str::to_owned).into());
    // The last write at any byte.
    let torn = |image: &[u8]| image[1024..].iter().filter(|byte| **byte == b'2').count();
    assert!(seen.iter().flatten().map(|image| torn(image)).collect::<BTreeSet<_>>().len() > 100);
    for image in seen.iter().flatten() {
        assert_eq!(image.len(), 1536);
        let cut = 1024 + torn(image);
        assert!(image[1024..cut].iter().all(|byte| *byte == b'2'), "torn at the end of a write, never in its midst");
    }
}

#[test]
fn unsynced_writes_of_the_same_bytes_land_in_any_order() {
    let media = Crash::new();
    let file = durable(&media, "a", b"old");
    file.write_at(0, b"1st").unwrap();
    file.write_at(0, b"2nd").unwrap();
    let seen = outcomes(&media, "a");
    for image in [b"old", b"1st", b"2nd", b"2ld"] {
        assert!(seen.contains(&Some(image.to_vec())), "{}", String::from_utf8_lossy(image));
    }
}

#[test]
fn a_lengthened_file_may_have_its_length_without_its_bytes_and_neither() {
    let media = Crash::new();
    let file = durable(&media, "a", b"abc");
    file.write_at(3, b"def").unwrap();
    let seen = outcomes(&media, "a");
    for image in [&b"abc"[..], b"abc\0\0\0", b"abcdef", b"abcd"] {
        assert!(seen.contains(&Some(image.to_vec())), "{image:?}");
    }
    assert!(seen.iter().flatten().all(|image| image.starts_with(b"abc")));
}

#[test]
fn a_created_file_vanishes_unless_its_directory_was_synced() {
    let media = Crash::new();
    let file = media.create("a", 4).unwrap();
    file.write_at(0, b"data").unwrap();
    file.sync().unwrap();
    assert_eq!(outcomes(&media, "a"), [None, Some(b"data".to_vec())].into());
    media.sync_dir().unwrap();
    assert_eq!(outcomes(&media, "a"), [Some(b"data".to_vec())].into());

    drop(media.create("b", 4).unwrap());
    media.sync_dir().unwrap();
    let lengths = outcomes(&media, "b").into_iter().map(|image| image.map(|image| image.len())).collect::<Vec<_>>();
    assert_eq!(lengths, [Some(0), Some(4)], "the name is durable, the length is not");
}

#[test]
fn a_rename_is_whole_or_not_at_all() {
    let media = Crash::new();
    durable(&media, "old", b"old");
    let new = media.create("new", 3).unwrap();
    new.write_at(0, b"new").unwrap();
    new.sync().unwrap();
    media.rename("new", "old").unwrap();
    let seen: BTreeSet<_> = (0..SEEDS)
        .map(|seed| media.crash(seed))
        .map(|after| (read(&after, "old").unwrap(), read(&after, "new")))
        .collect();
    let (old, new) = (b"old".to_vec(), b"new".to_vec());
    let expected = [(old.clone(), None), (old, Some(new.clone())), (new, None)];
    assert_eq!(seen, expected.into());
    media.sync_dir().unwrap();
    assert_eq!(outcomes(&media, "old"), [Some(b"new".to_vec())].into());
}

#[test]
fn changes_of_other_names_are_independent() {
    let media = Crash::new();
    durable(&media, "a", b"a");
    durable(&media, "b", b"b");
    media.remove("a").unwrap();
    media.rename("b", "c").unwrap();
    let seen: BTreeSet<_> = (0..SEEDS).map(|seed| media.crash(seed).names().concat()).collect();
    assert_eq!(seen, ["ab", "ac", "b", "c"].map(str::to_owned).into());
}

/// A name that was moved away and made anew must not take the moved file with it.
#[test]
fn no_file_is_lost_because_it_was_renamed() {
    let media = Crash::new();
    durable(&media, "a", b"precious");
    media.rename("a", "b").unwrap();
    drop(media.create("a", 0).unwrap());
    for seed in 0..SEEDS {
        let after = media.crash(seed);
        let precious = after.names().iter().any(|name| read(&after, name).unwrap() == b"precious");
        assert!(precious, "{:?}", after.names());
    }
}

#[test]
fn a_removed_file_may_come_back_as_it_was() {
    let media = Crash::new();
    drop(durable(&media, "a", b"back"));
    media.remove("a").unwrap();
    assert_eq!(outcomes(&media, "a"), [None, Some(b"back".to_vec())].into());
    media.sync_dir().unwrap();
    assert_eq!(outcomes(&media, "a"), [None].into());
}

#[test]
fn what_a_failed_sync_was_to_write_no_later_one_does() {
    let media = Crash::new();
    let file = durable(&media, "a", b"0--");
    file.write_at(0, b"1").unwrap();
    media.fail(Operation::Sync, media.count(Operation::Sync), Failure::Io);
    assert_eq!(file.sync().unwrap_err().raw_os_error(), Some(5));
    file.write_at(1, b"2").unwrap();
    file.sync().unwrap();
    assert_eq!(read(&media, "a").unwrap(), b"12-", "the running system sees it all the same");
    assert_eq!(outcomes(&media, "a"), [Some(b"02-".to_vec()), Some(b"12-".to_vec())].into());
    file.write_at(0, b"3").unwrap();
    file.sync().unwrap();
    assert_eq!(outcomes(&media, "a"), [Some(b"32-".to_vec())].into(), "what was written over it is durable");
}

#[test]
fn what_a_failed_sync_of_the_directory_was_to_write_no_later_one_does() {
    let media = Crash::new();
    let file = media.create("a", 0).unwrap();
    file.sync().unwrap();
    media.fail(Operation::SyncDir, 0, Failure::Io);
    media.sync_dir().unwrap_err();
    drop(media.create("b", 0).unwrap());
    media.sync_dir().unwrap();
    let seen: BTreeSet<_> = (0..SEEDS).map(|seed| media.crash(seed).names().concat()).collect();
    assert_eq!(seen, ["ab", "b"].map(str::to_owned).into());
    media.rename("a", "c").unwrap();
    media.sync_dir().unwrap();
    let seen: BTreeSet<_> = (0..SEEDS).map(|seed| media.crash(seed).names().concat()).collect();
    assert_eq!(seen, ["bc".to_owned()].into());
}

#[test]
fn the_operation_of_a_number_fails() {
    let media = Crash::new();
    media.fail(Operation::Create, 1, Failure::Full);
    drop(media.create("a", 4).unwrap());
    let error = media.create("b", 4).unwrap_err();
    assert_eq!((error.kind(), error.raw_os_error()), (ErrorKind::StorageFull, Some(28)));
    assert_eq!(media.names(), ["a"]);
    let file = media.create("b", 4).unwrap();

    media.fail(Operation::Change, media.count(Operation::Change) + 1, Failure::Io);
    file.write_at(0, b"x").unwrap();
    media.rename("b", "c").unwrap_err();
    media.rename("b", "c").unwrap();
    assert_eq!(media.count(Operation::Rename), 2);

    media.fail_all(Operation::Read, Failure::Io);
    file.read_at(0, &mut [0]).unwrap_err();
    file.bytes(0..1).unwrap_err();
    media.heal();
    file.read_at(0, &mut [0]).unwrap();
}

#[test]
fn a_failed_write_may_have_written_its_first_bytes() {
    let media = Crash::new();
    let file = durable(&media, "a", &[0; 100]);
    media.fail_all(Operation::Write, Failure::Io);
    let mut parts = BTreeSet::new();
    for value in 1..50 {
        file.write_at(0, &[value; 100]).unwrap_err();
        parts.insert(read(&media, "a").unwrap().iter().filter(|byte| **byte == value).count());
    }
    assert!(parts.len() > 10, "{parts:?}");
}

#[test]
fn without_power_everything_fails() {
    let media = Crash::new();
    let file = durable(&media, "a", b"kept");
    file.write_at(0, b"lost").unwrap();
    media.power_off();
    let results = [
        media.list().map(drop),
        media.create("b", 1).map(drop),
        media.open("a").map(drop),
        media.rename("a", "b"),
        media.remove("a"),
        media.sync_dir(),
        file.size().map(drop),
        file.write_at(0, b"x"),
        file.read_at(0, &mut [0]),
        file.sync(),
        file.freeze(),
        file.bytes(0..1).map(drop),
        file.identity().map(drop),
    ];
    assert!(media.is_off());
    for result in results {
        assert_eq!(result.unwrap_err().kind(), ErrorKind::NotConnected);
    }
    let seen = outcomes(&media, "a");
    assert!(seen.contains(&Some(b"kept".to_vec())) && seen.contains(&Some(b"lost".to_vec())));
}

#[test]
fn power_is_lost_while_a_change_is_under_way() {
    let seen_at = |change| {
        let media = Crash::new();
        let file = durable(&media, "a", b"0");
        let before = media.count(Operation::Change);
        media.power_off_at(before + change);
        let result = file.write_at(0, b"1").and_then(|()| file.sync()).and_then(|()| media.remove("a"));
        (result.is_ok(), outcomes(&media, "a"))
    };
    let [gone, zero, one] = [None, Some(b"0".to_vec()), Some(b"1".to_vec())];
    assert_eq!(seen_at(0), (false, [zero.clone(), one.clone()].into()));
    assert_eq!(seen_at(1), (false, [zero, one.clone()].into()));
    assert_eq!(seen_at(2), (false, [gone.clone(), one.clone()].into()));
    assert_eq!(seen_at(3), (true, [gone, one].into()));
}

/// H12.
#[test]
fn identities_survive_crashes_but_not_copies() {
    let media = Crash::new();
    let file = durable(&media, "a", b"abc");
    let identity = |media: &Crash| media.open("a").unwrap().identity().unwrap().unwrap();
    let original = file.identity().unwrap().unwrap();
    assert_eq!(identity(&media.crash(1)), original);
    assert_eq!(identity(&media.crash(1).crash(2)), original);
    let copies = [media.copy(), media.copy(), media.crash(1).copy(), media.copy().crash(3)];
    let mut seen = vec![original];
    for copy in &copies {
        assert_eq!(read(copy, "a").unwrap(), b"abc");
        assert!(!seen.contains(&identity(copy)));
        seen.push(identity(copy));
    }
    let after = media.crash(1);
    after.remove("a").unwrap();
    drop(after.create("a", 1).unwrap());
    assert_ne!(identity(&after), original);
}

#[test]
fn flipped_bits_are_flipped_after_a_crash_too() {
    let media = Crash::new();
    let file = durable(&media, "a", b"aaaa");
    file.write_at(2, b"bb").unwrap();
    assert!(media.flip("a", 0, 1));
    assert!(media.flip("a", 3, 1));
    assert!(!media.flip("a", 4, 1));
    assert!(!media.flip("b", 0, 1));
    assert_eq!(read(&media, "a").unwrap(), b"`abc");
    for image in outcomes(&media, "a") {
        let image = image.unwrap();
        assert!(image[0] == b'`' && image[1] == b'a' && [b'`', b'c'].contains(&image[3]), "{image:?}");
    }
}

#[test]
fn a_cut_file_is_cut_after_a_crash_too() {
    let media = Crash::new();
    let file = durable(&media, "a", b"aaaa");
    file.write_at(2, b"bbbbb").unwrap();
    assert!(media.truncate("a", 3));
    assert!(!media.truncate("b", 3));
    assert_eq!(read(&media, "a").unwrap(), b"aab");
    for image in outcomes(&media, "a") {
        let image = image.unwrap();
        assert!(image == b"aab" || image == b"aaa", "{image:?}");
    }
}

#[test]
fn a_limit_is_a_full_disk() {
    let media = Crash::new();
    media.set_limit(10);
    let file = media.create("a", 8).unwrap();
    assert_eq!(media.create("b", 3).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(file.write_at(9, b"xy").unwrap_err().kind(), ErrorKind::StorageFull);
    file.write_at(7, b"xyz").unwrap();
    media.remove("a").unwrap();
    drop(file);
    media.create("b", 10).unwrap_err();
    media.sync_dir().unwrap();
    drop(media.create("b", 10).unwrap());
}

#[test]
fn what_a_file_says_of_itself_can_be_set() {
    let media = Crash::new();
    let file = media.create("a", 8).unwrap();
    media.set_warm(false);
    assert!(!file.is_warm(0..8));
    assert!(file.is_intact());
    assert!(media.poison("a"));
    assert!(!media.poison("b"));
    assert!(!file.is_intact());
}
