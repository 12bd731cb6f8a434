//! Time from `git push` to the app's answer, and where it goes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::figures::{Figures, median};
use super::world::World;

const APP: &str = "pusher";
/// What the example says; one line of it is changed for each warm push.
const GREETING: &str = "python example";
const RUNS: usize = 5;

/// The parts of a push: each ends with the first line of git's output that holds this text.
const PARTS: [(&str, &str); 5] = [
    ("receive", "Starting build"),
    ("detect", "app detected"),
    ("compile", "Compiled slug size is"),
    ("image", "Build complete"),
    ("start", "deployed to Workflow"),
];

/// One push, in seconds.
struct Push {
    /// From the command to its end: the app is live then.
    push: f64,
    /// From there to the first answer with the new text.
    answer: f64,
    /// What each of [`PARTS`] took.
    parts: Vec<f64>,
}

pub fn run(world: &World) -> anyhow::Result<Figures> {
    let mut figures = Figures::new("push");
    let source = world.app(APP, "python")?;
    let cold = push(world, &source, "")?;
    add(&mut figures, "cold", &[cold]);

    let file = source.join("app.py");
    let program = std::fs::read_to_string(&file)?;
    ensure!(program.contains(GREETING), "{} does not say {GREETING:?}", file.display());
    let mut warm = Vec::new();
    for run in 0..RUNS {
        let greeting = format!("greeting number {run}");
        std::fs::write(&file, program.replace(GREETING, &greeting))?;
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
    let begun = Instant::now();
    let told = world.push_with_times(source)?;
    let push = begun.elapsed().as_secs_f64();
    let answer = world.wait_for_answer(APP, wanted)?.as_secs_f64();
    println!("    live after {push:.2} s, answered {answer:.2} s later");
    Ok(Push { push, answer, parts: parts(&told)? })
}

/// Reads from the lines that git printed, and when, how long each part took.
fn parts(told: &[(Duration, String)]) -> anyhow::Result<Vec<f64>> {
    let mut before = Duration::ZERO;
    let part = |(name, text): &(&str, &str)| {
        let (end, _) = told
            .iter()
            .find(|(_, line)| line.contains(text))
            .with_context(|| format!("the end of `{name}`, {text:?}, is not in git's output: {told:?}"))?;
        Ok((*end - std::mem::replace(&mut before, *end)).as_secs_f64())
    };
    PARTS.iter().map(part).collect()
}

fn add(figures: &mut Figures, kind: &str, pushes: &[Push]) {
    let mut of_all = |figure: &str, value: &dyn Fn(&Push) -> f64| {
        let values: Vec<f64> = pushes.iter().map(value).collect();
        figures.add(format!("{kind}: {figure}"), median(&values), "s");
    };
    of_all("push to live", &|push| push.push + push.answer);
    for (index, (name, _)) in PARTS.iter().enumerate() {
        of_all(name, &|push| push.parts[index]);
    }
    of_all("first answer", &|push| push.answer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_times_between_the_lines_that_end_them() {
        let told: Vec<_> = PARTS
            .iter()
            .zip([1, 3, 6, 10, 15])
            .map(|((_, text), second)| (Duration::from_secs(second), format!("remote: {text}")))
            .collect();

        assert_eq!(parts(&told).expect("all are there"), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(parts(&told[1..]).is_err());
    }
}
