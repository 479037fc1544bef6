//! What comes out: one table, in markdown.

use crate::common::timed::median;

/// The middle, the lowest and the highest of some values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(values: &[f64]) -> Self {
        Self {
            median: median(values.to_vec()),
            low: values.iter().copied().fold(f64::INFINITY, f64::min),
            high: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        }
    }

    /// Of the quotients of two sequences of rounds.
    pub(crate) fn of_ratios(over: &[f64], under: &[f64]) -> Self {
        Self::of(&over.iter().zip(under).map(|(over, under)| over / under).collect::<Vec<_>>())
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} ({:.2} to {:.2})", self.median, self.low, self.high)
    }
}

/// The rows so far.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<[String; 6]>,
}

impl Report {
    /// A figure of `oust`, what it is beside, their ratio, and what is wanted of it, with whether it is so.
    pub(crate) fn row(
        &mut self,
        figure: impl Into<String>,
        oust: impl Into<String>,
        beside: impl Into<String>,
        ratio: Option<Spread>,
        target: Option<(&str, bool)>,
    ) {
        let ratio = ratio.map_or_else(String::new, |ratio| ratio.to_string());
        let (target, met) = target.map_or(("", ""), |(target, met)| (target, if met { "yes" } else { "NO" }));
        let row = [figure.into(), oust.into(), beside.into(), ratio, target.into(), met.into()];
        // At once too: a run may be stopped.
        eprintln!("{}", row.join(" | "));
        self.rows.push(row);
    }

    pub(crate) fn print(&self) {
        println!("\n| figure | oust | beside | ratio (lowest to highest) | target | met |");
        println!("| --- | --- | --- | --- | --- | --- |");
        for row in &self.rows {
            println!("| {} |", row.join(" | "));
        }
    }
}

/// Nanoseconds in a unit that suits.
pub(crate) fn time(ns: f64) -> String {
    match ns {
        ns if ns.is_nan() => "-".into(),
        ns if ns < 9_999.5 => format!("{ns:.0} ns"),
        ns if ns < 9_999.5e3 => format!("{:.1} us", ns / 1e3),
        ns if ns < 9_999.5e6 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.1} s", ns / 1e9),
    }
}

/// The value at a share of `values`, which are sorted.
pub(crate) fn at_share(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}
