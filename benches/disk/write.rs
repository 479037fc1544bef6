//! Writing: objects that are asked for a second time, until all are durable, beside the same bytes written in sequence.

use std::time::Instant;

use crate::Size;
use crate::place::{Place, Raw};
use crate::report::{Report, Spread};
use crate::tier::{Tier, body, key};

const LEN: usize = 16 << 10;

pub(crate) fn section(size: Size, place: &Place, report: &mut Report) {
    let rounds = size.of(5, 2);
    let count = size.of(65_536, 4_096);
    let body = body(LEN);
    let mut seconds: [Vec<f64>; 2] = Default::default();
    let mut bytes = 0;
    for round in 0..rounds {
        for turn in 0..2 {
            if (turn + round) % 2 == 0 {
                let path = place.sub("write");
                let tier = Tier::open(&path, 2 * (count * LEN) as u64 + (256 << 20));
                let begun = Instant::now();
                tier.write_all((0..count).map(key), &body);
                seconds[0].push(begun.elapsed().as_secs_f64());
                bytes = tier.stats().appended_bytes;
                drop(tier);
                drop(place.sub("write"));
            } else {
                // What the tier wrote, heads and footers included, as far as is known: bodies in the first round.
                let (raw, took) = Raw::write(place.path().join("write.raw"), bytes.max((count * LEN) as u64));
                drop(raw);
                seconds[1].push(took);
            }
        }
    }
    let rate = |nth: usize| {
        let mib = (count * LEN) as f64 / (1 << 20) as f64;
        format!("{:.0} MiB/s", mib / Spread::of(&seconds[nth]).median)
    };
    let ratio = Spread::of_ratios(&seconds[0], &seconds[1]);
    report.row("writing 16 KiB objects, durable", rate(0), format!("raw {}", rate(1)), Some(ratio), None);
}
