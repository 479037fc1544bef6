//! Hostile rules and keys: what a rule costs to compile and publish and what a key costs to judge is bounded, whatever was accepted before.
//!
//! Bounds are in bytes of the allocator and in CPU time of this thread, never in time of a clock: a busy machine changes neither. Rules may be
//! refused for a budget, but valid ones never as malformed.

use oust::purge::{MatchSet, PurgeErrorKind};
use oust::site::Sites;
use oust::{Action, Key};
use oust_reference::{Entropy, Matcher, Selector, parse_key};

use crate::cost::{Cost, SLOW, measured};
use crate::engine;

/// CPU time to compile and publish one selector.
const MAX_ADD_MICROS: u64 = 50_000 * SLOW;
/// CPU time to judge one key.
const MAX_JUDGE_MICROS: u64 = 20_000 * SLOW;
/// What an accepted selector may hold at once while it is compiled and published, beside `MAX_BYTES_A_BYTE` for each byte of its text.
const MAX_ADD_BYTES: usize = 3 << 19;
const MAX_BYTES_A_BYTE: usize = 64;
/// What judging one key may ask of the allocator.
const MAX_JUDGE_BYTES: usize = 256 << 10;
const MAX_JUDGE_CALLS: usize = 4096;

const MAX_OPS: usize = 48;
/// Of one case, so that it ends.
const MAX_RULES: usize = 1500;

const DIRS: [&str; 6] = ["/", "/d/", "/d/a/", "/aa/", "/a/a/a/a/", "/d/a/b/c/d/e/f/"];
// Such that the ends of one word are beginnings of the next.
const WORDS: [&str; 10] = ["a", "ab", "aab", "abc", "abaab", "a/", "/a", ".a", ".tar.gz", "x-"];
const LENGTHS: [usize; 8] = [0, 1, 8, 60, 70, 500, 2000, 8100];

/// Floods of rules, and keys in between.
pub fn rule_bomb(data: &[u8]) {
    let mut entropy = Entropy::new(data);
    let mut bomb = Bomb {
        set: MatchSet::new(Sites::default(), 100_000),
        accepted: 0,
        last: 0,
        history: Vec::new(),
        tracing: std::env::var_os("OUST_FUZZ_TRACE").is_some(),
        leeway: std::env::var("OUST_FUZZ_LEEWAY").ok().and_then(|text| text.parse().ok()).unwrap_or(1),
    };
    for _ in 0..MAX_OPS {
        if entropy.is_empty() {
            break;
        }
        match entropy.below(8) {
            0..=3 => {
                let flood = Flood::new(&mut entropy);
                bomb.light(&flood, &mut entropy);
            }
            7 if entropy.one_in(4) => bomb.retire(),
            _ => bomb.judge(&key(&mut entropy)),
        }
    }
    for dir in ["/", "/d/", "/a/"] {
        for word in ["a", "ab"] {
            bomb.judge(filled(&format!("http://h{dir}"), word, 8190).as_bytes());
        }
    }
}

/// Rules of one class, told apart by a number.
#[derive(Debug)]
struct Flood {
    class: usize,
    first: usize,
    count: usize,
    place: String,
    word: &'static str,
    stars: &'static str,
    /// Of the literal that makes a rule long.
    length: usize,
}

impl Flood {
    const CLASSES: usize = 19;

    fn new(entropy: &mut Entropy<'_>) -> Self {
        let class = entropy.below(Self::CLASSES);
        let scheme = entropy.pick(&["http", "any"]);
        let flood = Self {
            class,
            first: entropy.below(100),
            count: entropy.pick(&[1, 2, 5, 60, 10, 20, 200]),
            place: format!("{scheme}://h{}", entropy.pick(&DIRS)),
            word: entropy.pick(&WORDS),
            stars: entropy.pick(&["*", "**"]),
            length: entropy.pick(&LENGTHS),
        };
        // Long texts and slow ones cost the same alone as in hundreds.
        let most = match class {
            5 | 6 => 24,
            18 => 60,
            _ if flood.length >= 500 => 24,
            _ => 200,
        };
        Self { count: flood.count.min(most), ..flood }
    }

    fn rule(&self, at: usize) -> Selector {
        const NESTED: [&str; 14] = [
            "[ab]*a[ab]{59}",
            "(?:a?){59}a{59}",
            "(?:(?:a|ab){1,50}){1,50}",
            ".*[ab]{59}.*[^a]{59}",
            "(?:[^/]{1,20}/){0,20}x",
            ".*(?:a|aa|aaa|ab){1,59}b",
            "((((a{1,6}){1,6}){1,6}){1,6}b){0,3}",
            "(?:.{0,59}a){0,59}",
            "[^a]*(?:[^b]{0,30}c){0,59}",
            "(?:|a|ab|abc){59}.*$",
            "(?:[a-c].){1,59}[^/]*$",
            ".*(?:[ab]{1,58}[bc]){1,59}",
            ".*a.{59}b.*",
            "(?:\\W|\\w){59}[ab]*",
        ];
        let n = self.first + at;
        let Self { place, word, stars, .. } = self;
        let long = word.repeat(self.length / word.len());
        let host = place.find("/d").map_or("any://h/", |_| "http://h/");
        let text = match self.class {
            0 => format!("{place}{stars}.e{n}"),
            1 => format!("{place}{stars}.{n:070}"),
            2 => format!("{place}{stars}x{n}{long}{word}"),
            3 => format!("{place}**{long}{word}{n}**"),
            4 => format!("{place}{}{stars}", word.repeat(n % 200 + 1)),
            5 => return Selector::Regex(format!("{host}{}", NESTED[n % NESTED.len()]).into()),
            6 => {
                let (count, inner) = (n % 59 + 1, (n / 7) % 59 + 1);
                let body = format!("(?:[ab]{{0,{count}}}{}){{1,{inner}}}", word.replace('.', "\\."));
                return Selector::Regex(format!("{place}{body}").into());
            }
            7 => {
                let body = [".{1,59}", "[ab]*", ".*", "[^/]+", "[^a]*[^b]*", "\\w*", ".?"][n % 7];
                return Selector::Regex(format!("{place}{body}.{{{}}}", n % 60).into());
            }
            8 => {
                let mut text = place.clone();
                for wildcard in ["*", "**", "*", "**"].iter().cycle().take(2 + n % 40 + self.length / 40) {
                    text.push_str(wildcard);
                    text.push_str(word);
                }
                text
            }
            9 => format!("{place}{}{stars}{}", word.repeat(n % 30 + 1), word.repeat(n % 17 + 1)),
            10 => format!("any://*.{}h/{word}{n}{stars}", "a.".repeat(n % 30)),
            11 => format!("http://h{}/{stars}", "/a".repeat(n * 3)),
            12 => return Selector::LastWildcard(format!("{place}{long}**{word}*{n}*{word}").into()),
            13 => {
                return Selector::Glob(format!("{place}{}{n}", format!("*{word}").repeat(1 + self.length / 8)).into());
            }
            14 => return Selector::Url(format!("{place}{long}{n}").into()),
            15 => return Selector::Key(format!("http://h/{long}{n}@@{word}").into()),
            16 => format!("{place}{stars}{word}{n}?{stars}{long}@@*{n}"),
            17 => return Selector::Tag(format!("{word}{long}{n}").into()),
            // One of the slow ones again and again.
            _ => return Selector::Regex(format!("{place}{}{n}", NESTED[self.first % NESTED.len()]).into()),
        };
        Selector::Pattern(text.into())
    }
}

/// From 10 to 8,192 bytes.
fn key(entropy: &mut Entropy<'_>) -> Vec<u8> {
    let host = entropy.pick(&["h", "h", "h", "h", "a.a.h", "h:81"]);
    let place = format!("{}://{host}{}", entropy.pick(&["http", "https"]), entropy.pick(&DIRS));
    let word = entropy.pick(&WORDS);
    let length = entropy.pick(&[10, 60, 500, 2000, 8190, 8190]) - entropy.below(4);
    let tail = match entropy.below(8) {
        0 => format!(".e{}", entropy.byte()),
        1 => format!(".{:070}", entropy.byte()),
        2 => format!("x{}{word}", entropy.byte()),
        3 => format!("?{word}/b"),
        4 => "@@v".to_owned(),
        5 => format!("{word}{word}"),
        _ => String::new(),
    };
    (filled(&place, word, length.saturating_sub(tail.len())) + &tail).into_bytes()
}

/// The word again and again behind the beginning, up to a length.
fn filled(begin: &str, word: &str, length: usize) -> String {
    let mut out = begin.to_owned();
    out.extend(word.chars().cycle().take(length.saturating_sub(begin.len())));
    out
}

struct Bomb {
    set: MatchSet,
    accepted: usize,
    last: u64,
    /// What came so far, told in short.
    history: Vec<String>,
    tracing: bool,
    /// Times the bounds, to see how far something is beyond them: `OUST_FUZZ_LEEWAY=8`.
    leeway: u32,
}

impl Bomb {
    fn light(&mut self, flood: &Flood, entropy: &mut Entropy<'_>) {
        let action = entropy.pick(&[Action::Delete, Action::Invalidate, Action::Soft]);
        let count = flood.count.min(MAX_RULES - self.accepted.min(MAX_RULES));
        let rules: Vec<Selector> = (0..count).map(|at| flood.rule(at)).collect();
        if let Some(first) = rules.first() {
            self.history.push(format!("{count} of class {} from {}", flood.class, shortened(first.text())));
        }
        let size = if entropy.one_in(4) { count.max(1) } else { 1 };
        for batch in rules.chunks(size) {
            self.add(batch, action);
        }
    }

    fn add(&mut self, batch: &[Selector], action: Action) {
        let selectors: Vec<oust::Selector> = batch.iter().filter_map(engine::selector).collect();
        let (answer, cost) = measured(|| self.set.add(&selectors, action));
        let text: usize = batch.iter().map(|selector| selector.text().len()).sum();
        self.trace("add", &cost, batch[0].text());
        match answer {
            Ok(last) => {
                self.accepted += batch.len();
                self.last = last;
                let most = (batch.len() * MAX_ADD_BYTES + text * MAX_BYTES_A_BYTE) * self.leeway as usize;
                assert!(cost.spent.peak <= most, "{cost:?}, at most {most} bytes at once: {}", self.tell(batch));
            }
            Err(error) => {
                let malformed = batch.iter().any(|selector| Matcher::new(selector).is_err());
                let kind = error.kind();
                assert!(malformed || kind != PurgeErrorKind::Malformed, "{error}: {}", self.tell(batch));
            }
        }
        let most = MAX_ADD_MICROS * batch.len() as u64 * u64::from(self.leeway);
        assert!(cost.micros <= most, "{cost:?}, at most {most} us: {}", self.tell(batch));
    }

    fn judge(&self, text: &[u8]) {
        // A tail may make it too long.
        let Some(subject) = parse_key(text) else { return };
        let key: Key = engine::key_of(&subject);
        for after in [0, self.last / 2] {
            let (verdict, cost) = measured(|| self.set.judge(key.as_ref(), after));
            self.trace("judge", &cost, text);
            if let Some((_, number)) = verdict {
                assert!(number > after && number <= self.last, "rule {number} of {}, after {after}", self.last);
            }
            let tell = || format!("{} ({} bytes) under {:?}", shortened(text), text.len(), self.history);
            let leeway = self.leeway as usize;
            let (bytes, calls) = (MAX_JUDGE_BYTES * leeway, MAX_JUDGE_CALLS * leeway);
            let modest = cost.spent.peak <= bytes && cost.spent.calls <= calls;
            assert!(modest, "{cost:?}, at most {bytes} bytes at once and {calls} calls: {}", tell());
            let most = MAX_JUDGE_MICROS * u64::from(self.leeway);
            assert!(cost.micros <= most, "{cost:?}, at most {most} us: {}", tell());
        }
    }

    fn retire(&mut self) {
        self.set.retire();
        self.history.push("retired".to_owned());
        assert_eq!(self.set.live(), 0, "live rules");
    }

    /// For a case that is being looked into: `OUST_FUZZ_TRACE=1`.
    fn trace(&self, what: &str, cost: &Cost, text: &[u8]) {
        if self.tracing {
            eprintln!("{what} {} us {:?} ({} rules): {}", cost.micros, cost.spent, self.set.live(), shortened(text));
        }
    }

    fn tell(&self, batch: &[Selector]) -> String {
        let text = batch.last().map_or(String::new(), |selector| shortened(selector.text()));
        format!("batch of {}, the last is {text}, under {:?}", batch.len(), self.history)
    }
}

fn shortened(text: &[u8]) -> String {
    let all = text.escape_ascii().to_string();
    if all.len() <= 300 {
        all
    } else {
        format!("{}[..{} bytes..]{}", &all[..200], all.len() - 260, &all[all.len() - 60..])
    }
}
