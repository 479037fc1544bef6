//! Loads that are made to be slow, on `oust` alone: how the time of one judgement grows with the number of rules, all on one directory; regexes
//! without a literal; and the worst regexes that are allowed, beside PCRE2 and a lazy automaton.
//!
//! The keys are as near to the rules as they can be without being taken: a match would end the search. Long keys have 900 bytes.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use oust::purge::{MatchSet, Matcher};
use oust::site::Sites;
use oust::{Action, Key, Selector};

use crate::Options;
use crate::common::keys::{Random, mix};
use crate::peers::{BATCH, Lazy, Linear, timed};
use crate::report::{Report, Series, Spread, percentile, time};

/// Where all of it is.
const PLACE: &str = "https://hostile.example.net/d/";
const LENGTHS: [usize; 2] = [64, 900];
/// Keys of a family and length.
const KEYS: usize = 2000;
/// Most time for adding the rules of one family.
const ADDING: Duration = Duration::from_secs(60);

/// Selectors without end, and keys they do not take.
struct Family {
    name: &'static str,
    selector: fn(usize) -> String,
    /// What follows the directory in a key that has so many bytes left for it.
    rest: fn(&mut Random, usize) -> String,
}

const FAMILIES: [Family; 7] = [
    Family {
        name: "*.ext, each another",
        selector: |nth| format!("*.{}", number(nth, LETTERS)),
        rest: |random, len| {
            let ext = number(2_000_000 + random.below(2_000_000), LETTERS);
            format!("{}.{ext}", letters(random, len - ext.len() - 1, HEX))
        },
    },
    Family {
        name: "**suffix, equal tails",
        selector: |nth| format!("**{:06x}-of-equal-tails", nth),
        rest: |random, len| format!("{}f{:05x}-of-equal-tails", letters(random, len - 20, HEX), random.below(1 << 20)),
    },
    Family {
        name: "**suffix, each length",
        selector: |nth| format!("**{}{}", number(nth / 24, REST), "a".repeat(1 + nth % 24)),
        rest: |_, len| "a".repeat(len),
    },
    Family {
        name: "**word-word**, random",
        selector: |nth| format!("**{}-{}**", word(nth % 1000), word(nth / 1000)),
        rest: |random, len| {
            // First words of rules, second words of none.
            let mut text = String::new();
            while text.len() < len {
                text += &format!("{}-{}-", word(random.below(1000)), word(10_000 + random.below(1000)));
            }
            text.truncate(len);
            text
        },
    },
    Family {
        name: "**word**, equal 3-grams",
        selector: |nth| format!("**{}**", letters(&mut Random::new(mix(nth as u64)), 24, b"abc")),
        rest: |random, len| letters(random, len, b"abc"),
    },
    Family {
        name: "prefix**, one length",
        selector: |nth| format!("{}{:06x}**", "a".repeat(24), nth),
        rest: |random, len| format!("{}f{}", "a".repeat(24), letters(random, len - 25, HEX)),
    },
    Family {
        name: "prefix**, each length",
        selector: |nth| format!("{}{}**", "a".repeat(1 + nth % 24), number(nth / 24, REST)),
        rest: |_, len| "a".repeat(len),
    },
];

const HEX: &[u8] = b"0123456789abcdef";
const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
/// Without the `a` of which keys are made.
const REST: &[u8] = b"bcdefghijklmnopqrstuvwxyz";

/// `nth` in the digits of an alphabet.
fn number(mut nth: usize, alphabet: &[u8]) -> String {
    let mut text = String::new();
    loop {
        text.insert(0, char::from(alphabet[nth % alphabet.len()]));
        nth /= alphabet.len();
        if nth == 0 {
            return text;
        }
    }
}

fn letters(random: &mut Random, len: usize, alphabet: &[u8]) -> String {
    (0..len).map(|_| char::from(alphabet[random.below(alphabet.len())])).collect()
}

/// A word of six letters.
fn word(nth: usize) -> String {
    letters(&mut Random::new(mix(nth as u64)), 6, LETTERS)
}

fn key(text: &str) -> Key {
    Key::parse(text.as_bytes()).expect("the text is a URL")
}

impl Family {
    fn selectors(&self, range: std::ops::Range<usize>) -> Vec<Selector> {
        range.map(|nth| Selector::Pattern(format!("{PLACE}{}", (self.selector)(nth)))).collect()
    }

    fn keys(&self, length: usize) -> Vec<Key> {
        let mut random = Random::new(length as u64);
        (0..KEYS).map(|_| key(&format!("{PLACE}{}", (self.rest)(&mut random, length - PLACE.len())))).collect()
    }
}

pub(crate) fn run(options: &Options, report: &mut Report) {
    println!("\nhostile rules, all on one directory: oust, one judgement");
    let counts = counts(options);
    for length in LENGTHS {
        let mut plot = Vec::new();
        println!("  keys of {length} bytes           slope   rules: median (worst of the rounds)");
        for family in &FAMILIES {
            let mut series = Series { name: family.name.into(), points: Vec::new() };
            let said = growth(family, &counts, length, options, &mut series, report);
            let slope = series.slope();
            println!("    {:<24} {slope:>6.2}   {}", family.name, said.join(", "));
            report.row(
                &[("section", "hostile slope"), ("family", family.name)],
                &[("key_bytes", length as f64), ("slope", slope)],
            );
            plot.push(series);
        }
        report.plot(&format!("hostile-{length}"), &format!("Hostile rules, keys of {length} bytes"), &plot);
    }
    without_literal(options, report);
    worst(options, report);
}

/// The numbers of rules asked for, and those between.
fn counts(options: &Options) -> Vec<usize> {
    let most = options.rules.iter().copied().max().unwrap_or(1000);
    std::iter::successors(Some(10), |count| Some(count * 10)).take_while(|&count| count <= most).collect()
}

/// Measures a family at each number of rules, in one set that grows.
fn growth(
    family: &Family,
    counts: &[usize],
    length: usize,
    options: &Options,
    series: &mut Series,
    report: &mut Report,
) -> Vec<String> {
    let set = MatchSet::new(Sites::default(), 10_000_000);
    let keys = family.keys(length);
    let mut said = Vec::new();
    let mut live = 0;
    let begun = Instant::now();
    for &count in counts {
        while live < count {
            let end = count.min(live + BATCH / 10);
            if let Err(error) = set.add(&family.selectors(live..end), Action::Delete) {
                said.push(format!("{count}: refused, {error}"));
                return said;
            }
            live = end;
            if begun.elapsed() > ADDING {
                said.push(format!("{count}: {live} added in {} s", ADDING.as_secs()));
                return said;
            }
        }
        let mut taken = false;
        let times: Vec<f64> = (0..options.rounds)
            .map(|_| {
                let (done, took) = timed(keys.len(), options.limit / 2, |nth| {
                    let found = set.judge(keys[nth].as_ref(), 0).is_some();
                    taken |= found;
                    found
                });
                took.as_nanos() as f64 / done as f64
            })
            .collect();
        // Random letters may hold a word by chance; then it has to be there.
        if taken {
            let alone: Vec<Matcher> = family
                .selectors(0..live)
                .iter()
                .map(|one| Matcher::new(one, &Sites::default()).expect("valid"))
                .collect();
            for key in keys.iter().filter(|key| set.judge(key.as_ref(), 0).is_some()) {
                assert!(alone.iter().any(|one| one.matches(key.as_ref())), "{}: no rule takes {key}", family.name);
            }
        }
        let spread = Spread::of(&times);
        series.points.push((count as f64, spread.median));
        said.push(format!("{count}: {} ({})", time(spread.median), time(spread.high)));
        report.row(
            &[("section", "hostile"), ("family", family.name)],
            &[
                ("rules", count as f64),
                ("key_bytes", length as f64),
                ("ns", spread.median),
                ("ns_low", spread.low),
                ("ns_high", spread.high),
                ("add_seconds", begun.elapsed().as_secs_f64()),
            ],
        );
    }
    said
}

/// Regexes that hold no literal by which they could be found, offered one by one.
fn without_literal(options: &Options, report: &mut Report) {
    let offered = options.of(10_000);
    let set = MatchSet::new(Sites::default(), 10_000_000);
    let begun = Instant::now();
    let mut refused: BTreeMap<String, usize> = BTreeMap::new();
    let (mut tried, mut slowest) = (0, Duration::ZERO);
    for nth in 0..offered {
        let class = |shift: usize| char::from(b'a' + ((nth >> shift) & 15) as u8);
        let text = format!("{PLACE}[{}-z]+[{}-z][{}-z]{{{}}}[0-9]$", class(0), class(4), class(8), 2 + nth / 4096);
        let offered = Instant::now();
        if let Err(error) = set.add(&[Selector::Regex(text)], Action::Delete) {
            *refused.entry(format!("{:?}: {error}", error.kind())).or_default() += 1;
        }
        (tried, slowest) = (nth + 1, slowest.max(offered.elapsed()));
        if begun.elapsed() > ADDING {
            break;
        }
    }
    let took = time(begun.elapsed().as_nanos() as f64 / tried as f64);
    println!(
        "\n{tried} regexes without a literal on one host: {} accepted; {took} each, at most {}",
        set.live(),
        time(slowest.as_nanos() as f64)
    );
    for (error, count) in &refused {
        println!("    {count} refused: {error}");
    }
    println!("  one judgement, its reading of the clock included          median          p99       keys judged");
    let mut random = Random::new(1);
    for (name, place) in [("this host", PLACE), ("another host", "https://another.example.net/d/")] {
        for length in LENGTHS {
            let keys: Vec<Key> = (0..KEYS)
                .map(|_| key(&format!("{place}{}", letters(&mut random, length - place.len(), LETTERS))))
                .collect();
            let mut times = Vec::new();
            timed(20 * KEYS, 4 * options.limit, |nth| {
                let begun = Instant::now();
                let found = set.judge(keys[nth % KEYS].as_ref(), 0).is_some();
                times.push(begun.elapsed().as_nanos().min(u128::from(u32::MAX)) as u32);
                found
            });
            let (middle, late) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
            let keys = format!("keys of {length} bytes, {name}");
            println!("    {keys:<48} {:>12} {:>12} {:>12}", time(middle), time(late), times.len());
            report.row(
                &[("section", "without literal"), ("host", name)],
                &[
                    ("offered", tried as f64),
                    ("accepted", set.live() as f64),
                    ("key_bytes", length as f64),
                    ("ns_p50", middle),
                    ("ns_p99", late),
                ],
            );
        }
    }
}

/// A regex, and what follows the directory in a key of so many bytes that it does not take.
type Worst = (&'static str, fn(&mut Random, usize) -> String);

/// The worst regexes within the limits. Every letter they need is in their keys.
const WORST: [Worst; 3] = [
    ("[ab]*a[ab]{59}$", |random, len| {
        let mut text = letters(random, len, b"ab");
        text.replace_range(len - 60..len - 59, "b");
        text
    }),
    (".*(a|b|c|d).{0,30}(e|f).{0,25}(g|h).*$", |random, len| format!("g{}", letters(random, len - 1, b"abcdef"))),
    ("(.{0,59}a){5}x.*$", |random, len| format!("x{}", letters(random, len - 1, b"ab"))),
];

/// Lengths of their keys: the first needs more than 60 bytes behind the directory.
const WORST_LENGTHS: [usize; 2] = [120, 900];

fn worst(options: &Options, report: &mut Report) {
    println!("\nthe worst regexes, one rule: one judgement");
    println!(
        "    regex, bytes of the keys                              oust     PCRE2 ratio         lazy DFA ratio   answers differ"
    );
    for (text, rest) in WORST {
        let set = MatchSet::new(Sites::default(), 10);
        if let Err(error) = set.add(&[Selector::Regex(format!("{PLACE}{text}"))], Action::Delete) {
            println!("    {text}: refused, {error}");
            report.row(&[("section", "worst"), ("regex", text), ("refused", &error.to_string())], &[("rules", 1.0)]);
            continue;
        }
        let pattern = vec![format!("^{}{text}", regex::escape(PLACE))];
        let linear = Linear::new(&pattern).expect("PCRE2 takes it");
        let mut lazy = Lazy::new(&pattern).expect("the lazy automaton takes it");
        for length in WORST_LENGTHS {
            let mut random = Random::new(7);
            let keys: Vec<Key> =
                (0..KEYS).map(|_| key(&format!("{PLACE}{}", rest(&mut random, length - PLACE.len())))).collect();
            let (mut gave_up, mut differ) = (0, 0);
            for key in keys.iter().take(20) {
                let own = set.judge(key.as_ref(), 0).is_some();
                differ += usize::from(lazy.is_match(key.text()) != own);
                match linear.is_match(key.text()) {
                    Some(answer) => differ += usize::from(answer != own),
                    None => gave_up += 1,
                }
            }
            let mut times: [Vec<f64>; 3] = Default::default();
            for round in 0..options.rounds {
                for turn in 0..3 {
                    let nth = (turn + round) % 3;
                    let limit = options.limit / 4;
                    let (done, took) = match nth {
                        0 => timed(KEYS, limit, |at| set.judge(keys[at].as_ref(), 0).is_some()),
                        1 => timed(KEYS, limit, |at| linear.is_match(keys[at].text()).is_some()),
                        _ => timed(KEYS, limit, |at| lazy.is_match(keys[at].text())),
                    };
                    times[nth].push(took.as_nanos() as f64 / done as f64);
                }
            }
            let [own, pcre, lazy] = times.map(|times| Spread::of(&times).median);
            let gave_up = if gave_up > 0 { format!(", PCRE2 gives up on {gave_up} of 20") } else { String::new() };
            println!(
                "    {:<44} {:>13} {:>12} {:>6.2} {:>12} {:>6.2}   {differ}{gave_up}",
                format!("{text}, {length}"),
                time(own),
                time(pcre),
                pcre / own,
                time(lazy),
                lazy / own
            );
            report.row(
                &[("section", "worst"), ("regex", text)],
                &[("key_bytes", length as f64), ("ns", own), ("pcre2_ns", pcre), ("lazy_ns", lazy)],
            );
        }
    }
}
