//! The rules a cache has to keep, over what was seen of one.
//!
//! Events are fed in any order, but a request is judged by what is known when it is fed: purges it began after, fetches it names, stops it
//! may have met have to be there.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::{Clause, Fetch, Outcome, Purge, Request, Stop, Time, Violation};
use crate::canonical::Subject;
use crate::model::Act;
use crate::selector::{Matcher, Selector};

/// How long after a failed exchange an error may still be its doing, and how long a revalidation may take to reach the origin.
const SLACK: Time = 10_000_000;
/// So many newer stored responses of the same object make an exchange one that nothing can name any more.
const REPLACED: usize = 32;

/// What was judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Requests.
    pub requests: u64,
    /// With a response of the origin's, from the store or not.
    pub answered: u64,
    /// Of those, from the store.
    pub hits: u64,
    /// Softly purged responses, given out as stale.
    pub stale: u64,
    /// Of exchanges that answered 304.
    pub validated: u64,
    /// Errors that a fault of the origin explains.
    pub excused: u64,
    /// Requests that a stop met.
    pub stopped: u64,
    /// Pairs of an answer and a purge in force that took its object: what the pass rests on.
    pub judged: u64,
}

/// Judges requests. See the module's invariants.
#[derive(Debug)]
pub struct Checker {
    l2: bool,
    vary: String,
    /// By URL, variation, variant and tags.
    objects: HashMap<(String, String, String, Vec<String>), usize>,
    taken_by: Vec<Object>,
    purges: Vec<Rc<Rule>>,
    verdicts: HashMap<Selector, Verdicts>,
    fetches: HashMap<u64, Fetch>,
    /// By URL and variation, as they came.
    of_url: HashMap<(String, String), Vec<u64>>,
    stops: Vec<Stop>,
    tally: Tally,
}

/// What a selector takes, found out once for each object.
#[derive(Debug)]
struct Verdicts {
    /// `None`: the reference cannot judge it, and it is not held against anybody.
    matcher: Option<Matcher>,
    of_object: Vec<Option<bool>>,
}

#[derive(Debug)]
struct Object {
    subject: Subject,
    variant: String,
    rules: Vec<Rc<Rule>>,
}

/// An acknowledged purge.
#[derive(Debug)]
struct Rule {
    purge: Purge,
    ack: Time,
}

impl Checker {
    /// Of a cache with or without a second tier, whose responses vary on this field (lower case).
    pub fn new(l2: bool, vary: &str) -> Self {
        Self {
            l2,
            vary: vary.to_owned(),
            objects: HashMap::new(),
            taken_by: Vec::new(),
            purges: Vec::new(),
            verdicts: HashMap::new(),
            fetches: HashMap::new(),
            of_url: HashMap::new(),
            stops: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// What was judged so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// How many fetches and purges are remembered.
    pub fn remembered(&self) -> (usize, usize) {
        (self.fetches.len(), self.taken_by.iter().map(|object| object.rules.len()).sum())
    }

    /// A purge; one that was not acknowledged is nothing.
    pub fn purge(&mut self, purge: &Purge) {
        let Some(ack) = purge.ack else { return };
        let rule = Rc::new(Rule { purge: purge.clone(), ack });
        for at in 0..self.taken_by.len() {
            if self.takes(&rule.purge, at) {
                self.taken_by[at].rules.push(rule.clone());
            }
        }
        self.purges.push(rule);
    }

    /// A stop.
    pub fn stop(&mut self, stop: Stop) {
        self.stops.push(stop);
    }

    /// An exchange with the origin; again when more of it is known.
    pub fn fetch(&mut self, fetch: Fetch) {
        self.object(&fetch);
        let known = self.fetches.insert(fetch.id, fetch.clone());
        if known.is_none() {
            self.of_url.entry((fetch.url, fetch.variation)).or_default().push(fetch.id);
        }
    }

    /// What must not be about a request. Everything that happened up to `horizon` has been fed.
    pub fn request(&mut self, request: &Request, horizon: Time) -> Vec<Violation> {
        self.tally.requests += 1;
        let mut found = Vec::new();
        self.of_asking(request, &mut found);
        let Some((body, exchange)) = self.of_answer(request, &mut found) else { return found };
        self.tally.answered += 1;
        self.tally.hits += u64::from(request.hit);
        self.tally.validated += u64::from(matches!(exchange.outcome, Outcome::NotModified(_)));
        let at = self.object(&body);
        let rules: Vec<_> = self.taken_by[at].rules.iter().filter(|rule| rule.ack < request.start).cloned().collect();
        for rule in &rules {
            self.tally.judged += 1;
            if let Some(clause) = self.by_rule(request, &body, &exchange, rule, horizon) {
                found.push(violation(clause, request, &[rule], &[&body, &exchange]));
            }
        }
        found.extend(self.by_pair(request, &body, &exchange, &rules));
        found
    }

    /// Forgets what no request from after this time can tell apart. Later requests begin after it.
    pub fn forget(&mut self, before: Time) {
        self.purges.retain(|rule| rule.ack >= before);
        let stops = &self.stops;
        for object in &mut self.taken_by {
            let mut newest: BTreeMap<_, Rc<Rule>> = BTreeMap::new();
            object.rules.retain(|rule| {
                if rule.ack >= before {
                    return true;
                }
                let lives = stops.iter().filter(|stop| stop.start < rule.ack).count();
                let kind = (rule.purge.act, rule.purge.edge, rule.purge.l2, rule.purge.durable, lives);
                let kept = newest.entry(kind).or_insert_with(|| rule.clone());
                if kept.purge.start < rule.purge.start {
                    *kept = rule.clone();
                }
                false
            });
            object.rules.extend(newest.into_values());
        }
        for names in self.of_url.values_mut() {
            let mut newer: HashMap<String, usize> = HashMap::new();
            let mut kept = Vec::new();
            for id in names.drain(..).rev() {
                let Some(fetch) = self.fetches.get(&id) else { continue };
                let count = newer.entry(fetch.variant.clone()).or_default();
                let over = fetch.end.is_some_and(|end| end < before);
                if over && *count >= REPLACED {
                    self.fetches.remove(&id);
                    continue;
                }
                *count += usize::from(over && fetch.outcome == Outcome::Whole && fetch.storable && fetch.status == 200);
                kept.push(id);
            }
            kept.reverse();
            *names = kept;
        }
    }

    /// The place of an object, made when it is first heard of.
    fn object(&mut self, fetch: &Fetch) -> usize {
        let key = (fetch.url.clone(), fetch.variation.clone(), fetch.variant.clone(), fetch.tags.clone());
        if let Some(at) = self.objects.get(&key) {
            return *at;
        }
        let at = self.taken_by.len();
        let subject = Subject {
            url: fetch.url.clone().into_bytes(),
            variation: Some(fetch.variation.clone().into_bytes()).filter(|variation| !variation.is_empty()),
            tags: fetch.tags.iter().map(|tag| tag.clone().into_bytes()).collect(),
        };
        self.taken_by.push(Object { subject, variant: fetch.variant.clone(), rules: Vec::new() });
        let rules = self.purges.clone().into_iter().filter(|rule| self.takes(&rule.purge, at)).collect();
        self.taken_by[at].rules = rules;
        self.objects.insert(key, at);
        at
    }

    fn takes(&mut self, purge: &Purge, at: usize) -> bool {
        let (object, vary) = (&self.taken_by[at], &self.vary);
        let verdicts = &mut self.verdicts;
        purge.selectors.iter().any(|selector| {
            if !verdicts.contains_key(selector) {
                let new = Verdicts { matcher: Matcher::new(selector).ok(), of_object: Vec::new() };
                verdicts.insert(selector.clone(), new);
            }
            let Some(verdict) = verdicts.get_mut(selector) else { return false };
            if verdict.of_object.len() <= at {
                verdict.of_object.resize(at + 1, None);
            }
            let Verdicts { matcher, of_object } = verdict;
            *of_object[at].get_or_insert_with(|| {
                let matches = |matcher: &Matcher| matcher.matches(&object.subject).unwrap_or(false);
                let same = match selector {
                    Selector::Variant(_, fields) => {
                        let value = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(vary));
                        value.map_or("", |(_, value)| value) == object.variant
                    }
                    _ => true,
                };
                same && matcher.as_ref().is_some_and(matches)
            })
        })
    }

    /// No fetch that a request led may carry the validator of what a delete took before it.
    fn of_asking(&mut self, request: &Request, found: &mut Vec<Violation>) {
        let names = self.of_url.get(&(request.url.clone(), request.variation.clone())).cloned().unwrap_or_default();
        for id in names {
            let Some(fetch) = self.fetches.get(&id).filter(|fetch| fetch.asked_by == Some(request.id)) else {
                continue;
            };
            let Some(base) = fetch.base.and_then(|base| self.fetches.get(&base)) else { continue };
            let (fetch, base) = (fetch.clone(), base.clone());
            let at = self.object(&base);
            for rule in &self.taken_by[at].rules {
                let over = rule.purge.act == Act::Delete && self.covers(&rule.purge) && rule.ack < request.start;
                if over && self.in_force(rule, request) && base.start < rule.purge.start {
                    found.push(violation(Clause::ValidatorOfDeleted, request, &[rule], &[&base, &fetch]));
                    break;
                }
            }
        }
    }

    /// The response that an answer is of, if it is of one.
    fn of_answer(&mut self, request: &Request, found: &mut Vec<Violation>) -> Option<(Fetch, Fetch)> {
        let met = |stop: &Stop| stop.start <= request.end && stop.end >= request.start;
        let stopped = self.stops.iter().any(met);
        self.tally.stopped += u64::from(stopped);
        let (Some(body), Some(exchange)) = (request.body, request.exchange) else {
            let excused = self.failed(request).is_some();
            self.tally.excused += u64::from(excused && !stopped);
            if !stopped && !excused {
                let near = self.near(request);
                found.push(violation(Clause::ServerError, request, &[], &near.iter().collect::<Vec<_>>()));
            }
            return None;
        };
        let heard = |fetch: &&Fetch| fetch.outcome != Outcome::Failed;
        let known = (self.fetches.get(&body).filter(heard), self.fetches.get(&exchange).filter(heard));
        let (Some(body), Some(exchange)) = known else {
            found.push(violation(Clause::Unheard, request, &[], &[]));
            return None;
        };
        let mut wrong = |clause| found.push(violation(clause, request, &[], &[body, exchange]));
        for fetch in [body, exchange] {
            let same = fetch.url == request.url && fetch.variation == request.variation;
            if !same || fetch.variant != request.variant {
                wrong(Clause::OfAnother);
            }
        }
        match exchange.outcome {
            Outcome::NotModified(base) if base != body.id => wrong(Clause::WrongValidation),
            Outcome::Whole | Outcome::Cut(_) if exchange.id != body.id => wrong(Clause::WrongValidation),
            _ => {}
        }
        if request.parts.iter().any(|part| *part != body.id) {
            wrong(Clause::Mixed);
        }
        let there = match body.outcome {
            Outcome::Cut(bytes) => bytes,
            _ => body.length,
        };
        let has_body = request.method == "GET" && !matches!(request.status, 204 | 304);
        if has_body && request.whole {
            let length = if request.status == 206 { there.min(request.from + request.bytes) } else { body.length };
            if request.from + request.bytes != length || length > there {
                wrong(Clause::WrongLength);
            }
        } else if has_body {
            if !stopped && !matches!(body.outcome, Outcome::Cut(_)) {
                wrong(Clause::CutOff);
            }
            self.tally.excused += u64::from(!stopped);
        }
        if !exchange.storable && exchange.asked_by.is_some_and(|by| by != request.id) {
            wrong(Clause::Shared);
        }
        let gone = |stop: &Stop| exchange.start < stop.start && stop.end <= request.start;
        if !self.l2 && self.stops.iter().any(gone) {
            wrong(Clause::OutlastedMemory);
        }
        Some((body.clone(), exchange.clone()))
    }

    fn by_rule(
        &mut self,
        request: &Request,
        body: &Fetch,
        exchange: &Fetch,
        rule: &Rule,
        horizon: Time,
    ) -> Option<Clause> {
        let purge = &rule.purge;
        if !self.in_force(rule, request) {
            return None;
        }
        let before = exchange.start < purge.start;
        if self.covers(purge) {
            match purge.act {
                Act::Delete if body.start < purge.start => return Some(Clause::Deleted),
                Act::Invalidate if before => return Some(Clause::NotValidated),
                Act::Soft if before => return self.softly(request, exchange, rule, horizon),
                _ => return None,
            }
        }
        if purge.act == Act::Soft || !before {
            return None;
        }
        if exchange.end.is_none_or(|end| end > rule.ack) {
            return Some(Clause::NotFenced);
        }
        let restarted = self.stops.iter().any(|stop| stop.start >= rule.ack && stop.end <= request.start);
        (purge.l2 && restarted).then_some(Clause::BackFromL2)
    }

    fn softly(&mut self, request: &Request, exchange: &Fetch, rule: &Rule, horizon: Time) -> Option<Clause> {
        self.tally.stale += 1;
        if !request.stale {
            return Some(Clause::SoftAsFresh);
        }
        if request.peer {
            return Some(Clause::SoftToPeer);
        }
        let since = request.start - rule.ack;
        if since > exchange.while_revalidate {
            if since > exchange.if_error {
                return Some(Clause::SoftTooLong);
            }
            if self.failed(request).is_none() {
                return Some(Clause::SoftWithoutError);
            }
        }
        let until = request.end.saturating_add(SLACK);
        let stopped = self.stops.iter().any(|stop| stop.end >= request.start && stop.start <= until);
        let names = self.of_url.get(&(request.url.clone(), request.variation.clone()))?;
        let asked = names.iter().filter_map(|id| self.fetches.get(id)).any(|fetch| {
            let late = |end: Time| end >= rule.purge.start && end.saturating_add(SLACK) >= request.start;
            fetch.variant == request.variant && fetch.end.is_none_or(late)
        });
        (horizon >= until && !stopped && !asked).then_some(Clause::SoftNotRevalidated)
    }

    /// Taken from the second tier first, which memory may then not write there again, and from memory later: gone from both.
    fn by_pair(&self, request: &Request, body: &Fetch, exchange: &Fetch, rules: &[Rc<Rule>]) -> Option<Violation> {
        let strong = |rule: &&Rc<Rule>| rule.purge.act != Act::Soft && self.in_force(rule, request);
        let of_edge = rules.iter().filter(strong).filter(|rule| rule.purge.edge && !rule.purge.l2);
        let newest = of_edge.max_by_key(|rule| rule.purge.start).filter(|_| self.l2)?;
        let below = |rule: &&Rc<Rule>| !rule.purge.edge && rule.ack < newest.purge.start;
        let older = rules.iter().filter(strong).filter(below).max_by_key(|rule| rule.purge.start)?;
        (exchange.start < older.purge.start)
            .then(|| violation(Clause::BackFromL2, request, &[older, newest], &[body, exchange]))
    }

    /// Whether a purge leaves no tier out.
    fn covers(&self, purge: &Purge) -> bool {
        purge.edge && (purge.l2 || !self.l2)
    }

    fn in_force(&self, rule: &Rule, request: &Request) -> bool {
        rule.purge.durable || !self.stops.iter().any(|stop| stop.end >= rule.ack && stop.start <= request.start)
    }

    fn failed(&self, request: &Request) -> Option<&Fetch> {
        let names = self.of_url.get(&(request.url.clone(), request.variation.clone()))?;
        names.iter().rev().filter_map(|id| self.fetches.get(id)).find(|fetch| {
            let failed = matches!(fetch.outcome, Outcome::Cut(_) | Outcome::Failed) || fetch.status >= 500;
            let over = fetch.end.is_some_and(|end| end.saturating_add(SLACK) < request.start);
            failed && fetch.start <= request.end && !over
        })
    }

    fn near(&self, request: &Request) -> Vec<Fetch> {
        let names = self.of_url.get(&(request.url.clone(), request.variation.clone()));
        let fetches = names.into_iter().flatten().filter_map(|id| self.fetches.get(id));
        let near =
            |fetch: &&Fetch| fetch.start <= request.end && fetch.end.is_none_or(|end| end + SLACK >= request.start);
        fetches.filter(near).cloned().collect()
    }
}

fn violation(clause: Clause, request: &Request, rules: &[&Rule], fetches: &[&Fetch]) -> Violation {
    let mut told: Vec<Fetch> = Vec::new();
    for fetch in fetches {
        if told.iter().all(|known| known.id != fetch.id) {
            told.push((*fetch).clone());
        }
    }
    let purges = rules.iter().map(|rule| rule.purge.clone()).collect();
    Violation { clause, request: request.clone(), purges, fetches: told }
}
