//! Hits of the second tier that wait for the device: 16 KiB each, far from one another.
//!
//! Before each round the cache is closed, since mapped pages are not dropped, and opened again. The first hit after that sums the body too.

use std::hint::black_box;
use std::time::Instant;

use crate::Size;
use crate::place::{Place, Raw, drop_cached};
use crate::report::{Report, Spread, at_share, time};
use crate::tier::{Found, Tier, body, key, sum};
use crate::warm::shuffle;

const LEN: usize = 16 << 10;

/// Between the objects that are asked for lie this many others: the device's own read-ahead is to help nobody.
const APART: usize = 16;

pub(crate) fn section(size: Size, place: &Place, report: &mut Report) {
    let rounds = size.of(7, 2);
    let ops = size.of(1_000, 100);
    let count = APART * ops;
    let path = place.sub("cold");
    let capacity = 2 * (count * (LEN + 512)) as u64 + (256 << 20);
    let tier = Tier::open(&path, capacity);
    tier.write_all((0..count).map(key), &body(LEN));
    drop(tier);
    let (raw, _) = Raw::write(place.path().join("cold.raw"), (count * LEN) as u64);
    let mut order: Vec<usize> = (0..ops).collect();
    shuffle(&mut order);
    let mut buffer = vec![0; LEN];
    let mut ours: [Vec<f64>; 2] = Default::default();
    let mut theirs: [Vec<f64>; 2] = Default::default();
    let (mut waited, mut asked) = (0, 0);
    for round in 0..rounds {
        let mut own = || {
            drop_cached(&path);
            let tier = Tier::open(&path, capacity);
            tier.wait_loaded();
            let mut times = Vec::with_capacity(ops);
            for &nth in &order {
                let key = key(nth * APART + round % APART);
                let begun = Instant::now();
                let found = tier.find(&key);
                if let Found::Now(hit) | Found::Waited(hit) = &found {
                    hit.body().for_each(|body| {
                        black_box(sum(&body));
                    });
                }
                times.push(begun.elapsed().as_nanos() as f64);
                asked += 1;
                waited += usize::from(matches!(found, Found::Waited(_)));
                assert!(!matches!(found, Found::Nothing), "it is not there");
            }
            ours[0].push(at_share(&mut times, 0.5));
            ours[1].push(at_share(&mut times, 0.99));
        };
        let mut other = || {
            raw.drop_cached();
            let mut times = Vec::with_capacity(ops);
            for &nth in &order {
                let at = (nth * APART + round % APART) * LEN;
                let begun = Instant::now();
                raw.read(at as u64, &mut buffer);
                black_box(sum(&buffer));
                times.push(begun.elapsed().as_nanos() as f64);
            }
            theirs[0].push(at_share(&mut times, 0.5));
            theirs[1].push(at_share(&mut times, 0.99));
        };
        if round % 2 == 0 {
            own();
            other();
        } else {
            other();
            own();
        }
    }
    let share = 100 * waited / asked;
    for (nth, name) in ["p50", "p99"].into_iter().enumerate() {
        let ns = |times: &[f64]| time(Spread::of(times).median);
        let ratio = Spread::of_ratios(&ours[nth], &theirs[nth]);
        let figure = format!("cold hit 16 KiB, {name}, {share} % waited");
        report.row(figure, ns(&ours[nth]), format!("cold pread {}", ns(&theirs[nth])), Some(ratio), None);
    }
    drop(place.sub("cold"));
}
