//! Writing, finding, replacing, bringing back.

use super::*;
use crate::disk::media::Memory;

#[test]
fn a_record_comes_back_as_it_was_from_buffer_file_and_map() {
    let media = Memory::new();
    let store = open(&media, options());
    let (vary, tags) = (vary("accept", "text/html"), tags(&["a", "b"]));
    let text = "http://h/d/x?q@@device=mobile";
    let appended = try_put(&store, text, &vary, &tags, 5).unwrap();
    let see = |store: &Store| {
        let records = get(store, text);
        let [record] = &records[..] else { panic!("one record") };
        assert_eq!((record.vary(), record.tags(), record.meta()), (&vary[..], &tags[..], &meta(5)));
        assert_eq!(id_of(record), appended.id);
    };
    see(&store);
    (0..20).for_each(|n| drop(put(&store, &format!("http://h/{n}"), 1)));
    see(&store);
    store.seal();
    see(&store);
    drop(store);
    see(&reopen(&media, options()));
}

#[test]
fn h8_an_append_replaces_its_variant_and_other_field_lists_only() {
    let media = Memory::new();
    let store = open(&media, options());
    let text = "http://h/x";
    let (en, de) = (vary("accept-language", "en"), vary("accept-language", "de"));
    let first = try_put(&store, text, &en, &[], 1).unwrap().id;
    try_put(&store, text, &de, &[], 2).unwrap();
    put(&store, "http://h/x@@v", 9);
    assert_eq!(seqs(&store, text), [1, 2]);
    assert_eq!(try_put(&store, text, &en, &[], 3).unwrap().superseded.to_vec(), [first]);
    assert_eq!(seqs(&store, text), [2, 3]);
    let other = try_put(&store, text, &vary("accept", "x"), &[], 4).unwrap();
    assert_eq!((other.superseded.len(), seqs(&store, text)), (2, vec![4]));
    assert_eq!(seqs(&store, "http://h/x@@v"), [9]);
    store.index.validate();
}

#[test]
fn superseding_takes_a_variant_a_key_or_a_url() {
    let media = Memory::new();
    let store = open(&media, options());
    let fill = || {
        for (n, value) in (1..).zip(["a", "b", "c"]) {
            try_put(&store, "http://h/x", &vary("accept", value), &[], n).unwrap();
        }
        put(&store, "http://h/x@@v", 4);
    };
    let x = key("http://h/x");
    fill();
    let taken = store.supersede(x.url_hash(), Which::Variant(x.hash(), variant_of(&vary("accept", "b"))));
    assert_eq!((taken.len(), seqs(&store, "http://h/x")), (1, vec![1, 3]));
    let taken = store.supersede(x.url_hash(), Which::Variant(x.hash(), variant_of(&vary("other", "b"))));
    assert_eq!(taken.len(), 2, "they vary on another field");
    assert_eq!((seqs(&store, "http://h/x"), seqs(&store, "http://h/x@@v")), (vec![], vec![4]));
    fill();
    assert_eq!(store.supersede(x.url_hash(), Which::Url).len(), 4);
    assert_eq!(store.stats().objects, 0);
    let mut dead = 0;
    store.marks(&mut |_, _, mark, _| dead += usize::from(mark == Mark::Dead));
    assert_eq!(dead, 8, "all are dead for the journal, the replaced one too");
}

#[test]
fn marks_only_rise_and_the_dead_are_not_found() {
    let media = Memory::new();
    let store = open(&media, options());
    let id = put(&store, "http://h/x", 1).id;
    let x = key("http://h/x");
    let found = || store.find(x.url_hash(), x.hash());
    assert!(store.set_mark(x.url_hash(), id, Mark::Soft, 77));
    assert!(!store.set_mark(x.url_hash(), id, Mark::Soft, 88));
    let candidate = found()[0];
    assert_eq!((candidate.mark, candidate.mark_at_ms), (Mark::Soft, Some(77)));
    assert!(store.set_mark(x.url_hash(), id, Mark::Invalidate, 99));
    assert!(!store.set_mark(x.url_hash(), id, Mark::Soft, 99));
    assert_eq!(store.candidate_of(&candidate).map(|now| now.mark), Some(Mark::Invalidate));
    (0..9).for_each(|_| store.bump_hit(&candidate));
    assert_eq!(found()[0].hits, 3);
    assert!(store.read(&candidate).is_ok() && found()[0].verified);
    assert!(matches!(store.read_warm(&found()[0]), Ok(Some(_))));
    let unverified = Candidate { verified: false, ..candidate };
    assert!(matches!(store.read_warm(&unverified), Ok(None)), "its sum is for a thread that may wait");
    let mut marks = Vec::new();
    store.marks(&mut |segment, ordinal, mark, at| marks.push((segment, ordinal, mark, at)));
    assert_eq!(marks, [(id.segment, id.ordinal, Mark::Invalidate, 99)]);
    assert!(store.set_mark(x.url_hash(), id, Mark::Dead, 0));
    assert!(found().is_empty() && store.candidate_of(&candidate).is_none());
    assert!(!store.set_mark(x.url_hash(), id, Mark::Dead, 0));
}

#[test]
fn i5_of_copies_in_several_segments_the_newest_write_stays_after_a_restart() {
    let media = Memory::new();
    let store = open(&media, options());
    let (en, de) = (vary("accept-language", "en"), vary("accept-language", "de"));
    for seq in 1..6 {
        try_put(&store, "http://h/x", &en, &[], seq).unwrap();
        store.seal();
        try_put(&store, "http://h/x", &de, &[], seq + 10).unwrap();
    }
    store.seal();
    drop(store);
    for order in 0..30 {
        let store = open(&media, options());
        if order % 2 == 1 {
            store.loading.lock().reverse();
        }
        let told = Mutex::new(0);
        std::thread::scope(|scope| {
            for _ in 0..=order / 8 {
                scope.spawn(|| store.load(&keep, &|_| *told.lock() += 1));
            }
        });
        assert!(!is_loading(&store));
        assert_eq!(*told.lock(), 8);
        assert_eq!(seqs(&store, "http://h/x"), [5, 15]);
    }
}

#[test]
fn h11_what_was_removed_or_written_while_loading_does_not_come_back() {
    let media = Memory::new();
    let store = open(&media, options());
    put(&store, "http://h/gone", 1);
    put(&store, "http://h/new", 1);
    put(&store, "http://h/stays", 1);
    store.seal();
    drop(store);
    let store = open(&media, options());
    assert!(is_loading(&store) && get(&store, "http://h/stays").is_empty());
    let gone = key("http://h/gone");
    assert!(store.supersede(gone.url_hash(), Which::Url).is_empty());
    put(&store, "http://h/new", 2);
    store.load(&keep, &|_| {});
    assert!(get(&store, "http://h/gone").is_empty());
    assert_eq!(seqs(&store, "http://h/new"), [2]);
    assert_eq!(seqs(&store, "http://h/stays"), [1]);
}

#[test]
fn loading_applies_what_the_judge_says() {
    let media = Memory::new();
    let store = open(&media, options());
    for name in ["dead", "soft", "fine"] {
        put(&store, &format!("http://h/{name}"), 3);
    }
    store.seal();
    drop(store);
    let store = open(&media, options());
    let judge = |loaded: Loaded<'_>| match loaded.key {
        b"http://h/dead" => None,
        b"http://h/soft" => Some(Judged { mark: Mark::Soft, mark_at_ms: Some(5) }),
        _ => keep(loaded),
    };
    store.load(&judge, &|_| {});
    assert!(get(&store, "http://h/dead").is_empty());
    let soft = key("http://h/soft");
    let found = store.find(soft.url_hash(), soft.hash());
    assert_eq!((found[0].mark, found[0].mark_at_ms), (Mark::Soft, Some(5)));
    let mut marks = 0;
    store.marks(&mut |_, _, _, _| marks += 1);
    assert_eq!(marks, 2);
}

#[test]
fn numbers_of_segments_only_rise() {
    let media = Memory::new();
    let store = open(&media, StoreOptions { first_segment: 77, ..options() });
    assert_eq!(put(&store, "http://h/x", 1).id.segment, 77);
    store.seal();
    drop(store);
    let store = reopen(&media, options());
    assert_eq!(put(&store, "http://h/y", 1).id.segment, 78);
}

#[test]
fn a_large_object_has_a_file_of_its_own() {
    let media = Memory::new();
    let store = open(&media, options());
    let body: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let body = [Bytes::from(body)];
    let key = key("http://h/large");
    let parts = RecordParts { meta: meta(1), key: key.text(), vary: &[], tags: &tags(&["t"]), head: b"", body: &body };
    put(&store, "http://h/small", 1);
    append(&store, &parts).unwrap();
    let read = |store: &Store| {
        let found = store.find(key.url_hash(), key.hash());
        assert_eq!(store.read(&found[0]).unwrap().body(), body[0]);
    };
    read(&store);
    store.seal();
    read(&store);
    assert_eq!(store.segments().len(), 2);
    drop(store);
    read(&reopen(&media, options()));
    let whole = inspect(&media, &|_| false).unwrap();
    assert!(whole.iter().all(|found| found.footer && found.records == 1 && found.damaged == 0 && !found.failed));
}
