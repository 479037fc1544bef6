//! Matching purges: `cargo bench --bench matching [-- options]`.
//!
//! | option | |
//! | --- | --- |
//! | `--quick` | a tenth of everything and three rounds, to see that it runs |
//! | `--rules 10,1000` | numbers of live rules of the mixed load and of the hostile ones |
//! | `--only mixed,sweep` | of the sections `mixed`, `hostile`, `publish`, `sweep` |
//! | `--engines oust,adblock` | engines of the mixed load; `oust`, with which all are compared, always |
//! | `--large` | 10 M keys in place of 1 M for the batch of `sweep`, which takes about 6 GB |
//! | `--out DIR` | every figure as a row of `DIR/matching.json`, and plots as SVG |
//!
//! `--features oust-bench/hyperscan` adds Hyperscan, of the system. In each round every engine has its turn, and a ratio is taken within a round;
//! the median is printed with the lowest and the highest. More than 1 means that `oust` is faster.

mod child;
#[path = "../common/mod.rs"]
mod common;
mod hostile;
mod mixed;
mod peers;
mod publish;
mod report;
mod rules;
mod sweep;

use std::path::PathBuf;
use std::time::Duration;

use common::allocated::Counting;
use report::Report;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

/// What is asked for.
struct Options {
    quick: bool,
    large: bool,
    rules: Vec<usize>,
    engines: Vec<String>,
    rounds: usize,
    /// Keys of a pass.
    keys: usize,
    /// Most time of one measurement.
    limit: Duration,
}

impl Options {
    fn asks_for(&self, engine: &str) -> bool {
        engine == peers::NAMES[0] || self.engines.is_empty() || self.engines.iter().any(|asked| asked == engine)
    }

    fn of(&self, full: usize) -> usize {
        if self.quick { full / 10 } else { full }
    }
}

type Section = fn(&Options, &mut Report);

const SECTIONS: [(&str, Section); 4] =
    [("mixed", mixed::run), ("hostile", hostile::run), ("publish", publish::run), ("sweep", sweep::run)];

fn main() {
    // Cargo's own flag is of no interest here.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    if let [asked, name, count] = &arguments[..]
        && asked == child::BUILD
    {
        child::child(name, count);
        return;
    }
    let (options, only, out) = parse(&arguments).unwrap_or_else(|error| {
        eprintln!("{error}");
        std::process::exit(2);
    });
    let mut report = Report::new(out);
    for (name, section) in SECTIONS {
        if only.is_empty() || only.iter().any(|asked| asked == name) {
            section(&options, &mut report);
        }
    }
}

fn parse(arguments: &[String]) -> Result<(Options, Vec<String>, Option<PathBuf>), String> {
    let (mut quick, mut large, mut rules, mut only, mut engines, mut out) = (false, false, None, vec![], vec![], None);
    let mut rest = arguments.iter();
    let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<_>>();
    while let Some(option) = rest.next() {
        let mut value = || rest.next().ok_or_else(|| format!("{option} needs a value"));
        match option.as_str() {
            "--quick" => quick = true,
            "--large" => large = true,
            "--rules" => {
                let counts: Result<Vec<usize>, _> = value()?.replace('_', "").split(',').map(str::parse).collect();
                rules = Some(counts.map_err(|error| format!("--rules: {error}"))?);
            }
            "--only" => only.extend(list(value()?)),
            "--engines" => engines.extend(list(value()?)),
            "--out" => out = Some(PathBuf::from(value()?)),
            other => return Err(format!("unknown option {other}: see the head of benches/matching/main.rs")),
        }
    }
    if let Some(unknown) = only.iter().find(|section| SECTIONS.iter().all(|(name, _)| name != section)) {
        return Err(format!("unknown section {unknown}: {} are known", SECTIONS.map(|(name, _)| name).join(", ")));
    }
    if let Some(unknown) = engines.iter().find(|engine| !peers::NAMES.contains(&engine.as_str())) {
        return Err(format!("unknown engine {unknown}: {} are known", peers::NAMES.join(", ")));
    }
    let rules = rules.unwrap_or_else(|| if quick { vec![10, 1000] } else { vec![10, 1000, 10_000, 100_000] });
    if rules.contains(&0) {
        return Err("--rules: at least one rule".into());
    }
    let options = Options {
        quick,
        large,
        rules,
        engines,
        rounds: if quick { 3 } else { 5 },
        keys: if quick { 10_000 } else { 100_000 },
        limit: Duration::from_millis(if quick { 100 } else { 1000 }),
    };
    Ok((options, only, out))
}
