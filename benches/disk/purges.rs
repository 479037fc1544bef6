//! Durable purges a second by several callers at once, beside syncs of one file by one caller.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use oust::{Purge, Selector};

use crate::Size;
use crate::place::{Place, Raw};
use crate::report::{Report, Spread};
use crate::tier::{Tier, body, key};

const CALLERS: [usize; 3] = [1, 8, 64];

pub(crate) fn section(size: Size, place: &Place, report: &mut Report) {
    let rounds = size.of(7, 3);
    let span = Duration::from_millis(size.of(1000, 150) as u64);
    let path = place.sub("purges");
    let tier = Tier::open(&path, 512 << 20);
    tier.write_all((0..1000).map(key), &body(200));
    let raw = Raw::reserved(place.path().join("purges.raw"), 64 << 20);
    let mut at = 0;
    let next = AtomicU64::new(0);
    let mut rates: [Vec<f64>; 4] = Default::default();
    let mut shared: [Vec<f64>; 3] = Default::default();
    for round in 0..rounds {
        for turn in 0..4 {
            let nth = (turn + round) % 4;
            let begun = Instant::now();
            let done = if nth == 3 {
                let mut done = 0;
                while begun.elapsed() < span {
                    raw.write_synced(at, &[1; 512]);
                    at = (at + 512) % (64 << 20);
                    done += 1;
                }
                done
            } else {
                let syncs = tier.stats().journal_syncs;
                let done = purge_for(span, CALLERS[nth], &tier, &next);
                shared[nth].push(done as f64 / (tier.stats().journal_syncs - syncs).max(1) as f64);
                done
            };
            rates[nth].push(done as f64 / begun.elapsed().as_secs_f64());
        }
    }
    let rate = |nth: usize| format!("{:.0}/s", Spread::of(&rates[nth]).median);
    for (nth, callers) in CALLERS.into_iter().enumerate() {
        // Time over time, as everywhere: rates the other way round.
        let ratio = Spread::of_ratios(&rates[3], &rates[nth]);
        let each = Spread::of(&shared[nth]).median;
        let figure = format!("durable purges, {callers} callers, {each:.1} a sync");
        report.row(figure, rate(nth), format!("fdatasync {}", rate(3)), Some(ratio), None);
    }
    let gain = Spread::of_ratios(&rates[2], &rates[0]);
    let target = Some((">= 10", gain.median >= 10.0));
    report.row("durable purges, gain of 64 callers over 1", rate(2), rate(0), Some(gain), target);
    drop(tier);
    drop(place.sub("purges"));
}

fn purge_for(span: Duration, callers: usize, tier: &Tier, next: &AtomicU64) -> usize {
    let begun = Instant::now();
    let call = || {
        let mut done = 0;
        while begun.elapsed() < span {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            let selector = Selector::Url(format!("https://c{nth}.example.org/index.html"));
            let purged = tier.cache.purge(&Purge::new(selector)).expect("there is room for the rule");
            assert!(purged.durable, "it is on disk");
            done += 1;
        }
        done
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..callers).map(|_| scope.spawn(call)).collect();
        running.into_iter().map(|caller| caller.join().expect("a caller goes on")).sum()
    })
}
