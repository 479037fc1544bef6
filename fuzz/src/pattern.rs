//! Every kind of selector against keys on both sides of its edge: alone, as rules of a cache (section 3, G6), and many in one table.

use oust::Layers;
use oust_reference::{
    Act, Entropy, Matcher, Promise, Refused, Resource, Selector, Subject, crowded, crowded_key, neighbours, selector,
};

use crate::engine;
use crate::ops::{act, layers};
use crate::rig::Rig;
use crate::set::crowd;

const MAX_KEYS: usize = 20;

/// Some selectors and their neighbours.
pub fn pattern_vs_reference(data: &[u8]) {
    let mut entropy = Entropy::new(data);
    if entropy.one_in(2) {
        return crowd(&mut entropy);
    }
    let crowded_ones = entropy.one_in(3);
    let mut selectors = Vec::new();
    let mut keys: Vec<Subject> = Vec::new();
    for _ in 0..=entropy.below(if crowded_ones { 24 } else { 6 }) {
        let selector = if crowded_ones { crowded(&mut entropy) } else { selector(&mut entropy) };
        add_keys(&mut keys, neighbours(&selector, &mut entropy));
        selectors.push(selector);
    }
    if crowded_ones {
        for _ in 0..6 {
            add_keys(&mut keys, crowded_key(&mut entropy));
        }
    }
    for selector in &selectors {
        single(selector, &keys);
    }
    in_cache(&selectors[entropy.below(selectors.len())], &keys);
    together(&selectors, &keys, &mut entropy);
}

/// Adds what is not there yet, up to a bound.
fn add_keys(keys: &mut Vec<Subject>, more: impl IntoIterator<Item = Subject>) {
    for key in more {
        let known = keys.iter().any(|other| other.url == key.url && other.variation == key.variation);
        if !known && keys.len() < MAX_KEYS {
            keys.push(key);
        }
    }
}

/// One selector, by itself and as the only rule of a cache that holds the keys: the refusal and each verdict.
pub fn alone(selector: &Selector, keys: &[Subject]) {
    single(selector, keys);
    in_cache(selector, keys);
}

fn in_cache(selector: &Selector, keys: &[Subject]) {
    let Some(mut rig) = stored(keys) else { return };
    rig.purge(std::slice::from_ref(selector), Act::Delete, Layers { edge: true, l2: true });
    rig.conclude();
}

/// One selector, compiled for itself. Tags and the fields of a variant are no matter of the key, so they are left to the cache.
fn single(selector: &Selector, keys: &[Subject]) {
    if matches!(selector, Selector::Variant(..) | Selector::Tag(_)) {
        return;
    }
    let Some(engine_selector) = engine::selector(selector) else { return };
    let compiled = engine::compile(&engine_selector);
    let matcher = match Matcher::new(selector) {
        Err(Refused::Unknown) => return,
        Err(refused) => {
            assert!(compiled.is_none(), "accepted {selector:?}, which is {refused:?}");
            return;
        }
        Ok(matcher) => matcher,
    };
    let Some(compiled) = &compiled else {
        assert!(selector.may_be_refused(), "refused {selector:?}");
        return;
    };
    for key in keys {
        let Ok(want) = matcher.matches(key) else { continue };
        let got = compiled.matches(engine::key_of(key).as_ref());
        assert_eq!(got, want, "{selector:?} and {}", key.text().escape_ascii());
    }
}

const PROMISE: Promise =
    Promise { lifetime: 1_000_000, while_revalidate: 1_000_000, if_error: 0, must_revalidate: false, no_cache: false };

/// A cache that holds the keys, each with its tags.
fn stored(keys: &[Subject]) -> Option<Rig> {
    let resources: Vec<Resource> =
        keys.iter().map(|key| Resource { key: Subject { tags: Vec::new(), ..key.clone() }, varies: false }).collect();
    if resources.is_empty() {
        return None;
    }
    let mut rig = Rig::new(resources, false);
    for (at, key) in keys.iter().enumerate() {
        rig.store(at, 0, PROMISE, key.tags.clone(), 10);
    }
    Some(rig)
}

/// All of them as rules, with keys that are stored before, between and after them.
fn together(selectors: &[Selector], keys: &[Subject], entropy: &mut Entropy<'_>) {
    let Some(mut rig) = stored(keys) else { return };
    let mut rest = selectors;
    while !rest.is_empty() {
        // Now and then several as one purge.
        let (batch, later) = rest.split_at(if entropy.one_in(4) { rest.len().min(1 + entropy.below(6)) } else { 1 });
        rest = later;
        let (act, layers) = (act(entropy), layers(entropy));
        rig.purge(batch, act, layers);
        match entropy.below(8) {
            // Looking judges the object up to here; not looking leaves several rules for later.
            0..=2 => {
                let at = entropy.below(keys.len());
                drop(rig.lookup(at, 0));
            }
            3 | 4 => {
                let at = entropy.below(keys.len());
                rig.store(at, 0, PROMISE, keys[at].tags.clone(), 10);
            }
            5 => rig.sweep(),
            _ => {}
        }
    }
    rig.conclude();
}
