//! The table against its rules one by one.

use std::cell::Cell;
use std::sync::Arc;

use super::super::history::Record;
use super::super::rules::{Prepared, RuleSet, Snapshot};
use super::super::selector::{Compiled, Subject};
use super::super::tags::TagsRef;
use super::super::{Action, Layers, Purge, PurgeError, Selector};
use super::SCALES;
use super::place::{By, Place, places};
use crate::Key;
use crate::site::Sites;

thread_local! {
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

/// Counts the texts that this thread's questions ran.
pub(super) fn count(asked: bool) {
    ASKED.set(ASKED.get() + usize::from(asked));
}

/// Numbers that depend on the seed alone.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    /// So many words that meet in directories, beginnings, endings and inner literals.
    fn text(&mut self, words: usize) -> String {
        let mut text = String::new();
        for _ in 0..words {
            let word =
                ["a", "b", "ab", "ba", "a.b", "abab", "a@", ".a", "b.ab", "aaaa/", "a/", "/", "%2F", "abcdefghij"];
            text.push_str(self.of(&word));
            if self.below(40) == 0 {
                text.push_str(&"ab".repeat(self.below(150)));
            }
        }
        text
    }

    fn some(&mut self, most: usize) -> String {
        let words = self.below(most + 1);
        self.text(words)
    }

    fn key(&mut self) -> Option<Key> {
        let origin = self.of(&["http://h/", "http://h/", "http://h.h/", "https://h.h:81/"]);
        let mut path = self.some(6);
        if self.below(12) == 0 {
            path.push_str(&self.of(&["a/", "ab", "a", "/"]).repeat(self.below(3_000)));
            path.push_str(&self.some(3));
        }
        let query = if self.below(3) == 0 { "?".to_owned() + &self.some(3) } else { String::new() };
        let variation =
            if self.below(3) == 0 { "@@x".to_owned() + &self.some(2).replace(['/', '@'], "b") } else { String::new() };
        Key::parse(format!("{origin}{path}{query}{variation}").as_bytes()).ok()
    }

    fn selector(&mut self) -> Selector {
        let (a, b, c) = (self.some(4), self.some(2), self.text(1));
        let origin = self.of(&["http://h/", "http://h/", "any://h.h/", "any://h.h:81/"]);
        let a = if self.below(8) == 0 { format!("{a}?{b}") } else { a };
        let plain = |text: &str| text.replace('.', "\\.");
        match self.below(22) {
            0 => Selector::Url(format!("{origin}{a}")),
            1 => Selector::Key(format!("{origin}{a}@@x{}", self.some(1).replace(['/', '@'], "b"))),
            2 => Selector::Pattern(format!("{origin}{a}**")),
            3 => Selector::Pattern(format!("{origin}{a}*")),
            4 => Selector::Pattern(format!("{origin}{a}*{b}")),
            5 => Selector::Pattern(format!("{origin}{a}**{b}")),
            6 => Selector::Pattern(format!("{origin}{a}**{b}**{c}")),
            7 => Selector::Pattern(format!("{origin}{a}*{b}**{c}*")),
            8 => Selector::Pattern(format!("{origin}{a}**{b}?*{c}")),
            9 => Selector::Glob(format!("{origin}{a}*{b}*{c}*")),
            10 => Selector::Glob(format!("{origin}{a}*{b}*{c}")),
            11 => Selector::Glob(format!("{origin}{a}*@@x*{}", self.of(&["a", "b", ""]))),
            12 => Selector::Pattern(format!("{origin}{a}@@x{}*", self.of(&["a", "b", ""]))),
            13 => Selector::LastWildcard(format!("{origin}{a}*{b}")),
            14 => Selector::Regex(format!("{origin}{}.*{}[ab]", plain(&a).replace('?', "\\?"), plain(&c))),
            15 => Selector::Regex(format!("{origin}[ab]+{}{}", plain(&c), self.of(&["", "$"]))),
            16 => Selector::Regex(format!("{origin}{}({}|{})$", plain(&b), plain(&c), self.of(&["a", "b"]))),
            17 => Selector::Regex(format!("{origin}{}.*[ab]@@x{}", plain(&b), self.of(&["a", "b", ".*b$"]))),
            18 => Selector::Pattern(format!("{}://*.h{}/{a}**{b}", self.of(&["any", "http"]), self.of(&["", ":81"]))),
            19 => Selector::Host(self.of(&["h", "h.h", "*.h", "*.h:81", "h.h:81", "h:80"]).into()),
            20 => Selector::Regex(format!("{origin}{}[^/]*{}\\.[ab]+$", plain(&b), plain(&c))),
            _ => Selector::Regex(format!("{origin}({}|{}).{{0,9}}{}", plain(&b), plain(&c), plain(&c))),
        }
    }
}

fn prepare(selector: &Selector, action: Action, layers: Layers) -> Option<Prepared> {
    Some(Prepared { parts: selector.compile(&Sites::default()).ok()?, action, layers })
}

fn publish(rules: &RuleSet, batch: Vec<Prepared>) -> Result<u64, PurgeError> {
    let nothing = Purge::batch(Vec::new());
    rules
        .publish(batch, |first, last| Ok(Arc::new(Record::new(0, (first, last), &nothing, 0))))
        .map(|record| record.last)
}

struct Live {
    seq: u64,
    action: Action,
    layers: Layers,
    selector: Selector,
    parts: Vec<Compiled>,
}

/// Every tier's verdict of a snapshot for rules in (after, upto] against all rules one by one.
fn agree(snapshot: &Snapshot, live: &[Live], key: &Key, after: u64, upto: u64) {
    let subject = Subject { key: key.as_ref(), vary: None, tags: TagsRef::default() };
    let said = snapshot.judge_upto(&subject, after, upto);
    for (tier, said) in [said.edge, said.l2].into_iter().enumerate() {
        let takes = |rule: &&Live| {
            let named = if tier == 0 { rule.layers.edge } else { rule.layers.l2 };
            named && rule.seq > after && rule.seq <= upto && rule.parts.iter().any(|part| part.matches(&subject))
        };
        let strongest = live.iter().filter(takes).max_by_key(|rule| rule.action);
        assert_eq!(
            said.map(|(action, _)| action),
            strongest.map(|rule| rule.action),
            "tier {tier} of {key} in ({after}, {upto}]: {:?}",
            strongest.map(|rule| (&rule.selector, rule.seq))
        );
        if let Some((action, seq)) = said {
            let by = live.iter().filter(takes).find(|rule| rule.seq == seq);
            assert_eq!(by.map(|rule| rule.action), Some(action), "{key}: {seq} takes it");
        }
    }
}

/// Batches of all kinds of rules for all layers, through generations, each judged by its own snapshot, also later.
#[test]
fn every_snapshot_says_what_its_rules_say() {
    let mut hits = 0;
    for seed in 0..4 {
        let mut random = Random(seed);
        let rules = RuleSet::new(100_000);
        let mut live: Vec<Live> = Vec::new();
        let mut old: Vec<Arc<Snapshot>> = Vec::new();
        let (mut sealed, mut retired) = (None, 0);
        for round in 0..30 {
            let mut batch = Vec::new();
            let mut chosen = Vec::new();
            for _ in 0..=random.below(12) {
                let selector = match live.len() {
                    0 => random.selector(),
                    known if random.below(4) == 0 => live[random.below(known)].selector.clone(),
                    _ => random.selector(),
                };
                let action = [Action::Soft, Action::Soft, Action::Invalidate, Action::Delete][random.below(4)];
                let (edge, l2) = [(true, true), (true, false), (false, true)][random.below(3)];
                let layers = Layers { edge, l2 };
                if let Some(prepared) = prepare(&selector, action, layers) {
                    batch.push(prepared);
                    chosen.push((selector, action, layers));
                }
            }
            let before = rules.load().seq;
            match publish(&rules, batch) {
                Ok(last) => assert_eq!(last, before + chosen.len() as u64),
                Err(_) => {
                    assert_eq!(rules.load().seq, before);
                    continue;
                }
            }
            for (seq, (selector, action, layers)) in (before + 1..).zip(chosen) {
                let parts = selector.compile(&Sites::default()).unwrap();
                live.push(Live { seq, action, layers, selector, parts });
            }
            old.push(arc_swap::Guard::into_inner(rules.load()));
            match (round % 7, sealed) {
                (3, _) => sealed = Some(rules.seal().upto),
                (6, Some(upto)) => {
                    rules.retire(upto);
                    rules.free_retired();
                    (sealed, retired) = (None, upto);
                    old.clear();
                    old.push(arc_swap::Guard::into_inner(rules.load()));
                }
                _ => {}
            }
            for _ in 0..12 {
                let Some(key) = random.key() else { continue };
                let snapshot = &old[random.below(old.len())];
                let span = usize::try_from(snapshot.seq - retired).unwrap() + 1;
                for after in [retired, retired + random.below(span) as u64, snapshot.seq.saturating_sub(1).max(retired)]
                {
                    agree(snapshot, &live, &key, after, snapshot.seq);
                    let upto = after + random.below(usize::try_from(snapshot.seq - after).unwrap() + 1) as u64;
                    agree(snapshot, &live, &key, after, upto);
                }
                let subject = Subject { key: key.as_ref(), vary: None, tags: TagsRef::default() };
                hits += usize::from(snapshot.judge(&subject, retired).takes_fill());
            }
        }
    }
    assert!(hits > 200, "{hits}");
}

fn all(rules: &RuleSet, selectors: &[Selector]) -> Result<u64, PurgeError> {
    let both = Layers { edge: true, l2: true };
    publish(rules, selectors.iter().map(|selector| prepare(selector, Action::Soft, both).expect("compiles")).collect())
}

/// How many texts were run to judge a key.
fn asked(rules: &RuleSet, key: &str) -> usize {
    let key = Key::parse(key.as_bytes()).unwrap();
    ASKED.set(0);
    rules.load().judge(&Subject { key: key.as_ref(), vary: None, tags: TagsRef::default() }, 0);
    ASKED.get()
}

#[test]
fn what_occurs_at_every_byte_is_asked_about_once() {
    let rules = RuleSet::new(100);
    let programs: Vec<Selector> =
        (1..=32).map(|n| Selector::Regex(format!("http://h/.*[xy]{{1,{n}}}eee[^e]"))).collect();
    all(&rules, &programs).unwrap();
    assert_eq!(asked(&rules, &format!("http://h/{}", "e".repeat(8_000))), 32);
    assert_eq!(asked(&rules, "http://h/ee"), 0);
}

#[test]
fn distances_of_windows_are_few() {
    for len in [1, 3, 64, 127, 128, 4_000] {
        let glob = Selector::Glob(format!("http://h/*{}*z*", "e".repeat(len)));
        let parts = glob.compile(&Sites::default()).unwrap();
        let Place::Asked(candidates) = places(parts[0].shape()) else { panic!("it is asked") };
        let By::Occurring(spot) = candidates[0].by else { panic!("by what occurs") };
        assert!(spot.offset < 64 && (spot.scale as usize) < SCALES, "{len}: {spot:?}");
        let rules = RuleSet::new(100);
        all(&rules, &[glob]).unwrap();
        assert_eq!(asked(&rules, &format!("http://h/{}z", "e".repeat(len))), 1);
    }
}

#[test]
fn every_port_has_a_place_of_its_own() {
    let hash = |text: &str| {
        let parts = Selector::Host(text.into()).compile(&Sites::default()).unwrap();
        let Place::Exact(_, hash) = places(parts[0].shape()) else { panic!("{text} is exact") };
        hash
    };
    let texts = ["*.h", "*.h:1", "*.h:2", "*.g:1", "h", "h:1", "h:2"];
    let hashes: std::collections::HashSet<u64> = texts.into_iter().map(hash).collect();
    assert_eq!(hashes.len(), texts.len());
}

#[test]
fn what_is_repeated_costs_nothing_within_a_batch_too() {
    let rules = RuleSet::new(1_000);
    let one = Selector::Regex("http://h/[a-f]+[x]".into());
    all(&rules, &vec![one.clone(); 40]).expect("one text");
    assert_eq!(asked(&rules, "http://h/q"), 1);
    all(&rules, &vec![one; 40]).expect("known by now");
    assert_eq!(asked(&rules, "http://h/q"), 1);
}

#[test]
fn patterns_of_variations_are_found_by_their_url() {
    let rules = RuleSet::new(1_000);
    let patterns: Vec<Selector> = (0..200).map(|n| Selector::Pattern(format!("http://h/d/p{n}?q@@m*"))).collect();
    all(&rules, &patterns).expect("as many as URLs");
    assert_eq!(asked(&rules, "http://h/d/p7?q@@mobile"), 1);
    assert_eq!((asked(&rules, "http://h/d/p7?q"), asked(&rules, "http://h/d/p7@@mobile")), (0, 0));
    let key = Key::parse(b"http://h/d/p7?q@@mobile").unwrap();
    let subject = Subject { key: key.as_ref(), vary: None, tags: TagsRef::default() };
    assert_eq!(rules.load().judge(&subject, 0).edge, Some((Action::Soft, 8)));
    let more: Vec<Selector> = (0..1_100).map(|n| Selector::Pattern(format!("http://h/u@@m{n}*"))).collect();
    let error = all(&RuleSet::new(10_000), &more).expect_err("too many of one URL");
    assert_eq!((error.selector, error.limit().map(|(_, most)| most)), (Some(1_024), Some(1_024)));
}

#[test]
fn bytes_count_what_hangs_on_nodes() {
    let rules = RuleSet::new(1_000);
    let glob = |n: usize, len: usize| Selector::Glob(format!("http://h/{n}/*{}", "a".repeat(len)));
    all(&rules, &(0..100).map(|n| glob(n, 9)).collect::<Vec<_>>()).unwrap();
    let short = rules.table_bytes();
    let rules = RuleSet::new(1_000);
    all(&rules, &(0..100).map(|n| glob(n, 99)).collect::<Vec<_>>()).unwrap();
    assert_eq!(rules.table_bytes() - short, 100 * crate::key::MAX_KEY / 8);
}

/// Each node with windows is a pass over the key.
#[test]
fn nested_beginnings_are_scanned_at_few_nodes() {
    for (repeated, most) in [("a/", 16 * 2 + 1), ("a", 64), ("a/aaaaa", 16 * 6 + 1)] {
        let mut nodes = std::collections::HashSet::new();
        for len in (1..600).step_by(3) {
            let beginning: String = repeated.chars().cycle().take(len).collect();
            let glob = Selector::Glob(format!("http://h/{beginning}*foo*"));
            let parts = glob.compile(&Sites::default()).unwrap();
            let Place::Asked(candidates) = places(parts[0].shape()) else { panic!("it is asked") };
            let Some(node) = candidates[0].beginning else { panic!("it has a node") };
            assert!(matches!(candidates[0].by, By::Occurring(_)));
            nodes.insert(node.prefix.to_vec());
            let rules = RuleSet::new(10);
            all(&rules, &[glob]).unwrap();
            assert_eq!(asked(&rules, &format!("http://h/{beginning}-foo-")), 1);
            assert_eq!(asked(&rules, &format!("http://h/{beginning}-fo")), 0);
        }
        assert!(nodes.len() <= most && nodes.len() > 10, "{repeated}: {}", nodes.len());
    }
}

#[test]
fn many_names_may_share_what_occurs_behind_them() {
    let rules = RuleSet::new(1_000);
    let globs: Vec<Selector> = (0..500).map(|n| Selector::Glob(format!("http://h/img/product-{n:04}*.jpg*"))).collect();
    all(&rules, &globs).expect("each name leads to its own");
    assert_eq!(asked(&rules, "http://h/img/product-0123-large.jpg?w=300"), 1);
}
