//! Building an engine in a process of its own, with limits of time and memory.
//!
//! Some engines take minutes or gigabytes where there are many rules, or abort. What the child says when it is done, its time and memory, is the
//! figure for the build; only an engine that keeps within the limits is then built in this process to be measured.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::allocated::resident_bytes;
use crate::rules::Keys;
use crate::{ALLOCATOR, peers, rules};

/// What this program is asked when it is started as a child.
pub(crate) const BUILD: &str = "build";

const TIME: Duration = Duration::from_secs(60);
const MEMORY: u64 = 3 << 30;
/// Keys an engine judges in the child, and the most time for them.
const KEYS: usize = 100_000;
const USE: Duration = Duration::from_secs(2);

/// What a build took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Built {
    pub(crate) seconds: f64,
    /// Counted at the allocator of Rust: nothing of C libraries.
    pub(crate) allocated: f64,
    /// Growth of the resident set.
    pub(crate) resident: f64,
    /// The same after keys were judged, which lets lazy automata grow.
    pub(crate) used: f64,
}

/// The child: builds, and prints what it took.
pub(crate) fn child(name: &str, count: &str) {
    let rules = rules::rules(count.parse().expect("a number of rules"));
    let keys = Keys::new(&rules, KEYS, 1, 0);
    keys.requests();
    let before = resident_bytes();
    ALLOCATOR.start();
    let begun = Instant::now();
    let engine = peers::build(name, &rules);
    let took = begun.elapsed();
    let allocated = ALLOCATOR.stop();
    match engine {
        Ok(mut engine) => {
            let grown = || resident_bytes().saturating_sub(before);
            let resident = grown();
            engine.pass(&keys, KEYS, USE);
            println!("{} {allocated} {resident} {}", took.as_secs_f64(), grown());
        }
        Err(error) => {
            eprintln!("{error}");
            std::process::exit(1);
        }
    }
}

/// Builds engine `name` with `count` rules in a child; the reason if it does not keep within the limits.
pub(crate) fn build(name: &str, count: usize) -> Result<Built, String> {
    let this = std::env::current_exe().expect("the path of this program");
    let mut child = Command::new(this)
        .args([BUILD, name, &count.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this program runs again");
    let begun = Instant::now();
    let over = loop {
        if child.try_wait().expect("the child can be waited for").is_some() {
            break None;
        }
        if begun.elapsed() > TIME {
            break Some(format!("no build within {} s", TIME.as_secs()));
        }
        if resident(child.id()) > MEMORY {
            break Some(format!("no build within {} GiB", MEMORY >> 30));
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    if let Some(over) = over {
        child.kill().expect("a child can be ended");
        child.wait().expect("the child can be waited for");
        return Err(over);
    }
    let output = child.wait_with_output().expect("the child can be waited for");
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("no build: {} ({})", said.lines().next().unwrap_or_default(), output.status));
    }
    let said = String::from_utf8_lossy(&output.stdout);
    let numbers: Vec<f64> = said.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    let [seconds, allocated, resident, used] = numbers[..] else { return Err(format!("no figures: {said}")) };
    Ok(Built { seconds, allocated, resident, used })
}

/// Resident set of another process; 0 where the system does not tell.
fn resident(process: u32) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{process}/statm")).unwrap_or_default();
    let pages: Option<u64> = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}
