//! What is stored and asked for, and what a purge takes of it by the plain words of `docs/purge.md`.

use http::HeaderMap;
use oust::purge::Durability;
use oust::{Action, Key, Layers, Purge, Selector};

/// Numbers from a seed, or the bytes of a list for as long as there are any.
pub(crate) struct Random {
    seed: u64,
    first: std::vec::IntoIter<u8>,
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed: seed ^ 0x6f75_7374, first: Vec::new().into_iter() }
    }

    /// Each byte is a choice of its own, so that what changes one leaves the others; few choices are among more than that.
    #[allow(dead_code, reason = "for inputs of a fuzzer")]
    pub(crate) fn chosen(first: Vec<u8>) -> Self {
        Self {
            seed: first.iter().fold(1, |seed, &byte| seed * 31 % 1_000_003 + u64::from(byte)),
            first: first.into_iter(),
        }
    }

    pub(crate) fn next(&mut self) -> u64 {
        if let Some(byte) = self.first.next() {
            return u64::from(byte);
        }
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.seed ^ self.seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len() as u64) as usize]
    }
}

const HOSTS: [&str; 2] = ["h", "g"];
const DIRS: [&str; 3] = ["", "d/", "d/e/"];
const NAMES: [&str; 3] = ["a.css", "b.css", "b.js"];
const TAGS: [&str; 3] = ["t0", "t1", "t2"];
const ENCODINGS: [&str; 2] = ["gzip", "br"];
const VARIATION: &str = "device=mobile";

/// A place for one object: a key, and the request that selects the variant there.
pub(crate) struct Slot {
    host: &'static str,
    dir: &'static str,
    name: &'static str,
    mobile: bool,
    encoding: Option<&'static str>,
    pub(crate) tag: &'static str,
    pub(crate) key: Key,
    pub(crate) request: HeaderMap,
}

impl Slot {
    /// All there are: plain ones, some with two variants, some with two variations.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for host in HOSTS {
            for dir in DIRS {
                for name in NAMES {
                    let each: &[(bool, Option<&str>)] = match name {
                        "a.css" => &[(false, None)],
                        "b.css" => &[(false, Some(ENCODINGS[0])), (false, Some(ENCODINGS[1]))],
                        _ => &[(false, None), (true, None)],
                    };
                    for &(mobile, encoding) in each {
                        let key = Key::from_url(format!("http://{host}/{dir}{name}").as_bytes()).unwrap();
                        let key = if mobile { key.with_variation(VARIATION.as_bytes()).unwrap() } else { key };
                        let request = encoding.map(|of| (http::header::ACCEPT_ENCODING, of.parse().unwrap()));
                        let (tag, request) = (TAGS[all.len() % TAGS.len()], request.into_iter().collect());
                        all.push(Self { host, dir, name, mobile, encoding, tag, key, request });
                    }
                }
            }
        }
        all
    }

    /// The response's `Vary`.
    pub(crate) fn varies(&self) -> bool {
        self.encoding.is_some()
    }

    pub(crate) fn same_url(&self, other: &Self) -> bool {
        (self.host, self.dir, self.name) == (other.host, other.dir, other.name)
    }
}

type Takes = Box<dyn Fn(&Slot) -> bool>;

/// A selector, and what it takes.
pub(crate) struct Selects {
    pub(crate) selector: Selector,
    pub(crate) takes: Takes,
}

impl Selects {
    /// Any kind of selector, about anything there is.
    pub(crate) fn any(random: &mut Random) -> Self {
        let (host, dir, name) = (random.of(&HOSTS), random.of(&DIRS), random.of(&NAMES));
        let (mobile, encoding, tag) = (random.one_in(2), random.of(&ENCODINGS), random.of(&TAGS));
        let url = format!("http://{host}/{dir}{name}");
        let key = if mobile { format!("{url}@@{VARIATION}") } else { url.clone() };
        let at = move |slot: &Slot| (slot.host, slot.dir, slot.name) == (host, dir, name);
        let within = move |slot: &Slot| slot.host == host && slot.dir == dir;
        let below = move |slot: &Slot| slot.host == host && slot.dir.starts_with(dir);
        // Coarse ones are rare, or there would be nothing left to lose.
        let kind = random.below(72);
        let (selector, takes): (Selector, Takes) = match kind {
            0..=19 => (Selector::Url(url), Box::new(at)),
            20..=29 => (Selector::Key(key), Box::new(move |slot| at(slot) && slot.mobile == mobile)),
            30..=39 => (
                Selector::Variant { key, headers: vec![("accept-encoding".into(), encoding.into())] },
                Box::new(move |slot| {
                    at(slot) && slot.mobile == mobile && slot.encoding.is_none_or(|own| own == encoding)
                }),
            ),
            40..=43 => (Selector::Pattern(format!("http://{host}/{dir}*")), Box::new(within)),
            44 => (Selector::Pattern(format!("any://{host}/{dir}**")), Box::new(below)),
            45..=49 => (
                Selector::Pattern(format!("http://{host}/{dir}*.css")),
                Box::new(move |slot| within(slot) && slot.name.ends_with(".css")),
            ),
            50..=54 => (
                Selector::Pattern(format!("http://{host}/{dir}b*")),
                Box::new(move |slot| within(slot) && slot.name.starts_with('b')),
            ),
            55..=57 => (
                Selector::Glob(format!("http://{host}/*.js")),
                Box::new(move |slot| slot.host == host && slot.name.ends_with(".js")),
            ),
            58..=61 => (Selector::LastWildcard(format!("http://{host}/{dir}*")), Box::new(within)),
            62..=67 => (
                Selector::Regex(format!("http://{host}/{dir}.*js$")),
                Box::new(move |slot| below(slot) && slot.name.ends_with("js")),
            ),
            68 => (Selector::Host(host.into()), Box::new(move |slot| slot.host == host)),
            69..=70 => (Selector::Tag(tag.into()), Box::new(move |slot| slot.tag == tag)),
            _ => (Selector::All, Box::new(|_| true)),
        };
        Self { selector, takes }
    }
}

/// A purge, and what it takes.
pub(crate) struct Purges {
    pub(crate) purge: Purge,
    pub(crate) action: Action,
    pub(crate) layers: Layers,
    pub(crate) rules: u64,
    takes: Vec<Takes>,
}

impl Purges {
    /// One selector or a few, any action, any layers, either durability.
    pub(crate) fn any(random: &mut Random) -> Self {
        let rules = if random.one_in(6) { 2 + random.below(3) } else { 1 };
        let (selectors, takes) =
            (0..rules).map(|_| Selects::any(random)).map(|Selects { selector, takes }| (selector, takes)).unzip();
        let action = random.of(&[Action::Delete, Action::Delete, Action::Invalidate, Action::Soft]);
        let layers = random.of(&[(true, true), (true, true), (true, false), (false, true)]);
        let layers = Layers { edge: layers.0, l2: layers.1 };
        let durability = if random.one_in(5) { Durability::Memory } else { Durability::Disk };
        let purge = Purge::batch(selectors).action(action).layers(layers).durability(durability);
        Self { purge, action, layers, rules, takes }
    }

    /// Everything, from the memory tier alone.
    pub(crate) fn memory() -> Self {
        let (action, layers) = (Action::Delete, Layers { edge: true, l2: false });
        let purge = Purge::new(Selector::All).action(action).layers(layers);
        Self { purge, action, layers, rules: 1, takes: vec![Box::new(|_| true)] }
    }

    pub(crate) fn takes(&self, slot: &Slot) -> bool {
        self.takes.iter().any(|takes| takes(slot))
    }
}
