//! Hits of the second tier whose bytes are in the page cache.
//!
//! A record is promoted by its second hit, so that each object of the first measurement is asked for once; the second hits are measured apart.
//! The pages around were mapped by lookups of the objects between, where an object is smaller than what the kernel maps around a fault.

use std::hint::black_box;
use std::time::Instant;

use crate::Size;
use crate::common::keys::Random;
use crate::foyer::Foyer;
use crate::place::{Place, Raw};
use crate::report::{Report, Spread, time};
use crate::tier::{Found, Tier, body, key, sum};

/// Length of bodies, objects asked for in a round, and in a quick one.
const SIZES: [(&str, usize, usize, usize); 3] =
    [("1 KiB", 1 << 10, 10_000, 2_000), ("16 KiB", 16 << 10, 1_000, 300), ("256 KiB", 256 << 10, 100, 20)];

pub(crate) fn section(size: Size, place: &Place, report: &mut Report) {
    for (name, len, full, quick) in SIZES {
        of_length(size, place, report, (name, len, size.of(full, quick)));
    }
}

fn of_length(size: Size, place: &Place, report: &mut Report, (name, len, ops): (&str, usize, usize)) {
    let rounds = size.of(9, 3);
    // Half of them are asked for beforehand; of the rest a half is handed out, the other read.
    let count = 4 * ops * rounds;
    let body = body(len);
    let capacity = 2 * count as u64 * (len as u64 + 512) + (256 << 20);
    let path = place.sub("warm");
    let tier = Tier::open(&path, capacity);
    tier.write_all((0..count).map(key), &body);
    tier.empty_edge();
    let peer_path = place.sub("warm-foyer");
    let peer = Foyer::open(&peer_path, 2 * count as u64 * (len as u64 + 4096) + (256 << 20));
    peer.write_all(count, &body);
    let (raw, _) = Raw::write(place.path().join("warm.raw"), (count * len) as u64);

    let mut order: Vec<usize> = (0..count / 2).map(|nth| 2 * nth + 1).collect();
    shuffle(&mut order);
    for nth in 0..count / 2 {
        assert!(!matches!(tier.find(&key(2 * nth)), Found::Nothing), "object {} is there", 2 * nth);
    }
    tier.empty_edge();
    let hits_before = tier.stats().hits;

    let mut times: [Vec<f64>; 7] = Default::default();
    let mut buffer = vec![0; len];
    let mut peer_found = 0;
    let mut waited = 0;
    for (round, ids) in order.chunks_exact(2 * ops).enumerate() {
        let (handed, read) = ids.split_at(ops);
        let keys: [Vec<_>; 2] = [handed, read].map(|ids| ids.iter().map(|&id| key(id)).collect());
        for turn in 0..6 {
            let nth = (turn + round) % 6;
            let begun = Instant::now();
            match nth {
                0 | 1 => {
                    for key in &keys[nth] {
                        let hit = match tier.find(key) {
                            Found::Now(hit) => hit,
                            Found::Waited(hit) => {
                                waited += 1;
                                hit
                            }
                            Found::Nothing => panic!("it is not there"),
                        };
                        match hit.body_slice() {
                            Some(body) => consume(body, nth == 1),
                            None => hit.body().for_each(|body| consume(&body, nth == 1)),
                        }
                    }
                }
                2 | 3 => {
                    for &id in if nth == 2 { handed } else { read } {
                        raw.read((id * len) as u64, &mut buffer);
                        consume(&buffer, nth == 3);
                    }
                }
                _ => {
                    let ids = if nth == 4 { handed } else { read };
                    peer_found += peer.find_all(ids.iter().map(|&id| id as u64), nth == 5);
                }
            }
            times[nth].push(begun.elapsed().as_nanos() as f64 / ops as f64);
        }
    }
    let stats = tier.stats();
    assert_eq!(stats.hits - hits_before, (2 * ops * rounds) as u64, "each is a hit of the second tier");
    let promoted = stats.promoted;
    // The same objects again: each is copied to memory.
    for ids in order.chunks_exact(2 * ops) {
        let keys: Vec<_> = ids[..ops].iter().map(|&id| key(id)).collect();
        let begun = Instant::now();
        for key in &keys {
            let Found::Now(hit) = tier.find(key) else { panic!("it is not there") };
            match hit.body_slice() {
                Some(body) => consume(body, false),
                None => hit.body().for_each(|body| consume(&body, false)),
            }
        }
        times[6].push(begun.elapsed().as_nanos() as f64 / ops as f64);
    }
    std::thread::sleep(std::time::Duration::from_millis(20));
    let promoted = tier.stats().promoted - promoted;

    let ns = |nth: usize| time(Spread::of(&times[nth]).median);
    let ratio = |over: usize, under: usize| Some(Spread::of_ratios(&times[over], &times[under]));
    let late = if waited > 0 { format!(", {waited} waited") } else { String::new() };
    report.row(format!("warm hit {name}, handed out{late}"), ns(0), format!("pread {}", ns(2)), ratio(0, 2), None);
    report.row(format!("warm hit {name}, read whole"), ns(1), format!("pread {}", ns(3)), ratio(1, 3), None);
    let found = 100.0 * peer_found as f64 / (2 * ops * rounds) as f64;
    let beside = |nth: usize| format!("foyer {}, finds {found:.0} %", ns(nth));
    report.row(format!("warm hit {name}, handed out"), ns(0), beside(4), ratio(0, 4), None);
    report.row(format!("warm hit {name}, read whole"), ns(1), beside(5), ratio(1, 5), None);
    let share = 100 * promoted as usize / (ops * rounds);
    let figure = format!("second hit {name}, {share} % promoted");
    report.row(figure, ns(6), format!("first hit {}", ns(0)), ratio(6, 0), None);
    drop(tier);
    drop(peer);
    drop((place.sub("warm"), place.sub("warm-foyer")));
}

#[inline]
fn consume(bytes: &[u8], whole: bool) {
    black_box(if whole { sum(bytes) } else { u64::from(bytes.first().copied().unwrap_or_default()) });
}

pub(crate) fn shuffle(items: &mut [usize]) {
    let mut random = Random::new(items.len() as u64);
    for last in (1..items.len()).rev() {
        items.swap(last, random.below(last + 1));
    }
}
