//! Directories that the engine itself has made, in several lives, then damaged in several files at once.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use oust::freshness::Freshness;
use oust::{Fetch, Head, Key, Lookup};
use oust_reference::Entropy;
use oust_reference::format::StoredPurge;

use super::files::{Files, snapshot};
use super::opened::Opened;
use super::scene::{self, KEYS, VARIANTS, request};
use super::view::{Item, Verdict, View};
use super::{damage, inspected};

/// One directory.
pub fn directory(data: &[u8]) {
    let entropy = &mut Entropy::new(data);
    let depth = scene::depth(entropy);
    let mut files = Files::new();
    let mut stored = BTreeMap::new();
    for _ in 0..entropy.pick(&[1, 1, 2, 3]) {
        files = live(entropy, &files, &mut stored);
    }
    let mut older = files.clone();
    for _ in 0..entropy.below(4) {
        spoil(entropy, &mut files, &mut older);
    }
    let mut opened = Opened::of(&files);
    // What is served was stored once, under this key.
    for item in &opened.view.items {
        let known = stored.get(&item.record.body).is_some_and(|key| key.as_bytes() == item.record.key);
        assert!(known, "a record that nobody stored: {item:?}");
    }
    opened.check(true);
    let purges = (0..1 + entropy.below(2)).map(|_| scene::purge(entropy, 1)).collect();
    if entropy.one_in(3) {
        // What is stored anew takes the place of what was there.
        let key = entropy.pick(&KEYS);
        store(&opened, key, entropy.pick(&VARIANTS), b"anew".to_vec(), &[]);
        opened.view.items.retain(|item| item.record.key != key.as_bytes());
        let fresh = |variant: Option<&str>| {
            let record = oust_reference::format::StoredRecord {
                key: key.into(),
                body: b"anew".to_vec(),
                status: 200,
                stamp: opened.view.newest,
                vary: oust_reference::format::encode_fields(&if key.ends_with("/v") {
                    vec![(&b"accept-encoding"[..], variant.map(str::as_bytes))]
                } else {
                    Vec::new()
                }),
                ..Default::default()
            };
            Item { record, exact: true, mark: 0 }
        };
        let fresh: Vec<_> = VARIANTS.into_iter().map(fresh).collect();
        // By tags nobody takes it: it has none.
        opened.view.items.extend(fresh);
        opened.flush();
        opened.check(false);
        // Other variants of the key are of no concern any more.
    }
    opened.conclude(purges, depth);
}

/// One life of the directory; what was stored is noted by its body.
fn live(entropy: &mut Entropy<'_>, files: &Files, stored: &mut BTreeMap<Vec<u8>, &'static str>) -> Files {
    let opened = Opened::of(files);
    opened.check(true);
    for _ in 0..entropy.below(16) {
        match entropy.below(8) {
            0..=4 => {
                let (key, variant) = (entropy.pick(&KEYS), entropy.pick(&VARIANTS));
                let body = scene::body(stored.len() as u64, entropy.pick(&[20, 300, 3000, 40_000]));
                let tags: Vec<&[u8]> = [&b"t"[..], b"u"].into_iter().filter(|_| entropy.one_in(3)).collect();
                stored.insert(body.clone(), key);
                store(&opened, key, variant, body, &tags);
                // Asked for again, it is written.
                drop(opened.cache.lookup(&key_of(key), &request(variant)));
            }
            5 => {
                let purge = scene::purge(entropy, 1);
                let StoredPurge { act, selectors, edge, l2, .. } = purge;
                if let Some(selectors) = selectors.iter().map(crate::engine::selector).collect() {
                    let layers = oust::Layers { edge, l2 };
                    let purge = oust::Purge::batch(selectors).action(crate::engine::action(act)).layers(layers);
                    drop(opened.cache.purge(&purge));
                }
            }
            6 => opened.sweep(),
            _ => opened.flush(),
        }
    }
    if !entropy.one_in(3) {
        opened.flush();
    }
    // While it is open the newest segment may not be whole on the media; the journal is.
    let early = snapshot(&*opened.media);
    let Opened { cache, media, .. } = opened;
    drop(cache);
    let files = if entropy.one_in(4) { early } else { snapshot(&*media) };
    let view = View::of(&files);
    assert!(matches!(view.verdict, Verdict::Trusted(_)), "what a cache leaves is {:?}", view.verdict);
    assert!(view.items.iter().all(|item| item.exact), "a footer is not what the document says");
    inspected::check(&*super::files::install(&files), &files);
    files
}

fn key_of(text: &str) -> Key {
    Key::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn store(opened: &Opened, key: &str, variant: Option<&'static str>, body: Vec<u8>, tags: &[&[u8]]) {
    let mut fields = HeaderMap::new();
    fields.insert("x-version", HeaderValue::from(body.len()));
    if key.ends_with("/v") {
        fields.insert(http::header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    let head = Head::new(StatusCode::OK, fields);
    let fresh = Freshness::fresh_for(Duration::from_millis(scene::LONG.unsigned_abs()));
    if let Fetch::Lead(ticket) = match opened.cache.lookup(&key_of(key), &request(variant)) {
        Lookup::Deferred(deferred) => {
            drop(deferred.wait());
            opened.cache.fetch(&key_of(key), &request(variant), None)
        }
        _ => Fetch::Lead(opened.cache.fetch_alone(&key_of(key), &request(variant), None)),
    } {
        let _ = ticket.store(head, Bytes::from(body), fresh, tags);
    }
}

/// Damages a file or two; no sum is made right.
fn spoil(entropy: &mut Entropy<'_>, files: &mut Files, older: &mut Files) {
    let names: Vec<String> = files.keys().cloned().collect();
    if names.is_empty() {
        return;
    }
    let name = names[entropy.below(names.len())].clone();
    let other = names[entropy.below(names.len())].clone();
    match entropy.below(10) {
        0 => {
            files.remove(&name);
        }
        1 => {
            // One file's bytes under another's name.
            if let Some(bytes) = files.get(&other).cloned() {
                files.insert(name, bytes);
            }
        }
        2 => {
            // A segment that was not renamed, or was twice.
            if let Some(stem) = name.strip_suffix(".seg")
                && let Some(bytes) = files.get(&name).cloned()
            {
                files.insert(format!("{stem}.open"), bytes);
                if entropy.one_in(2) {
                    files.remove(&name);
                }
            }
        }
        3 => {
            if let Some(bytes) = older.remove(&name) {
                files.insert(name, bytes);
            }
        }
        _ => {
            if let Some(bytes) = files.get_mut(&name) {
                damage::any(entropy, bytes);
            }
        }
    }
}
