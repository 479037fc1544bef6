//! What the C ABI adds to a hit: the same lookups through Rust and through the exported functions, in turns in one run.
//!
//! `cargo bench -p oust-capi --bench call`. Prints the median over rounds of each, and of the differences.
#![allow(unsafe_code, missing_docs, reason = "a bench of a C ABI calls it as C does")]
#![allow(clippy::unwrap_used, reason = "a bench that fails has no figures")]

use std::hint::black_box;
use std::ptr::{null, null_mut};
use std::time::{Duration, Instant};

use http::{HeaderMap, StatusCode};
use oust::freshness::Freshness;
use oust::{Config, Fetch, Head, Key, Lookup};
use oust_capi::*;

const KEYS: usize = 512;
const ROUNDS: usize = 60;
const PASSES: usize = 400;

fn main() {
    let urls: Vec<String> = (0..KEYS).map(|n| format!("http://www.example.com/assets/{n}/app.css")).collect();
    let rust = Config::new().edge_size(64 << 20).build().unwrap();
    let request = HeaderMap::new();
    let keys: Vec<Key> = urls.iter().map(|url| Key::from_url(url.as_bytes()).unwrap()).collect();
    for key in &keys {
        let Fetch::Lead(ticket) = rust.fetch(key, &request, None) else { unreachable!() };
        let head = Head::new(StatusCode::OK, HeaderMap::new());
        ticket.store(head, vec![b'x'; 1024].into(), Freshness::fresh_for(Duration::from_secs(3600)), &[]);
    }
    let c = C::new(&urls);
    let (mut rusts, mut cs, mut differences) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let in_rust = || time(|| keys.iter().for_each(|key| rust_hit(&rust, key, &request)));
        let in_c = || time(|| c.keys.iter().for_each(|&key| c.hit(key)));
        // In turns, so that neither always has the caches of the other before it.
        let (rust, c) = if round % 2 == 0 {
            let rust = in_rust();
            (rust, in_c())
        } else {
            let c = in_c();
            (in_rust(), c)
        };
        rusts.push(rust);
        cs.push(c);
        differences.push(c - rust);
    }
    println!("a hit of 1 KiB, {KEYS} keys, median of {ROUNDS} rounds of {} each:", PASSES * KEYS);
    println!("rust          {:6.1} ns", median(rusts));
    println!("c             {:6.1} ns", median(cs));
    println!("difference    {:6.1} ns", median(differences));
}

/// Nanoseconds a call.
fn time(mut pass: impl FnMut()) -> f64 {
    let begun = Instant::now();
    for _ in 0..PASSES {
        pass();
    }
    begun.elapsed().as_nanos() as f64 / (PASSES * KEYS) as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Looks up, reads the status and the first byte of the body, and lets go.
#[inline(never)]
fn rust_hit(cache: &oust::Cache, key: &Key, request: &HeaderMap) {
    let Lookup::Hit(hit) = cache.lookup(key, request) else { unreachable!() };
    black_box((hit.status(), hit.body_len(), hit.body_slice().map(|body| body[0])));
}

/// A cache as a C program has it.
struct C {
    cache: *mut oust_cache,
    request: *mut oust_request,
    keys: Vec<*mut oust_key>,
}

impl C {
    fn new(urls: &[String]) -> Self {
        let config = "[edge]\nsize = \"64MiB\"";
        let mut this = Self { cache: null_mut(), request: null_mut(), keys: Vec::new() };
        // SAFETY: all pointers are to locals, with their lengths.
        let code = unsafe { oust_open(config.as_ptr().cast(), config.len(), &mut this.cache) };
        assert_eq!(code, oust_code::OUST_OK);
        // SAFETY: as above.
        let code = unsafe { oust_request_new(null(), 0, &mut this.request) };
        assert_eq!(code, oust_code::OUST_OK);
        let mut head = null_mut();
        // SAFETY: as above.
        let code = unsafe { oust_head_new(200, null(), 0, &mut head) };
        assert_eq!(code, oust_code::OUST_OK);
        let body = [b'x'; 1024];
        // SAFETY: a structure of numbers.
        let mut fresh: oust_freshness = unsafe { std::mem::zeroed() };
        (fresh.size, fresh.lifetime_ms) = (size_of::<oust_freshness>(), 3_600_000);
        for url in urls {
            let mut key = null_mut();
            // SAFETY: as above.
            let code = unsafe { oust_key_from_url(url.as_ptr(), url.len(), &mut key) };
            assert_eq!(code, oust_code::OUST_OK);
            // SAFETY: a structure of numbers and pointers.
            let mut fetched: oust_fetched = unsafe { std::mem::zeroed() };
            fetched.size = size_of::<oust_fetched>();
            // SAFETY: as above, and the handles are open.
            let code = unsafe { oust_fetch(this.cache, key, null(), 0, null(), 0, &mut fetched) };
            assert_eq!(code, oust_code::OUST_OK);
            // SAFETY: as above.
            let code = unsafe {
                oust_ticket_store(fetched.ticket, head, body.as_ptr(), body.len(), &fresh, null(), 0, null_mut())
            };
            assert_eq!(code, oust_code::OUST_OK);
            this.keys.push(key);
        }
        this
    }

    #[inline(never)]
    fn hit(&self, key: *const oust_key) {
        // SAFETY: a structure of numbers and pointers.
        let mut found: oust_found = unsafe { std::mem::zeroed() };
        found.size = size_of::<oust_found>();
        // SAFETY: the handles are open, `found` is a local.
        let code = unsafe { black_box(oust_lookup_request)(self.cache, key, self.request, &mut found) };
        assert_eq!((code, found.outcome), (oust_code::OUST_OK, oust_outcome::OUST_HIT as u32));
        // SAFETY: a hit's body is valid until the hit is freed.
        let first = unsafe { *found.body.data };
        black_box((found.status, found.body_len, first));
        // SAFETY: freed once.
        let code = unsafe { black_box(oust_hit_free)(found.hit) };
        assert_eq!(code, oust_code::OUST_OK);
    }
}
