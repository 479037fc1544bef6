//! Directories of caches, looked at afterwards.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};

use super::*;
use crate::clock::ManualClock;
use crate::config::L2Config;
use crate::disk::media::{Crash, Operation};
use crate::freshness::Freshness;
use crate::purge::Purge;
use crate::{Cache, Config, Fetch, Head, Key};

fn cache(media: &Crash) -> Cache {
    let l2 = L2Config::media(Arc::new(media.clone()), 32 << 20).segment_size(1 << 20);
    let config = Config::new().edge_size(16 << 20).background_sweep(false).clock(Arc::new(ManualClock::new(7_000)));
    config.l2(l2).build().unwrap()
}

fn keep(cache: &Cache, url: &str) {
    let key = Key::parse(url.as_bytes()).unwrap();
    let Fetch::Lead(ticket) = cache.fetch(&key, &HeaderMap::new(), None) else { panic!("does not lead") };
    let freshness = Freshness::fresh_for(std::time::Duration::from_secs(60));
    let mut fill = ticket.respond(Head::new(StatusCode::OK, HeaderMap::new()), Some(4), Some(freshness), &[]);
    fill.write(bytes::Bytes::from_static(b"body"));
    fill.finish();
    drop(cache.lookup(&key, &HeaderMap::new()));
    cache.flush().unwrap();
}

/// Three objects, one of them swept, one purge in force.
fn used() -> Crash {
    let media = Crash::new();
    let cache = cache(&media);
    for url in ["http://h/a", "http://h/b", "http://h/c"] {
        keep(&cache, url);
    }
    cache.purge(&Purge::new(Selector::Url("http://h/a".into()))).unwrap();
    cache.sweep();
    let selectors = vec![Selector::Host("h".into()), Selector::Tag("t".into())];
    let layers = Layers { edge: false, l2: true };
    cache.purge(&Purge::batch(selectors).action(Action::Invalidate).layers(layers).by("ci")).unwrap();
    cache.keep("tasks", b"tasks").unwrap();
    drop(cache);
    media.crash(0)
}

#[test]
fn a_directory_is_told_as_it_is_and_nothing_is_written() {
    let media = used();
    let changes = media.count(Operation::Change);
    let found = super::media(&media).unwrap();
    assert_eq!(media.count(Operation::Change), changes);
    assert_eq!(found.distrust, None);
    let file = found.journal.iter().find(|file| file.counts).unwrap();
    let JournalState::Whole(journal) = &file.state else { panic!("{file:?}") };
    assert_eq!((journal.swept_upto, journal.closed, journal.torn), (1, Some(3), false));
    assert!(journal.reserved_upto > 3 && journal.used < file.size && journal.marks == 1);
    let rules = &journal.purges[0];
    let asked = rules.purge.as_ref().unwrap();
    assert_eq!((journal.purges.len(), rules.first, rules.last), (1, 2, 3));
    assert_eq!(asked.selectors, [Selector::Host("h".into()), Selector::Tag("t".into())]);
    assert_eq!((asked.action, asked.by.as_str(), asked.created_ms), (Action::Invalidate, "ci", 7_000));
    assert_eq!(asked.layers, Layers { edge: false, l2: true });
    let records: u64 = found.segments.iter().map(|segment| segment.records).sum();
    assert_eq!((records, found.totals.dead, found.totals.damaged, found.totals.rules), (3, 1, 0, 2));
    for segment in &found.segments {
        assert!(segment.sound && segment.used && segment.sealed && !segment.failed);
        assert_eq!(segment.epoch, Some(journal.epoch));
        assert!(segment.fill < segment.size);
    }
    let history = found.history.as_ref().unwrap();
    assert_eq!((history.epoch, history.purges, &history.damaged), (Some(journal.epoch), 2, &None));
    let kept: Vec<_> = found.kept.iter().map(|file| (file.name.as_str(), file.sound)).collect();
    assert_eq!(kept, [("kept-tasks", true), ("sites", true)]);
    let sizes = media.names().iter().map(|name| media.open(name).unwrap().size().unwrap()).sum::<u64>();
    assert_eq!(found.totals.bytes, sizes);
}

#[test]
fn a_copy_would_not_be_trusted() {
    let found = media(&used().copy()).unwrap();
    assert!(found.distrust.unwrap().contains("copy"));
    assert!(found.journal.iter().all(|file| !file.counts) && found.segments.iter().all(|segment| !segment.used));
    assert_eq!((found.totals.records, found.totals.dead, found.totals.rules), (3, 1, 0));
}

#[test]
fn damage_is_told_and_is_no_error() {
    let media = used();
    for name in media.names() {
        assert!(media.flip(&name, if name.starts_with("seg-") { 64 + 130 } else { 17 }, 4), "{name}");
    }
    let found = super::media(&media).unwrap();
    assert!(found.distrust.is_some() && matches!(found.journal[0].state, JournalState::Damaged(_)));
    assert!(found.totals.damaged == found.segments.len() as u64 && !found.segments[0].sound);
    assert!(found.history.unwrap().damaged.is_some());
    assert!(found.kept.iter().all(|file| !file.sound));
}

#[test]
fn an_empty_media_has_nothing() {
    let found = media(&Crash::new()).unwrap();
    assert_eq!((found.journal.len(), found.totals, found.distrust), (0, Totals::default(), None));
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_in_use_is_refused() {
    use crate::disk::media::{Access, Directory};
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("l2");
    assert!(directory(&path).is_err());
    let held = Directory::open(&path, Access::Pread).unwrap();
    assert!(directory(&path).is_err());
    drop(held);
    assert_eq!(directory(&path).unwrap().totals, Totals::default());
}
