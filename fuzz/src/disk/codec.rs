//! What is neither journal nor segment: purges as they are stored, the history, kept files, the sites.

use oust_reference::Entropy;
use oust_reference::format::{
    JournalRecord, read_history, read_kept, reseal_frames, write_history, write_kept, write_purge,
};

use super::damage;
use super::files::{Files, journal_name, sites};
use super::opened::Opened;
use super::scene::{self, EPOCH, NOW, Plan};

/// One directory.
pub fn records_codec(data: &[u8]) {
    let entropy = &mut Entropy::new(data);
    let mut files = Files::from([("sites".to_owned(), sites())]);
    let depth = scene::depth(entropy);
    let mut plan = Plan::any(entropy, 1, 0);
    // Purges in the journal: any bytes are some purge.
    for record in plan.records.iter_mut().filter(|record| record.kind == 3) {
        if entropy.one_in(2) {
            let mut rules = record.payload.split_off(16.min(record.payload.len()));
            damage::any(entropy, &mut rules);
            record.payload.extend(rules);
        }
    }
    files.insert(journal_name(1), plan.render());
    if entropy.one_in(2) {
        let bytes = history(entropy);
        files.insert("history.log".into(), bytes);
    }
    if entropy.one_in(2) {
        let bytes = kept(entropy);
        files.insert("kept-a".into(), bytes);
    }
    if entropy.one_in(3) {
        let mut text = entropy.pick(&[&b"h\0rules\n"[..], b"*\0changing\n", b"", b"a\n", b"\0\n", b"h\0"]).to_vec();
        if entropy.one_in(2) {
            damage::any(entropy, &mut text);
        }
        files.insert("sites".into(), write_kept(&text));
    }
    if entropy.one_in(3) {
        let left = entropy.pick(&["history.log.new", "sites.new", "kept-a.new", "lock2", "journal-1.log", "seg-1.seg"]);
        let bytes = entropy.stretched(40);
        files.insert(left.into(), bytes);
    }
    let opened = Opened::of(&files);
    let trusted = matches!(opened.view.verdict, super::view::Verdict::Trusted(_));
    told(&opened, &files, trusted.then_some(EPOCH));
    opened.conclude(vec![scene::purge(entropy, 1)], depth);
}

/// What the cache tells of the past and keeps for others is what is there, or nothing.
fn told(opened: &Opened, files: &Files, epoch: Option<u64>) {
    let kept = files.get("kept-a").map(|bytes| read_kept(bytes));
    let kept = kept.flatten();
    assert_eq!(opened.cache.kept("a").as_deref(), kept);
    let own = files.get("history.log").and_then(|bytes| read_history(bytes)).filter(|own| Some(own.epoch) == epoch);
    let in_force: Vec<u64> = opened.view.rules.iter().map(|rule| rule.seq).collect();
    for record in opened.cache.purge_records(None, 1000) {
        let known = own.as_ref().is_some_and(|own| own.purges.contains_key(&record.id.seq));
        let mine = in_force.contains(&record.id.seq) || record.id.seq > opened.view.newest;
        assert!(known || mine || opened.view.rules.is_empty(), "a purge that never was: {record:?}");
    }
    // Whatever the cache makes of it, it can keep and be opened again.
    opened.cache.keep("a", b"new").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(opened.cache.kept("a").as_deref(), Some(&b"new"[..]));
}

fn history(entropy: &mut Entropy<'_>) -> Vec<u8> {
    let salt = 0x77_0000_0001 + u64::from(entropy.byte());
    let mut records = Vec::new();
    for position in 1..=entropy.below(6) as u64 {
        let last = u64::from(entropy.byte() % 24);
        let mut payload = Vec::new();
        let kind = entropy.pick(&[1, 1, 1, 2, 130, 3]);
        if kind == 1 {
            payload.extend((last.saturating_sub(u64::from(entropy.byte() % 3))).to_le_bytes());
        }
        payload.extend(last.to_le_bytes());
        for _ in 0..6 {
            payload.extend((if entropy.one_in(3) { scene::number(entropy) } else { NOW - 9 }).to_le_bytes());
        }
        payload.push(entropy.byte() % 3);
        if kind == 1 {
            let mut purge = write_purge(&scene::purge(entropy, 1));
            if entropy.one_in(8) {
                damage::any(entropy, &mut purge);
            }
            payload.extend(purge);
        }
        if entropy.one_in(10) {
            damage::any(entropy, &mut payload);
        }
        let (position, synced_upto) =
            if entropy.one_in(16) { (scene::number(entropy), scene::number(entropy)) } else { (position, 0) };
        records.push(JournalRecord { kind, position, synced_upto, payload });
    }
    let mut bytes = write_history(if entropy.one_in(8) { EPOCH + 1 } else { EPOCH }, salt, 2048, &records);
    for _ in 0..entropy.below(3) {
        if entropy.one_in(2) {
            damage::any(entropy, &mut bytes);
            if entropy.one_in(2) {
                reseal_frames(&mut bytes, 64, salt);
            }
        } else {
            let (at, width) = entropy.pick(&[(8, 2), (10, 2), (12, 4), (16, 8), (24, 8), (32, 8), (40, 8), (48, 8)]);
            let value = scene::number(entropy);
            damage::set(&mut bytes, at, width, value);
            damage::reseal(&mut bytes, 60, 0..60);
        }
    }
    bytes
}

fn kept(entropy: &mut Entropy<'_>) -> Vec<u8> {
    let what = entropy.stretched(usize::from(entropy.clone().byte()));
    let mut bytes = write_kept(&what);
    match entropy.below(4) {
        0 => damage::any(entropy, &mut bytes),
        1 => {
            let (at, width) = entropy.pick(&[(0, 1), (8, 2), (10, 2), (16, 8), (12, 4)]);
            let value = scene::number(entropy);
            damage::set(&mut bytes, at, width, value);
            if let (Some(head), Some(rest)) = (bytes.get(..12), bytes.get(16..)) {
                let crc = oust_reference::format::crc32c(&[head, rest]);
                damage::set(&mut bytes, 12, 4, u64::from(crc));
            }
        }
        _ => {}
    }
    bytes
}

/// A directory that was never used is as good as any.
#[test]
fn an_empty_directory_opens() {
    drop(super::opened::build(&super::files::install(&Files::new())));
}
