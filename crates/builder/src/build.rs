//! From a received commit to a running release, while git's hook waits for the decision.
//!
//! Continues to its end when the pusher disconnects. A failure leaves the running release alone.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use api::hooks::{BuildDone, BuildOutcome, ProcessImage};
use bytes::Bytes;
use domain::ProcessType;
use domain::build::{BuildJob, BuildKind, BuiltImage};
use domain::build_plan::{BuildChoices, BuildPlan, CnbOptions, DockerfileOptions, SourcePath};
use domain::heroku_yml::{self, Manifest};
use domain::packs;
use domain::project_toml;
use domain::submodules::Unfetched;
use engine::{EngineError, JobError};
use tokio::sync::mpsc;

use crate::Builder;
use crate::access::AccessError;
use crate::git::Quarantine;
use crate::hook::HookRequest;
use crate::limits::GitTask;
use crate::pointers::list;
use crate::pusher::{LineSplitter, Pusher};
use crate::pushes::Push;
use crate::records::PushStage;
use crate::refs::{self, PushPlan, RefError, RefUpdate, RefsBefore};
use crate::shallow::pushed_ends;
use crate::source::{Objects, SourceError, SourceSummary};

/// Presence turns the pack's cache off and removes what was kept.
const DISABLE_CACHE: &str = "DEIS_DISABLE_CACHE";
/// Pieces of output that wait for a slow pusher; then the build waits.
const OUTPUT_PIECES_MAX: usize = 64;
/// Time that an engine may need beyond the build's deadline to clean up.
const CLEANUP_MAX: Duration = Duration::from_secs(60);

/// A rejected push; the text is shown to the pusher.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PushError {
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
    Record(#[source] std::io::Error),
    #[error("the platform is stopping; push again when it is back")]
    Stopping,
}

/// Duration of each part of a push.
struct Times {
    receive: Duration,
    build: Duration,
    launch: Duration,
}

/// Builds and releases what was pushed, unless there is nothing to build.
pub(crate) async fn run(
    builder: &Builder,
    push: &Push,
    question: &HookRequest,
    pusher: &mut Pusher,
) -> Result<(), PushError> {
    let mut quarantine = question.quarantine.clone();
    quarantine.extend(pushed_ends(&push.repository));
    let objects = Objects { git: &builder.git, repository: &push.repository, quarantine: &quarantine };
    let (existing, head) = tokio::try_join!(objects.existing_refs(), objects.head())?;
    let before = RefsBefore { refs: &existing, chosen: push.branch.as_ref(), head: head.as_deref() };
    let plan = refs::plan(&question.updates, &before)?;
    objects.check_branches(&question.updates).await?;
    let (branch, commit, others) = match plan {
        PushPlan::Build { branch, commit, others } => (branch, commit, others),
        PushPlan::Keep { branch, adds, mistaken_tag } => {
            // Only the built commit is looked at otherwise.
            objects.check_history(&question.updates).await?;
            report_kept(pusher, &branch, adds, mistaken_tag).await;
            return Ok(());
        }
    };
    if !others.is_empty() {
        let others = list(&others, others.len());
        pusher.say(&format!("Only kept, as the branch `{branch}` deploys this app: {others}")).await;
    }
    let pushed = PushedCommit { updates: &question.updates, branch: &branch, commit: &commit };
    tokio::select! {
        ended = build_and_release(builder, push, &objects, pushed, pusher) => ended?,
        () = builder.stopping.cancelled() => return Err(PushError::Stopping),
    }
    point_head_at(&objects, &branch).await;
    Ok(())
}

/// Commit to build.
#[derive(Clone, Copy)]
struct PushedCommit<'a> {
    updates: &'a [RefUpdate],
    branch: &'a str,
    commit: &'a str,
}

async fn build_and_release(
    builder: &Builder,
    push: &Push,
    objects: &Objects<'_>,
    PushedCommit { updates, branch, commit }: PushedCommit<'_>,
    pusher: &mut Pusher,
) -> Result<(), PushError> {
    let receive = push.started.elapsed();
    pusher.say("Starting build... but first, coffee!").await;
    let config = builder.hooks.config(&push.user, &push.app).await?;
    let choices = BuildChoices::read(push.build.clone(), &config).map_err(SourceError::from)?;
    let found = objects.inspect(commit, &choices).await?;
    let names = objects.check_tree(commit, builder.settings.source_entries_max);
    let (links, ()) = tokio::try_join!(names, objects.check_history(updates))?;
    let (submodules, empty) = objects.submodules(commit, &choices.project, links).await?;
    report_empty_submodules(pusher, &empty).await;
    report_plan(pusher, &found.plan).await;
    let sha = &commit[..8];
    let noted = builder.records.begin(&push.app, sha).map_err(PushError::Record)?;
    pusher.log("INFO", &format!("build {sha} begins, pushed by {}", push.user));

    let began = Instant::now();
    let source = BuildSource { commit, project: choices.project };
    let job = BuildJob {
        app: push.app.clone(),
        sha: sha.to_owned(),
        kind: found.plan.kind,
        stack: push.stack.clone(),
        toolchains: found.plan.toolchains(),
        submodules,
        cache: !config.contains_key(DISABLE_CACHE),
        dockerfile: choices.dockerfile,
        cnb: found.plan.cnb.clone().unwrap_or_default(),
        env: config,
        deadline_seconds: builder.settings.build_deadline_seconds,
    };
    let mut built = Vec::new();
    for job in jobs(&found.plan, job) {
        built.push(build(builder, objects, job, &source, pusher).await?);
    }
    let build = began.elapsed();
    for line in ["Build complete.", "Launching app.", "Launching..."] {
        pusher.say(line).await;
    }

    noted.note(PushStage::Releasing).map_err(PushError::Record)?;
    let began = Instant::now();
    let done = done(push, (sha, branch), found, &built);
    let done = done.ok_or_else(|| PushError::NotRun { reason: "it made no image".to_owned() })?;
    let release = builder.hooks.release(done);
    let (_, silent) = mpsc::channel(1);
    let BuildOutcome { release, warning } =
        watched(pusher, builder.settings.dots_interval, silent, release).await?;
    let version = release.version;
    report_release(push, version, warning, pusher).await;
    Times { receive, build, launch: began.elapsed() }.trace(push, sha, version);
    Ok(())
}

/// Folder of a commit that is built.
struct BuildSource<'a> {
    commit: &'a str,
    project: SourcePath,
}

/// Runs the build job; its output goes to the pusher as it comes.
async fn build(
    builder: &Builder,
    objects: &Objects<'_>,
    job: BuildJob,
    source: &BuildSource<'_>,
    pusher: &mut Pusher,
) -> Result<BuiltImage, PushError> {
    let (sender, output) = mpsc::channel(OUTPUT_PIECES_MAX);
    let bytes_max = builder.settings.source_bytes_max;
    let (source, broken) = objects.archive(source.commit, &source.project, bytes_max, sender.clone())?;
    let deadline = Duration::from_secs(u64::from(job.deadline_seconds)) + CLEANUP_MAX;
    let work = tokio::time::timeout(deadline, builder.jobs.build(&job, source, sender));
    let ended = watched(pusher, builder.settings.dots_interval, output, work).await;
    let ended = ended.unwrap_or(Err(JobError::TimedOut { seconds: job.deadline_seconds }));
    ended.map_err(|error| match broken.get() {
        Some(reason) => PushError::NotRun { reason: reason.clone() },
        None => stop(error),
    })
}

/// Waits for `work`; passes its output on and breaks long silences with dots, as networks cut idle connections.
async fn watched<T>(
    pusher: &mut Pusher,
    silence: Duration,
    mut output: mpsc::Receiver<Bytes>,
    work: impl Future<Output = T>,
) -> T {
    tokio::pin!(work);
    let mut lines = LineSplitter::default();
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

/// Prints why nothing is built.
async fn report_kept(pusher: &mut Pusher, branch: &str, adds: bool, mistaken_tag: Option<String>) {
    let push = format!("Push a branch to deploy, as in `git push deis {branch}`.");
    match (mistaken_tag, adds) {
        (Some(tag), _) => {
            for line in [
                format!("`{tag}` is a tag now, and no branch was pushed; nothing is built."),
                format!("Remove it with `git push deis :refs/tags/{tag}`, if a branch was meant, and"),
                format!("deploy with `git push deis 'HEAD:refs/heads/{branch}'`."),
            ] {
                pusher.say(&line).await;
            }
        }
        (None, true) => pusher.say(&format!("No branch was pushed; nothing is built. {push}")).await,
        (None, false) => pusher.say("Only removed; nothing is built, and the app runs on.").await,
    }
}

async fn report_empty_submodules(pusher: &mut Pusher, empty: &[Unfetched]) {
    for unfetched in empty {
        pusher.build_output(&format!(" !     {unfetched}")).await;
    }
}

/// Says why a Dockerfile is built where buildpacks were possible, or why one was chosen.
async fn report_plan(pusher: &mut Pusher, plan: &BuildPlan) {
    let BuildPlan { kind, reason, other, manifest, cnb, .. } = plan;
    if *kind == BuildKind::Dockerfile {
        let what = manifest.as_ref().map_or(1, |manifest| manifest.images.len());
        let what = if what == 1 { "the Dockerfile".to_owned() } else { format!("{what} Dockerfiles") };
        pusher.say(&format!("Building {what}, as {reason}")).await;
    }
    if let Some(CnbOptions { builder, descriptor }) = cnb {
        pusher.say(&format!("Building with Cloud Native Buildpacks of {builder}, as {reason}")).await;
        for (name, patterns) in [("include", &descriptor.include), ("exclude", &descriptor.exclude)] {
            if !patterns.is_empty() {
                pusher.say(&format!(" !     {}: `{name}` has no effect here", project_toml::FILE)).await;
            }
        }
    }
    for section in manifest.iter().flat_map(|manifest| &manifest.ignored) {
        pusher.say(&format!(" !     {}: `{section}` has no effect here", heroku_yml::FILE)).await;
    }
    if let Some(other) =
        other.filter(|other| other.pack.is_of_language() || other.pack.name == packs::PROCFILE)
    {
        let with = format!("with buildpacks ({} is there too)", other.file);
        pusher.say(&format!("To build it {with}, run `deis builds:kind buildpack` and push again")).await;
    }
}

/// The log of the app has the warning from the controller.
async fn report_release(push: &Push, version: u64, warning: Option<String>, pusher: &mut Pusher) {
    let app = &push.app;
    pusher.log("INFO", &format!("{app}:v{version} deployed, pushed by {}", push.user));
    let done = format!("Done, {app}:v{version} deployed to Workflow");
    pusher.say(&done).await;
    if let Some(warning) = warning {
        pusher.say("").await;
        pusher.say(&format!(" !     WARNING: {warning}")).await;
    }
    for line in ["", "Use `deis open` to see it in a browser, `deis help` for what else there is.", ""] {
        pusher.say(line).await;
    }
}

/// One job for each image of the plan.
fn jobs(plan: &BuildPlan, job: BuildJob) -> Vec<BuildJob> {
    match &plan.manifest {
        Some(manifest) => {
            let of = |image: &DockerfileOptions| BuildJob { dockerfile: image.clone(), ..job.clone() };
            manifest.images.iter().map(of).collect()
        }
        None => vec![job],
    }
}

/// Body of the build hook. The source's Procfile wins over the process types of the pack.
fn done(
    push: &Push,
    (sha, branch): (&str, &str),
    found: SourceSummary,
    built: &[BuiltImage],
) -> Option<BuildDone> {
    let SourceSummary { plan, procfile } = found;
    let (is_dockerfile, is_cnb) = (plan.kind == BuildKind::Dockerfile, plan.kind == BuildKind::Cnb);
    let (mut main, mut images, mut commands) = (0, BTreeMap::new(), BTreeMap::new());
    match plan.manifest {
        Some(Manifest { processes, .. }) => {
            for (process, (index, command)) in processes {
                let BuiltImage { image, ports, .. } = built.get(index)?;
                let own = ProcessImage { image: image.digest().to_string(), ports: ports.clone() };
                if process == ProcessType::web() {
                    main = index;
                }
                images.insert(process.to_string(), own);
                commands.extend(command.map(|command| (process.into(), command)));
            }
        }
        None => {
            let fallback =
                built.first().filter(|_| !is_dockerfile && !is_cnb).map(|built| built.process_types.clone());
            let procfile = procfile.or(fallback).unwrap_or_default();
            commands.extend(procfile.into_iter().map(|(process, command)| (process.into(), command)));
        }
    }
    let BuiltImage { image, ports, process_types, .. } = built.get(main)?;
    Some(BuildDone {
        receive_user: push.user.clone(),
        receive_repo: push.app.to_string(),
        sha: sha.to_owned(),
        image: image.digest().to_string(),
        procfile: commands,
        dockerfile: if is_dockerfile { "true".to_owned() } else { String::new() },
        ports: ports.clone(),
        images,
        branch: Some(branch.to_owned()),
        reason: plan.reason,
        stack: (!is_dockerfile && !is_cnb).then(|| push.stack.to_string()),
        image_processes: is_cnb.then(|| process_types.keys().map(ProcessType::to_string).collect()),
    })
}

fn stop(error: JobError) -> PushError {
    match error {
        JobError::Failed { exit_code } => PushError::Failed { exit_code },
        JobError::TimedOut { seconds } => PushError::TimedOut { seconds },
        JobError::Refused { reason } => PushError::NotRun { reason },
        JobError::Engine(error @ EngineError::Unreachable { .. }) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "a build could not run");
            PushError::NotRun { reason: format!("{error}; try again in a minute") }
        }
        JobError::Engine(error @ EngineError::Refused { .. }) => {
            PushError::NotRun { reason: error.to_string() }
        }
    }
}

/// Sets HEAD, so that `git clone` checks out the last deployed branch.
async fn point_head_at(objects: &Objects<'_>, branch: &str) {
    let target = format!("refs/heads/{branch}");
    let none = Quarantine::new();
    let command =
        objects.git.about(GitTask::Read, objects.repository, &none, &["symbolic-ref", "HEAD", &target]);
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
