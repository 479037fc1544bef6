//! What a history is made of: the clock, the names, what was seen, and numbers that look random.
//!
//! A piece of a body is 16 bytes: the fetch's number, the piece's own, a line feed. So every piece tells whose it is and where it belongs.

#![allow(dead_code, unreachable_pub, reason = "two test programs use their parts of this")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use oust_reference::{Event, Fetch, Request, Time};

/// Length of a piece of a body.
pub const PIECE: u64 = 16;
/// The field that some responses vary on.
pub const VARY: &str = "x-kind";
/// The field that keys have a variation by.
pub const SIDE: &str = "x-side";

/// Numbers that look random, from a seed.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % n
    }

    pub fn percent(&mut self, n: u64) -> bool {
        self.below(100) < n
    }

    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }
}

/// A URL with how its responses are.
#[derive(Debug, Clone)]
pub struct Resource {
    pub host: &'static str,
    pub target: String,
    pub varies: bool,
    pub sides: bool,
    pub tags: Vec<String>,
    pub control: &'static str,
    pub while_revalidate: Time,
    pub if_error: Time,
    pub storable: bool,
}

impl Resource {
    pub fn url(&self) -> String {
        format!("http://{}{}", self.host, self.target)
    }
}

/// `count` URLs in a few directories.
pub fn resources(count: usize) -> Vec<Resource> {
    let endings = ["html", "jpg", "css"];
    (0..count)
        .map(|n| {
            let (directory, below) = (n % 4, if n % 7 == 3 { "s/" } else { "" });
            let query = if n % 9 == 4 { "?v=1" } else { "" };
            let (control, while_revalidate, if_error, storable) = match n % 12 {
                3 | 6 | 9 => ("max-age=3600, stale-while-revalidate=2, stale-if-error=5", 2, 5, true),
                4 => ("max-age=1, must-revalidate", 0, 0, true),
                5 => ("max-age=3600, must-revalidate", 0, 0, true),
                7 | 8 => ("max-age=3600, stale-if-error=4", 0, 4, true),
                11 if n > 12 => ("no-store", 0, 0, false),
                _ => ("max-age=3600, stale-if-error=0", 0, 0, true),
            };
            Resource {
                host: if n % 10 == 9 { "o.test" } else { "h.test" },
                target: format!("/d{directory}/{below}p{n}.{}{query}", endings[n % 3]),
                varies: n % 4 == 2,
                sides: n % 5 == 1,
                tags: vec![format!("t{}", n % 5), format!("all{directory}")],
                control,
                while_revalidate: while_revalidate * 1_000_000,
                if_error: if_error * 1_000_000,
                storable,
            }
        })
        .collect()
}

/// Shared by clients, purgers and the origin.
#[derive(Debug)]
pub struct World {
    begun: Instant,
    names: AtomicU64,
    pub resources: Vec<Resource>,
    pub events: Mutex<Vec<Event>>,
    pub fetches: Mutex<HashMap<u64, Fetch>>,
    /// Requests answered so far: what held answers of the origin wait for.
    done: Mutex<u64>,
    more: Condvar,
    /// Everybody is to end.
    pub over: AtomicBool,
    /// Nothing is held any more.
    pub calm: AtomicBool,
    /// Exchanges under way at the origin.
    pub under_way: AtomicU64,
}

impl World {
    pub fn new(resources: Vec<Resource>) -> Self {
        Self {
            begun: Instant::now(),
            names: AtomicU64::new(1),
            resources,
            events: Mutex::default(),
            fetches: Mutex::default(),
            done: Mutex::new(0),
            more: Condvar::new(),
            over: AtomicBool::new(false),
            calm: AtomicBool::new(false),
            under_way: AtomicU64::new(0),
        }
    }

    pub fn now(&self) -> Time {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap()
    }

    pub fn name(&self) -> u64 {
        self.names.fetch_add(1, Ordering::SeqCst)
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub fn saw(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    pub fn answered(&self, request: Request) {
        self.saw(Event::Request(request));
        *self.done.lock().unwrap() += 1;
        self.more.notify_all();
    }

    pub fn done(&self) -> u64 {
        *self.done.lock().unwrap()
    }

    /// Holds the caller until so many more requests were answered. Where all wait for it, a moment is as good.
    pub fn hold(&self, more: u64) {
        let mut done = self.done.lock().unwrap();
        let until = *done + more;
        while *done < until && !self.calm.load(Ordering::SeqCst) {
            let (guard, waited) = self.more.wait_timeout(done, Duration::from_millis(200)).unwrap();
            done = guard;
            if waited.timed_out() {
                return;
            }
        }
    }

    /// Notes how an exchange went on.
    pub fn fetched(&self, id: u64, change: impl FnOnce(&mut Fetch)) {
        if let Some(fetch) = self.fetches.lock().unwrap().get_mut(&id) {
            change(fetch);
        }
    }
}

/// Pieces of a body of fetch `id`, from the first on.
pub fn body(id: u64, length: u64) -> Vec<u8> {
    (0..length / PIECE).flat_map(|at| format!("{id:08x}{at:07x}\n").into_bytes()).collect()
}

/// The fetches that pieces name, each once; `u64::MAX` for a piece that is none, or not in its place. What is behind the last whole piece
/// is left out.
pub fn parts(bytes: &[u8], from: u64) -> Vec<u64> {
    let mut named = Vec::new();
    for (at, piece) in bytes.chunks_exact(PIECE as usize).enumerate() {
        let read = || {
            let text = std::str::from_utf8(piece).ok()?;
            let place = u64::from_str_radix(text.get(8..15)?, 16).ok()?;
            let id = u64::from_str_radix(text.get(..8)?, 16).ok()?;
            (place == from / PIECE + at as u64 && text.ends_with('\n')).then_some(id)
        };
        let id = read().unwrap_or(u64::MAX);
        if named.last() != Some(&id) && !named.contains(&id) {
            named.push(id);
        }
    }
    named
}
