//! The readers against the writers; both are of the document.

use super::*;

#[test]
fn the_sum_is_the_documents() {
    assert_eq!(crc32c(&[b"12345", b"6789"]), 0xe306_9283);
}

fn record(key: &str, tags: &[&[u8]]) -> StoredRecord {
    StoredRecord {
        key: key.into(),
        tags: encode_tags(tags),
        vary: encode_fields(&[(b"accept-encoding", Some(b"br")), (b"x", None)]),
        body: b"body of it".to_vec(),
        status: 200,
        ..StoredRecord::default()
    }
}

#[test]
fn segments_come_back_sealed_and_open() {
    let mut records = [record("http://h/b", &[b"t"]), record("http://h/a", &[b"t", b"u"])];
    let bytes = write_segment(&mut records, true, 7, 3);
    let SegmentReading::Sealed(entries, true) = read_segment(&bytes, true, 7, 3) else { panic!("not sealed") };
    assert_eq!(entries.len(), 2);
    assert_eq!(read_segment(&bytes, true, 8, 3), SegmentReading::Removed);
    let SegmentReading::Open(open, end) = read_segment(&bytes, false, 7, 3) else { panic!("not open") };
    assert_eq!((open.as_slice(), end), (&records[..], records[1].at + records[1].len));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        match read_segment(&damaged, true, 7, 3) {
            // Padding between footer and trailer, and minor versions that a sum covers, are all that may change.
            SegmentReading::Sealed(found, _) => assert_eq!(found, entries, "{at}"),
            SegmentReading::Removed => {}
            SegmentReading::Open(..) => panic!("{at}"),
        }
    }
}

#[test]
fn kept_files_come_back_and_damage_shows() {
    let bytes = write_kept(b"kept");
    assert_eq!(read_kept(&bytes), Some(&b"kept"[..]));
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert_eq!(read_kept(&damaged), None, "{at}");
    }
}

#[test]
fn a_journal_without_its_checkpoints_end_does_not_count() {
    let header = JournalHeader {
        begin: 128,
        id: 1,
        epoch: 5,
        identity: Some((1, 1)),
        swept_upto: 0,
        reserved_upto: 9,
        previous: 0,
        position: 4,
        len: 256,
        salt: 77,
    };
    let state = [&0_u64.to_le_bytes()[..], &9_u64.to_le_bytes(), &0_u32.to_le_bytes(), &0_u64.to_le_bytes()].concat();
    let state = JournalRecord { kind: 1, position: 4, synced_upto: 0, payload: state };
    let end = JournalRecord { kind: 2, position: 4, synced_upto: 0, payload: 2_u64.to_le_bytes().to_vec() };
    let mut bytes = [header.write(), frame(77, &state)].concat();
    let half = [bytes.clone(), vec![0; 200]].concat();
    assert_eq!(read_journal(&half, 1), JournalReading::HalfMade(Some(header)));
    bytes.extend(frame(77, &end));
    assert_eq!(read_journal(&bytes, 1), JournalReading::Damaged, "shorter than it says");
    bytes.resize(256, 0);
    let JournalReading::Whole(whole) = read_journal(&bytes, 1) else { panic!("not whole") };
    assert_eq!((whole.next, whole.records, whole.torn), (10, 2, false));
    assert_eq!(read_journal(&bytes, 2), JournalReading::Damaged);
}
