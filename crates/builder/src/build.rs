//! From a received commit to a running release, while git's hook waits for the verdict.
//!
//! Goes on to its end when the pusher goes away. A failure leaves the running release alone.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use api::hooks::BuildDone;
use bytes::Bytes;
use domain::build::{BuildJob, BuildKind, BuiltImage};
use engine::{EngineError, JobError};
use tokio::sync::mpsc;

use crate::Builder;
use crate::access::AccessError;
use crate::git::Quarantine;
use crate::hook::Question;
use crate::pusher::{Lines, Pusher};
use crate::pushes::Push;
use crate::records::Stage;
use crate::refs::{self, Plan, RefError};
use crate::source::{Found, Objects, SourceError};

/// Presence turns the pack's cache off and removes what was kept.
const DISABLE_CACHE: &str = "DEIS_DISABLE_CACHE";
/// Presence passes the config as Docker build arguments.
const BUILD_ARGS_ENABLED: &str = "DEIS_DOCKER_BUILD_ARGS_ENABLED";
/// Pieces of output that wait for a slow pusher; then the build waits.
const OUTPUT_PIECES_MAX: usize = 64;
/// What an engine may need beyond the build's deadline to clean up.
const CLEANUP_MAX: Duration = Duration::from_secs(60);

/// Why a push is rejected; the text is what the pusher sees.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    #[error(transparent)]
    Refs(#[from] RefError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("the build exited with code {exit_code}, stopping build")]
    Failed { exit_code: i64 },
    #[error(
        "the build took longer than {seconds} seconds, giving up; make it shorter or ask the operator for more time"
    )]
    TimedOut { seconds: u32 },
    #[error("the build could not run, giving up: {reason}")]
    NotRun { reason: String },
    #[error("the builder cannot note the build: {0}; is its disk full?")]
    Note(#[source] std::io::Error),
    #[error("the platform is stopping; push again when it is back")]
    Stopping,
}

/// How long each part of a push took.
struct Times {
    receive: Duration,
    build: Duration,
    launch: Duration,
}

/// Builds and releases what was pushed, unless there is nothing to build.
pub(crate) async fn run(
    builder: &Builder,
    push: &Push,
    question: &Question,
    pusher: &mut Pusher,
) -> Result<(), Stop> {
    let quarantine: &Quarantine = &question.quarantine;
    let objects = Objects { git: &builder.git, repository: &push.repository, quarantine };
    let existing = objects.existing_refs().await?;
    let (branch, commit) = match refs::plan(&question.updates, &existing)? {
        Plan::Build { branch, commit } => (branch, commit),
        Plan::Keep => {
            pusher.say("Only tags were pushed; nothing is built. Push a branch to deploy.").await;
            return Ok(());
        }
    };
    tokio::select! {
        ended = build_and_release(builder, push, &objects, &commit, pusher) => ended?,
        () = builder.stopping.cancelled() => return Err(Stop::Stopping),
    }
    point_head_at(&objects, &branch).await;
    Ok(())
}

async fn build_and_release(
    builder: &Builder,
    push: &Push,
    objects: &Objects<'_>,
    commit: &str,
    pusher: &mut Pusher,
) -> Result<(), Stop> {
    let receive = push.started.elapsed();
    pusher.say("Starting build... but first, coffee!").await;
    let found = objects.inspect(commit).await?;
    let config = builder.hooks.config(&push.user, &push.app).await?;
    let sha = &commit[..8];
    let noted = builder.records.begin(&push.app, sha).map_err(Stop::Note)?;
    pusher.log("INFO", &format!("build {sha} begins, pushed by {}", push.user));

    let began = Instant::now();
    let built = build(builder, objects, job(builder, push, sha, &found, config), commit, pusher).await?;
    let build = began.elapsed();
    for line in ["Build complete.", "Launching app.", "Launching..."] {
        pusher.say(line).await;
    }

    noted.note(Stage::Releasing).map_err(Stop::Note)?;
    let began = Instant::now();
    let release = builder.hooks.release(done(push, sha, found, built));
    let (_, silent) = mpsc::channel(1);
    let version = watched(pusher, builder.settings.dots_interval, silent, release).await?.release.version;
    say_done(push, version, pusher).await;
    Times { receive, build, launch: began.elapsed() }.trace(push, sha, version);
    Ok(())
}

/// Runs the build job; its output goes to the pusher as it comes.
async fn build(
    builder: &Builder,
    objects: &Objects<'_>,
    job: BuildJob,
    commit: &str,
    pusher: &mut Pusher,
) -> Result<BuiltImage, Stop> {
    let (source, broken) = objects.archive(commit, builder.settings.source_bytes_max)?;
    let (sender, output) = mpsc::channel(OUTPUT_PIECES_MAX);
    let deadline = Duration::from_secs(u64::from(job.deadline_seconds)) + CLEANUP_MAX;
    let work = tokio::time::timeout(deadline, builder.jobs.build(&job, source, sender));
    let ended = watched(pusher, builder.settings.dots_interval, output, work).await;
    let ended = ended.unwrap_or(Err(JobError::TimedOut { seconds: job.deadline_seconds }));
    ended.map_err(|error| match broken.get() {
        Some(reason) => Stop::NotRun { reason: reason.clone() },
        None => stop(error),
    })
}

/// Waits for `work`; passes its output on and breaks long silences with dots, as networks cut what is silent.
async fn watched<T>(
    pusher: &mut Pusher,
    silence: Duration,
    mut output: mpsc::Receiver<Bytes>,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    let mut lines = Lines::default();
    let ended = loop {
        tokio::select! {
            biased;
            Some(bytes) = output.recv() => show(pusher, lines.add(&bytes)).await,
            ended = &mut work => break ended,
            () = tokio::time::sleep(silence) => pusher.say("...").await,
        }
    };
    while let Ok(bytes) = output.try_recv() {
        show(pusher, lines.add(&bytes)).await;
    }
    show(pusher, lines.rest()).await;
    ended
}

async fn show(pusher: &mut Pusher, lines: impl IntoIterator<Item = String>) {
    for line in lines {
        pusher.build_output(&line).await;
    }
}

async fn say_done(push: &Push, version: u64, pusher: &mut Pusher) {
    let app = &push.app;
    pusher.log("INFO", &format!("{app}:v{version} deployed, pushed by {}", push.user));
    let done = format!("Done, {app}:v{version} deployed to Workflow");
    for line in [&done, "", "Use `deis open` to see it in a browser, `deis help` for what else there is.", ""]
    {
        pusher.say(line).await;
    }
}

fn job(
    builder: &Builder,
    push: &Push,
    sha: &str,
    found: &Found,
    config: BTreeMap<String, String>,
) -> BuildJob {
    BuildJob {
        app: push.app.clone(),
        sha: sha.to_owned(),
        kind: found.kind,
        cache: !config.contains_key(DISABLE_CACHE),
        build_args: config.contains_key(BUILD_ARGS_ENABLED),
        env: config,
        deadline_seconds: builder.settings.build_deadline_seconds,
    }
}

/// What the controller is told. The source's Procfile wins over the process types of the pack.
fn done(push: &Push, sha: &str, found: Found, built: BuiltImage) -> BuildDone {
    let BuiltImage { image, ports, user: _, process_types } = built;
    let Found { kind, procfile } = found;
    let is_dockerfile = kind == BuildKind::Dockerfile;
    let fallback = if is_dockerfile { BTreeMap::new() } else { process_types };
    let procfile = procfile.unwrap_or(fallback);
    BuildDone {
        receive_user: push.user.clone(),
        receive_repo: push.app.to_string(),
        sha: sha.to_owned(),
        image: image.digest().to_string(),
        procfile: procfile.into_iter().map(|(process, command)| (process.into(), command)).collect(),
        dockerfile: if is_dockerfile { "true".to_owned() } else { String::new() },
        ports,
    }
}

fn stop(error: JobError) -> Stop {
    match error {
        JobError::Failed { exit_code } => Stop::Failed { exit_code },
        JobError::TimedOut { seconds } => Stop::TimedOut { seconds },
        JobError::Refused { reason } => Stop::NotRun { reason },
        JobError::Engine(error @ EngineError::Unreachable { .. }) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a build could not run");
            Stop::NotRun { reason: format!("{error}; try again in a minute") }
        }
        JobError::Engine(error @ EngineError::Refused { .. }) => Stop::NotRun { reason: error.to_string() },
    }
}

/// What `git clone` checks out is what was deployed last.
async fn point_head_at(objects: &Objects<'_>, branch: &str) {
    let target = format!("refs/heads/{branch}");
    let none = Quarantine::new();
    let command = objects.git.about(objects.repository, &none, &["symbolic-ref", "HEAD", &target]);
    if let Err(error) = objects.git.answer(command).await {
        tracing::debug!(%error, "HEAD stays where it was");
    }
}

impl Times {
    /// The line that `xtask bench push` reads.
    fn trace(&self, push: &Push, sha: &str, version: u64) {
        let Self { receive, build, launch } = self;
        tracing::info!(
            target: "push",
            app = %push.app,
            sha,
            version,
            receive_seconds = receive.as_secs_f64(),
            build_seconds = build.as_secs_f64(),
            launch_seconds = launch.as_secs_f64(),
            "pushed"
        );
    }
}
