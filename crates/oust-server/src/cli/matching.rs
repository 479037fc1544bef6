//! `oust match`: keys in, those that a pattern takes out.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};
use oust::purge::Selector;
use oust_api::Dialect;

use super::Exit;
use super::stream::{self, Tally};
use crate::engine::{ANY_HOST, Patterns};

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Kind {
    Url,
    Key,
    Pattern,
    Glob,
    Regex,
    Host,
}

impl Kind {
    fn selector(self, text: String) -> Selector {
        match self {
            Self::Url => Selector::Url(text),
            Self::Key => Selector::Key(text),
            Self::Pattern => Selector::Pattern(text),
            Self::Glob => Selector::Glob(text),
            Self::Regex => Selector::Regex(text),
            Self::Host => Selector::Host(text),
        }
    }
}

/// `oust match`.
#[derive(Debug, Args)]
pub(super) struct Match {
    /// What the patterns are.
    #[arg(long, value_enum, default_value = "pattern")]
    kind: Kind,
    /// Read the patterns as a CDN's API does. What names no host takes those of any.
    #[arg(long, value_name = "NAME", conflicts_with = "kind", value_parser = dialect())]
    dialect: Option<Dialect>,
    /// Print how many keys match instead of the keys.
    #[arg(long)]
    count: bool,
    /// Threads that try keys.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// More patterns, one a line.
    #[arg(long, short = 'f', value_name = "FILE")]
    file: Option<PathBuf>,
    /// Patterns; a key is printed if any of them takes it.
    #[arg(value_name = "PATTERN", required_unless_present = "file")]
    patterns: Vec<String>,
}

impl Match {
    pub(super) fn run(self) -> Result<ExitCode, Exit> {
        let mut patterns = Patterns::default();
        if self.dialect.is_some_and(Dialect::is_hostless) {
            patterns.regardless_of_host();
        }
        let more = self.file.as_deref().map(lines).transpose()?.unwrap_or_default();
        for text in self.patterns.into_iter().chain(more) {
            let selectors = match self.dialect {
                None => vec![self.kind.selector(text.clone())],
                Some(dialect) => dialect.selectors(&text, ANY_HOST).map_err(|message| bad(&message, &text, None))?,
            };
            for selector in &selectors {
                patterns.add(selector).map_err(|(message, at)| match at {
                    None => bad(&message, &text, None),
                    Some(at) => {
                        let place = place(literal(selector), at, &text);
                        bad(&placed(message, at, place), &text, place)
                    }
                })?;
            }
        }
        let input = io::stdin().lock();
        // What is typed is its own progress, and what is printed to the terminal would be mixed with it.
        let shows =
            io::stderr().is_terminal() && !io::stdin().is_terminal() && (self.count || !io::stdout().is_terminal());
        let bar = if shows { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.set_style(style());
        let began = Instant::now();
        let mut lines = 0;
        let seen = |tally: Tally| {
            lines += tally.lines;
            bar.inc(tally.bytes);
            bar.set_message(format!("{lines} keys"));
        };
        let output = (!self.count).then(io::stdout);
        let result = stream::filter(input, output, usize::from(self.threads), |key| patterns.matches(key), seen);
        bar.finish_and_clear();
        match result {
            Ok(tally) => {
                if self.count {
                    println!("{}", tally.matched);
                }
                if shows || self.count {
                    let seconds = began.elapsed().as_secs_f64().max(1e-9);
                    let rate = tally.lines as f64 / seconds;
                    eprintln!("{} keys, {} matched, {seconds:.2} s, {rate:.0} keys/s", tally.lines, tally.matched);
                }
                Ok(if tally.matched > 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
            }
            // Whoever read our output has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            Err(error) => Err(Exit::usage(error)),
        }
    }
}

fn style() -> ProgressStyle {
    // A template that is wrong would show the default bar, not fail.
    ProgressStyle::with_template("{spinner} {bytes} {bytes_per_sec} {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// The lines of a file, empty ones left out.
fn lines(path: &Path) -> Result<Vec<String>, Exit> {
    let text = std::fs::read_to_string(path).map_err(|error| Exit::usage(format!("{}: {error}", path.display())))?;
    Ok(text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect())
}

fn dialect() -> impl TypedValueParser<Value = Dialect> {
    PossibleValuesParser::new(Dialect::ALL.map(Dialect::name)).try_map(|name| name.parse::<Dialect>())
}

fn bad(message: &str, text: &str, position: Option<usize>) -> Exit {
    let mark = position.map(|at| format!("\n  {text}\n  {}^", padding(text, at))).unwrap_or_default();
    Exit::usage(format!("bad pattern: {message}{mark}"))
}

/// Where in a pattern that byte is of what a dialect made of it: what is before it there ends as what is before it here.
fn place(made: &str, at: usize, pattern: &str) -> Option<usize> {
    let same = |ahead: &usize| {
        made.get(*ahead..at).is_some_and(|before| pattern.starts_with(before))
            && made.as_bytes().get(at) == pattern.as_bytes().get(at - ahead)
    };
    (0..=at).find(same).map(|ahead| at - ahead)
}

/// A message that tells a byte of what was made, telling that of the pattern instead.
fn placed(message: String, at: usize, place: Option<usize>) -> String {
    match message.strip_suffix(&format!(" at byte {at}")) {
        Some(what) => place.map_or_else(|| what.to_owned(), |place| format!("{what} at byte {place}")),
        None => message,
    }
}

/// The text a selector was made of, that its positions are of.
fn literal(selector: &Selector) -> &str {
    match selector {
        Selector::Url(text)
        | Selector::Key(text)
        | Selector::Pattern(text)
        | Selector::Glob(text)
        | Selector::LastWildcard(text)
        | Selector::Regex(text)
        | Selector::Host(text)
        | Selector::Tag(text)
        | Selector::Variant { key: text, .. } => text,
        _ => "",
    }
}

/// As much white space as the text before a byte is wide.
fn padding(text: &str, at: usize) -> String {
    let before = text.char_indices().take_while(|(index, _)| *index < at).count();
    " ".repeat(before)
}
