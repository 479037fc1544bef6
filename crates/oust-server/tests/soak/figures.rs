//! What a process holds, over time.

use std::fmt;
use std::time::Duration;

/// At one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Private memory, KiB. Mapped files are the kernel's to drop, and are not in here.
    private: u64,
    /// All that is resident, KiB.
    resident: u64,
    descriptors: u64,
    threads: u64,
}

impl Sample {
    /// Of a process; `None` if there is none.
    pub(crate) fn of(process: u32) -> Option<Self> {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some(Self {
            private: field("RssAnon:")?,
            resident: field("VmRSS:")?,
            descriptors: std::fs::read_dir(format!("/proc/{process}/fd")).ok()?.count() as u64,
            threads: field("Threads:")?,
        })
    }
}

/// In the order of time.
#[derive(Debug, Default)]
pub(crate) struct Samples(Vec<(f64, Sample)>);

impl Samples {
    pub(crate) fn push(&mut self, at: Duration, sample: Sample) {
        self.0.push((at.as_secs_f64() / 60.0, sample));
    }

    pub(crate) fn last(&self) -> String {
        self.0.last().map(|(_, sample)| format!("{sample:?}")).unwrap_or_default()
    }

    /// Of what came after the first quarter, which is for warming up.
    pub(crate) fn report(&self) -> Report {
        let warm = &self.0[self.0.len() / 4..];
        let (middle, end) = warm.split_at(warm.len() / 2);
        let most = |of: &[(f64, Sample)], what: fn(&Sample) -> u64| {
            of.iter().map(|(_, sample)| what(sample)).max().unwrap_or_default()
        };
        let private: Vec<_> = warm.iter().map(|(at, sample)| (*at, sample.private as f64)).collect();
        let resident: Vec<_> = warm.iter().map(|(at, sample)| (*at, sample.resident as f64)).collect();
        Report {
            growth: slope(&private),
            growth_resident: slope(&resident),
            private: most(warm, |sample| sample.private),
            resident: most(warm, |sample| sample.resident),
            descriptors: (most(middle, |sample| sample.descriptors), most(end, |sample| sample.descriptors)),
            threads: (most(middle, |sample| sample.threads), most(end, |sample| sample.threads)),
        }
    }
}

/// Least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let over: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let under: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    if under > 0.0 { over / under } else { 0.0 }
}

/// After the warm-up.
#[derive(Debug)]
pub(crate) struct Report {
    /// Of private memory, KiB a minute.
    pub(crate) growth: f64,
    growth_resident: f64,
    private: u64,
    resident: u64,
    /// The most in the first half and in the second.
    descriptors: (u64, u64),
    threads: (u64, u64),
}

impl Report {
    /// Whether the second half needed hardly more descriptors and threads than the first.
    pub(crate) fn steady(&self) -> bool {
        self.descriptors.1 <= self.descriptors.0 + 64 && self.threads.1 <= self.threads.0 + 16
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "private memory {:+.1} KiB a minute, at most {} KiB; resident {:+.1} KiB a minute, at most {} KiB; \
             descriptors at most {} then {}; threads at most {} then {}",
            self.growth,
            self.private,
            self.growth_resident,
            self.resident,
            self.descriptors.0,
            self.descriptors.1,
            self.threads.0,
            self.threads.1
        )
    }
}

#[test]
fn a_line_has_its_slope() {
    let points: Vec<_> = (0..20).map(|n| (f64::from(n), 100.0 + 3.0 * f64::from(n))).collect();
    assert!((slope(&points) - 3.0).abs() < 1e-9);
    assert_eq!(slope(&[(1.0, 5.0)]), 0.0);
}
