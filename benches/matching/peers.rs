//! The engines that are compared, under one trait.
//!
//! All answer the same question, whether any rule takes a key, and may stop at the first that does. `oust` answers more: the strongest action,
//! and the number of a rule that says so, for rules newer than a number. What a peer cannot express is said at its type.

use std::time::{Duration, Instant};

use adblock::lists::ParseOptions;
use adblock::url_parser::{ResolvesDomain, set_domain_resolver};
use adblock::{Engine as Filters, FilterSet};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use oust::purge::MatchSet;
use oust::site::Sites;
use oust::{Action, Selector};
use oust_bench::Hyperscan;
use regex::bytes::{RegexSet, RegexSetBuilder};
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};

use super::rules::{Keys, Rule};

/// Selectors in one call.
pub(crate) const BATCH: usize = 10_000;
/// Memory the lazy automata may fill: enough that none is ever thrown away here.
const LAZY_BYTES: usize = 2 << 30;

/// Names of the engines; the first is what the others are compared with.
pub(crate) const NAMES: [&str; 7] = ["oust", "lazy DFA", "RegexSet", "globset", "adblock", "PCRE2 linear", "Hyperscan"];

/// The engine `name` with `rules`.
pub(crate) fn build(name: &str, rules: &[Rule]) -> Result<Box<dyn Engine>, String> {
    Ok(match name {
        "oust" => Box::new(Oust(set_of(rules)?)),
        "lazy DFA" => Box::new(Lazy::new(&patterns(rules))?),
        "RegexSet" => Box::new(Set(regex_set(&patterns(rules))?)),
        "globset" => Box::new(Globs::new(rules)?),
        "adblock" => Box::new(Adblock::new(rules)?),
        "PCRE2 linear" => Box::new(Linear::new(&patterns(rules))?),
        "Hyperscan" => Box::new(Scanner(Hyperscan::new(patterns(rules))?)),
        other => return Err(format!("no engine is called {other}")),
    })
}

fn patterns(rules: &[Rule]) -> Vec<String> {
    rules.iter().map(Rule::regex).collect()
}

/// Answers for keys by their place in a list.
pub(crate) trait Judge {
    /// Whether the first keys take it far longer than later ones.
    const LEARNS: bool = false;

    fn judge(&mut self, keys: &Keys, nth: usize) -> bool;

    /// Forgets what it has learnt of the keys it saw: a lazy automaton is empty again.
    fn forget(&mut self, _rules: &[Rule]) {}
}

/// What an engine is asked for through a virtual call.
pub(crate) trait Engine {
    /// Whether a rule takes a key.
    fn answer(&mut self, keys: &Keys, nth: usize) -> bool;
    /// Judges keys from the first on, at most `count`, until `limit` is over: how many, and how long it took.
    fn pass(&mut self, keys: &Keys, count: usize, limit: Duration) -> (usize, Duration);
    /// See [`Judge::LEARNS`].
    fn learns(&self) -> bool;
    /// See [`Judge::forget`].
    fn fresh(&mut self, rules: &[Rule]);
}

impl<J: Judge> Engine for J {
    fn answer(&mut self, keys: &Keys, nth: usize) -> bool {
        self.judge(keys, nth)
    }

    fn pass(&mut self, keys: &Keys, count: usize, limit: Duration) -> (usize, Duration) {
        timed(count, limit, |nth| self.judge(keys, nth))
    }

    fn learns(&self) -> bool {
        J::LEARNS
    }

    fn fresh(&mut self, rules: &[Rule]) {
        self.forget(rules);
    }
}

/// Runs `op` for 0, 1, ... up to `count` until `limit` is over. The clock is read ever more rarely, where `op` is fast.
pub(crate) fn timed(count: usize, limit: Duration, mut op: impl FnMut(usize) -> bool) -> (usize, Duration) {
    let begun = Instant::now();
    let (mut done, mut chunk, mut found) = (0, 1, 0_usize);
    let mut took = Duration::ZERO;
    while done < count && took < limit {
        let end = count.min(done + chunk);
        for nth in done..end {
            found += usize::from(op(nth));
        }
        let now = begun.elapsed();
        if now - took < limit / 32 {
            chunk = (2 * chunk).min(8192);
        }
        (done, took) = (end, now);
    }
    std::hint::black_box(found);
    (done, took)
}

// ===== oust =====

/// A set with `rules`.
pub(crate) fn set_of(rules: &[Rule]) -> Result<MatchSet, String> {
    let set = MatchSet::new(Sites::default(), 10_000_000);
    for batch in rules.chunks(BATCH) {
        let selectors: Vec<Selector> = batch.iter().map(Rule::selector).collect();
        set.add(&selectors, Action::Delete).map_err(|error| error.to_string())?;
    }
    Ok(set)
}

/// `oust`: all rules.
struct Oust(MatchSet);

impl Judge for Oust {
    #[inline]
    fn judge(&mut self, keys: &Keys, nth: usize) -> bool {
        self.0.judge(keys.keys[nth].as_ref(), 0).is_some()
    }

    fn forget(&mut self, rules: &[Rule]) {
        self.0 = set_of(rules).expect("the same rules as before");
    }
}

// ===== Automata =====

/// One lazy automaton of all patterns: all rules. They are anchored, and so is the search.
pub(crate) struct Lazy {
    dfa: DFA,
    cache: Cache,
}

impl Lazy {
    pub(crate) fn new(patterns: &[String]) -> Result<Self, String> {
        let dfa = DFA::builder()
            .configure(DFA::config().cache_capacity(LAZY_BYTES))
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(thompson::Config::new().utf8(false))
            .build_many(patterns)
            .map_err(|error| error.to_string())?;
        let cache = dfa.create_cache();
        Ok(Self { dfa, cache })
    }

    #[inline]
    pub(crate) fn is_match(&mut self, text: &[u8]) -> bool {
        let input = Input::new(text).anchored(Anchored::Yes).earliest(true);
        self.dfa.try_search_fwd(&mut self.cache, &input).expect("no byte makes it give up").is_some()
    }
}

impl Judge for Lazy {
    const LEARNS: bool = true;

    #[inline]
    fn judge(&mut self, keys: &Keys, nth: usize) -> bool {
        self.is_match(keys.keys[nth].text())
    }

    fn forget(&mut self, _: &[Rule]) {
        self.cache.reset(&self.dfa);
    }
}

fn regex_set(patterns: &[String]) -> Result<RegexSet, String> {
    RegexSetBuilder::new(patterns)
        .unicode(false)
        .size_limit(4 << 30)
        .dfa_size_limit(LAZY_BYTES)
        .build()
        .map_err(|error| error.to_string())
}

/// The set of crate `regex`: all rules.
struct Set(RegexSet);

impl Judge for Set {
    const LEARNS: bool = true;

    #[inline]
    fn judge(&mut self, keys: &Keys, nth: usize) -> bool {
        self.0.is_match(keys.keys[nth].text())
    }

    fn forget(&mut self, _: &[Rule]) {
        // A clone shares the program, and has lazy automata of its own.
        self.0 = self.0.clone();
    }
}

/// Hyperscan: all rules. Nothing is learnt while it scans.
struct Scanner(Hyperscan);

impl Judge for Scanner {
    #[inline]
    fn judge(&mut self, keys: &Keys, nth: usize) -> bool {
        self.0.is_match(keys.keys[nth].text())
    }
}

// ===== Others =====

/// The set of crate `globset`: what is no regex, written as one would write it (globs that end in one extension are then tried one by one); regexes are in a `RegexSet` that is asked where no glob matches.
struct Globs {
    globs: GlobSet,
    regexes: RegexSet,
}

impl Globs {
    fn new(rules: &[Rule]) -> Result<Self, String> {
        let mut globs = GlobSetBuilder::new();
        let mut regexes = Vec::new();
        for rule in rules {
            match rule.glob() {
                Some((glob, stops)) => {
                    let glob = GlobBuilder::new(&glob).literal_separator(stops).build();
                    globs.add(glob.map_err(|error| error.to_string())?);
                }
                None => regexes.push(rule.regex()),
            }
        }
        Ok(Self { globs: globs.build().map_err(|error| error.to_string())?, regexes: regex_set(&regexes)? })
    }
}

impl Judge for Globs {
    const LEARNS: bool = true;

    #[inline]
    fn judge(&mut self, keys: &Keys, nth: usize) -> bool {
        let text = keys.keys[nth].text();
        let path = std::str::from_utf8(text).expect("keys are ASCII");
        self.globs.is_match(path) || self.regexes.is_match(text)
    }

    fn forget(&mut self, _: &[Rule]) {
        (self.globs, self.regexes) = (self.globs.clone(), self.regexes.clone());
    }
}

/// The engine of crate `adblock`: URLs, `d/**`, `d/prefix**` and `d/a**b`, see [`Rule::filter`]; the others are in a `RegexSet` that is asked where
/// no filter matches. It is asked with prepared requests, and folds case, which no key here has.
struct Adblock {
    filters: Filters,
    regexes: RegexSet,
}

/// Every host is a domain of its own: the public suffix list is of no use here.
struct WholeHost;

impl ResolvesDomain for WholeHost {
    fn get_host_domain(&self, host: &str) -> (usize, usize) {
        (0, host.len())
    }
}

impl Adblock {
    fn new(rules: &[Rule]) -> Result<Self, String> {
        // Refused when it is set already.
        let _set = set_domain_resolver(Box::new(WholeHost)).is_ok();
        let (mut filters, mut regexes) = (Vec::new(), Vec::new());
        for rule in rules {
            match rule.filter() {
                Some(filter) => filters.push(filter),
                None => regexes.push(rule.regex()),
            }
        }
        let mut set = FilterSet::new(false);
        set.add_filter_list(filters.join("\n"), ParseOptions::default());
        Ok(Self { filters: Filters::new_with_filter_set(set), regexes: regex_set(&regexes)? })
    }
}

impl Judge for Adblock {
    const LEARNS: bool = true;

    #[inline]
    fn judge(&mut self, keys: &Keys, nth: usize) -> bool {
        self.filters.check_network_request(&keys.requests()[nth]).should_block()
            || self.regexes.is_match(keys.keys[nth].text())
    }

    fn forget(&mut self, _: &[Rule]) {
        // Its few regexes are compiled when first met, and stay.
        self.regexes = self.regexes.clone();
    }
}

/// PCRE2 with its compiler to machine code, one pattern after the other, as Varnish does it: all rules.
pub(crate) struct Linear(Vec<pcre2::bytes::Regex>);

impl Linear {
    pub(crate) fn new(patterns: &[String]) -> Result<Self, String> {
        let compile = |pattern: &String| pcre2::bytes::RegexBuilder::new().jit(true).build(pattern);
        let compiled: Result<_, _> = patterns.iter().map(compile).collect();
        Ok(Self(compiled.map_err(|error| error.to_string())?))
    }

    /// `None` if one of them gave up at its limit of work.
    #[inline]
    pub(crate) fn is_match(&self, text: &[u8]) -> Option<bool> {
        for regex in &self.0 {
            if regex.is_match(text).ok()? {
                return Some(true);
            }
        }
        Some(false)
    }
}

impl Judge for Linear {
    #[inline]
    fn judge(&mut self, keys: &Keys, nth: usize) -> bool {
        self.is_match(keys.keys[nth].text()).expect("none of the mixed rules is hard")
    }
}
