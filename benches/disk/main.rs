//! The second tier: `cargo bench --bench disk [-- [--quick] [section ...]]` with the sections `warm`, `cold`, `write`, `million`, `purges`,
//! `idle`; all without.
//!
//! `--quick` takes a small part of everything, to see that it runs. Files go to a directory of their own in `OUST_BENCH_DIR`, or in the build
//! directory without it; a full run takes up to 4 GiB there. Figures of a file system in memory say nothing, and the program says so.
//!
//! Each figure stands beside a peer or beside what the system gives raw, measured in the same round; a ratio is taken within a round, and the
//! median is printed with the lowest and the highest. Here a ratio is always time over time: below 1 means that `oust` takes less.

#[path = "../common/mod.rs"]
mod common;

mod cold;
mod foyer;
mod idle;
mod million;
mod place;
mod purges;
mod report;
mod tier;
mod warm;
mod write;

use place::Place;
use report::Report;

type Section = fn(Size, &Place, &mut Report);

const SECTIONS: [(&str, Section); 6] = [
    ("warm", warm::section),
    ("cold", cold::section),
    ("write", write::section),
    ("million", million::section),
    ("purges", purges::section),
    ("idle", idle::section),
];

/// How much is measured.
#[derive(Clone, Copy)]
struct Size {
    quick: bool,
}

impl Size {
    fn of(self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

fn main() {
    // Cargo's own flag is of no interest here.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [asked, rest @ ..] = &arguments[..]
        && asked == million::OPENED
    {
        million::child(rest);
        return;
    }
    let (flags, sections): (Vec<_>, Vec<_>) = arguments.iter().map(String::as_str).partition(|a| a.starts_with("--"));
    if let Some(unknown) = flags.iter().find(|flag| **flag != "--quick") {
        eprintln!("unknown flag {unknown}: --quick is known");
        std::process::exit(2);
    }
    if let Some(unknown) = sections.iter().find(|section| SECTIONS.iter().all(|(name, _)| name != *section)) {
        eprintln!("unknown section {unknown}: {} are known", SECTIONS.map(|(name, _)| name).join(", "));
        std::process::exit(2);
    }
    let size = Size { quick: flags.contains(&"--quick") };
    let place = Place::new();
    println!("directory {} on {}", place.path().display(), place.file_system());
    let mut report = Report::default();
    for (name, section) in SECTIONS {
        if sections.is_empty() || sections.contains(&name) {
            section(size, &place, &mut report);
        }
    }
    report.print();
}
