//! Time from `git push` to the app's response, in parts.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};

use super::figures::{Figures, median};
use super::world::World;

const APP: &str = "pusher";
/// Response of the example; one line of it is changed for each warm push.
const GREETING: &str = "python example";
const DOCKER_APP: &str = "docker-pusher";
const DOCKER_GREETING: &str = "dockerfile example";
/// Line of the example's Dockerfile before which a changed line is put.
const DOCKER_LINE: &str = "EXPOSE 8080";
const RUNS: usize = 10;

/// Name of a part of a push, and the text that ends it: in git's output or in a stage of [`Pods`](super::world::Pods).
type Part = (&'static str, &'static str);

const BUILDPACK: &[Part] = &[
    ("receive", "Starting build"),
    ("detect", "app detected"),
    ("compile", "Compiled slug size is"),
    ("image", "Build complete"),
    ("start", "deployed to Workflow"),
];
const DOCKERFILE: &[Part] =
    &[("receive", "Starting build"), ("build", "Build complete"), ("start", "deployed to Workflow")];
/// Parts in a cluster. The steps of a build run side by side, and may be under way when their pod is told to run.
const CLUSTER_BUILDPACK: &[Part] = &in_cluster("Compiled slug size is");
const CLUSTER_DOCKERFILE: &[Part] = &in_cluster("exporting to image");

const fn in_cluster(build_end: &'static str) -> [Part; 9] {
    [
        ("receive", "Starting build"),
        ("build pod scheduled", "build: scheduled"),
        ("build pod started", "build: build begun"),
        ("build", build_end),
        ("upload", "Build complete"),
        ("app's pod scheduled", "app: scheduled"),
        ("app's pod started", "app: begun"),
        ("app's pod ready", "app: ready"),
        ("release told", "deployed to Workflow"),
    ]
}

/// Goals in a cluster, on an idle machine: seconds from push to live.
const CLUSTER_GOALS: [(&str, f64); 4] =
    [("first deploy", 8.0), ("one changed line", 4.0), ("empty commit", 3.0), ("Dockerfile line", 6.0)];

/// One push, in seconds.
struct Push {
    /// From the command to its end, when the app is live.
    push: f64,
    /// From there to the first response with the new text.
    answer: f64,
    /// Duration of each part.
    parts: Vec<f64>,
}

pub fn run(world: &World) -> anyhow::Result<Figures> {
    let mut figures = Figures::new("push");
    let is_cluster = world.installation().is_ok();
    let parts = if is_cluster { CLUSTER_BUILDPACK } else { BUILDPACK };

    // A first deploy is measured once for each app: caches are not shared between apps.
    let first_runs = if is_cluster { RUNS } else { 1 };
    let first = (1..first_runs).map(|run| {
        let app = format!("{APP}-{run}");
        pushed(world, &app, &world.app(&app, "python")?, "", parts)
    });
    let mut first = first.collect::<anyhow::Result<Vec<_>>>()?;
    let source = world.app(APP, "python")?;
    first.push(pushed(world, APP, &source, "", parts)?);
    add(&mut figures, "first deploy", &first, parts);

    let mut warm = Vec::new();
    for run in 0..RUNS {
        let greeting = format!("greeting number {run}");
        change(&source.join("app.py"), if run == 0 { GREETING } else { "greeting number" }, &greeting)?;
        world.commit(&source, &greeting)?;
        warm.push(pushed(world, APP, &source, &greeting, parts)?);
    }
    add(&mut figures, "one changed line", &warm, parts);

    let mut unchanged = Vec::new();
    for run in 0..RUNS {
        world.commit(&source, &format!("nothing {run}"))?;
        unchanged.push(pushed(world, APP, &source, "greeting number", parts)?);
    }
    add(&mut figures, "empty commit", &unchanged, parts);

    let parts = if is_cluster { CLUSTER_DOCKERFILE } else { DOCKERFILE };
    let lines = dockerfile_lines(world, parts)?;
    add(&mut figures, "Dockerfile line", &lines, parts);
    if is_cluster {
        CLUSTER_GOALS.iter().for_each(|(kind, most)| figures.hold_to(&live(kind), *most));
    }
    Ok(figures)
}

/// Pushes an app with a Dockerfile, then one changed line of it after the other.
fn dockerfile_lines(world: &World, parts: &[Part]) -> anyhow::Result<Vec<Push>> {
    let source = world.app(DOCKER_APP, "dockerfile")?;
    pushed(world, DOCKER_APP, &source, DOCKER_GREETING, parts)?;
    let file = source.join("Dockerfile");
    let first = std::fs::read_to_string(&file)?;
    ensure!(first.contains(DOCKER_LINE), "{} has no line {DOCKER_LINE:?}", file.display());
    let push = |run| {
        let line = format!("ENV POWERED_BY=\"line {run}\"");
        std::fs::write(&file, first.replace(DOCKER_LINE, &format!("{line}\n{DOCKER_LINE}")))?;
        world.commit(&source, &line)?;
        pushed(world, DOCKER_APP, &source, &format!("powered by line {run}"), parts)
    };
    (0..RUNS).map(push).collect()
}

/// Replaces `old`, with or without a number, by `greeting` in a file.
fn change(file: &Path, old: &str, greeting: &str) -> anyhow::Result<()> {
    let program = std::fs::read_to_string(file)?;
    let changed = changed(&program, old, greeting);
    let changed = changed.with_context(|| format!("{} does not say {old:?}", file.display()))?;
    Ok(std::fs::write(file, changed)?)
}

fn changed(program: &str, old: &str, greeting: &str) -> Option<String> {
    let (before, after) = program.split_once(old)?;
    let after = after.trim_start_matches(|letter: char| letter == ' ' || letter.is_ascii_digit());
    Some(format!("{before}{greeting}{after}"))
}

fn pushed(world: &World, app: &str, source: &Path, wanted: &str, parts: &[Part]) -> anyhow::Result<Push> {
    let pods = world.installation().ok().map(|installation| installation.follow_pods(app)).transpose()?;
    let begun = Instant::now();
    let mut told = world.push_with_times(source)?;
    let push = begun.elapsed().as_secs_f64();
    let answer = world.wait_for_answer(app, wanted)?.as_secs_f64();
    println!("    live after {push:.2} s, answered {answer:.2} s later");
    if let Some(pods) = pods {
        told.extend(pods.stop(begun)?);
        // Pods of the previous release must not count for the next push.
        world.wait_for_replicas(app, 1)?;
    }
    told.sort();
    Ok(Push { push, answer, parts: parts_of(&told, parts)? })
}

/// Durations of the parts, from lines and their times. A line that comes too late ends a part of length zero.
fn parts_of(told: &[(Duration, String)], parts: &[Part]) -> anyhow::Result<Vec<f64>> {
    let mut before = Duration::ZERO;
    let part = |(name, text): &Part| {
        let (end, _) = told
            .iter()
            .find(|(_, line)| line.contains(text))
            .with_context(|| format!("the end of `{name}`, {text:?}, was not told: {told:?}"))?;
        let took = end.saturating_sub(before);
        before += took;
        Ok(took.as_secs_f64())
    };
    parts.iter().map(part).collect()
}

fn live(kind: &str) -> String {
    format!("{kind}: push to live")
}

fn add(figures: &mut Figures, kind: &str, pushes: &[Push], parts: &[Part]) {
    let mut of_all = |figure: String, value: &dyn Fn(&Push) -> f64| {
        let values: Vec<f64> = pushes.iter().map(value).collect();
        figures.add(figure, median(&values), "s");
    };
    of_all(live(kind), &|push| push.push + push.answer);
    for (index, (name, _)) in parts.iter().enumerate() {
        of_all(format!("{kind}: {name}"), &|push| push.parts[index]);
    }
    of_all(format!("{kind}: first answer"), &|push| push.answer);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_times_between_the_lines_that_end_them() {
        let told: Vec<_> = BUILDPACK
            .iter()
            .zip([1, 3, 6, 10, 15])
            .map(|((_, text), second)| (Duration::from_secs(second), format!("remote: {text}")))
            .collect();

        assert_eq!(parts_of(&told, BUILDPACK).expect("all are there"), [1.0, 2.0, 3.0, 4.0, 5.0]);
        assert!(parts_of(&told[1..], BUILDPACK).is_err());
    }

    #[test]
    fn what_a_watch_tells_late_makes_no_part_negative() {
        let told = [(5, "second"), (7, "first"), (9, "third")];
        let told = told.map(|(second, text)| (Duration::from_secs(second), text.to_owned()));
        let parts = [("a", "first"), ("b", "second"), ("c", "third")];

        assert_eq!(parts_of(&told, &parts).expect("all are there"), [7.0, 0.0, 2.0]);
    }

    #[test]
    fn a_line_is_changed_again_and_again() {
        let first = changed("f\"python example, powered by\"", GREETING, "greeting number 9");
        let next = changed(&first.expect("it says so"), "greeting number", "greeting number 10");

        assert_eq!(next.as_deref(), Some("f\"greeting number 10, powered by\""));
        assert_eq!(changed("f\"something else\"", GREETING, "x"), None);
    }
}
