//! What is counted about origins, and its text for Prometheus.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::failure::Failure;

/// Upper bounds of the latency buckets, in milliseconds.
const BOUNDS: [u64; 9] = [1, 5, 10, 50, 100, 500, 1000, 5000, 30_000];

/// How attempts end, in the order of [`Meters::outcomes`]; the first is an answer, the last a body that broke off after one.
pub(crate) const OUTCOMES: [&str; 9] = [
    "answered",
    "origin-down",
    "origin-connect-timeout",
    "origin-tls",
    "origin-timeout",
    "origin-reset",
    "origin-nonsense",
    "gone",
    "body-broken",
];

/// The counters of one origin.
#[derive(Debug, Default)]
pub(super) struct Meters {
    outcomes: [AtomicU64; OUTCOMES.len()],
    pub(super) retries: AtomicU64,
    pub(super) connect: Histogram,
    pub(super) first_byte: Histogram,
}

impl Meters {
    pub(super) fn count(&self, outcome: Result<(), Failure>) {
        let name = match outcome {
            Ok(()) => "answered",
            Err(failure) => failure.as_str(),
        };
        self.count_named(name);
    }

    /// Nobody waited for the answer.
    pub(super) fn gone(&self) {
        self.count_named("gone");
    }

    /// A body ended before its end.
    pub(super) fn broken(&self) {
        self.count_named("body-broken");
    }

    fn count_named(&self, name: &str) {
        let counter = OUTCOMES.iter().position(|outcome| *outcome == name).and_then(|at| self.outcomes.get(at));
        if let Some(counter) = counter {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn outcomes(&self) -> [u64; OUTCOMES.len()] {
        self.outcomes.each_ref().map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// Latencies by bucket.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// Not cumulative; the last is beyond every bound.
    buckets: [AtomicU64; BOUNDS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    pub(super) fn record(&self, took: Duration) {
        let at = BOUNDS.iter().position(|&bound| took <= Duration::from_millis(bound)).unwrap_or(BOUNDS.len());
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Latency {
        Latency {
            buckets: self.buckets.each_ref().map(|bucket| bucket.load(Ordering::Relaxed)),
            sum: Duration::from_micros(self.micros.load(Ordering::Relaxed)),
        }
    }
}

/// A reading of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Latency {
    buckets: [u64; BOUNDS.len() + 1],
    sum: Duration,
}

impl Latency {
    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    fn write(&self, text: &mut String, name: &str, labels: &str) {
        let mut below = 0;
        for (bound, count) in BOUNDS.iter().zip(&self.buckets) {
            below += count;
            let bound = Duration::from_millis(*bound).as_secs_f64();
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(text, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", self.count());
        let _ = writeln!(text, "{name}_sum{{{labels}}} {}", self.sum.as_secs_f64());
        let _ = writeln!(text, "{name}_count{{{labels}}} {}", self.count());
    }
}

/// A reading of one origin's figures.
#[derive(Debug, Clone)]
pub(crate) struct OriginFigures {
    /// The site's first host.
    pub(crate) site: String,
    /// Its URL.
    pub(crate) origin: String,
    /// Whether it is asked when there are others.
    pub(crate) up: bool,
    /// Attempts that ended, by how, as [`OUTCOMES`] names them.
    pub(crate) outcomes: [u64; OUTCOMES.len()],
    /// Attempts that were not the first for their request.
    pub(crate) retries: u64,
    pub(crate) connect: Latency,
    pub(crate) first_byte: Latency,
}

/// Metric families of origins, and of the fetches that wait by site, in the text format of Prometheus.
pub(crate) fn exposition(origins: &[OriginFigures], waiting: &[(String, usize)]) -> String {
    let mut text = String::new();
    let labels: Vec<_> = origins
        .iter()
        .map(|figures| format!("site=\"{}\",origin=\"{}\"", escaped(&figures.site), escaped(&figures.origin)))
        .collect();
    let all = || origins.iter().zip(&labels);
    family(&mut text, "oust_origin_up", "gauge", "Whether the origin is asked.");
    for (figures, labels) in all() {
        let _ = writeln!(text, "oust_origin_up{{{labels}}} {}", u8::from(figures.up));
    }
    family(&mut text, "oust_origin_fetches_total", "counter", "Attempts to ask the origin, by how they ended.");
    for (figures, labels) in all() {
        for (outcome, count) in OUTCOMES.iter().zip(&figures.outcomes) {
            let _ = writeln!(text, "oust_origin_fetches_total{{{labels},outcome=\"{outcome}\"}} {count}");
        }
    }
    family(&mut text, "oust_origin_retries_total", "counter", "Attempts that were not the first for their request.");
    for (figures, labels) in all() {
        let _ = writeln!(text, "oust_origin_retries_total{{{labels}}} {}", figures.retries);
    }
    family(&mut text, "oust_origin_connect_seconds", "histogram", "Time to a connection, handshakes included.");
    for (figures, labels) in all() {
        figures.connect.write(&mut text, "oust_origin_connect_seconds", labels);
    }
    family(&mut text, "oust_origin_first_byte_seconds", "histogram", "Time from the request to the answer's head.");
    for (figures, labels) in all() {
        figures.first_byte.write(&mut text, "oust_origin_first_byte_seconds", labels);
    }
    family(&mut text, "oust_site_fetches_waiting", "gauge", "Fetches that wait for their turn.");
    for (site, waiting) in waiting {
        let _ = writeln!(text, "oust_site_fetches_waiting{{site=\"{}\"}} {waiting}", escaped(site));
    }
    text
}

fn family(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn escaped(label: &str) -> String {
    label.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_of_an_attempt_is_counted() {
        use Failure::*;
        let meters = Meters::default();
        for outcome in [Ok(()), Err(Down), Err(ConnectTimeout), Err(Tls), Err(Timeout), Err(Reset), Err(Nonsense)] {
            meters.count(outcome);
        }
        meters.gone();
        meters.broken();
        assert_eq!(meters.outcomes(), [1; OUTCOMES.len()]);
    }

    #[test]
    fn buckets_are_cumulative() {
        let histogram = Histogram::default();
        for millis in [1, 7, 7, 60_000] {
            histogram.record(Duration::from_millis(millis));
        }
        let mut text = String::new();
        histogram.read().write(&mut text, "x", "a=\"b\"");
        for line in [
            "x_bucket{a=\"b\",le=\"0.001\"} 1",
            "x_bucket{a=\"b\",le=\"0.01\"} 3",
            "x_bucket{a=\"b\",le=\"30\"} 3",
            "x_bucket{a=\"b\",le=\"+Inf\"} 4",
            "x_sum{a=\"b\"} 60.015",
            "x_count{a=\"b\"} 4",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} in {text}");
        }
    }
}
