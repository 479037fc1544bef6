//! A server that is killed while purges come in, over and over (H9, G5): no acknowledged purge is undone by a restart, and what nothing has purged
//! comes back warm.
//!
//! `OUST_KILLS` is the number of rounds, 200 for the full run; `OUST_SEED` that of a run to repeat.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use common::{Origin, Oust, PATIENCE};

/// Paths that are purged, by directory and tag.
const PATHS: usize = 48;
const DIRECTORIES: usize = 6;
const TAGS: usize = 5;
/// Paths that never are.
const KEPT: usize = 16;

fn path(number: usize) -> String {
    format!("/d{}/{number}", number % DIRECTORIES)
}

/// A request to a server that may end at any moment: status and body of a whole answer.
fn ask(addr: SocketAddr, method: &str, target: &str, body: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let host = if target.starts_with("/kept") { "kept.test" } else { "h.test" };
    let host = if method == "POST" { "localhost" } else { host };
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut all = Vec::new();
    stream.read_to_end(&mut all).ok()?;
    let text = String::from_utf8_lossy(&all).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let whole = length.is_none_or(|length: usize| length == body.len());
    whole.then(|| Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned())))?
}

/// Numbers that look random, from a seed.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 40).unwrap()
}

#[derive(Default)]
struct Model {
    /// Answers the origin has given.
    serial: AtomicU64,
    /// By path: no answer of the origin from before this may be served any more.
    floors: Vec<AtomicU64>,
    acknowledged: AtomicU64,
    unanswered: AtomicU64,
}

impl Model {
    /// One purge; whether the server still answers.
    fn purge(&self, admin: SocketAddr, random: usize) -> bool {
        let number = random % PATHS;
        type Takes = Box<dyn Fn(usize) -> bool>;
        let (selector, takes): (String, Takes) = match random / PATHS % 16 {
            0 => {
                let directory = number % DIRECTORIES;
                (
                    format!(r#"{{"pattern":"http://h.test/d{directory}/**"}}"#),
                    Box::new(move |n| n % DIRECTORIES == directory),
                )
            }
            1 => {
                let tag = number % TAGS;
                (format!(r#"{{"tag":"t{tag}"}}"#), Box::new(move |n| n % TAGS == tag))
            }
            _ => (format!(r#"{{"url":"http://h.test{}"}}"#, path(number)), Box::new(move |n| n == number)),
        };
        let action = ["delete", "invalidate", "delete", "delete"][random / 7 % 4];
        // What the origin answers from now on is newer than the purge, whichever way they overtake each other.
        let before = self.serial.load(Ordering::SeqCst);
        let body = format!(r#"{{"selectors":[{selector}],"action":"{action}"}}"#);
        let Some((status, answer)) = ask(admin, "POST", "/v1/purges", &body) else {
            self.unanswered.fetch_add(1, Ordering::SeqCst);
            return false;
        };
        assert_eq!(status, 200, "{answer}");
        assert!(answer.contains(r#""durable":true"#), "{answer}");
        for (_, floor) in self.floors.iter().enumerate().filter(|(number, _)| takes(*number)) {
            floor.fetch_max(before, Ordering::SeqCst);
        }
        self.acknowledged.fetch_add(1, Ordering::SeqCst);
        true
    }
}

#[test]
fn h9_no_acknowledged_purge_is_undone_by_a_kill() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let rounds = number("OUST_KILLS").unwrap_or(6);
    let mut random = number("OUST_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("{rounds} rounds, seed {random}");
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kills");
    drop(std::fs::remove_dir_all(&dir));

    let floors = (0..PATHS).map(|_| AtomicU64::new(0)).collect();
    let model = Arc::new(Model { floors, ..Model::default() });
    let of_origin = model.clone();
    let origin = Origin::start(move |seen, reply| {
        let serial = of_origin.serial.fetch_add(1, Ordering::SeqCst) + 1;
        let number: usize = seen.target.rsplit('/').next().unwrap().parse().unwrap();
        let tag = if seen.target.starts_with("/kept") { "kept".to_owned() } else { format!("t{}", number % TAGS) };
        // Large enough that most are on disk when the process ends, rather than in a buffer.
        let body = format!("{serial} {}", "x".repeat(10_000 + number % 7 * 10_000));
        let headers = [("Cache-Control", "max-age=86400"), ("Surrogate-Key", tag.as_str())];
        reply.send(200, &headers, &body);
    });
    // Room for all rounds: what is evicted and written again is in a buffer for a while, and lost with the process.
    let config = format!(
        "[edge]\nsize = \"16MiB\"\n[l2]\ndir = {dir:?}\nsize = \"3GiB\"\nsegment = \"4MiB\"\n[[site]]\nhosts = [\"*\"]\norigins = [\"{}\"]\n",
        origin.url()
    );
    let start = || Oust::configured("kills", &config);
    let get = |oust: &Oust, target: &str| -> u64 {
        let (status, body) = ask(oust.listen, "GET", target, "").expect("an answer");
        assert_eq!(status, 200);
        body.split(' ').next().unwrap().parse().unwrap()
    };

    let mut oust = start();
    let kept: Vec<u64> = (0..KEPT)
        .map(|number| {
            let target = format!("/kept/{number}");
            get(&oust, &target);
            get(&oust, &target)
        })
        .collect();
    oust.signal("TERM");
    assert_eq!(oust.exit_code(), Some(0), "{}", oust.log());

    let (mut warm, mut asked) = (0, 0);
    for round in 0..rounds {
        oust = start();
        let ready = || {
            while !oust.api("GET", "/v1/stats", "").text().contains(r#""state":"ok""#) {
                thread::yield_now();
            }
        };
        if round % 2 == 0 {
            ready();
        }
        // Else at once, while segments are still being read in: purges of before hold for what is not there yet.
        for number in 0..PATHS {
            let before = model.serial.load(Ordering::SeqCst);
            let serial = get(&oust, &path(number));
            let floor = model.floors[number].load(Ordering::SeqCst);
            assert!(serial > floor, "round {round}: {} is answer {serial}, purged after {floor}", path(number));
            asked += 1;
            warm += u64::from(serial <= before);
        }
        ready();
        for (number, serial) in kept.iter().enumerate() {
            assert_eq!(get(&oust, &format!("/kept/{number}")), *serial, "round {round}: kept object {number} is warm");
        }

        let enough = model.acknowledged.load(Ordering::SeqCst) + (next(&mut random) % 40) as u64;
        let stop = Arc::new(AtomicBool::new(false));
        let (listen, admin) = (oust.listen, oust.admin);
        let mut threads = Vec::new();
        for _ in 0..3 {
            let (model, stop, mut random) = (model.clone(), stop.clone(), next(&mut random) as u64);
            threads.push(thread::spawn(
                move || {
                    while !stop.load(Ordering::SeqCst) && model.purge(admin, next(&mut random)) {}
                },
            ));
        }
        for _ in 0..2 {
            let (model, stop, mut random) = (model.clone(), stop.clone(), next(&mut random) as u64);
            threads.push(thread::spawn(move || {
                while !stop.load(Ordering::SeqCst) {
                    let number = next(&mut random) % PATHS;
                    let floor = model.floors[number].load(Ordering::SeqCst);
                    let Some((200, body)) = ask(listen, "GET", &path(number), "") else { return };
                    let serial: u64 = body.split(' ').next().unwrap().parse().unwrap();
                    assert!(serial > floor, "{} is answer {serial}, purged after {floor}", path(number));
                }
            }));
        }
        while model.acknowledged.load(Ordering::SeqCst) < enough && !threads.iter().any(thread::JoinHandle::is_finished)
        {
            thread::yield_now();
        }
        oust.signal("KILL");
        oust.exit_code();
        stop.store(true, Ordering::SeqCst);
        for thread in threads {
            thread.join().expect("no answer was older than its purge");
        }
    }
    let (acknowledged, cut) = (model.acknowledged.load(Ordering::SeqCst), model.unanswered.load(Ordering::SeqCst));
    println!(
        "{rounds} kills, {acknowledged} purges acknowledged, {cut} cut off, {warm} of {asked} answers of paths that are purged came from disk"
    );
    assert!(cut > 0, "kills fell among purges");
    assert!(warm > 0, "and what they took had been on disk");
}
