//! `oust match`: keys in, those that a pattern takes out.

use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::process::ExitCode;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use oust::purge::Selector;
use oust_api::Dialect;

use super::Exit;
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
    /// Patterns; a key is printed if any of them takes it.
    #[arg(value_name = "PATTERN", required = true)]
    patterns: Vec<String>,
}

impl Match {
    pub(super) fn run(self) -> Result<ExitCode, Exit> {
        let mut patterns = Patterns::default();
        if self.dialect.is_some_and(Dialect::is_hostless) {
            patterns.regardless_of_host();
        }
        for text in self.patterns {
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
        match filter(&patterns, BufReader::with_capacity(1 << 16, io::stdin().lock()), io::stdout().lock()) {
            Ok(true) => Ok(ExitCode::SUCCESS),
            Ok(false) => Ok(ExitCode::from(1)),
            // Whoever read our output has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            Err(error) => Err(Exit::usage(error)),
        }
    }
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

/// Copies the lines that match, as they came; whether there were any.
fn filter<R: io::Read>(patterns: &Patterns, mut input: BufReader<R>, output: impl Write) -> io::Result<bool> {
    let mut output = BufWriter::with_capacity(1 << 16, output);
    let mut line = Vec::new();
    let mut any = false;
    loop {
        // Nothing more at hand: whoever types or pipes slowly sees what there is.
        if input.buffer().is_empty() {
            output.flush()?;
        }
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            output.flush()?;
            return Ok(any);
        }
        let key = line.strip_suffix(b"\n").unwrap_or(&line);
        let key = key.strip_suffix(b"\r").unwrap_or(key);
        if patterns.matches(key) {
            any = true;
            output.write_all(&line)?;
        }
    }
}

/// As much white space as the text before a byte is wide.
fn padding(text: &str, at: usize) -> String {
    let before = text.char_indices().take_while(|(index, _)| *index < at).count();
    " ".repeat(before)
}
