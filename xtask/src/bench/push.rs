//! Time from `git push` to the app's answer, and where it goes.

use std::time::Instant;

use super::figures::{Figures, median};
use super::world::World;

const APP: &str = "pusher";
const RUNS: usize = 5;

/// One push, in seconds.
struct Push {
    /// From the command to its end: the app is live then.
    push: f64,
    /// From there to the first answer with the new text.
    answer: f64,
    /// Parts as the builder tells them, by name.
    parts: Vec<(String, f64)>,
}

pub fn run(world: &World) -> anyhow::Result<Figures> {
    let mut figures = Figures::new("push");
    let source = world.app(APP, "python")?;
    let cold = push(world, &source, "")?;
    add(&mut figures, "cold", &[cold]);

    let text = source.join("greeting.txt");
    let mut warm = Vec::new();
    for run in 0..RUNS {
        let greeting = format!("greeting number {run}");
        std::fs::write(&text, &greeting)?;
        world.commit(&source, &greeting)?;
        warm.push(push(world, &source, &greeting)?);
    }
    add(&mut figures, "one changed line", &warm);

    let mut unchanged = Vec::new();
    for run in 0..RUNS {
        world.commit(&source, &format!("nothing {run}"))?;
        unchanged.push(push(world, &source, "greeting number 4")?);
    }
    add(&mut figures, "empty commit", &unchanged);
    Ok(figures)
}

fn push(world: &World, source: &std::path::Path, wanted: &str) -> anyhow::Result<Push> {
    let log_before = std::fs::metadata(world.platform.log())?.len();
    let begun = Instant::now();
    world.push(source)?;
    let push = begun.elapsed().as_secs_f64();
    let answer = world.wait_for_answer(APP, wanted)?.as_secs_f64();
    let log = std::fs::read(world.platform.log())?;
    let parts = parts(&String::from_utf8_lossy(&log[log_before as usize..]));
    println!("    live after {push:.2} s, answered {answer:.2} s later");
    Ok(Push { push, answer, parts })
}

/// Reads the builder's line about a push: `… push: … receive=0.1 detect=0.2 …`.
fn parts(log: &str) -> Vec<(String, f64)> {
    let line = log.lines().rev().find(|line| line.contains("push done")).unwrap_or_default();
    let pairs = line.split_whitespace().filter_map(|word| word.split_once("_seconds="));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

fn add(figures: &mut Figures, kind: &str, pushes: &[Push]) {
    let total: Vec<f64> = pushes.iter().map(|push| push.push + push.answer).collect();
    figures.add(format!("{kind}: push to live"), median(&total), "s");
    let names: Vec<&String> =
        pushes.first().map(|push| push.parts.iter().map(|(name, _)| name).collect()).unwrap_or_default();
    for name in names {
        let values: Vec<f64> = pushes
            .iter()
            .flat_map(|push| &push.parts)
            .filter(|(part, _)| part == name)
            .map(|(_, value)| *value)
            .collect();
        figures.add(format!("{kind}: {name}"), median(&values), "s");
    }
    let answers: Vec<f64> = pushes.iter().map(|push| push.answer).collect();
    figures.add(format!("{kind}: first answer"), median(&answers), "s");
}
