//! What comes out: tables on standard output, and with `--out` the same as JSON and as plots.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use plotters::prelude::*;

use crate::common::timed::{median, slope};

/// Measurements of one name over a number of rules: medians, with those of the ratio to the first name.
pub(crate) struct Series {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Series {
    pub(crate) fn slope(&self) -> f64 {
        if self.points.len() < 2 { f64::NAN } else { slope(&self.points) }
    }
}

/// The middle, the lowest and the highest of some values.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

impl Spread {
    pub(crate) fn of(values: &[f64]) -> Self {
        let bound = |first: f64, pick: fn(f64, f64) -> f64| values.iter().copied().fold(first, pick);
        Self {
            median: median(values.to_vec()),
            low: bound(f64::INFINITY, f64::min),
            high: bound(f64::NEG_INFINITY, f64::max),
        }
    }
}

/// Nanoseconds in a unit that suits.
pub(crate) fn time(ns: f64) -> String {
    match ns {
        ns if ns.is_nan() => "-".into(),
        ns if ns < 9_999.5 => format!("{ns:.1} ns"),
        ns if ns < 9_999.5e3 => format!("{:.1} us", ns / 1e3),
        ns if ns < 9_999.5e6 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.1} s", ns / 1e9),
    }
}

/// The value at a share of the sorted `values`.
pub(crate) fn percentile(values: &mut [u32], share: f64) -> f64 {
    values.sort_unstable();
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).map_or(f64::NAN, |&value| f64::from(value))
}

/// Rows for JSON, and plots, in a directory, if one was asked for.
pub(crate) struct Report {
    directory: Option<PathBuf>,
    rows: Vec<String>,
}

impl Report {
    pub(crate) fn new(directory: Option<PathBuf>) -> Self {
        if let Some(directory) = &directory {
            fs::create_dir_all(directory).expect("the directory of --out can be made");
        }
        Self { directory, rows: Vec::new() }
    }

    /// One measurement: texts that say which, and numbers.
    pub(crate) fn row(&mut self, texts: &[(&str, &str)], numbers: &[(&str, f64)]) {
        let mut row = String::from("{");
        for (name, text) in texts {
            write!(row, "\"{name}\":\"{}\",", text.escape_default()).expect("a string takes it");
        }
        for (name, number) in numbers {
            // JSON knows no infinity.
            let number = if number.is_finite() { number.to_string() } else { "null".into() };
            write!(row, "\"{name}\":{number},").expect("a string takes it");
        }
        row.pop();
        row.push('}');
        self.rows.push(row);
        self.write();
    }

    /// Written after every row: a run may be stopped.
    fn write(&self) {
        let Some(directory) = &self.directory else { return };
        let text = format!("[\n{}\n]\n", self.rows.join(",\n"));
        fs::write(directory.join("matching.json"), text).expect("the directory of --out can be written");
    }

    /// Time over the number of rules, both logarithmic.
    pub(crate) fn plot(&self, file: &str, title: &str, series: &[Series]) {
        let Some(directory) = &self.directory else { return };
        let path = directory.join(format!("{file}.svg"));
        if let Err(error) = draw(&path, title, series) {
            eprintln!("{} is not drawn: {error}", path.display());
        }
    }
}

fn draw(path: &Path, title: &str, series: &[Series]) -> Result<(), Box<dyn std::error::Error>> {
    let points = || series.iter().flat_map(|series| &series.points);
    if points().count() == 0 {
        return Ok(());
    }
    let bounds = |of: fn(&(f64, f64)) -> f64| {
        points().map(of).fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)))
    };
    let (x, y) = (bounds(|point| point.0), bounds(|point| point.1));
    let area = SVGBackend::new(path, (900, 600)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(45)
        .y_label_area_size(75)
        .build_cartesian_2d((x.0 / 1.2..x.1 * 1.2).log_scale(), (y.0 / 1.5..y.1 * 1.5).log_scale())?;
    chart
        .configure_mesh()
        .x_desc("live rules")
        .y_desc("time of one judgement")
        .x_label_formatter(&|rules| format!("{rules:.0}"))
        .y_label_formatter(&|ns| time(*ns))
        .draw()?;
    for (nth, series) in series.iter().enumerate() {
        let colour = Palette99::pick(nth).to_rgba();
        chart
            .draw_series(LineSeries::new(series.points.iter().copied(), colour.stroke_width(2)).point_size(3))?
            .label(series.name.as_str())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()?;
    area.present()?;
    Ok(())
}
