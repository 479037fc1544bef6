//! The configured capacity holds for the bytes the allocator really gave out, at every moment, within 2 %.

#![allow(unsafe_code, reason = "a counting allocator can only be written so")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use oust::freshness::Freshness;
use oust::{Config, Fetch, Head, Key, Lookup, Purge, Selector};

/// Counts what is allocated, in the size classes of the system's allocator.
struct Counting;

static LIVE: AtomicI64 = AtomicI64::new(0);
static PEAK: AtomicI64 = AtomicI64::new(0);

fn class(size: usize) -> i64 {
    (size as i64 + 8 + 15) / 16 * 16
}

fn count(bytes: i64) {
    let live = LIVE.fetch_add(bytes, Ordering::Relaxed) + bytes;
    PEAK.fetch_max(live, Ordering::Relaxed);
}

// SAFETY: every call is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(class(layout.size()));
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-class(layout.size()));
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A plain generator, so that a failure repeats.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

#[test]
fn allocated_bytes_stay_within_the_capacity() {
    const CAPACITY: u64 = 48 << 20;
    let source = Bytes::from(vec![7_u8; 1 << 20]);
    let before = LIVE.load(Ordering::Relaxed);
    let cache = Config::new().edge_size(CAPACITY).background_sweep(false).build().unwrap();
    let none = HeaderMap::new();
    let mut random = Random(42);
    let mut held = Vec::new();
    for step in 0..150_000_u64 {
        let n = random.below(200_000);
        let url = format!("http://host{}.example/dir{}/sub{}/object-{n}.html", n % 5, n % 300, n % 7);
        let key = Key::parse(url.as_bytes()).unwrap();
        match cache.lookup(&key, &none) {
            Lookup::Hit(hit) if random.below(100) == 0 => held.push(hit),
            Lookup::Hit(_) => {}
            _ => {
                let Fetch::Lead(ticket) = cache.fetch(&key, &none, None) else { panic!("nobody else fetches") };
                let head = Head::new(StatusCode::OK, HeaderMap::new());
                let fresh = Freshness::fresh_for(Duration::from_secs(60));
                let mut fill = ticket.respond(head, None, Some(fresh), &[b"tag", &url.as_bytes()[..20]]);
                let size = match random.below(1000) {
                    0 => random.below(1 << 20),
                    1..50 => random.below(60_000),
                    _ => random.below(2000),
                } as usize;
                for from in (0..size).step_by(16 << 10) {
                    fill.write(source.slice(from..size.min(from + (16 << 10))));
                }
                fill.finish();
            }
        }
        if step % 1000 == 0 {
            held.clear();
            cache.purge(&Purge::new(Selector::Tag("tag".into()))).unwrap();
            cache.purge(&Purge::new(Selector::Pattern(format!("http://host1.example/dir{}/**", step % 300)))).unwrap();
            if step % 20_000 == 0 {
                cache.sweep();
            }
        }
        let live = LIVE.load(Ordering::Relaxed) - before;
        let most = CAPACITY as i64 * 102 / 100;
        assert!(live <= most, "step {step}: {live} bytes live, capacity {CAPACITY}: {:?}", cache.stats());
    }
    drop(held);
    let stats = cache.stats();
    assert!(stats.bytes > CAPACITY / 2, "the cache is used: {stats:?}");
    drop(cache);
    let left = LIVE.load(Ordering::Relaxed) - before;
    assert!(left < 300_000, "{left} bytes are left when the cache is gone");
}
