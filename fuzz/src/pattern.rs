//! Every kind of selector against keys on both sides of its edge, alone and as rules of a cache (section 3, G6).

use oust::Layers;
use oust_reference::{Act, Entropy, Promise, Resource, Selector, Subject, neighbours, selector};
#[cfg(feature = "compiled")]
use oust_reference::{Refused, matches};

use crate::ops::{act, layers};
use crate::rig::Rig;
#[cfg(feature = "compiled")]
use crate::{engine, single};

const MAX_KEYS: usize = 20;

/// Some selectors and their neighbours.
pub fn pattern_vs_reference(data: &[u8]) {
    let mut entropy = Entropy::new(data);
    let mut selectors = Vec::new();
    let mut keys: Vec<Subject> = Vec::new();
    for _ in 0..=entropy.below(6) {
        let selector = selector(&mut entropy);
        for key in neighbours(&selector, &mut entropy) {
            let known = keys.iter().any(|other| other.url == key.url && other.variation == key.variation);
            if !known && keys.len() < MAX_KEYS {
                keys.push(key);
            }
        }
        selectors.push(selector);
    }
    for selector in &selectors {
        alone(selector, &keys);
    }
    together(&selectors, &keys, &mut entropy);
}

/// One selector as the only rule of a cache that holds the keys: the refusal and each verdict.
pub fn alone(selector: &Selector, keys: &[Subject]) {
    #[cfg(feature = "compiled")]
    compiled(selector, keys);
    let Some(mut rig) = stored(keys) else { return };
    rig.purge(std::slice::from_ref(selector), Act::Delete, Layers { edge: true, l2: true });
    rig.conclude();
}

/// One selector, compiled for itself. A variant's fields are no matter of the key, so it is left to the cache.
#[cfg(feature = "compiled")]
fn compiled(selector: &Selector, keys: &[Subject]) {
    if matches!(selector, Selector::Variant(..)) {
        return;
    }
    let Some(engine_selector) = engine::selector(selector) else { return };
    let compiled = single::compile(&engine_selector);
    for key in keys {
        let want = match matches(selector, key) {
            Err(Refused::Unknown) => continue,
            Err(refused) => {
                assert!(compiled.is_none(), "accepted {selector:?}, which is {refused:?}");
                return;
            }
            Ok(want) => want,
        };
        let Some(compiled) = &compiled else {
            assert!(selector.may_be_refused(), "refused {selector:?}");
            return;
        };
        let got = compiled.takes(&engine::key_of(key), key);
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
    for selector in selectors {
        let (act, layers) = (act(entropy), layers(entropy));
        rig.purge(std::slice::from_ref(selector), act, layers);
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
