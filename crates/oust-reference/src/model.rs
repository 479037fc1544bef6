//! What a cache may answer, one operation after the other.
//!
//! The model keeps every rule for ever and asks the reference matcher each time. An object is a version with the number of the newest rule
//! that was in force when its request was sent (its stamp); whatever rule is newer and takes it applies to it. Sweeps and retirement do not
//! exist here: they must not be observable.
//!
//! With a second tier an object may go down and come up again at any moment, and each copy is under the rules of the tier it is in (G4). So
//! what may be seen is what any such way leads to; see [`Model::ways`].

use std::collections::{BTreeMap, BTreeSet};

use crate::canonical::Subject;
use crate::selector::{Refused, Selector, matches, matches_variant};

/// The field that varying resources nominate.
const NOMINATED: &str = "accept-encoding";

/// A purge's effect, by strength.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Act {
    /// Expired as of the purge.
    Soft,
    /// Validated before the next use.
    Invalidate,
    /// Gone.
    Delete,
}

/// What the origin says of a response's freshness, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Promise {
    /// How long it is fresh.
    pub lifetime: u64,
    /// Window of stale-while-revalidate.
    pub while_revalidate: u64,
    /// Window of stale-if-error.
    pub if_error: u64,
    /// Never served stale.
    pub must_revalidate: bool,
    /// Validated before every use.
    pub no_cache: bool,
}

/// One key and whether its responses vary on the request's `Accept-Encoding`. The origin never changes its mind about that.
#[derive(Debug, Clone)]
pub struct Resource {
    /// The key.
    pub key: Subject,
    /// Whether responses vary.
    pub varies: bool,
}

/// What a lookup gave, by the version of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Fresh.
    Hit(u64),
    /// May be served while it is revalidated.
    Stale(u64),
    /// To be validated.
    MustValidate {
        /// Which body.
        version: u64,
        /// Whether it may be served when the origin fails.
        on_error: bool,
    },
    /// Nothing usable.
    Miss,
}

/// Whether a response that is complete may be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storing {
    /// It must.
    Must,
    /// It must not: a rule overtook it, or it is not for storing.
    MustNot,
    /// Both are right.
    May,
}

/// Names a fetch in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FillId(u64);

#[derive(Debug, Clone)]
struct Rule {
    seq: u64,
    act: Act,
    selector: Selector,
    edge: bool,
    l2: bool,
    at: u64,
}

#[derive(Debug, Clone)]
struct Object {
    resource: usize,
    /// Value of the nominated field when the resource varies.
    variant: Option<String>,
    version: u64,
    stamp: u64,
    /// Counts the changes of anything stored, to tell what happened since a fetch began.
    changed: u64,
    received: u64,
    promise: Promise,
    tags: Vec<Vec<u8>>,
    /// An answer that may not be stored came since; whether that ends what is stored is left open.
    perhaps_gone: bool,
}

#[derive(Debug, Clone)]
struct Fill {
    resource: usize,
    variant: Option<String>,
    stamp: u64,
    changed: u64,
    base: Option<u64>,
    answer: Option<Answer>,
    /// Ended: nobody joins it any more, but those who did may still be reading.
    over: bool,
}

#[derive(Debug, Clone)]
struct Answer {
    version: u64,
    received: u64,
    promise: Option<Promise>,
    tags: Vec<Vec<u8>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    No,
    Yes,
    /// A variant rule for another variant of the same key, and a fetch whose `Vary` is not known before its answer.
    Perhaps,
}

/// A cache as the specification has it.
#[derive(Debug, Clone, Default)]
pub struct Model {
    resources: Vec<Resource>,
    now: u64,
    seq: u64,
    changes: u64,
    fills_begun: u64,
    rules: Vec<Rule>,
    objects: Vec<Object>,
    fills: BTreeMap<FillId, Fill>,
    deleted: BTreeSet<u64>,
    /// Whether objects may have been evicted, so that a miss is never wrong.
    evicts: bool,
    /// Whether there is a second tier.
    tiers: bool,
}

impl Model {
    /// An empty cache for these resources. `evicts`: its capacity may be passed.
    pub fn new(resources: Vec<Resource>, now: u64, evicts: bool) -> Self {
        Self { resources, now, evicts, ..Self::default() }
    }

    /// With a second tier.
    #[must_use]
    pub fn with_tiers(self) -> Self {
        Self { tiers: true, ..self }
    }

    /// The cache was closed and opened again: what is stored may be there or not.
    pub fn restarted(&mut self) {
        self.fills.values_mut().for_each(|fill| fill.over = true);
        self.objects.iter_mut().for_each(|object| object.perhaps_gone = true);
    }

    /// Sets the clock, backwards too.
    pub fn set_clock(&mut self, now: u64) {
        self.now = now;
    }

    /// Number of purges so far, to be remembered by readers that join.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The resources.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// Whether a purge of these selectors must be accepted (`Ok`), must be refused, or is beyond the reference and should be left out.
    pub fn judge(&self, selectors: &[Selector]) -> Result<(), Refused> {
        let mut subjects: Vec<Subject> = self.resources.iter().map(|resource| resource.key.clone()).collect();
        // Refusals must not depend on there being a key.
        subjects.push(Subject { url: b"http://nobody.invalid/".to_vec(), ..Subject::default() });
        let verdicts: Vec<_> =
            selectors.iter().flat_map(|s| subjects.iter().map(move |subject| matches(s, subject))).collect();
        // Unknown comes first: with one such selector nothing is certain of the whole.
        for wanted in [Refused::Unknown, Refused::Malformed, Refused::OverBudget] {
            if verdicts.contains(&Err(wanted)) {
                return Err(wanted);
            }
        }
        Ok(())
    }

    /// A purge that was accepted: all selectors under one number, since nothing can come between them.
    pub fn purge(&mut self, selectors: &[Selector], act: Act, edge: bool, l2: bool) {
        self.seq += 1;
        for selector in selectors {
            self.rules.push(Rule { seq: self.seq, act, selector: selector.clone(), edge, l2, at: self.now });
        }
        if act == Act::Delete {
            let gone = |o: &&Object| self.verdict(o) == Some(Act::Delete);
            let ended: Vec<u64> = self.objects.iter().filter(gone).map(|o| o.version).collect();
            self.deleted.extend(ended);
        }
    }

    /// Checks what a lookup gave and learns from it.
    pub fn looked_up(&mut self, resource: usize, variant: Option<&str>, saw: Outcome) -> Result<(), String> {
        let at = self.selected(resource, variant);
        let allowed = at.map_or_else(|| vec![Outcome::Miss], |at| self.outcomes(&self.objects[at]));
        if allowed.contains(&saw) {
            // Of two tiers it may just be on its way from one to the other.
            if let (Some(at), Outcome::Miss, false) = (at, saw, self.tiers) {
                self.objects.remove(at);
            }
            return Ok(());
        }
        let object = at.map(|at| &self.objects[at]);
        let rules: Vec<_> = object.map(|o| self.ways(o)).unwrap_or_default();
        Err(format!("lookup gave {saw:?}, allowed are {allowed:?}: {object:?} under {rules:?} at {}", self.now))
    }

    /// Begins a fetch; `base` is the version to be validated.
    pub fn begin(&mut self, resource: usize, variant: Option<&str>, base: Option<u64>) -> FillId {
        self.fills_begun += 1;
        let id = FillId(self.fills_begun);
        let variant = self.variant(resource, variant);
        let fill = Fill { resource, variant, stamp: self.seq, changed: self.changes, base, answer: None, over: false };
        self.fills.insert(id, fill);
        id
    }

    /// Whether a version was deleted, so that nobody may send its validators.
    pub fn is_deleted(&self, version: u64) -> bool {
        self.deleted.contains(&version)
    }

    /// Whether there is a fetch that a request beginning now may join.
    pub fn joinable(&self, resource: usize) -> bool {
        self.fills
            .values()
            .any(|fill| !fill.over && fill.resource == resource && self.fence(fill, self.seq) != Takes::Yes)
    }

    /// The origin answered: body `version`, to be stored if there is a promise.
    pub fn respond(&mut self, id: FillId, version: u64, promise: Option<Promise>, tags: Vec<Vec<u8>>) {
        let received = self.now;
        if let Some(fill) = self.fills.get_mut(&id) {
            fill.answer = Some(Answer { version, received, promise, tags });
        }
    }

    /// Whether a reader that joined when the newest purge was `joined` may get the version (G1, G2). Fetches stay known after their end.
    pub fn may_deliver(&self, id: FillId, joined: u64, variant: Option<&str>) -> bool {
        let Some(fill) = self.fills.get(&id) else { return false };
        fill.answer.as_ref().is_some_and(|answer| answer.promise.is_some())
            && fill.variant == self.variant(fill.resource, variant)
            && self.fence(fill, joined) != Takes::Yes
    }

    /// Whether the complete answer of a fetch may be stored now.
    pub fn storing(&self, id: FillId) -> Storing {
        let Some(fill) = self.fills.get(&id) else { return Storing::MustNot };
        let Some(Answer { promise: Some(_), .. }) = &fill.answer else { return Storing::MustNot };
        match self.fence(fill, self.seq) {
            Takes::Yes => Storing::MustNot,
            Takes::Perhaps => Storing::May,
            Takes::No if self.evicts || self.overtaken(fill) => Storing::May,
            Takes::No => Storing::Must,
        }
    }

    /// Whether a 304 to this fetch, whose answer is set by [`respond`](Self::respond) with the base's version, may be merged now (G3).
    pub fn merging(&self, id: FillId) -> Storing {
        let current = self.fills.get(&id).and_then(|fill| {
            let at = self.stored(fill.resource, fill.variant.as_deref())?;
            Some(fill.base? == self.objects[at].version && !self.deleted.contains(&self.objects[at].version))
        });
        // Another generation, or none: a 304 says nothing of it.
        match if current == Some(true) { self.storing(id) } else { Storing::MustNot } {
            // One that was read from the second tier may have left it.
            Storing::Must if self.tiers => Storing::May,
            storing => storing,
        }
    }

    /// The end of a fetch: stored or not. An answer not for storing leaves open what becomes of an older one.
    pub fn finished(&mut self, id: FillId, stored: bool) {
        self.abandoned(id);
        let Some(fill) = self.fills.get(&id).cloned() else { return };
        let at = self.stored(fill.resource, fill.variant.as_deref());
        match fill.answer {
            Some(Answer { version, received, promise: Some(promise), tags }) if stored => {
                self.changes += 1;
                if let Some(at) = at {
                    self.objects.remove(at);
                }
                self.objects.push(Object {
                    resource: fill.resource,
                    variant: fill.variant,
                    version,
                    stamp: fill.stamp,
                    changed: self.changes,
                    received,
                    promise,
                    tags,
                    perhaps_gone: false,
                });
            }
            Some(Answer { promise: None, .. }) => {
                // Other variants too: the mark is of the key.
                for object in self.objects.iter_mut().filter(|o| o.resource == fill.resource) {
                    object.perhaps_gone = true;
                }
            }
            _ => {}
        }
    }

    /// A fetch was given up: nothing of it is stored.
    pub fn abandoned(&mut self, id: FillId) {
        if let Some(fill) = self.fills.get_mut(&id) {
            fill.over = true;
        }
    }

    /// How many objects must still be there.
    pub fn usable(&self) -> usize {
        self.objects.iter().filter(|o| !o.perhaps_gone && self.verdict(o) != Some(Act::Delete)).count()
    }

    fn variant(&self, resource: usize, variant: Option<&str>) -> Option<String> {
        if self.resources[resource].varies { variant.map(str::to_owned) } else { None }
    }

    fn selected(&self, resource: usize, variant: Option<&str>) -> Option<usize> {
        self.stored(resource, self.variant(resource, variant).as_deref())
    }

    fn stored(&self, resource: usize, variant: Option<&str>) -> Option<usize> {
        self.objects.iter().position(|o| o.resource == resource && o.variant.as_deref() == variant)
    }

    /// Whether something was stored for the same variant since the fetch began; the newer may then stay.
    fn overtaken(&self, fill: &Fill) -> bool {
        self.stored(fill.resource, fill.variant.as_deref()).is_some_and(|at| self.objects[at].changed > fill.changed)
    }

    /// `answered`: whether the response is there, so that its `Vary` is known.
    fn takes(&self, rule: &Rule, resource: usize, variant: Option<&str>, tags: &[Vec<u8>], answered: bool) -> Takes {
        let subject = Subject { tags: tags.to_vec(), ..self.resources[resource].key.clone() };
        if matches(&rule.selector, &subject) != Ok(true) {
            return Takes::No;
        }
        match &rule.selector {
            // Which variant the answer is of shows with its `Vary`; until then a reader may join and be told to fetch for itself.
            Selector::Variant(..) if !answered => Takes::Perhaps,
            Selector::Variant(_, fields)
                if self.resources[resource].varies && !matches_variant(fields, NOMINATED, variant) =>
            {
                Takes::Perhaps
            }
            _ => Takes::Yes,
        }
    }

    fn takes_object(&self, rule: &Rule, object: &Object) -> bool {
        self.takes(rule, object.resource, object.variant.as_deref(), &object.tags, true) == Takes::Yes
    }

    /// Rules of any layer overtake a fetch: it is no part of a layer yet.
    fn fence(&self, fill: &Fill, upto: u64) -> Takes {
        let tags = fill.answer.as_ref().map(|answer| answer.tags.as_slice()).unwrap_or_default();
        let mut strongest = Takes::No;
        for rule in self.rules.iter().filter(|rule| rule.seq > fill.stamp && rule.seq <= upto) {
            match self.takes(rule, fill.resource, fill.variant.as_deref(), tags, fill.answer.is_some()) {
                Takes::Yes => return Takes::Yes,
                Takes::Perhaps => strongest = Takes::Perhaps,
                Takes::No => {}
            }
        }
        strongest
    }

    /// Which rules an object may be under: those of the memory tier, if it never left it; else, for each moment at which it went down and each
    /// at which it came up again, those of the second tier up to then and those of the memory tier before and since.
    fn ways(&self, object: &Object) -> Vec<Vec<&Rule>> {
        let newer = self.rules.iter().filter(|rule| rule.seq > object.stamp);
        let on: Vec<&Rule> = newer.filter(|rule| self.takes_object(rule, object)).collect();
        if !self.tiers {
            return vec![on.into_iter().filter(|rule| rule.edge).collect()];
        }
        // Between two of these numbers nothing happens that matters.
        let moments: BTreeSet<u64> = on.iter().map(|rule| rule.seq).chain([object.stamp]).collect();
        let mut ways = Vec::new();
        for &up in &moments {
            for &down in moments.range(..=up) {
                let under =
                    |rule: &&&Rule| rule.edge && (rule.seq <= down || rule.seq > up) || rule.l2 && rule.seq <= up;
                ways.push(on.iter().filter(under).copied().collect());
            }
        }
        ways
    }

    /// What is certain of it.
    fn verdict(&self, object: &Object) -> Option<Act> {
        self.ways(object).iter().map(|rules| rules.iter().map(|rule| rule.act).max()).min().flatten()
    }

    fn outcomes(&self, object: &Object) -> Vec<Outcome> {
        let mut out: Vec<Outcome> =
            self.ways(object).iter().flat_map(|rules| self.outcomes_under(object, rules)).collect();
        if object.perhaps_gone || self.evicts {
            out.push(Outcome::Miss);
        }
        out
    }

    fn outcomes_under(&self, object: &Object, rules: &[&Rule]) -> Vec<Outcome> {
        let version = object.version;
        let validate = |on_error| Outcome::MustValidate { version, on_error };
        let expiry = object.received + object.promise.lifetime;
        match rules.iter().map(|rule| rule.act).max() {
            Some(Act::Delete) => vec![Outcome::Miss],
            Some(Act::Invalidate) => vec![validate(false)],
            // Expired as of the first soft rule, or as of one that came later: the specification does not say whether the second counts.
            Some(Act::Soft) => {
                let past = |rule: &&Rule| self.now.saturating_sub(rule.at.min(expiry));
                rules.iter().map(|rule| self.stale(object, past(rule))).collect()
            }
            None if object.promise.no_cache => vec![validate(false)],
            None if self.now < expiry => vec![Outcome::Hit(version)],
            None => vec![self.stale(object, self.now - expiry)],
        }
    }

    /// An expired object, `past` milliseconds after its expiry.
    fn stale(&self, object: &Object, past: u64) -> Outcome {
        let promise = &object.promise;
        let never = promise.no_cache || promise.must_revalidate;
        if !never && past < promise.while_revalidate {
            return Outcome::Stale(object.version);
        }
        Outcome::MustValidate { version: object.version, on_error: !never && past < promise.if_error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::parse_key;

    const LONG: Promise =
        Promise { lifetime: 100, while_revalidate: 50, if_error: 200, must_revalidate: false, no_cache: false };

    fn model(varies: bool) -> Model {
        let resources =
            ["http://h/a", "http://h/ab"].map(|key| Resource { key: parse_key(key.as_bytes()).unwrap(), varies });
        Model::new(resources.to_vec(), 1000, false)
    }

    fn store(model: &mut Model, resource: usize, variant: Option<&str>, version: u64) {
        let id = model.begin(resource, variant, None);
        model.respond(id, version, Some(LONG), vec![b"t".to_vec()]);
        assert_eq!(model.storing(id), Storing::Must);
        model.finished(id, true);
    }

    fn url(text: &str) -> Vec<Selector> {
        vec![Selector::Url(text.as_bytes().to_vec())]
    }

    #[test]
    fn strongest_wins_and_neighbours_stay() {
        let mut model = model(false);
        store(&mut model, 0, None, 1);
        store(&mut model, 1, None, 2);
        for (act, want) in [
            (Act::Soft, Outcome::Stale(1)),
            (Act::Invalidate, Outcome::MustValidate { version: 1, on_error: false }),
            (Act::Soft, Outcome::MustValidate { version: 1, on_error: false }),
            (Act::Delete, Outcome::Miss),
        ] {
            model.purge(&url("http://h/a"), act, true, true);
            assert_eq!(model.clone().looked_up(0, None, want), Ok(()));
            assert_eq!(model.looked_up(1, None, Outcome::Hit(2)), Ok(()));
        }
        assert!(model.is_deleted(1) && !model.is_deleted(2));
        assert!(model.looked_up(0, None, Outcome::Hit(1)).is_err());
    }

    #[test]
    fn fills_in_flight_are_fenced_by_any_layer() {
        let mut model = model(false);
        let id = model.begin(0, None, None);
        assert!(model.joinable(0));
        model.purge(&[Selector::Tag(b"t".to_vec())], Act::Soft, false, true);
        // The tags are not known yet.
        assert!(model.joinable(0));
        model.respond(id, 1, Some(LONG), vec![b"t".to_vec()]);
        assert_eq!(model.storing(id), Storing::MustNot);
        assert!(!model.joinable(0));
        assert!(model.may_deliver(id, 0, None));
        assert!(!model.may_deliver(id, 1, None));
    }

    #[test]
    fn a_304_revives_only_what_it_was_asked_after() {
        let mut model = model(false);
        store(&mut model, 0, None, 1);
        model.purge(&url("http://h/a"), Act::Invalidate, true, true);
        let late = model.begin(0, None, Some(1));
        model.respond(late, 1, Some(LONG), Vec::new());
        let early = model.clone();
        model.purge(&url("http://h/a"), Act::Invalidate, true, true);
        assert_eq!(model.merging(late), Storing::MustNot);
        assert_eq!(early.merging(late), Storing::Must);
        let mut early = early;
        early.finished(late, true);
        assert_eq!(early.looked_up(0, None, Outcome::Hit(1)), Ok(()));
    }

    #[test]
    fn time_decides_freshness_only() {
        let mut model = model(false);
        store(&mut model, 0, None, 1);
        for (now, want) in [
            (1099, Outcome::Hit(1)),
            (1100, Outcome::Stale(1)),
            (1150, Outcome::MustValidate { version: 1, on_error: true }),
            (1300, Outcome::MustValidate { version: 1, on_error: false }),
            (500, Outcome::Hit(1)),
        ] {
            model.set_clock(now);
            assert_eq!(model.looked_up(0, None, want), Ok(()), "{now}");
        }
        model.purge(&url("http://h/a"), Act::Soft, true, true);
        model.set_clock(1);
        assert!(model.looked_up(0, None, Outcome::Hit(1)).is_err());
    }

    #[test]
    fn variants_are_apart() {
        let mut model = model(true);
        store(&mut model, 0, Some("gzip"), 1);
        store(&mut model, 0, None, 2);
        let fields = vec![("Accept-Encoding".to_owned(), "gzip".to_owned())];
        model.purge(&[Selector::Variant(b"http://h/a".to_vec(), fields)], Act::Delete, true, true);
        assert_eq!(model.looked_up(0, Some("gzip"), Outcome::Miss), Ok(()));
        assert_eq!(model.looked_up(0, None, Outcome::Hit(2)), Ok(()));
        assert_eq!(model.looked_up(0, Some("br"), Outcome::Miss), Ok(()));
    }

    #[test]
    fn g4_a_rule_of_one_tier_leaves_the_other() {
        let mut tiers = model(false).with_tiers();
        store(&mut tiers, 0, None, 1);
        tiers.purge(&url("http://h/a"), Act::Delete, true, false);
        for allowed in [Outcome::Miss, Outcome::Hit(1)] {
            assert_eq!(tiers.looked_up(0, None, allowed), Ok(()));
        }
        assert!(!tiers.is_deleted(1));
        tiers.purge(&url("http://h/a"), Act::Soft, false, true);
        assert_eq!(tiers.looked_up(0, None, Outcome::Stale(1)), Ok(()));
        // It may have come up between the two.
        assert_eq!(tiers.looked_up(0, None, Outcome::Hit(1)), Ok(()));
        tiers.purge(&url("http://h/a"), Act::Delete, true, true);
        assert!(tiers.is_deleted(1));
        assert!(tiers.looked_up(0, None, Outcome::Hit(1)).is_err());
    }
}
