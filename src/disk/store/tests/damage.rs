//! Total decoding: whatever the bytes are, no panic and never a wrong body.

use super::record::{Place, decode, encode};
use super::*;
use crate::disk::media::{Crash, Memory};

#[test]
fn a_damaged_record_is_an_error() {
    let body = [Bytes::from(vec![7; 1000])];
    let (vary, tags) = (vary("accept", "x"), tags(&["t"]));
    let parts = RecordParts { meta: meta(9), key: b"http://h/x", vary: &vary, tags: &tags, head: b"h: v", body: &body };
    let mut bytes = Vec::new();
    encode(&parts, Place { epoch: 1, segment: 2, ordinal: 3, write: 4 }, &mut bytes);
    let whole = decode(&bytes, 1, 2, 3).unwrap();
    assert!(whole.body_is_sound(&bytes) && whole.total == bytes.len() && bytes.len() % 16 == 0);
    for wrong in [(0, 2, 3), (1, 0, 3), (1, 2, 0)] {
        assert!(decode(&bytes, wrong.0, wrong.1, wrong.2).is_err());
    }
    let covered = |at: usize| at < whole.head.end || whole.body.contains(&at);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            bytes[at] ^= 1 << bit;
            let sound = decode(&bytes, 1, 2, 3).is_ok_and(|decoded| decoded.body_is_sound(&bytes));
            assert!(!sound || !covered(at), "byte {at}");
            bytes[at] ^= 1 << bit;
        }
        assert!(decode(&bytes[..at], 1, 2, 3).is_err());
    }
    let mut random = Random(1);
    for _ in 0..20_000 {
        let mut noise = bytes.clone();
        for _ in 0..=random.below(20) {
            let at = usize::try_from(random.below(200)).unwrap();
            noise[at] = random.next().to_le_bytes()[0];
        }
        let sound = decode(&noise, 1, 2, 3).is_ok_and(|decoded| decoded.body_is_sound(&noise));
        assert!(!sound || noise[..whole.head.end] == bytes[..whole.head.end]);
    }
}

fn filled() -> Crash {
    let media = Crash::new();
    let store = open(&media, options());
    for n in 0..60 {
        let tags = tags(&[["a", "b"][n % 2]]);
        try_put(&store, &format!("http://h{}/d/{n}", n % 3), &[], &tags, 1 + n as u64).unwrap();
    }
    store.seal();
    media
}

fn check_all(store: &Store) -> usize {
    (0..60).map(|n| get(store, &format!("http://h{}/d/{n}", n % 3)).len()).sum()
}

#[test]
fn flipped_bits_never_make_a_wrong_body() {
    let mut lost = 0;
    for seed in 0..600 {
        let mut random = Random(seed);
        let media = filled();
        let names = media.names();
        for _ in 0..=random.below(3) {
            let name = &names[usize::try_from(random.below(names.len() as u64)).unwrap()];
            // Often where headers and the footer are.
            let at = if seed % 3 == 0 { (16 << 10) - 1 - random.below(3000) } else { random.below(16 << 10) };
            assert!(media.flip(name, at, 1 << random.below(8)));
        }
        let store = reopen(&media, options());
        let found = check_all(&store);
        lost += usize::from(found < 60);
        for info in store.segments() {
            store.visit(info.id, Scope::Everything, &mut |_| {});
        }
        let again = check_all(&store);
        assert_eq!(found, again, "what is damaged has left the index");
        store.index.validate();
    }
    assert!(lost > 100);
}

#[test]
fn damage_under_an_open_store_is_a_miss_and_a_counter() {
    let media = filled();
    let store = reopen(&media, options());
    let found = key("http://h0/d/0");
    let candidate = store.find(found.url_hash(), found.hash())[0];
    assert!(media.flip(&media.names()[0], segment::DATA_AT + 200, 1));
    assert!(matches!(store.read(&candidate), Err(ReadError::Damaged)));
    assert!(store.find(found.url_hash(), found.hash()).is_empty());
    assert_eq!((store.stats().damaged, check_all(&store)), (1, 59));
    let damaged: u64 = inspect(&media, &|_| false).unwrap().iter().map(|found| found.damaged).sum();
    assert_eq!(damaged, 1);
}

#[test]
fn foreign_and_truncated_files_are_removed_and_others_left_alone() {
    let media = filled();
    let names = media.names();
    assert!(media.truncate(&names[0], 9000));
    media.create("seg-0000ffff.seg", 20_000).unwrap().write_at(0, &[9; 20_000]).unwrap();
    media.create("seg-0000fffe.open", 0).unwrap();
    media.create("journal-1", 10).unwrap();
    let store = reopen(&media, options());
    let left = check_all(&store);
    assert!(left > 0 && left < 60);
    assert_eq!(media.names().iter().filter(|name| name.starts_with("seg-")).count(), store.segments().len());
    assert!(media.names().contains(&"journal-1".to_owned()));
    assert!(put(&store, "http://h/x", 1).id.segment > 0xffff);
}

#[test]
fn h12_segments_of_another_epoch_are_removed() {
    let media = filled();
    let store = reopen(&media, StoreOptions { epoch: 43, ..options() });
    assert_eq!((check_all(&store), store.segments().len(), media.names().len()), (0, 0, 0));
}

#[test]
fn an_unsealed_segment_comes_back_up_to_the_first_bad_record() {
    let media = Memory::new();
    let store = open(&media, StoreOptions { buffer: 1, ..options() });
    let ids: Vec<_> = (0..12).map(|n| put(&store, &format!("http://h/{n}"), n + 1).id).collect();
    assert!(ids.iter().all(|id| id.segment == ids[0].segment));
    store.segment(ids[0].segment).unwrap().flush(1).unwrap();
    let at = store.segment(ids[0].segment).unwrap().places.read().range(8).unwrap();
    drop(store);
    let file = media.open("seg-00000001.open").unwrap();
    let mut byte = [0];
    file.read_at(at.start + 140, &mut byte).unwrap();
    file.write_at(at.start + 140, &[byte[0] ^ 1]).unwrap();
    let store = reopen(&media, options());
    for n in 0..12 {
        assert_eq!(get(&store, &format!("http://h/{n}")).len(), usize::from(n < 8));
    }
    assert_eq!(media.list().unwrap(), ["seg-00000001.seg"]);
    drop(store);
    assert_eq!(get(&reopen(&media, options()), "http://h/7").len(), 1);
}
