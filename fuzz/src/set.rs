//! Many rules in one [`MatchSet`], which collide in directories, beginnings, endings and inner literals: the table must say of every key what
//! the list of rules says.

use oust::Key;
use oust::purge::{MatchSet, PurgeErrorKind};
use oust::site::Sites;
use oust_reference::{Act, Entropy, Matcher, Refused, Selector, Subject, crowded, crowded_key, neighbours, selector};

use crate::engine;
use crate::ops::act;

const MAX_KEYS: usize = 24;
/// Choices of one selector, in the mean.
const BYTES_A_RULE: usize = 14;

struct Rule {
    number: u64,
    act: Act,
    selector: Selector,
    /// By key; `None` where the reference gave up, and for a variant, which is more than a key.
    takes: Vec<Option<bool>>,
}

struct Crowd {
    set: MatchSet,
    keys: Vec<(Subject, Key)>,
    live: Vec<Rule>,
    last: u64,
}

/// Some rounds of rules, with a look at every key after each.
pub fn crowd(entropy: &mut Entropy<'_>) {
    let mut rounds: Vec<Vec<Selector>> = Vec::new();
    for _ in 0..=entropy.below(4) {
        rounds.push(round(entropy));
    }
    let subjects = keys(&rounds, entropy);
    let keys = subjects.into_iter().map(|subject| (subject.clone(), engine::key_of(&subject))).collect();
    let mut crowd = Crowd { set: MatchSet::new(Sites::default(), 100_000), keys, live: Vec::new(), last: 0 };
    for selectors in rounds {
        let mut rest = selectors.as_slice();
        while !rest.is_empty() {
            let size = entropy.pick(&[rest.len(), rest.len(), 1, 2, 7]).min(rest.len());
            let (batch, later) = rest.split_at(size);
            rest = later;
            crowd.publish(batch, act(entropy));
        }
        crowd.check(entropy);
        if entropy.one_in(4) {
            crowd.retire();
        }
    }
    crowd.check(entropy);
}

/// Few selectors each chosen by the input, or many that follow from a few bytes of it.
fn round(entropy: &mut Entropy<'_>) -> Vec<Selector> {
    let few = [1, 2, 4, 8];
    let many = [20, 40, 80, 150, 300];
    let kind = entropy.below(3);
    let one = |entropy: &mut Entropy<'_>| if kind == 2 { selector(entropy) } else { crowded(entropy) };
    if entropy.one_in(2) {
        let n = entropy.pick(&few);
        return (0..n).map(|_| one(entropy)).collect();
    }
    let n = entropy.pick(&many);
    let bytes = entropy.stretched(n * BYTES_A_RULE);
    let mut choices = Entropy::new(&bytes);
    // What takes everything would hide the rest.
    (0..n).map(|_| one(&mut choices)).filter(|selector| *selector != Selector::All).collect()
}

fn keys(rounds: &[Vec<Selector>], entropy: &mut Entropy<'_>) -> Vec<Subject> {
    let mut keys: Vec<Subject> = Vec::new();
    let mut add = |key: Subject| {
        let key = Subject { tags: Vec::new(), ..key };
        if keys.len() < MAX_KEYS && !keys.contains(&key) {
            keys.push(key);
        }
    };
    for rules in rounds.iter().filter(|rules| !rules.is_empty()) {
        let near = &rules[(usize::from(entropy.byte()) * 3) % rules.len()];
        neighbours(near, entropy).into_iter().take(4).for_each(&mut add);
    }
    let bytes = entropy.stretched(400);
    let mut choices = Entropy::new(&bytes);
    for _ in 0..MAX_KEYS {
        crowded_key(&mut choices).into_iter().for_each(&mut add);
    }
    keys
}

impl Crowd {
    /// Publishes as one batch; one by one if that is refused.
    fn publish(&mut self, selectors: &[Selector], act: Act) {
        // One that is refused keeps the others of its batch out, so in a large one there is none.
        let strict = selectors.len() > 8;
        let known: Vec<(&Selector, Result<Matcher, Refused>)> = selectors
            .iter()
            .map(|selector| (selector, Matcher::new(selector)))
            .filter(|(_, matcher)| matcher.is_ok() || !strict && !matches!(matcher, Err(Refused::Unknown)))
            .filter(|(selector, _)| engine::selector(selector).is_some())
            .collect();
        if !known.is_empty() && !self.add(&known, act) && known.len() > 1 {
            for one in &known {
                self.add(std::slice::from_ref(one), act);
            }
        }
    }

    fn add(&mut self, batch: &[(&Selector, Result<Matcher, Refused>)], act: Act) -> bool {
        let selectors: Vec<oust::Selector> =
            batch.iter().filter_map(|(selector, _)| engine::selector(selector)).collect();
        match self.set.add(&selectors, engine::action(act)) {
            Ok(last) => {
                let first = self.last + 1;
                self.last += selectors.len() as u64;
                assert_eq!(last, self.last, "numbers of a batch of {}", selectors.len());
                for (number, (selector, matcher)) in (first..).zip(batch) {
                    let matcher = match matcher {
                        Ok(matcher) => matcher,
                        Err(refused) => panic!("accepted {selector:?}, which is {refused:?}"),
                    };
                    let variant = matches!(selector, Selector::Variant(..));
                    let takes = |subject: &Subject| matcher.matches(subject).ok().filter(|takes| !takes || !variant);
                    let takes = self.keys.iter().map(|(subject, _)| takes(subject)).collect();
                    self.live.push(Rule { number, act, selector: (*selector).clone(), takes });
                }
                true
            }
            Err(error) => {
                let kind = error.kind();
                let wrong = batch.iter().any(|(_, matcher)| matcher.is_err());
                // Regexes have a budget together, too.
                let budget = matches!(kind, PurgeErrorKind::OverBudget | PurgeErrorKind::TooLarge)
                    && batch.iter().any(|(s, _)| s.may_be_refused() || matches!(s, Selector::Regex(_)));
                let selectors: Vec<_> = batch.iter().map(|(selector, _)| selector).collect();
                assert!(wrong || budget || engine::is_cap(kind), "refused {selectors:?}: {error}");
                false
            }
        }
    }

    fn retire(&mut self) {
        self.set.retire();
        self.live.clear();
        self.check_count();
    }

    fn check_count(&self) {
        assert_eq!(self.set.live(), self.live.len() as u64, "live rules");
    }

    /// Every key, above several numbers.
    fn check(&self, entropy: &mut Entropy<'_>) {
        self.check_count();
        let first = self.live.first().map_or(self.last, |rule| rule.number);
        let span = self.last.saturating_sub(first).max(1);
        let between = first + (u64::from(entropy.byte()) << 8 | u64::from(entropy.byte())) % span;
        for at in 0..self.keys.len() {
            for after in [0, first, between, self.last.saturating_sub(1), self.last] {
                self.check_key(at, after);
            }
        }
    }

    fn check_key(&self, at: usize, after: u64) {
        let (subject, key) = &self.keys[at];
        let got = self.set.judge(key.as_ref(), after);
        let newer = || self.live.iter().filter(|rule| rule.number > after);
        let sure = newer().filter(|rule| rule.takes[at] == Some(true)).map(|rule| rule.act).max();
        let tell = || {
            let takers: Vec<_> = newer().filter(|rule| rule.takes[at] != Some(false)).collect();
            let takers: Vec<_> = takers.iter().map(|r| (r.number, r.act, &r.selector, r.takes[at])).collect();
            let named = got.and_then(|(_, number)| self.live.iter().find(|rule| rule.number == number));
            let named = named.map(|rule| (rule.number, rule.act, &rule.selector));
            format!(
                "{} after {after} of {}: got {got:?}, which is {named:?}; takers are {takers:?}",
                subject.text().escape_ascii(),
                self.last
            )
        };
        let Some((action, number)) = got else {
            assert!(sure.is_none(), "left {}", tell());
            return;
        };
        // The rule named is newer, takes the key and has that action ...
        let named = newer().find(|rule| rule.number == number && engine::action(rule.act) == action);
        let takes = named.is_some_and(|rule| rule.takes[at] != Some(false));
        assert!(takes, "wrong rule {}", tell());
        // ... and none has a stronger one.
        assert!(named.map(|rule| rule.act) >= sure, "too weak {}", tell());
    }
}
