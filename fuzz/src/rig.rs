//! A real cache and the model side by side: each operation goes to both, and what the cache says must be allowed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use oust::cache::Answer;
use oust::clock::ManualClock;
use oust::disk::media::Memory;
use oust::freshness::Freshness;
use oust::purge::PurgeErrorKind;
use oust::{
    Admit, Cache, Config, Fetch, FillReader, FillTicket, FillWriter, Head, Hit, Key, L2Config, Layers, Lookup, Purge,
};
use oust_reference::{Act, FillId, Model, Outcome, Promise, Refused, Resource, Selector, Storing};

use crate::engine;

const START: u64 = 1_000_000_000;

/// Values of `Accept-Encoding` that requests come with.
pub const VARIANTS: [Option<&str>; 3] = [None, Some("gzip"), Some("br")];

enum Stage {
    Asked(FillTicket),
    Answered(FillWriter, Bytes),
}

struct Flight {
    id: FillId,
    resource: usize,
    /// Of the version to be validated.
    base: Option<u64>,
    stage: Stage,
    own: Option<FillReader>,
}

struct Waiting {
    reader: FillReader,
    /// Newest purge when it joined; `None` for the leader's own.
    joined: Option<u64>,
    variant: Option<&'static str>,
    version: Option<u64>,
    body: Vec<u8>,
}

pub struct Rig {
    cache: Option<Cache>,
    /// Where the second tier is, if there is one.
    media: Option<Arc<Memory>>,
    evicts: bool,
    clock: Arc<ManualClock>,
    now: u64,
    pub model: Model,
    keys: Vec<Key>,
    flights: Vec<Flight>,
    waiting: Vec<Waiting>,
    held: Option<(usize, usize, Hit)>,
    versions: u64,
    tracing: bool,
    /// Which fetches delivered a version, and the tags it was stored with.
    sources: BTreeMap<u64, (Vec<FillId>, Vec<Vec<u8>>)>,
}

impl Rig {
    pub fn new(resources: Vec<Resource>, evicts: bool) -> Self {
        Self::on(resources, evicts, None)
    }

    /// With a second tier, whose segments are small.
    pub fn with_tiers(resources: Vec<Resource>, evicts: bool) -> Self {
        Self::on(resources, evicts, Some(Arc::new(Memory::new())))
    }

    fn on(resources: Vec<Resource>, evicts: bool, media: Option<Arc<Memory>>) -> Self {
        let keys = resources.iter().map(|resource| engine::key_of(&resource.key)).collect();
        let model = Model::new(resources, START, evicts);
        let mut rig = Self {
            cache: None,
            evicts,
            clock: Arc::new(ManualClock::new(START)),
            now: START,
            model: if media.is_some() { model.with_tiers() } else { model },
            media,
            keys,
            flights: Vec::new(),
            waiting: Vec::new(),
            held: None,
            versions: 0,
            tracing: std::env::var_os("OUST_FUZZ_TRACE").is_some(),
            sources: BTreeMap::new(),
        };
        rig.open();
        rig
    }

    fn open(&mut self) {
        let config = Config::new().background_sweep(false).clock(self.clock.clone()).shards(2);
        let config = config.edge_size(if self.evicts { 1 << 20 } else { 64 << 20 });
        let config = match &self.media {
            Some(media) => config.l2(L2Config::media(media.clone(), 4 << 20).segment_size(1 << 20).readers(1)),
            None => config,
        };
        self.cache = Some(config.build().unwrap_or_else(|error| panic!("{error}")));
    }

    fn cache(&self) -> &Cache {
        self.cache.as_ref().unwrap_or_else(|| panic!("closed"))
    }

    /// Writes what waits to the second tier, and makes it durable.
    pub fn flush(&mut self) {
        self.trace("flush", &());
        self.cache().flush().unwrap_or_else(|error| panic!("{error}"));
    }

    /// Ends all fetches, closes the cache and opens it again.
    pub fn restart(&mut self) {
        self.trace("restart", &());
        self.end_flights();
        self.held = None;
        self.cache = None;
        self.model.restarted();
        self.open();
        assert_eq!(self.cache().l2_notice(), None, "what a cache leaves is not trusted");
    }

    pub fn resources(&self) -> usize {
        self.keys.len()
    }

    pub fn in_flight(&self) -> usize {
        self.flights.len()
    }

    /// Steps of ten seconds, forward or back; windows end three seconds off them, so that no limit is met exactly.
    pub fn step_clock(&mut self, tens: i64) {
        self.now = self.now.saturating_add_signed(tens * 10_000).max(1);
        self.clock.set(self.now);
        self.trace("clock", &tens);
        self.model.set_clock(self.now);
    }

    /// Says what happens next, for a case that is being looked into: `OUST_FUZZ_TRACE=1`.
    fn trace(&self, what: &str, details: &dyn Debug) {
        if self.tracing {
            eprintln!("at {} seq {}: {what} {details:?}", self.now, self.model.seq());
        }
    }

    /// Looks up and checks; what was found is held for a later revalidation.
    pub fn lookup(&mut self, resource: usize, variant: usize) -> Option<Hit> {
        let found = match self.cache().lookup(&self.keys[resource], &request(VARIANTS[variant])) {
            Lookup::Deferred(deferred) => deferred.wait(),
            found => found,
        };
        let (saw, hit) = match found {
            Lookup::Hit(hit) => (Outcome::Hit(version(&hit)), Some(hit)),
            Lookup::Stale(hit, _) => (Outcome::Stale(version(&hit)), Some(hit)),
            Lookup::MustValidate(hit, _) => {
                let on_error = hit.may_serve_on_error();
                (Outcome::MustValidate { version: version(&hit), on_error }, Some(hit))
            }
            Lookup::Miss(_) => (Outcome::Miss, None),
            other => panic!("unknown lookup {other:?}"),
        };
        self.trace("lookup", &(resource, VARIANTS[variant], saw));
        if let Err(why) = self.model.looked_up(resource, VARIANTS[variant], saw) {
            panic!("{}: {why}", self.model.resources()[resource].key.text().escape_ascii());
        }
        if let Some(hit) = &hit {
            self.held = Some((resource, variant, hit.clone()));
        }
        hit
    }

    /// Begins a fetch; `base`: with what the newest lookup found, be it outdated by now.
    pub fn begin(&mut self, resource: usize, variant: usize, base: bool, alone: bool) {
        let held = self.held.take_if(|held| base && held.0 == resource && held.1 == variant).map(|held| held.2);
        let given = held.is_some();
        let headers = request(VARIANTS[variant]);
        let fetch = if alone {
            Fetch::Lead(self.cache().fetch_alone(&self.keys[resource], &headers, held))
        } else {
            self.cache().fetch(&self.keys[resource], &headers, held)
        };
        match fetch {
            Fetch::Lead(ticket) => {
                let base = ticket.base().map(version);
                assert!(base.is_none() || given, "a ticket has a base that nobody gave it");
                if let Some(version) = base {
                    assert!(
                        !self.model.is_deleted(version),
                        "validators of the deleted version {version} would be sent"
                    );
                }
                self.trace("lead", &(resource, VARIANTS[variant], base, alone));
                let id = self.model.begin(resource, VARIANTS[variant], base);
                let own = Some(ticket.reader());
                self.flights.push(Flight { id, resource, base, stage: Stage::Asked(ticket), own });
            }
            Fetch::Join(reader) => {
                self.trace("join", &(resource, VARIANTS[variant]));
                assert!(self.model.joinable(resource), "joined a fetch that a purge has overtaken, or none");
                self.wait(reader, Some(self.model.seq()), VARIANTS[variant]);
            }
            // Somebody else's fetch was stored since the lookup: as good as a lookup now.
            Fetch::Found(hit) => {
                let saw = Outcome::Hit(version(&hit));
                if let Err(why) = self.model.looked_up(resource, VARIANTS[variant], saw) {
                    panic!("found instead of fetched: {why}");
                }
            }
            other => panic!("unknown fetch {other:?}"),
        }
    }

    fn wait(&mut self, reader: FillReader, joined: Option<u64>, variant: Option<&'static str>) {
        self.waiting.push(Waiting { reader, joined, variant, version: None, body: Vec::new() });
    }

    /// The origin answers the fetch `at` with a new version; no promise: not for storing.
    pub fn respond(&mut self, at: usize, promise: Option<Promise>, tags: Vec<Vec<u8>>, size: usize) {
        let Some(mut flight) = self.take(at) else { return };
        let Stage::Asked(ticket) = flight.stage else {
            self.flights.push(flight);
            return;
        };
        self.versions += 1;
        let version = self.versions;
        self.trace("respond", &(flight.id, version, promise, &tags));
        self.model.respond(flight.id, version, promise, tags.clone());
        let source = self.sources.entry(version).or_default();
        source.0.push(flight.id);
        source.1.clone_from(&tags);
        if let Some(own) = flight.own.take() {
            self.wait(own, None, None);
        }
        let body = body(version, size);
        let varies = self.model.resources()[flight.resource].varies;
        let tags: Vec<&[u8]> = tags.iter().map(Vec::as_slice).collect();
        let length = u64::try_from(body.len()).ok().filter(|len| len % 2 == 0);
        let writer = ticket.respond(head(StatusCode::OK, version, varies), length, promise.map(freshness), &tags);
        self.flights.push(Flight { stage: Stage::Answered(writer, body), own: None, ..flight });
    }

    /// The fetch `at` ends: its body is complete, or, not answered yet, it was validated.
    pub fn finish(&mut self, at: usize, promise: Option<Promise>) {
        let Some(mut flight) = self.take(at) else { return };
        let (wanted, admit) = match flight.stage {
            Stage::Answered(mut writer, body) => {
                let half = body.len() / 2;
                for chunk in [body.slice(..half), body.slice(half..)] {
                    // A fill that is not stored has a window far wider than these bodies.
                    if writer.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready() {
                        writer.write(chunk);
                    } else {
                        self.model.abandoned(flight.id);
                        return;
                    }
                }
                (self.model.storing(flight.id), writer.finish())
            }
            Stage::Asked(ticket) => {
                let Some(base) = flight.base else {
                    flight.stage = Stage::Asked(ticket);
                    self.flights.push(flight);
                    return;
                };
                let source = self.sources.entry(base).or_default();
                source.0.push(flight.id);
                let tags = source.1.clone();
                self.model.respond(flight.id, base, promise, tags.clone());
                if let Some(own) = flight.own.take() {
                    self.wait(own, None, None);
                }
                let wanted = self.model.merging(flight.id);
                let varies = self.model.resources()[flight.resource].varies;
                let tags: Vec<&[u8]> = tags.iter().map(Vec::as_slice).collect();
                let merged = head(StatusCode::OK, base, varies);
                let Some((hit, admit)) = ticket.not_modified(merged, promise.map(freshness), &tags) else {
                    panic!("a ticket that has a base took no 304");
                };
                assert_eq!(version(&hit), base, "a 304 answered with another body");
                (wanted, admit)
            }
        };
        let stored = admit == Admit::Stored;
        self.trace("finish", &(flight.id, flight.base, wanted, admit));
        match wanted {
            Storing::Must => assert!(stored, "not stored: {admit:?}"),
            Storing::MustNot => assert!(!stored, "stored what a purge has overtaken or what is not for storing"),
            Storing::May => {}
        }
        self.model.finished(flight.id, stored);
    }

    /// The fetch `at` breaks.
    pub fn abandon(&mut self, at: usize) {
        if let Some(flight) = self.take(at) {
            self.model.abandoned(flight.id);
        }
    }

    fn take(&mut self, at: usize) -> Option<Flight> {
        if self.flights.is_empty() { None } else { Some(self.flights.swap_remove(at % self.flights.len())) }
    }

    /// Fetches and stores in one go, whatever is in flight.
    pub fn store(&mut self, resource: usize, variant: usize, promise: Promise, tags: Vec<Vec<u8>>, size: usize) {
        self.begin(resource, variant, false, true);
        self.respond(self.flights.len() - 1, Some(promise), tags, size);
        self.finish(self.flights.len() - 1, None);
    }

    /// Publishes; whether it came into force.
    pub fn purge(&mut self, selectors: &[Selector], act: Act, layers: Layers) -> bool {
        let judged = self.model.judge(selectors);
        self.trace("purge", &(selectors, act, layers, judged));
        let engine: Option<Vec<_>> = selectors.iter().map(engine::selector).collect();
        let Some(engine) = engine.filter(|_| judged != Err(Refused::Unknown)) else { return false };
        match self.cache().purge(&Purge::batch(engine).action(engine::action(act)).layers(layers)) {
            Ok(_) => {
                assert_eq!(judged, Ok(()), "accepted {selectors:?}");
                self.model.purge(selectors, act, layers.edge, layers.l2);
                true
            }
            Err(error) => {
                let kind = error.kind();
                let no_layer = self.media.is_none() && kind == PurgeErrorKind::NoSuchLayer && layers.l2 && !layers.edge;
                let budget = kind == PurgeErrorKind::OverBudget && selectors.iter().any(Selector::may_be_refused);
                let excused = judged.is_err() || no_layer || budget || engine::is_cap(kind);
                assert!(excused, "refused {selectors:?}: {error}");
                false
            }
        }
    }

    /// Sweeps and retires every rule; nothing of it may show.
    pub fn sweep(&mut self) {
        self.trace("sweep", &());
        self.cache().sweep();
        let live = self.cache().stats().live_rules;
        assert_eq!(live, 0, "rules left after a sweep");
    }

    /// Lets every reader take what is there.
    pub fn poll_readers(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        self.waiting = waiting.into_iter().filter_map(|waiting| self.poll(waiting)).collect();
    }

    fn poll(&self, mut waiting: Waiting) -> Option<Waiting> {
        let mut cx = Context::from_waker(Waker::noop());
        if waiting.version.is_none() {
            let version = match waiting.reader.poll_answer(&mut cx) {
                Poll::Pending => return Some(waiting),
                Poll::Ready(Answer::Refetch(_)) => return None,
                Poll::Ready(Answer::Head(head)) => {
                    let version = version_of(&head.headers);
                    waiting.version = Some(version);
                    version
                }
                Poll::Ready(Answer::Validated(hit)) => {
                    self.check_delivery(&waiting, version(&hit));
                    return None;
                }
                Poll::Ready(other) => panic!("unknown answer {other:?}"),
            };
            self.check_delivery(&waiting, version);
        }
        loop {
            match waiting.reader.poll_chunk(&mut cx) {
                Poll::Pending => return Some(waiting),
                Poll::Ready(Some(Ok(chunk))) => waiting.body.extend_from_slice(&chunk),
                Poll::Ready(Some(Err(_))) => return None,
                Poll::Ready(None) => {
                    let version = waiting.version.unwrap_or_default();
                    assert_eq!(waiting.body, body(version, waiting.body.len()), "mangled body of version {version}");
                    return None;
                }
            }
        }
    }

    fn check_delivery(&self, waiting: &Waiting, version: u64) {
        let Some(joined) = waiting.joined else { return };
        let sources = self.sources.get(&version).map(|source| source.0.as_slice()).unwrap_or_default();
        let allowed = sources.iter().any(|&id| self.model.may_deliver(id, joined, waiting.variant));
        assert!(allowed, "version {version} reached a reader that joined after a purge of it, or that it is not for");
    }

    fn end_flights(&mut self) {
        self.poll_readers();
        while !self.flights.is_empty() {
            self.abandon(0);
        }
        self.poll_readers();
        assert!(self.waiting.is_empty(), "readers wait for fetches that are over");
    }

    /// Ends all fetches, then checks everything twice: as it is and after a sweep; of two tiers once more after a restart.
    pub fn conclude(mut self) {
        self.end_flights();
        let restarts = self.media.is_some();
        self.look_around();
        if restarts {
            self.restart();
            self.look_around();
        }
    }

    fn look_around(&mut self) {
        for sweep in [false, true] {
            if sweep {
                self.sweep();
            }
            for resource in 0..self.keys.len() {
                for variant in 0..VARIANTS.len() {
                    let _ = self.lookup(resource, variant);
                }
            }
        }
    }
}

fn request(variant: Option<&'static str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(variant) = variant {
        headers.insert(http::header::ACCEPT_ENCODING, HeaderValue::from_static(variant));
    }
    headers
}

fn head(status: StatusCode, version: u64, varies: bool) -> Head {
    let mut headers = HeaderMap::new();
    headers.insert("x-version", HeaderValue::from(version));
    if let Ok(tag) = HeaderValue::try_from(format!("\"{version}\"")) {
        headers.insert(http::header::ETAG, tag);
    }
    if varies {
        headers.insert(http::header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    Head::new(status, headers)
}

fn freshness(promise: Promise) -> Freshness {
    let mut out = Freshness::fresh_for(Duration::from_millis(promise.lifetime));
    out.stale_while_revalidate = Duration::from_millis(promise.while_revalidate);
    out.stale_if_error = Duration::from_millis(promise.if_error);
    out.must_revalidate = promise.must_revalidate;
    out.no_cache = promise.no_cache;
    out
}

/// A body that names its version again and again, so that bytes of another one show.
fn body(version: u64, size: usize) -> Bytes {
    let word = format!("{version} ").into_bytes();
    let mut body = word.repeat(size / word.len() + 1);
    body.truncate(size);
    body.into()
}

fn version_of(headers: &HeaderMap) -> u64 {
    let text = headers.get("x-version").and_then(|value| value.to_str().ok());
    text.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no version in {headers:?}"))
}

/// The version of a stored response, once its body agrees.
fn version(hit: &Hit) -> u64 {
    let version = version_of(&hit.head().headers);
    let bytes = hit.body().collect::<Vec<_>>().concat();
    assert_eq!(bytes, body(version, bytes.len()), "mangled body of version {version}");
    assert_eq!(u64::try_from(bytes.len()).ok(), Some(hit.body_len()));
    version
}
