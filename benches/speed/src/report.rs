//! The results as Markdown.

use std::fmt::Write as _;

use crate::stats::Spread;

/// A figure, with or without a target.
pub struct Measure {
    pub what: &'static str,
    pub unit: &'static str,
    pub target: Target,
}

#[derive(Clone, Copy)]
pub enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// The figure is only reported.
    None,
}

/// The results of one contestant in one row. `each` is a request or a delivery.
#[derive(Default, Clone, Copy)]
pub struct Detail {
    pub per_second: f64,
    pub cpu_us_each: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub memory_mib: f64,
}

/// All samples, in the order of their first occurrence.
#[derive(Default)]
pub struct Report {
    measures: Vec<(&'static Measure, Vec<f64>)>,
    details: Vec<(&'static str, String, Vec<Detail>)>,
}

impl Report {
    pub fn measure(&mut self, measure: &'static Measure, value: f64) {
        eprintln!("  {}: {} {}", measure.what, number(value), measure.unit);
        match self.measures.iter_mut().find(|(known, _)| known.what == measure.what) {
            Some((_, samples)) => samples.push(value),
            None => self.measures.push((measure, vec![value])),
        }
    }

    pub fn detail(&mut self, row: &'static str, contestant: &str, detail: Detail) {
        eprintln!("  {contestant}: {}", detail.cells(|values| number(values[0]), &[detail]));
        match self.details.iter_mut().find(|(r, c, _)| *r == row && c == contestant) {
            Some((.., samples)) => samples.push(detail),
            None => self.details.push((row, contestant.to_owned(), vec![detail])),
        }
    }

    pub fn markdown(&self) -> String {
        let mut text = String::new();
        text.push_str(
            "| measure | median | min..max | target | reached |\n|---|--:|--:|--:|---|\n",
        );
        for (measure, samples) in &self.measures {
            let Spread { median, min, max } = Spread::of(samples);
            let unit = measure.unit;
            let (target, reached) = match measure.target {
                Target::AtMost(most) => (format!("≤ {most} {unit}"), yes(median <= most)),
                Target::AtLeast(least) => (format!("≥ {least} {unit}"), yes(median >= least)),
                Target::None => (String::new(), ""),
            };
            let (median, min, max) = (number(median), number(min), number(max));
            let _ = writeln!(
                text,
                "| {} | {median} {unit} | {min}..{max} | {target} | {reached} |",
                measure.what
            );
        }
        text.push_str(
            "\n| row | contestant | per second | CPU µs each | p50 ms | p99 ms | memory MiB |\n\
             |---|---|--:|--:|--:|--:|--:|\n",
        );
        for (row, contestant, samples) in &self.details {
            let _ =
                writeln!(text, "| {row} | {contestant} | {} |", samples[0].cells(spread, samples));
        }
        text
    }
}

impl Detail {
    fn cells(&self, shown: impl Fn(&[f64]) -> String, samples: &[Detail]) -> String {
        let columns: [fn(&Detail) -> f64; 5] =
            [|d| d.per_second, |d| d.cpu_us_each, |d| d.p50_ms, |d| d.p99_ms, |d| d.memory_mib];
        columns.map(|column| shown(&samples.iter().map(column).collect::<Vec<_>>())).join(" | ")
    }
}

/// The median, and the minimum and maximum of the rounds.
fn spread(samples: &[f64]) -> String {
    let Spread { median, min, max } = Spread::of(samples);
    match samples.len() {
        1 => number(median),
        _ => format!("{} ({}..{})", number(median), number(min), number(max)),
    }
}

fn yes(reached: bool) -> &'static str {
    if reached { "yes" } else { "**no**" }
}

/// The value with three significant digits.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        v if v >= 100.0 || v == 0.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.digits$}")
}
