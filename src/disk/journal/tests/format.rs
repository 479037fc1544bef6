//! The bytes that `docs/format.md` describes, put together by hand.

use super::super::record::{FRAME, Frame, Header, kind, put, seal};
use super::*;
use crate::disk::Identity;

#[test]
fn a_header_is_as_the_format_says() {
    let header = Header {
        id: 3,
        epoch: 0x001f_2e3d_4c5b_6a79,
        identity: Some(Identity { inode: 77, born_ns: 99 }),
        swept_upto: 10,
        reserved_upto: 1 << 20,
        previous: 2,
        position: 1234,
        len: 64 << 20,
        salt: 0x1122_3344_5566_7788,
        begin: 128,
    };
    let mut expected = b"OUSTJRNL\x01\0\0\0\x80\0\0\0".to_vec();
    for field in [3, 0x001f_2e3d_4c5b_6a79, 1, 77, 99, 10, 1 << 20, 2, 1234, 64 << 20, 0x1122_3344_5566_7788_u64] {
        expected.extend_from_slice(&field.to_le_bytes());
    }
    expected.resize(124, 0);
    expected.extend_from_slice(&crc32c::crc32c(&expected).to_le_bytes());
    assert_eq!(header.encode(), expected);
    assert_eq!(Header::decode(&expected).as_ref(), Ok(&header));
    let unknown = Header { identity: None, ..header };
    assert_eq!(Header::decode(&unknown.encode()), Ok(unknown));
    assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
}

#[test]
fn a_record_is_as_the_format_says() {
    let salt: u64 = 0x1122_3344_5566_7788;
    let mut records = Vec::new();
    for position in [5, 6] {
        put(&mut records, kind::SWEPT, position, 8, |out| out.extend_from_slice(&42_u64.to_le_bytes()));
    }
    seal(&mut records, salt, 4);

    let mut covered = b"\x08\0\0\0\x05\0\0\0\x05\0\0\0\0\0\0\0\x04\0\0\0\0\0\0\0".to_vec();
    covered.extend_from_slice(&42_u64.to_le_bytes());
    let crc = crc32c::crc32c(&[&salt.to_le_bytes()[..], &covered].concat());
    let expected = [&0x5566_7788_u32.to_le_bytes()[..], &crc.to_le_bytes(), &covered].concat();
    assert_eq!(records[..FRAME + 8], expected);

    let frame = Frame::at(&records, FRAME + 8, salt).unwrap();
    assert_eq!((frame.position, frame.synced_upto, frame.kind, frame.next), (6, 4, kind::SWEPT, records.len()));
    assert!(Frame::at(&records, 0, salt ^ 1 << 40).is_none(), "all of the salt is checked");
    assert!(Frame::witness(&records, 0, salt, 4) && !Frame::witness(&records, 0, salt, 5));
}

#[test]
fn a_file_is_header_checkpoint_and_records() {
    let media = Crash::new();
    let (journal, _) = open(&media);
    journal.append_all(&[mark(1, 2, 3), mark(1, 3, 3), Entry::Swept { upto: 9 }, mark(1, 4, 3)]);
    journal.sync(purge(&journal, 10, b"rule")).unwrap();
    let (_, bytes) = newest(&media);
    let header = Header::decode(&bytes).unwrap();
    let mut records = Vec::new();
    let mut at = HEADER;
    while let Some(frame) = Frame::at(&bytes, at, header.salt) {
        records.push((frame.kind, frame.position, frame.synced_upto, frame.payload.len()));
        at = frame.next;
    }
    let expected = [
        (kind::STATE, 1, 0, 28),
        (kind::END, 1, 0, 8),
        (kind::MARKS, 2, 1, 34),
        (kind::SWEPT, 3, 1, 8),
        (kind::MARKS, 4, 1, 17),
        (kind::PURGE, 5, 1, 20),
    ];
    assert_eq!(records, expected);
    assert!(bytes[at..].iter().all(|byte| *byte == 0));
}
