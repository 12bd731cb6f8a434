//! Figures of the same bench in another checkout, for comparison with an earlier commit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::{paths, progress};

/// Values of figures by name.
pub type Values = BTreeMap<String, f64>;

#[derive(Deserialize)]
struct Line {
    figure: String,
    value: f64,
}

/// A cargo that builds the other checkout, in a target folder of its own.
pub fn cargo(checkout: &Path) -> anyhow::Result<Command> {
    ensure!(checkout.join("Cargo.toml").is_file(), "--beside: {} is no checkout", checkout.display());
    let mut cargo = Command::new(paths::cargo());
    cargo.current_dir(checkout).env("CARGO_TARGET_DIR", target());
    Ok(cargo)
}

/// Target folder of the other checkout.
pub fn target() -> PathBuf {
    paths::target().join("beside")
}

/// Runs the same command in the other checkout.
pub fn measure(checkout: &Path) -> anyhow::Result<Values> {
    let json = paths::state().join("bench-beside.json");
    let _ = std::fs::remove_file(&json);
    progress::step(&format!("The same in {}", checkout.display()), || {
        let arguments = without_options(std::env::args().skip(1), &["--beside", "--json"]);
        progress::run(cargo(checkout)?.arg("xtask").args(arguments).arg("--json").arg(&json))
    })?;
    let text = std::fs::read_to_string(&json).with_context(|| format!("cannot read {}", json.display()))?;
    std::fs::remove_file(&json)?;
    values(&text)
}

fn values(text: &str) -> anyhow::Result<Values> {
    let lines = text.lines().map(|line| Ok(serde_json::from_str(line)?));
    lines.map(|line| line.map(|Line { figure, value }| (figure, value))).collect()
}

/// Arguments without these options and their values, in either form.
fn without_options(arguments: impl Iterator<Item = String>, options: &[&str]) -> Vec<String> {
    let mut kept = Vec::new();
    let mut arguments = arguments;
    while let Some(argument) = arguments.next() {
        let name = argument.split_once('=').map_or(argument.as_str(), |(name, _)| name);
        if !options.contains(&name) {
            kept.push(argument);
        } else if name == argument {
            arguments.next();
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_checkout_gets_the_same_command_without_options_of_this_one() {
        let typed = ["bench", "--json", "a.json", "roll", "--beside=/old", "--releases", "3"];

        let kept = without_options(typed.map(str::to_owned).into_iter(), &["--beside", "--json"]);

        assert_eq!(kept, ["bench", "roll", "--releases", "3"]);
    }

    #[test]
    fn figures_are_read_as_they_are_written() {
        let mut figures = crate::bench::figures::Figures::new("push");
        figures.add("first deploy", 4.0, "s");
        let file = std::env::temp_dir().join(format!("workflow-beside-{}", std::process::id()));
        figures.append_to(&file).expect("a file of the test");

        let text = std::fs::read_to_string(&file).expect("it is there");

        assert_eq!(values(&text).expect("lines of JSON"), Values::from([("first deploy".to_owned(), 4.0)]));
        std::fs::remove_file(&file).expect("it is ours");
    }
}
