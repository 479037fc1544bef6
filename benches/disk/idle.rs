//! What a second tier that has nothing to do costs a hit in memory.

use oust::{Config, Lookup};

use crate::Size;
use crate::common::keys::{key, zipf_requests};
use crate::common::timed;
use crate::place::Place;
use crate::report::{Report, Spread, time};
use crate::tier::{Tier, body, config};

const EDGE: u64 = 1 << 30;

pub(crate) fn section(size: Size, place: &Place, report: &mut Report) {
    let rounds = size.of(41, 11);
    let count = size.of(1_000_000, 50_000);
    let ops = size.of(1 << 19, 1 << 16);
    let path = place.sub("idle");
    let without = Tier::with(Config::new().edge_size(EDGE));
    let with = Tier::with(config(&path, 4 << 30).edge_size(EDGE));
    let small = body(200);
    let requests = zipf_requests(count, ops, 5);
    for id in 0..count {
        // Neither always first in memory.
        let both = if id % 2 == 0 { [&without, &with] } else { [&with, &without] };
        both.into_iter().for_each(|tier| tier.store(&key(id), &small));
    }
    let run = |tier: &Tier| {
        let took = timed::run(&requests, 1, size.of(timed::WARM, 1 << 13), ops, |key, _| {
            // By reference: moving the hit out of the answer would cost a copy that nothing needs.
            match &tier.cache.lookup(key, &tier.request) {
                Lookup::Hit(hit) => {
                    std::hint::black_box(hit.body_slice().and_then(|body| body.first().copied()));
                }
                other => panic!("{other:?}"),
            }
        });
        took.as_nanos() as f64 / ops as f64
    };
    // Whoever is asked for the first time is written; after these nothing is.
    run(&with);
    run(&without);
    with.flush();
    let mut times: [Vec<f64>; 2] = Default::default();
    for round in 0..rounds {
        for turn in 0..2 {
            let nth = (turn + round) % 2;
            times[nth].push(run([&with, &without][nth]));
        }
    }
    let ns = |nth: usize| time(Spread::of(&times[nth]).median);
    let ratio = Spread::of_ratios(&times[0], &times[1]);
    let target = Some(("<= 1.03", ratio.median <= 1.03));
    report.row("hit in memory, second tier idle", ns(0), format!("without {}", ns(1)), Some(ratio), target);
    drop(with);
    drop(place.sub("idle"));
}
