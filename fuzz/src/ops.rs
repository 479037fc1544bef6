//! Sequences of operations on a real cache, each answer held against the model (G1-G3, G6, section 4).

use oust::Layers;
use oust_reference::{Act, Entropy, Model, Promise, Resource, Selector, neighbours, selector};

use crate::rig::{Rig, VARIANTS};

const MAX_OPS: usize = 160;

// The clock steps by ten seconds: with these, no end of a period is met exactly, so nothing hangs on `<` or `<=`.
const LIFETIMES: [u64; 4] = [103_000, 13_000, 3_000, 43_000];
const WINDOWS: [u64; 3] = [0, 23_000, 103_000];

pub fn promise(entropy: &mut Entropy<'_>) -> Promise {
    Promise {
        lifetime: entropy.pick(&LIFETIMES),
        while_revalidate: entropy.pick(&WINDOWS),
        if_error: entropy.pick(&WINDOWS),
        must_revalidate: entropy.one_in(6),
        no_cache: entropy.one_in(10),
    }
}

pub fn act(entropy: &mut Entropy<'_>) -> Act {
    entropy.pick(&[Act::Delete, Act::Invalidate, Act::Soft])
}

pub fn layers(entropy: &mut Entropy<'_>) -> Layers {
    match entropy.below(8) {
        7 => Layers { edge: false, l2: true },
        5 | 6 => Layers { edge: true, l2: false },
        _ => Layers { edge: true, l2: true },
    }
}

fn tags(entropy: &mut Entropy<'_>) -> Vec<Vec<u8>> {
    let all = ["t", "tt", "t1"];
    all.iter().filter(|_| entropy.one_in(3)).map(|tag| tag.as_bytes().to_vec()).collect()
}

/// Few keys, all near the edge of a few selectors, so that rules and fetches meet.
fn scene(entropy: &mut Entropy<'_>) -> (Vec<Selector>, Vec<Resource>) {
    let mut selectors: Vec<Selector> = Vec::new();
    let mut resources: Vec<Resource> = Vec::new();
    for _ in 0..=entropy.below(3) {
        let selector = selector(entropy);
        for mut key in neighbours(&selector, entropy) {
            key.tags.clear();
            let known = resources.iter().any(|other| other.key == key);
            if !known && resources.len() < 6 {
                resources.push(Resource { key, varies: entropy.one_in(3) });
            }
        }
        selectors.push(selector);
    }
    (selectors, resources)
}

/// One sequence on the memory tier alone.
pub fn ops_vs_model(data: &[u8]) {
    run(data, false);
}

/// One sequence on both tiers.
pub fn tiers_vs_model(data: &[u8]) {
    run(data, true);
}

fn run(data: &[u8], tiers: bool) {
    let mut entropy = Entropy::new(data);
    let (selectors, resources) = scene(&mut entropy);
    if resources.is_empty() {
        return;
    }
    let evicts = entropy.one_in(8);
    let mut rig = if tiers { Rig::with_tiers(resources, evicts) } else { Rig::new(resources, evicts) };
    for _ in 0..MAX_OPS {
        if entropy.is_empty() {
            break;
        }
        if tiers && entropy.one_in(5) {
            match entropy.below(8) {
                0 => rig.restart(),
                // Asked for again it is written, and promoted at the second hit from there.
                1 | 2 => {
                    let (resource, variant) = (entropy.below(rig.resources()), entropy.below(VARIANTS.len()));
                    (0..3).for_each(|_| drop(rig.lookup(resource, variant)));
                }
                _ => rig.flush(),
            }
            continue;
        }
        step(&mut rig, &selectors, &mut entropy);
    }
    rig.conclude();
}

fn step(rig: &mut Rig, selectors: &[Selector], entropy: &mut Entropy<'_>) {
    let op = entropy.below(20);
    let resource = entropy.below(rig.resources());
    let variant = entropy.below(VARIANTS.len());
    let flight = entropy.below(rig.in_flight());
    match op {
        0..=2 => drop(rig.lookup(resource, variant)),
        // As a proxy does: look, then fetch with what was found.
        3 | 4 => {
            drop(rig.lookup(resource, variant));
            rig.begin(resource, variant, true, false);
        }
        // What was found earlier, a purge may have come since.
        5 => rig.begin(resource, variant, true, entropy.one_in(2)),
        6 => rig.begin(resource, variant, false, entropy.one_in(3)),
        7 | 8 => {
            let promise = if entropy.one_in(8) { None } else { Some(promise(entropy)) };
            let size = size(entropy);
            rig.respond(flight, promise, tags(entropy), size);
        }
        9..=11 => {
            let promise = if entropy.one_in(8) { None } else { Some(promise(entropy)) };
            rig.finish(flight, promise);
        }
        12 => rig.abandon(flight),
        13 | 14 => {
            let promise = promise(entropy);
            let size = size(entropy);
            rig.store(resource, variant, promise, tags(entropy), size);
        }
        15 | 16 => {
            let chosen: Vec<Selector> = match entropy.below(4) {
                0 => selectors.to_vec(),
                1 => vec![exact(&rig.model, resource)],
                2 => vec![Selector::Tag(entropy.pick(&["t", "tt", "t1"]).as_bytes().to_vec())],
                _ => vec![selectors[entropy.below(selectors.len())].clone()],
            };
            let (act, layers) = (act(entropy), layers(entropy));
            rig.purge(&chosen, act, layers);
        }
        17 => rig.sweep(),
        18 => rig.step_clock(entropy.pick(&[1, 2, 5, 12, -1, -20])),
        _ => rig.poll_readers(),
    }
}

/// From inline bodies to several chunks.
pub fn size(entropy: &mut Entropy<'_>) -> usize {
    entropy.pick(&[10, 11, 0, 1000, 20_000, 70_001])
}

fn exact(model: &Model, resource: usize) -> Selector {
    Selector::Url(model.resources()[resource].key.url.clone())
}
