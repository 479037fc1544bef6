//! The mixed rules and the keys they are asked with.
//!
//! Of twenty rules eight are URLs, four `d/**`, three `d/*`, two `d/*.ext`, one `d/prefix**`, one `d/a**b` and one a regex. Rules of a kind have
//! directories of their own, a hundred on each of a hundred hosts in ten sections. Every key is made either from a rule, so that this rule takes
//! it, or so that no rule can: half of those in the directory of a rule (or beside it, where the rule takes all of it), differing in the part that
//! the rule names; the other half in directories without rules. So what every engine has to answer is known.

use adblock::request::Request;
use oust::{Key, Selector};

use crate::common::keys::{Random, mix};

const HOSTS: usize = 100;
const SECTIONS: usize = 10;
const DIRECTORIES: usize = 100;
/// Last digit of directories without rules.
const NO_RULES: usize = 9;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Url,
    Tree,
    Directory,
    Extension,
    Prefix,
    Around,
    Regex,
}

use Kind::{Around, Directory, Extension, Prefix, Regex, Tree, Url};

/// The kinds of twenty rules; the first ten are much the same mix.
const MIX: [Kind; 20] = [
    Url, Tree, Url, Directory, Extension, Url, Prefix, Tree, Url, Regex, Url, Directory, Tree, Url, Around, Url,
    Extension, Directory, Url, Tree,
];
/// Extensions of the rules, and those of keys that they do not take.
const TAKEN: [&str; 8] = ["jpeg", "png", "gif", "css", "js", "svg", "mp4", "html"];
const OTHER: [&str; 4] = ["webp", "avif", "woff2", "json"];

/// One rule.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    pub(crate) kind: Kind,
    host: usize,
    section: usize,
    directory: usize,
    /// What tells it from others of its directory.
    name: u64,
}

/// The first `count` rules of the mix.
pub(crate) fn rules(count: usize) -> Vec<Rule> {
    let mut random = Random::new(0x0575_7374);
    let rule = |nth: usize| {
        let kind = MIX[nth % MIX.len()];
        let (host, section) = (random.below(HOSTS), random.below(SECTIONS));
        Rule { kind, host, section, directory: random.below(DIRECTORIES) * 10 + kind as usize, name: random.next() }
    };
    (0..count).map(rule).collect()
}

fn place(host: usize, section: usize, directory: usize) -> String {
    format!("https://h{host:03}.example.net/section-{section:02}/r{directory:05}/")
}

/// A word of four letters that no hexadecimal number holds; those of rules begin with one of `g` to `n`, those of no rule with one of `o` to `v`.
fn word(name: u64, taken: bool) -> String {
    let letter = |nth: u32| (name >> (4 * nth)) as u8 & 15;
    let first = (letter(0) & 7) + if taken { 0 } else { 8 };
    [first, letter(1), letter(2), letter(3)].map(|letter| char::from(b'g' + letter)).iter().collect()
}

/// A number of `digits` hexadecimal digits, the last below 8 if `taken`, and not otherwise.
fn digits(name: u64, digits: u32, taken: bool) -> String {
    let value = (name & ((1 << (4 * digits)) - 1) & !8) | if taken { 0 } else { 8 };
    format!("{value:0width$x}", width = digits as usize)
}

impl Rule {
    fn place(&self) -> String {
        place(self.host, self.section, self.directory)
    }

    fn extension(&self) -> &'static str {
        TAKEN[(self.name >> 8) as usize % TAKEN.len()]
    }

    /// Literals before and behind the wildcard.
    fn ends(&self) -> (String, String) {
        (format!("{:02x}", self.name >> 56), format!("{}.jpeg", digits(self.name, 3, true)))
    }

    /// Of a regex, what follows the directory.
    fn expression(&self) -> String {
        let word = word(self.name, true);
        match self.name >> 62 {
            0 => format!("[0-9a-f]{{4}}-{word}-[0-9]+\\.(jpe?g|png)$"),
            1 => format!(".*-{word}[0-9]{{3}}\\.jpeg$"),
            2 => format!("({word}|{word}s)/[a-z]+\\.html$"),
            _ => format!("{word}.{{6}}-v[0-9]{{1,3}}\\.css"),
        }
    }

    /// As `oust` takes it.
    pub(crate) fn selector(&self) -> Selector {
        let place = self.place();
        match self.kind {
            Url => Selector::Url(format!("{place}{:016x}.jpeg", self.name)),
            Tree => Selector::Pattern(format!("{place}**")),
            Directory => Selector::Pattern(format!("{place}*")),
            Extension => Selector::Pattern(format!("{place}*.{}", self.extension())),
            Prefix => Selector::Pattern(format!("{place}{}**", digits(self.name, 4, true))),
            Around => {
                let (before, behind) = self.ends();
                Selector::Pattern(format!("{place}{before}**{behind}"))
            }
            Regex => Selector::Regex(format!("{place}{}", self.expression())),
        }
    }

    /// As a regular expression, anchored.
    pub(crate) fn regex(&self) -> String {
        let place = regex::escape(&self.place());
        match self.kind {
            Url => format!("^{place}{:016x}\\.jpeg$", self.name),
            Tree => format!("^{place}"),
            Directory => format!("^{place}[^/]*$"),
            Extension => format!("^{place}[^/]*\\.{}$", self.extension()),
            Prefix => format!("^{place}{}", digits(self.name, 4, true)),
            Around => {
                let (before, behind) = self.ends();
                format!("^{place}{before}.*{}$", regex::escape(&behind))
            }
            Regex => format!("^{place}{}", self.expression()),
        }
    }

    /// As a glob, and whether its `*` stops at a slash; a regex is none.
    pub(crate) fn glob(&self) -> Option<(String, bool)> {
        let place = self.place();
        Some(match self.kind {
            Url => (format!("{place}{:016x}.jpeg", self.name), true),
            Tree => (format!("{place}**"), true),
            Directory => (format!("{place}*"), true),
            Extension => (format!("{place}*.{}", self.extension()), true),
            Prefix => (format!("{place}{}*", digits(self.name, 4, true)), false),
            Around => {
                let (before, behind) = self.ends();
                (format!("{place}{before}*{behind}"), false)
            }
            Regex => return None,
        })
    }

    /// As a filter of a list for ad blockers. A `*` of these crosses slashes, which leaves out `d/*` and `d/*.ext`; and a regex would be tried on
    /// every URL.
    pub(crate) fn filter(&self) -> Option<String> {
        let place = self.place();
        Some(match self.kind {
            Url => format!("|{place}{:016x}.jpeg|", self.name),
            Tree => format!("|{place}"),
            Prefix => format!("|{place}{}", digits(self.name, 4, true)),
            Around => {
                let (before, behind) = self.ends();
                format!("|{place}{before}*{behind}|")
            }
            Directory | Extension | Regex => return None,
        })
    }

    /// A key that it takes.
    fn hit(&self, random: &mut Random) -> String {
        let (place, other) = (self.place(), random.next());
        match self.kind {
            Url => format!("{place}{:016x}.jpeg", self.name),
            Tree if other & 1 == 0 => format!("{place}{:08x}/{:07x}.png", other >> 32, other as u32 >> 4),
            Tree | Directory => format!("{place}{other:016x}.jpeg"),
            Extension => format!("{place}{other:016x}.{}", self.extension()),
            Prefix => format!("{place}{}{:012x}.jpeg", digits(self.name, 4, true), other >> 16),
            Around => {
                let (before, behind) = self.ends();
                format!("{place}{before}{:011x}{behind}", other >> 20)
            }
            Regex => self.spelled(true, other),
        }
    }

    /// A key in its directory, or beside it, that no rule takes.
    fn miss(&self, random: &mut Random) -> String {
        let (place, other) = (self.place(), random.next());
        let beside = || place_of_none(self.host, self.section, other);
        match self.kind {
            Url => format!("{place}{other:016x}.jpeg"),
            Tree => format!("{}{other:016x}.jpeg", beside()),
            Directory if other & 1 == 0 => format!("{}{other:016x}.jpeg", beside()),
            Directory => format!("{place}{:08x}/{:07x}.png", other >> 32, other as u32 >> 4),
            Extension => format!("{place}{other:016x}.{}", OTHER[(other >> 60) as usize % OTHER.len()]),
            Prefix => {
                let near = digits(self.name, 4, false);
                format!("{place}{near}{:012x}.jpeg", other >> 16)
            }
            Around => {
                let tail = digits(self.name, 3, false);
                format!("{place}{}{:011x}{tail}.jpeg", self.ends().0, other >> 20)
            }
            Regex => self.spelled(false, other),
        }
    }

    /// A key as its regex describes it, with its word or with one that is in no rule.
    fn spelled(&self, taken: bool, other: u64) -> String {
        let (place, word) = (self.place(), word(self.name, taken));
        let (number, letters) = (other % 900 + 100, self::word(other, other & 16 == 0));
        match self.name >> 62 {
            0 => format!("{place}{:04x}-{word}-{number}{number}.jpeg", other >> 48),
            1 => format!("{place}{:08x}-{word}{number}.jpeg", other >> 32),
            2 => format!("{place}{word}/{letters}{letters}.html"),
            _ => format!("{place}{word}{:06x}-v{number}.css", other >> 40),
        }
    }
}

fn place_of_none(host: usize, section: usize, other: u64) -> String {
    place(host, section, (other >> 40) as usize % DIRECTORIES * 10 + NO_RULES)
}

/// Keys, and for each whether a rule takes it.
pub(crate) struct Keys {
    pub(crate) keys: Vec<Key>,
    pub(crate) taken: Vec<bool>,
    /// The same for the peer that wants its requests prepared; made when first asked for.
    requests: std::cell::OnceCell<Vec<Request>>,
}

impl Keys {
    /// `count` keys of which `percent` in a hundred are taken by one of `rules`; other keys for each `seed`.
    pub(crate) fn new(rules: &[Rule], count: usize, percent: usize, seed: u64) -> Self {
        let mut random = Random::new(mix(seed) ^ rules.len() as u64);
        let mut taken = Vec::with_capacity(count);
        let mut keys = Vec::with_capacity(count);
        for _ in 0..count {
            let (key, hit) = draw(rules, percent, &mut random);
            keys.push(key);
            taken.push(hit);
        }
        Self { keys, taken, requests: std::cell::OnceCell::new() }
    }

    pub(crate) fn requests(&self) -> &[Request] {
        self.requests.get_or_init(|| {
            let request = |key: &Key| {
                let url = std::str::from_utf8(key.text()).expect("keys are ASCII");
                let host = std::str::from_utf8(key.as_ref().host()).expect("hosts are ASCII");
                Request::preparsed(url, host, host, "image", false, "GET")
            };
            self.keys.iter().map(request).collect()
        })
    }

    /// Reads all of them, so that none comes from memory for the first time while it is judged.
    pub(crate) fn touch(&self) {
        let sum: usize = self.keys.iter().flat_map(|key| key.text()).map(|&byte| usize::from(byte)).sum();
        std::hint::black_box(sum);
    }
}

/// One key, taken with a probability of `percent` in a hundred.
pub(crate) fn draw(rules: &[Rule], percent: usize, random: &mut Random) -> (Key, bool) {
    let hit = random.below(100) < percent;
    let rule = rules[random.below(rules.len())];
    let text = if hit {
        rule.hit(random)
    } else if random.below(2) == 0 {
        rule.miss(random)
    } else {
        let (host, section, other) = (random.below(HOSTS), random.below(SECTIONS), random.next());
        format!("{}{:016x}.jpeg", place_of_none(host, section, other), random.next())
    };
    (Key::parse(text.as_bytes()).expect("the text is a URL"), hit)
}
