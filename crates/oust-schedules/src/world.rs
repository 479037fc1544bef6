//! A cache in some state, an origin that numbers its answers, and what clients and operators do to the two.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use oust::clock::ManualClock;
use oust::disk::media::{Crash, Media, Memory};
use oust::freshness::Freshness;
use oust::{
    Action, Answer, Cache, Config, Fetch, FillReader, FillTicket, Head, Hit, Key, L2Config, Layers, Lookup, Purge,
    Selector,
};
use shuttle::rand::{Rng, thread_rng};

use crate::history::{As, Began, History, Number, Purged};

/// What is asked for. The first two are purged; the third never is.
const URLS: [&str; 3] = ["http://h/d/a", "http://h/d/c", "http://g/b"];
/// The one that no purge takes.
const BYSTANDER: usize = 2;
const NUMBER: &str = "x-number";
/// Long enough to leave the inlined bodies of the second tier, short enough to be cheap.
const LENGTH: usize = 64;

/// Where objects are when the threads begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Nowhere,
    Edge,
    Both,
    /// In the second tier, asked for there so many times.
    Deep(u8),
}

/// A cache with its origin and the history of both.
#[derive(Debug)]
pub struct World {
    cache: Cache,
    clock: Arc<ManualClock>,
    deep: bool,
    /// The disk, if it will lose power.
    disk: Option<Arc<Crash>>,
    keys: Vec<Key>,
    history: History,
}

fn build(clock: &Arc<ManualClock>, media: Option<Arc<dyn Media>>) -> Cache {
    let config = Config::new().edge_size(4 << 20).shards(1).background_sweep(false).clock(clock.clone());
    let config = match media {
        Some(media) => config.l2(L2Config::media(media, 8 << 20).segment_size(1 << 20).readers(1)),
        None => config,
    };
    config.build().expect("a cache is built")
}

impl World {
    /// A world in a random state, with a second tier if one is needed.
    pub fn new(deep: bool) -> Self {
        let mut random = thread_rng();
        let deep = deep || random.gen_range(0..3) == 0;
        let clock = Arc::new(ManualClock::new(1_000_000_000));
        let disk = (deep && random.gen_range(0..8) == 0).then(|| Arc::new(Crash::new()));
        let media = deep.then(|| match disk.clone() {
            Some(disk) => disk as Arc<dyn Media>,
            None => Arc::new(Memory::new()),
        });
        let cache = build(&clock, media);
        let keys = URLS.iter().map(|url| Key::parse(url.as_bytes()).expect("a key")).collect();
        let world = Self { cache, clock, deep, disk, keys, history: History::default() };
        if random.gen_range(0..3) == 0 {
            // Published before, not swept yet: what is newer must not be taken by it.
            world.purge();
        }
        let state = match random.gen_range(0..if deep { 6 } else { 3 }) {
            0 => State::Nowhere,
            1 | 2 => State::Edge,
            3 => State::Both,
            4 => State::Deep(0),
            _ => State::Deep(1),
        };
        world.settle(state);
        world
    }

    fn settle(&self, state: State) {
        let of_state = if state == State::Nowhere { &[BYSTANDER][..] } else { &[0, 1, BYSTANDER] };
        for &key in of_state {
            self.request(key, None);
            if state != State::Edge || thread_rng().gen_bool(0.5) {
                self.look(key);
            }
        }
        if matches!(state, State::Both | State::Deep(_)) {
            self.flush();
        }
        if let State::Deep(hits) = state {
            self.cache.evict_all();
            self.flush();
            for &key in of_state {
                for _ in 0..hits {
                    self.look(key);
                }
            }
        }
        for &key in of_state {
            self.history.settled(key, self.keys.get(key).map_or((false, false), |key| self.cache.tiers_of(key)));
        }
    }

    fn flush(&self) {
        self.cache.flush().expect("nothing fails here");
    }

    fn key(&self, key: usize) -> &Key {
        self.keys.get(key).expect("a key of this world")
    }

    /// One of the keys, mostly the first.
    pub fn some_key() -> usize {
        usize::from(thread_rng().gen_range(0..4) == 0)
    }

    fn begin(&self) -> Began {
        self.history.begin(self.cache.newest_rule())
    }

    fn found(&self, key: usize) -> Lookup {
        match self.cache.lookup(self.key(key), &HeaderMap::new()) {
            Lookup::Deferred(deferred) => deferred.wait(),
            found => found,
        }
    }

    /// Asks the cache alone. Whether it had something under the key that is not gone.
    pub fn look(&self, key: usize) -> bool {
        let began = self.begin();
        let found = self.found(key);
        self.judge(key, began, &found);
        !matches!(found, Lookup::Miss(_))
    }

    fn judge(&self, key: usize, began: Began, found: &Lookup) {
        match found {
            Lookup::Hit(hit) => self.history.serve(key, began, numbers(hit), As::Fresh),
            Lookup::Stale(hit, _) => self.history.serve(key, began, numbers(hit), As::Stale),
            Lookup::MustValidate(hit, _) => self.history.serve(key, began, numbers(hit), As::Base),
            _ => {}
        }
    }

    /// What a server does with a request: asks the cache, and the origin where that is not enough. `no_cache`: even if it is.
    pub fn request(&self, key: usize, no_cache: Option<()>) {
        let began = self.begin();
        let found = self.found(key);
        self.judge(key, began, &found);
        let base = match found {
            Lookup::Hit(_) if no_cache.is_none() => return,
            Lookup::Hit(hit) | Lookup::Stale(hit, _) | Lookup::MustValidate(hit, _) => Some(hit),
            _ => None,
        };
        match self.cache.fetch(self.key(key), &HeaderMap::new(), base) {
            Fetch::Lead(ticket) => self.answer(key, ticket),
            Fetch::Join(reader) => self.read(key, began, reader),
            Fetch::Found(hit) => self.history.serve(key, began, numbers(&hit), As::Fresh),
            _ => {}
        }
    }

    /// The origin answers who leads.
    fn answer(&self, key: usize, ticket: FillTicket) {
        let mut random = thread_rng();
        let kind = if key == BYSTANDER { 7 } else { random.gen_range(0..8) };
        if kind == 0 {
            // The origin cannot be reached.
            return;
        }
        let private = kind == 1 && ticket.base().is_none();
        let number = self.history.fetch(key, self.cache.newest_rule(), private);
        shuttle::thread::sleep(Duration::ZERO);
        self.history.hand(number, self.cache.newest_rule());
        let minute = Duration::from_secs(60);
        let mut fresh = Freshness::fresh_for(minute);
        fresh.stale_while_revalidate = minute;
        let tags = if key == BYSTANDER { &[][..] } else { &[&b"t"[..]] };
        if ticket.base().is_some() {
            let Some((hit, admit)) = ticket.not_modified(head(number), Some(fresh), tags) else { return };
            drop(hit);
            if admit == oust::Admit::Stored {
                self.history.stored(number);
            }
            return;
        }
        if random.gen_bool(0.5) && !private {
            if ticket.store(head(number), body(number), fresh, tags) == oust::Admit::Stored {
                self.history.stored(number);
            }
            return;
        }
        let mut fill = ticket.respond(head(number), None, (!private).then_some(fresh), tags);
        fill.write(body(number));
        if kind == 2 {
            // It breaks off.
            return;
        }
        self.history.hand(number, self.cache.newest_rule());
        if fill.finish() == oust::Admit::Stored {
            self.history.stored(number);
        }
    }

    fn read(&self, key: usize, began: Began, mut reader: FillReader) {
        match shuttle::future::block_on(std::future::poll_fn(|cx| reader.poll_answer(cx))) {
            Answer::Head(head) => {
                let mut text = Vec::new();
                while let Some(chunk) = shuttle::future::block_on(std::future::poll_fn(|cx| reader.poll_chunk(cx))) {
                    let Ok(chunk) = chunk else { return };
                    text.extend_from_slice(&chunk);
                }
                self.history.serve(key, began, (of_head(&head.headers), of_body(&text)), As::Joined);
            }
            Answer::Validated(hit) => self.history.serve(key, began, numbers(&hit), As::Joined),
            _ => self.answer(key, self.cache.fetch_alone(self.key(key), &HeaderMap::new(), None)),
        }
    }

    /// Purges something, somehow.
    pub fn purge(&self) {
        let mut random = thread_rng();
        let (selectors, keys) = match random.gen_range(0..8) {
            0..3 => (vec![Selector::Url(URLS[0].into())], [true, false]),
            3 => (vec![Selector::Pattern("http://h/d/*".into())], [true; 2]),
            4 => (vec![Selector::Tag("t".into()), Selector::Tag("other".into())], [true; 2]),
            5 => (vec![Selector::Host("h".into())], [true; 2]),
            6 => (vec![Selector::Url(URLS[0].into()), Selector::Url(URLS[1].into())], [true; 2]),
            _ => (vec![Selector::Pattern("http://h/d/*.no".into())], [false; 2]),
        };
        let action = match random.gen_range(0..4) {
            0 => Action::Invalidate,
            1 => Action::Soft,
            _ => Action::Delete,
        };
        let layers = match random.gen_range(0..if self.deep { 4 } else { 1 }) {
            2 => Layers { edge: true, l2: false },
            3 => Layers { edge: false, l2: true },
            _ => Layers { edge: true, l2: true },
        };
        let called_at = self.history.ask(keys);
        let record = self.cache.purge(&Purge::batch(selectors.clone()).action(action).layers(layers));
        let last = record.expect("a purge is accepted").id.seq;
        let first = last + 1 - selectors.len() as u64;
        self.history.acknowledge(Purged { keys, action, layers, rules: Some((first, last)), called_at });
    }

    /// An unsafe method.
    pub fn end(&self, key: usize) {
        let called_at = self.history.end(key);
        self.cache.end_url(self.key(key));
        let mut keys = [false; 2];
        if let Some(ended) = keys.get_mut(key) {
            *ended = true;
        }
        let layers = Layers { edge: true, l2: true };
        self.history.acknowledge(Purged { keys, action: Action::Delete, layers, rules: None, called_at });
    }

    /// Sweeps once.
    pub fn sweep(&self) {
        self.cache.sweep();
    }

    /// Evicts all of the memory tier.
    pub fn evict(&self) {
        self.history.evict();
        self.cache.evict_all();
    }

    /// Writes what waits for the second tier.
    pub fn write(&self) {
        self.history.write(self.cache.newest_rule());
        self.flush();
    }

    /// Evicts a segment of the second tier.
    pub fn evict_segment(&self) {
        self.history.evict();
        self.history.write(self.cache.newest_rule());
        self.cache.evict_segment();
    }

    /// What must hold when all threads have ended: invariants, what is found, no rule left behind, and the same after a restart.
    ///
    /// # Panics
    ///
    /// If it does not.
    pub fn check(&self) {
        self.validate();
        for key in 0..2 {
            let began = self.begin();
            let found = self.found(key);
            self.judge(key, began, &found);
            let head = if let Lookup::Hit(hit) = &found { Some(numbers(hit).0) } else { None };
            self.history.found_at_the_end(key, head);
        }
        self.cache.sweep();
        self.validate();
        assert_eq!(self.cache.stats().live_rules, 0, "rules that a sweep does not retire");
        self.look_at_all();
        if !self.deep {
            return;
        }
        self.flush();
        self.cache.evict_all();
        self.flush();
        self.look_at_all();
        self.validate();
        let Some(disk) = &self.disk else { return };
        let again = build(&self.clock, Some(Arc::new(disk.crash(thread_rng().r#gen()))));
        for key in 0..2 {
            let began = self.begin();
            let found = again.lookup(self.key(key), &HeaderMap::new());
            self.judge(key, began, &found);
        }
    }

    fn look_at_all(&self) {
        for key in 0..2 {
            self.look(key);
            self.look(key);
        }
    }

    fn validate(&self) {
        if let Err(broken) = self.cache.validate() {
            panic!("{broken}");
        }
    }
}

fn head(number: Number) -> Head {
    let mut headers = HeaderMap::new();
    headers.insert(NUMBER, HeaderValue::from(number));
    Head::new(StatusCode::OK, headers)
}

fn body(number: Number) -> Bytes {
    format!("{number:LENGTH$}").into()
}

fn of_body(text: &[u8]) -> Number {
    std::str::from_utf8(text).ok().and_then(|text| text.trim().parse().ok()).expect("a body of this origin, whole")
}

fn of_head(headers: &HeaderMap) -> Number {
    headers.get(NUMBER).and_then(|value| value.to_str().ok()?.parse().ok()).expect("a head of this origin")
}

fn numbers(hit: &Hit) -> (Number, Number) {
    (of_head(&hit.head().headers), of_body(&hit.body().collect::<Vec<_>>().concat()))
}
