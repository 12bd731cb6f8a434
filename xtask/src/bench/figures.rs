//! Figures: the results of a bench, with the peer's value where there is one.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// One measured value.
#[derive(Debug, Clone, Serialize)]
pub struct Figure {
    bench: &'static str,
    figure: String,
    value: f64,
    unit: &'static str,
    /// Value of the peer on the same work in the same run.
    peer: Option<f64>,
    /// Our value divided by the peer's.
    ratio: Option<f64>,
}

/// The figures of one bench.
#[derive(Debug)]
pub struct Figures {
    bench: &'static str,
    rows: Vec<Figure>,
    /// Goals that were not reached.
    missed: Vec<String>,
    /// Goals that were not reached and do not fail the bench.
    noted: Vec<String>,
}

impl Figures {
    pub fn new(bench: &'static str) -> Self {
        Self { bench, rows: Vec::new(), missed: Vec::new(), noted: Vec::new() }
    }

    pub fn add(&mut self, figure: impl Into<String>, value: f64, unit: &'static str) {
        self.rows.push(Figure {
            bench: self.bench,
            figure: figure.into(),
            value,
            unit,
            peer: None,
            ratio: None,
        });
    }

    /// Adds a value with that of the peer.
    pub fn compare(&mut self, figure: impl Into<String>, value: f64, peer: f64, unit: &'static str) {
        self.rows.push(Figure {
            bench: self.bench,
            figure: figure.into(),
            value,
            unit,
            peer: Some(peer),
            ratio: Some(value / peer),
        });
    }

    /// Adds values of a peer to the figures of the same name.
    pub fn add_peer(&mut self, values: &BTreeMap<String, f64>) {
        for row in &mut self.rows {
            if let Some(peer) = values.get(&row.figure) {
                (row.peer, row.ratio) = (Some(*peer), Some(row.value / peer));
            }
        }
    }

    /// Records a missed goal where a figure is above `most`.
    pub fn hold_to(&mut self, figure: &str, most: f64) {
        let found = self.rows.iter().find(|row| row.figure == figure);
        if let Some(row) = found.filter(|row| row.value > most) {
            self.noted.push(format!("{figure}: {:.1} {}, at most {most:.1} wanted", row.value, row.unit));
        }
    }

    /// Records a missed goal.
    pub fn miss(&mut self, goal: impl Into<String>) {
        self.missed.push(goal.into());
    }

    /// Records a missed goal that does not fail the bench.
    pub fn note(&mut self, goal: impl Into<String>) {
        self.noted.push(goal.into());
    }

    /// Fails where a goal was not reached.
    pub fn hold(&self) -> anyhow::Result<()> {
        anyhow::ensure!(self.missed.is_empty(), "goals missed: {}", self.missed.join(", "));
        Ok(())
    }

    pub fn print(&self) {
        let width = self.rows.iter().map(|row| row.figure.chars().count()).max().unwrap_or(0).max(40);
        println!("\n{:width$} {:>12}", self.bench, "value");
        for Figure { bench: _, figure, value, unit, peer, ratio } in &self.rows {
            print!("{figure:width$} {value:>12.2} {unit}");
            match peer.zip(*ratio) {
                Some((peer, ratio)) => println!(" (peer {peer:.2} {unit}, ratio {ratio:.2})"),
                None => println!(),
            }
        }
        for goal in &self.noted {
            println!("short of a goal: {goal}");
        }
    }

    pub fn append_to(&self, path: &Path) -> anyhow::Result<()> {
        let mut file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(path)
            .with_context(|| format!("--json {}", path.display()))?;
        for figure in &self.rows {
            writeln!(file, "{}", serde_json::to_string(figure)?)?;
        }
        Ok(())
    }
}

/// Median.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}
