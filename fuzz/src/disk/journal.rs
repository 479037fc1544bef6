//! Journals: written by the document, then changed record by record with good sums, or damaged.

use oust_reference::Entropy;
use oust_reference::format::{StoredRecord, reseal_frames, write_segment};

use super::files::{Files, HOME, journal_name, reseal_header, segment_name, sites};
use super::opened::Opened;
use super::scene::{self, EPOCH, KEYS, NOW, Plan};
use super::{damage, view};

/// One directory whose journal the input makes.
pub fn journal(data: &[u8]) {
    let entropy = &mut Entropy::new(data);
    let (depth, purges) = (scene::depth(entropy), vec![scene::purge(entropy, 1)]);
    let mut files = Files::from([("sites".to_owned(), sites())]);
    stored(&mut files);
    let count = 1 + entropy.below(3) as u64 / 2;
    for id in 1..=count {
        let previous = if entropy.one_in(6) { scene::number(entropy) } else { id - 1 };
        let mut plan = Plan::any(entropy, id, previous);
        for _ in 0..entropy.below(4) {
            change(entropy, &mut plan);
        }
        let mut bytes = plan.render();
        for _ in 0..entropy.below(3) {
            if entropy.one_in(2) {
                damage::any(entropy, &mut bytes);
                if entropy.one_in(3) && bytes.len() > 128 {
                    reseal_header(&mut bytes);
                    let begin = plan.header.begin.clamp(128, 4096) as usize;
                    reseal_frames(&mut bytes, begin, plan.header.salt);
                }
            } else {
                header_field(entropy, &mut bytes);
            }
        }
        files.insert(journal_name(id), bytes);
    }
    if std::env::var_os("OUST_FUZZ_TRACE").is_some() {
        for (id, bytes) in view::journals(&files) {
            eprintln!("journal {id}: {:#?}", oust_reference::format::read_journal(bytes, id));
        }
    }
    Opened::of(&files).conclude(purges, depth);
}

/// One object for each key, so that every rule and mark has something to take.
fn stored(files: &mut Files) {
    let now = i64::try_from(NOW).unwrap_or(0);
    let mut records: Vec<StoredRecord> = (1..)
        .zip(KEYS)
        .map(|(number, key)| StoredRecord {
            write: number,
            stamp: 4 + number,
            born_ms: now - 1000,
            expires_ms: now + scene::LONG,
            status: 200,
            key: key.into(),
            tags: oust_reference::format::encode_tags(if number % 2 == 0 { &[b"t"] } else { &[b"u"] }),
            head: scene::head(number),
            body: scene::body(number, 40),
            ..StoredRecord::default()
        })
        .collect();
    let mut later = records.split_off(3);
    files.insert(segment_name(1, true), write_segment(&mut records, true, EPOCH, 1));
    files.insert(segment_name(2, false), write_segment(&mut later, false, EPOCH, 2));
}

/// Changes the plan: every sum will be right.
fn change(entropy: &mut Entropy<'_>, plan: &mut Plan) {
    let at = entropy.below(plan.records.len().max(1));
    let count = plan.records.len();
    if count == 0 {
        return;
    }
    match entropy.below(10) {
        0 => {
            plan.records.remove(at);
        }
        1 => plan.records.swap(at, (at + 1) % count),
        2 => {
            let again = plan.records[at].clone();
            plan.records.insert(at, again);
        }
        3 => plan.records[at].kind = entropy.pick(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 127, 128, 255]),
        4 => plan.records[at].position = scene::number(entropy),
        5 => plan.records[at].synced_upto = scene::number(entropy),
        6 | 7 => {
            // A number in the payload, wherever one may stand.
            let payload = &mut plan.records[at].payload;
            let within = entropy.pick(&[0, 8, 16, 20, 4, 9, 17, 3]);
            let (width, value) = (entropy.pick(&[8, 4, 1]), scene::number(entropy));
            damage::set(payload, within, width, value);
        }
        8 => {
            let mut payload = std::mem::take(&mut plan.records[at].payload);
            damage::any(entropy, &mut payload);
            plan.records[at].payload = payload;
        }
        _ => plan.records.truncate(at),
    }
}

fn header_field(entropy: &mut Entropy<'_>, bytes: &mut [u8]) {
    let field = entropy.below(14);
    let value = if field == 5 && entropy.one_in(2) { HOME.0 + 1 } else { scene::number(entropy) };
    match field {
        0 => damage::set(bytes, 8, 2, value),
        1 => damage::set(bytes, 10, 2, value),
        2 => damage::set(bytes, 12, 4, value),
        3 => damage::set(bytes, 0, 1, value),
        field => damage::set(bytes, 16 + 8 * (field - 4), 8, value),
    }
    if !entropy.one_in(8) {
        reseal_header(bytes);
    }
}
