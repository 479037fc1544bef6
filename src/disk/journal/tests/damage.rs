//! What is a torn tail, what is damage, and what is a copy.

use super::*;

/// A file with three purges synced one after the other, and where each ends.
fn file() -> (Crash, u64, Vec<u8>, Vec<usize>) {
    let media = Crash::new();
    let (journal, _) = open(&media);
    let mut ends = vec![usize::try_from(journal.stats().bytes).unwrap()];
    for seq in 1..=3 {
        journal.sync(purge(&journal, seq, format!("payload {seq}").as_bytes())).unwrap();
        ends.push(usize::try_from(journal.stats().bytes).unwrap());
    }
    let (id, bytes) = newest(&media);
    (media, id, bytes, ends)
}

fn purges(reading: &Reading) -> Option<usize> {
    match reading {
        Reading::Whole(contents) => Some(contents.live.purges.len()),
        Reading::HalfMade(_) | Reading::Damaged { .. } => None,
    }
}

#[test]
fn a_tail_torn_at_any_byte_is_cut() {
    let (_, id, bytes, ends) = file();
    for cut in ends[2]..ends[3] {
        let mut torn = bytes.clone();
        torn[cut..].fill(0);
        let reading = Reading::of(&torn, id);
        assert_eq!(purges(&reading), Some(2), "cut at {cut}: {reading:?}");
        torn[cut..].fill(0xa5);
        assert_eq!(purges(&Reading::of(&torn, id)), Some(2), "garbage from {cut} on");
    }
    for at in ends[2]..ends[3] {
        let mut torn = bytes.clone();
        torn[at] ^= 1;
        assert_eq!(purges(&Reading::of(&torn, id)), Some(2), "bit flipped at {at}");
    }
    assert_eq!(purges(&Reading::of(&bytes, id)), Some(3));
}

#[test]
fn a_torn_tail_is_never_appended_to() {
    let (media, id, _, ends) = file();
    assert!(media.flip(&file_name(id), u64::try_from(ends[3]).unwrap() - 1, 1));
    let (journal, replayed) = open(&media);
    assert_eq!((seqs(&replayed), replayed.distrust), (vec![(1, 1), (2, 2)], None));
    journal.sync(purge(&journal, 70, b"")).unwrap();
    assert_eq!(media.names(), [file_name(id + 1)]);
    drop(journal);
    assert_eq!(seqs(&open(&media).1), [(1, 1), (2, 2), (70, 70)]);
}

#[test]
fn g5_a_bad_record_that_had_been_synced_is_damage() {
    let (_, id, bytes, ends) = file();
    for at in 0..ends[2] {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        let reading = Reading::of(&damaged, id);
        assert!(matches!(reading, Reading::Damaged { .. }), "bit flipped at {at}: {reading:?}");
    }
    for begin in (0..ends[2]).step_by(8) {
        let mut damaged = bytes.clone();
        damaged[begin..ends[2]].fill(0);
        let reading = Reading::of(&damaged, id);
        assert!(matches!(reading, Reading::Damaged { .. }), "zeros from {begin} on: {reading:?}");
    }
    assert!(matches!(Reading::of(&bytes[..bytes.len() - 1], id), Reading::Damaged { .. }), "a file cut short");
    assert!(matches!(Reading::of(&bytes, id + 1), Reading::Damaged { .. }), "a file of another name");
}

#[test]
fn a_damaged_journal_starts_anew_with_another_epoch() {
    let (media, id, _, ends) = file();
    let before = inspect(&media).unwrap();
    let FileState::Whole { header, .. } = &before.files[0].state else { panic!("{before:?}") };
    assert!(media.flip(&file_name(id), u64::try_from(ends[1]).unwrap() - 1, 1));
    let inspection = inspect(&media).unwrap();
    assert!(matches!(inspection.files[0].state, FileState::Damaged(_)));
    let (journal, replayed) = open(&media);
    let reason = replayed.distrust.unwrap();
    assert!(reason.contains(&file_name(id)) && reason.contains(&format!("byte {}", ends[0])), "{reason}");
    assert_eq!(inspection.distrust, Some(reason));
    assert!(replayed.purges.is_empty() && !replayed.fresh);
    assert_ne!(replayed.epoch, header.epoch);
    drop(journal);
    assert_eq!(open(&media).1.distrust, None, "once");
}

#[test]
fn bytes_of_a_payload_do_not_pass_for_a_record() {
    let (_, _, other, ends) = file();
    let media = Crash::new();
    let (journal, _) = open(&media);
    let forged = &other[ends[2]..ends[3]];
    journal.sync(purge(&journal, 1, forged)).unwrap();
    let end = usize::try_from(journal.stats().bytes).unwrap();
    let (id, mut bytes) = newest(&media);
    let head = end - forged.len() - 16 - super::super::record::FRAME;
    bytes[head] ^= 1;
    assert_eq!(purges(&Reading::of(&bytes, id)), Some(0), "a record of another file is no witness");
}

#[test]
fn a_half_made_file_beside_a_good_one_does_not_count() {
    let (media, id, bytes, _) = file();
    let making = media.create(&file_name(id + 1), 4096).unwrap();
    for used in [0, 8, HEADER - 1, HEADER, HEADER + 1, HEADER + 40] {
        let mut half = bytes.clone();
        half[used..].fill(0);
        // The header of a real one bears its own number.
        let decoded = super::super::record::Header::decode(&half);
        if let Ok(header) = decoded {
            let header = super::super::record::Header { id: id + 1, previous: id, ..header };
            half[..HEADER].copy_from_slice(&header.encode());
        }
        making.write_at(0, &half).unwrap();
        let copy = media.crash(1);
        assert!(!matches!(inspect(&media).unwrap().files[0].state, FileState::Damaged(_)), "{used}");
        drop(copy);
        let found = super::super::replay::Survey::of(&media, false).unwrap();
        assert_eq!(found.distrust, None, "{used}");
        assert_eq!(found.contents.unwrap().header.id, id);
    }
    drop(making);
    let (journal, replayed) = open(&media);
    assert_eq!(replayed.purges.len(), 3);
    assert_eq!(media.names(), [file_name(id + 2)]);
    drop(journal);
}

#[test]
fn a_file_that_is_missing_in_between_is_damage() {
    let (media, id, bytes, _) = file();
    let header = super::super::record::Header::decode(&bytes).unwrap();
    let header = super::super::record::Header { id: id + 2, previous: id + 1, ..header };
    media.create(&file_name(id + 2), 4096).unwrap().write_at(0, &header.encode()).unwrap();
    let reason = open(&media).1.distrust.unwrap();
    assert!(reason.contains(&file_name(id + 1)), "{reason}");

    let media = Crash::new();
    media.create(&file_name(id + 2), 4096).unwrap().write_at(0, &header.encode()).unwrap();
    assert!(open(&media).1.distrust.is_some(), "the only file was to take the place of another");
}

#[test]
fn a_file_of_another_major_version_is_not_trusted() {
    let (media, id, mut bytes, _) = file();
    bytes[8] = 2;
    let crc = crc32c::crc32c(&bytes[..HEADER - 4]);
    for sound in [true, false] {
        if sound {
            bytes[HEADER - 4..HEADER].copy_from_slice(&crc.to_le_bytes());
        } else {
            bytes[HEADER - 4] ^= 1;
        }
        media.open(&file_name(id)).unwrap().write_at(0, &bytes).unwrap();
        let reason = inspect(&media).unwrap().distrust.unwrap();
        assert!(reason.contains("version 2 is unknown"), "{reason}");
    }
}

#[test]
fn h12_a_copied_directory_is_not_trusted_unless_told_to() {
    let (media, _, _, _) = file();
    let epoch = open(&media).1.epoch;
    let copy = open(&media.copy()).1;
    assert!(copy.distrust.unwrap().contains("copy"));
    assert!(copy.purges.is_empty() && copy.epoch != epoch);

    let adopted = media.copy();
    let replayed = open_with(&adopted, &Options { adopt: true, ..options() }).1;
    assert_eq!((replayed.distrust, replayed.epoch, replayed.purges.len()), (None, epoch, 3));
    assert_eq!(open(&adopted).1.distrust, None, "an adopted directory is its own");
}

#[test]
fn a_journal_is_started_anew_when_told_to() {
    let (media, _, _, _) = file();
    let replayed = open_with(&media, &Options { distrust: true, ..options() }).1;
    assert!(replayed.distrust.is_some() && replayed.purges.is_empty() && !replayed.fresh);
    assert_eq!(media.names().len(), 1);
}

#[test]
fn any_bytes_are_read_without_a_panic() {
    let (_, id, bytes, ends) = file();
    let mut seed: u64 = 1;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap()
    };
    for _ in 0..20_000 {
        let mut mutated = bytes[..random() % (ends[3] + 40)].to_vec();
        for _ in 0..random() % 4 {
            if !mutated.is_empty() {
                let at = random() % mutated.len();
                mutated[at] = u8::try_from(random() & 255).unwrap();
            }
        }
        drop(Reading::of(&mutated, id));
    }
}

#[test]
fn records_with_a_right_checksum_and_wrong_contents_are_damage() {
    use super::super::record::{kind, put, put_u64, seal};
    let (_, id, bytes, ends) = file();
    let header = super::super::record::Header::decode(&bytes).unwrap();
    let last = match Reading::of(&bytes, id) {
        Reading::Whole(contents) => contents.position,
        other => panic!("{other:?}"),
    };
    let with = |kind: u8, position: u64, payload: &[u8]| {
        let mut records = Vec::new();
        put(&mut records, kind, position, payload.len(), |out| out.extend_from_slice(payload));
        seal(&mut records, header.salt, last);
        let mut file = bytes.clone();
        file[ends[3]..ends[3] + records.len()].copy_from_slice(&records);
        Reading::of(&file, id)
    };
    for (kind, length) in [
        (kind::PURGE, 15),
        (kind::MARKS, 16),
        (kind::SWEPT, 9),
        (kind::DROPPED, 3),
        (kind::RESERVED, 0),
        (kind::CLOSED, 7),
        (kind::STATE, 28),
        (kind::END, 8),
        (0, 0),
        (9, 1),
        (127, 8),
    ] {
        let reading = with(kind, last + 1, &vec![1; length]);
        assert!(matches!(reading, Reading::Damaged { .. }), "{kind} {length}: {reading:?}");
    }
    let batch = |first: u64, last: u64| [first.to_le_bytes(), last.to_le_bytes()].concat();
    for payload in [batch(0, 4), batch(5, 4), batch(4, u64::MAX), batch(4, (1 << 60) + 1)] {
        let reading = with(kind::PURGE, last + 1, &payload);
        assert!(matches!(reading, Reading::Damaged { .. }), "{payload:?}: {reading:?}");
    }
    assert!(matches!(with(kind::RESERVED, last + 1, &u64::MAX.to_le_bytes()), Reading::Damaged { .. }));
    assert_eq!(purges(&with(kind::PURGE, last + 1, &batch(4, 1 << 60))), Some(4));
    assert_eq!(purges(&with(kind::OPTIONAL, last + 1, b"later minor versions")), Some(3));
    assert_eq!(purges(&with(kind::SWEPT, last + 2, &[0; 8])), Some(3), "a record out of its place is none");
    let mut out = Vec::new();
    put_u64(&mut out, kind::SWEPT, 1, 1);
    assert_eq!(out.len(), 40);
}

#[test]
fn a_batch_that_is_swept_is_not_in_force_wherever_it_stands() {
    let media = Crash::new();
    let (journal, _) = open(&media);
    purge(&journal, 9, b"later");
    journal.append(Entry::Swept { upto: 5 });
    purge(&journal, 3, b"earlier");
    journal.append(Entry::Purge { first: 4, last: 7, payload: b"" });
    journal.append(Entry::Swept { upto: 7 });
    journal.flush().unwrap();
    drop(journal);
    let (id, bytes) = newest(&media);
    assert_eq!(purges(&Reading::of(&bytes, id)), Some(1));
    assert_eq!(seqs(&open(&media).1), [(9, 9)]);
}

#[test]
fn a_checkpoint_has_its_state_first_and_once() {
    use super::super::record::{kind, put, put_u64, seal};
    let (_, id, bytes, _) = file();
    let header = super::super::record::Header::decode(&bytes).unwrap();
    let reading = |kinds: &[u8]| {
        let mut records = Vec::new();
        for &kind in kinds {
            let payload: &[u8] =
                if kind == kind::STATE { &[0; 28] } else { &[1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0] };
            put(&mut records, kind, header.position, payload.len(), |out| out.extend_from_slice(payload));
        }
        put_u64(&mut records, kind::END, header.position, kinds.len() as u64 + 1);
        seal(&mut records, header.salt, 0);
        let begin = usize::try_from(header.begin).unwrap();
        let mut file = bytes.clone();
        file[begin..].fill(0);
        file[begin..begin + records.len()].copy_from_slice(&records);
        Reading::of(&file, id)
    };
    assert_eq!(purges(&reading(&[kind::STATE, kind::PURGE])), Some(1));
    for kinds in [&[][..], &[kind::PURGE], &[kind::PURGE, kind::STATE], &[kind::STATE, kind::STATE]] {
        assert!(matches!(reading(kinds), Reading::Damaged { .. }), "{kinds:?}");
    }
}
