//! The engine on a directory, held against what the directory comes to.

use std::sync::Arc;

use oust::clock::ManualClock;
use oust::disk::media::Memory;
use oust::{Cache, Config, Hit, Key, L2Config, Layers, Lookup, Purge};
use oust_reference::Selector;
use oust_reference::format::StoredPurge;

use super::files::{Files, install, snapshot};
use super::inspected;
use super::scene::{KEYS, NOW, VARIANTS, request};
use super::view::{Item, Verdict, View, selects};
use crate::engine;

pub fn build(media: &Arc<Memory>) -> Cache {
    let l2 = L2Config::media(media.clone(), 16 << 20).segment_size(1 << 20).readers(1);
    let clock = Arc::new(ManualClock::new(NOW));
    let config = Config::new().edge_size(1 << 20).shards(1).background_sweep(false).clock(clock);
    config.l2(l2).build().unwrap_or_else(|error| panic!("cannot be opened: {error}"))
}

/// A cache and all that may be served by it.
pub struct Opened {
    pub cache: Cache,
    pub media: Arc<Memory>,
    pub view: View,
}

impl Opened {
    /// Opens a directory: what is inspected, trusted and discarded is what the document says.
    pub fn of(files: &Files) -> Self {
        let media = install(files);
        inspected::check(&*media, files);
        let view = View::of(files);
        let cache = build(&media);
        match view.verdict {
            Verdict::Distrusted => assert!(cache.l2_notice().is_some(), "a damaged journal is trusted"),
            Verdict::Fresh => {
                assert!(cache.l2_notice().is_none(), "distrusted without a journal: {:?}", cache.l2_notice())
            }
            Verdict::Trusted(_) => {
                assert!(cache.l2_notice().is_none(), "distrusted for no reason: {:?}", cache.l2_notice());
            }
            Verdict::Open => {}
        }
        Self { cache, media, view }
    }

    /// Asks for everything. `complete`: what has to be there is.
    pub fn check(&self, complete: bool) {
        for text in KEYS {
            let key = Key::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            for variant in VARIANTS {
                let found = match self.cache.lookup(&key, &request(variant)) {
                    Lookup::Deferred(deferred) => deferred.wait(),
                    found => found,
                };
                self.check_one(text, variant, &found, complete);
            }
        }
    }

    fn check_one(&self, key: &str, variant: Option<&str>, found: &Lookup, complete: bool) {
        let of_key = |item: &&Item| item.record.key == key.as_bytes() && item.mark < 3;
        let (hit, mark) = match found {
            Lookup::Hit(hit) => (hit, 0),
            Lookup::Stale(hit, _) => (hit, 1),
            Lookup::MustValidate(hit, _) => (hit, 2),
            _ => {
                let wanted =
                    |item: &&Item| selects(&item.record.vary, variant) == Some(true) && self.view.must_be_found(item);
                if let Some(item) = self.view.items.iter().filter(of_key).find(wanted).filter(|_| complete) {
                    panic!("{key} {variant:?}: {found:?}, but it is there: {item:?}");
                }
                return;
            }
        };
        assert_eq!(hit.key_text(), key.as_bytes(), "served under another key");
        if self.view.verdict == Verdict::Open {
            return;
        }
        let body = body_of(hit);
        let is = |item: &&Item| {
            // What no status code is, the document does not say.
            let told = item.record.status == hit.status().as_u16() || !(100..1000).contains(&item.record.status);
            let same = item.record.body == body && told;
            let judged = self.view.judge(item);
            same && selects(&item.record.vary, variant) != Some(false)
                && judged.least <= mark
                && judged.least < 3
                && !self.view.is_superseded(item)
        };
        let allowed = self.view.items.iter().filter(of_key).any(|item| is(&item));
        if !allowed {
            let near: Vec<_> =
                self.view.items.iter().filter(of_key).map(|item| (item, self.view.judge(item))).collect();
            panic!(
                "{key} {variant:?}: served as {mark} is {:?}; by the document there are {near:#?}",
                String::from_utf8_lossy(&body)
            );
        }
    }

    /// Purges, and notes it. Whether it was accepted.
    pub fn purge(&mut self, mut purge: StoredPurge) -> bool {
        (purge.edge, purge.l2) = (true, true);
        let Some(selectors) = purge.selectors.iter().map(engine::selector).collect::<Option<Vec<_>>>() else {
            return false;
        };
        let asked = Purge::batch(selectors).action(engine::action(purge.act)).layers(Layers { edge: true, l2: true });
        let Ok(record) = self.cache.purge(&asked) else { return false };
        assert!(record.durable, "acknowledged, but not durable");
        assert!(record.id.seq > self.view.newest, "{} was given out before {}", self.view.newest, record.id.seq);
        self.view.newest = record.id.seq;
        self.view.purge(record.id.seq, purge);
        true
    }

    pub fn sweep(&self) {
        self.cache.sweep();
        assert_eq!(self.cache.stats().live_rules, 0, "rules left after a sweep");
    }

    pub fn flush(&self) {
        self.cache.flush().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Closes and opens again: nothing may come back that was gone, and the directory is good.
    pub fn reopen(self) -> Self {
        let Self { cache, media, view } = self;
        drop(cache);
        inspected::check(&*media, &snapshot(&*media));
        let inspected = oust::inspect::media(&*media).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(inspected.distrust, None, "what a cache leaves is not trusted");
        for segment in inspected.segments.iter().filter(|segment| segment.used) {
            assert!(!segment.failed);
        }
        let cache = build(&media);
        assert_eq!(cache.l2_notice(), None, "what a cache leaves is not trusted");
        Self { cache, media, view }
    }

    /// Whether stamps are below the numbers given out, as the journal promises; else no later rule says anything of an object.
    pub fn stamps_are_sound(&self) -> bool {
        self.view.items.iter().all(|item| item.record.stamp <= self.view.newest)
    }

    /// All the ways on: looked up, purged, swept, opened again, purged of everything. `depth`: how far, up to 3; each start costs some milliseconds.
    pub fn conclude(mut self, purges: Vec<StoredPurge>, depth: usize) {
        self.check(true);
        if depth == 0 {
            return;
        }
        self.check(true);
        if !self.stamps_are_sound() {
            self.reopen().check(false);
            return;
        }
        for purge in purges {
            self.purge(purge);
            self.check(false);
        }
        if depth == 1 {
            return;
        }
        let opened = self.reopen();
        opened.check(false);
        if opened.view.items.iter().any(|item| !item.exact) {
            // Such a footer hides records from a sweep; the engine never writes one.
            return;
        }
        opened.sweep();
        opened.check(false);
        opened.flush();
        if depth == 2 {
            return;
        }
        let mut opened = opened.reopen();
        opened.check(false);
        let everything = StoredPurge {
            act: oust_reference::Act::Delete,
            edge: true,
            l2: true,
            created_ms: NOW,
            by: String::new(),
            selectors: vec![Selector::All],
        };
        assert!(opened.purge(everything), "everything cannot be purged");
        opened.sweep();
        opened.reopen().check(false);
    }
}

fn body_of(hit: &Hit) -> Vec<u8> {
    hit.body().collect::<Vec<_>>().concat()
}
