//! `workflow rebase`: puts the apps of a stack on its newest images, a few at a time.
//!
//! Each app gets an ordinary release, by a hook of the controller. What was rebased stays so if the command is stopped;
//! given again, it goes on with the rest.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context as _, bail};
use api::client::{Address, Client, ClientError};
use api::hooks::{RebaseOutcome, RebaseResult, RebaseWanted};
use domain::AppName;
use domain::stacks::StackName;
use serde::Serialize;

use crate::settings::{default_data_dir, key_in};

/// File in the data folder with the address of the hooks, which changes with each start.
pub const HOOKS_ADDRESS: &str = "hooks-address";
/// File in the data folder with the builder's key.
pub const BUILDER_KEY: &str = "builder-key";
/// Hooks of a controller in the same pod.
const HOOKS_IN_POD: &str = "http://127.0.0.1:8001";
/// Most apps at once.
const PARALLEL_MAX: usize = 32;

/// Put all apps of a stack on its newest images, without building them again.
///
/// Each app gets a release of its own, is rolled out without losing a request, and can be rolled back. The command stops at
/// the first app that fails, which then runs its last good release; given again, it goes on with the rest. In a cluster it
/// runs in a pod of the controller: `kubectl -n deis exec deploy/deis-controller -- workflow rebase --stack trixie`.
#[derive(Debug, Clone, clap::Args)]
pub struct RebaseCommand {
    /// Name of the stack.
    #[arg(long, value_parser = |text: &str| StackName::parse(text).map_err(|error| error.to_string()))]
    stack: StackName,

    /// Only these apps, joined by commas.
    #[arg(long, value_name = "APP", value_delimiter = ',', value_parser = parse_app)]
    apps: Vec<AppName>,

    /// Apps at once.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=PARALLEL_MAX as i64))]
    parallel: u8,

    /// List the apps that stand on the stack, and change nothing.
    #[arg(long)]
    dry_run: bool,

    /// Form of the result.
    #[arg(short, long, value_name = "FORM", value_parser = ["json"])]
    output: Option<String>,

    /// Folder of the platform that runs on this machine.
    #[arg(long, env = "WORKFLOW_DATA_DIR", default_value_os_t = default_data_dir())]
    data_dir: PathBuf,

    /// File with the builder's key, where the platform has no data folder here.
    #[arg(long, env = "WORKFLOW_BUILDER_KEY_FILE")]
    builder_key_file: Option<PathBuf>,

    /// Address of the controller's hooks [default: that of the platform in the data folder, else of this pod].
    #[arg(long, env = "WORKFLOW_HOOKS_URL")]
    hooks_url: Option<String>,
}

fn parse_app(text: &str) -> Result<AppName, String> {
    AppName::parse(text).map_err(|error| error.to_string())
}

/// Result of one app.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct AppResult {
    app: String,
    #[serde(flatten)]
    result: Outcome,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
enum Outcome {
    Rebased { version: Option<u64> },
    Current,
    OnStack,
    Failed { reason: String },
}

impl RebaseCommand {
    pub fn check(&self) -> anyhow::Result<()> {
        self.client().map(drop)
    }

    pub fn run(&self) -> anyhow::Result<()> {
        let client = self.client()?;
        let apps = match &self.apps[..] {
            [] => client.hook_apps().map_err(|error| failed(&error)).context("cannot list the apps")?.apps,
            apps => apps.iter().map(AppName::to_string).collect(),
        };
        let rebase = |app: &str| {
            let wanted =
                RebaseWanted { app: app.to_owned(), stack: self.stack.to_string(), dry_run: self.dry_run };
            client.hook_rebase(&wanted)
        };
        let count = apps.len();
        let fleet = Fleet::new(apps, |result| eprintln!("{}", line(result)));
        let Ended { results, left } = fleet.rebase(usize::from(self.parallel), rebase);
        if self.output.is_some() {
            println!("{}", serde_json::to_string_pretty(&results)?);
        }
        let count_of = |wanted: fn(&Outcome) -> bool| results.iter().filter(|it| wanted(&it.result)).count();
        let rebased = count_of(|outcome| matches!(outcome, Outcome::Rebased { .. }));
        let current = count_of(|outcome| *outcome == Outcome::Current);
        let found = results.len();
        let stack = &self.stack;
        if let Some(first) = results.iter().find(|it| matches!(it.result, Outcome::Failed { .. })) {
            bail!(
                "stopped at {}: {rebased} rebased, {current} on the newest {stack} already, {left} of {count} apps not \
                 looked at; when it is mended, give the command again",
                first.app
            );
        }
        match self.dry_run {
            true => eprintln!("{found} of {count} apps stand on {stack}; nothing was changed"),
            false => eprintln!("{rebased} rebased, {current} on the newest {stack} already"),
        }
        Ok(())
    }

    fn client(&self) -> anyhow::Result<Client> {
        let address_file = self.data_dir.join(HOOKS_ADDRESS);
        let (key_file, url) = match (&self.builder_key_file, &self.hooks_url) {
            (Some(key_file), url) => {
                (key_file.clone(), url.clone().unwrap_or_else(|| HOOKS_IN_POD.to_owned()))
            }
            (None, Some(url)) => (self.data_dir.join(BUILDER_KEY), url.clone()),
            (None, None) => (self.data_dir.join(BUILDER_KEY), address_in(&address_file)?),
        };
        let key = key_in("--builder-key-file", &key_file)?;
        let address = Address::parse(&url).map_err(|error| failed(&error)).context("--hooks-url")?;
        Ok(Client::new(address, true).with_builder_key(key))
    }
}

fn address_in(file: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| {
        format!(
            "no platform has run on this machine with the data folder of {}: give --data-dir, or --hooks-url and \
             --builder-key-file",
            file.display()
        )
    })?;
    Ok(text.trim().to_owned())
}

/// What the controller said, in its own words.
fn failed(error: &ClientError) -> anyhow::Error {
    anyhow::anyhow!(error.detail().unwrap_or_else(|| error.to_string()))
}

fn line(result: &AppResult) -> String {
    let app = &result.app;
    match &result.result {
        Outcome::Rebased { version: Some(version) } => format!("{app}: rebased, v{version}"),
        Outcome::Rebased { version: None } => format!("{app}: rebased"),
        Outcome::Current => format!("{app}: nothing to do"),
        Outcome::OnStack => format!("{app}: stands on the stack"),
        Outcome::Failed { reason } => format!("{app}: failed: {reason}"),
    }
}

/// Apps that are rebased side by side, until one fails.
struct Fleet<S> {
    state: Mutex<FleetState>,
    say: S,
}

struct FleetState {
    left: VecDeque<String>,
    results: Vec<AppResult>,
    has_failed: bool,
}

/// Results in the order in which they came, and the number of apps that nobody looked at.
#[derive(Debug, PartialEq)]
struct Ended {
    results: Vec<AppResult>,
    left: usize,
}

impl<S: Fn(&AppResult) + Sync> Fleet<S> {
    fn new(apps: Vec<String>, say: S) -> Self {
        Self {
            state: Mutex::new(FleetState { left: apps.into(), results: Vec::new(), has_failed: false }),
            say,
        }
    }

    fn rebase(
        self,
        parallel: usize,
        rebase: impl Fn(&str) -> Result<RebaseOutcome, ClientError> + Sync,
    ) -> Ended {
        thread::scope(|scope| {
            for _ in 0..parallel {
                scope.spawn(|| {
                    while let Some(app) = self.next() {
                        self.note(&app, rebase(&app));
                    }
                });
            }
        });
        let FleetState { left, results, has_failed: _ } =
            self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ended { results, left: left.len() }
    }

    fn next(&self) -> Option<String> {
        let mut state = self.state();
        if state.has_failed { None } else { state.left.pop_front() }
    }

    fn note(&self, app: &str, done: Result<RebaseOutcome, ClientError>) {
        let result = match done {
            Ok(RebaseOutcome { outcome, version }) => match outcome {
                RebaseResult::Rebased => Outcome::Rebased { version },
                RebaseResult::Current => Outcome::Current,
                RebaseResult::OnStack => Outcome::OnStack,
                RebaseResult::Elsewhere => return,
            },
            // It was destroyed since it was listed.
            Err(error) if error.status() == Some(404) => return,
            Err(error) => Outcome::Failed { reason: failed(&error).to_string() },
        };
        let result = AppResult { app: app.to_owned(), result };
        (self.say)(&result);
        let mut state = self.state();
        state.has_failed |= matches!(result.result, Outcome::Failed { .. });
        state.results.push(result);
    }

    fn state(&self) -> MutexGuard<'_, FleetState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn apps(count: usize) -> Vec<String> {
        (0..count).map(|number| format!("app{number}")).collect()
    }

    fn rebased() -> Result<RebaseOutcome, ClientError> {
        Ok(RebaseOutcome { outcome: RebaseResult::Rebased, version: Some(4) })
    }

    #[test]
    fn no_more_apps_than_wanted_are_rebased_at_once() {
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let together = Barrier::new(3);

        let ended = Fleet::new(apps(51), |_| {}).rebase(3, |_| {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            together.wait();
            now.fetch_sub(1, Ordering::SeqCst);
            rebased()
        });

        assert_eq!((ended.results.len(), ended.left), (51, 0));
        assert_eq!(most.into_inner(), 3);
    }

    #[test]
    fn the_first_failure_stops_the_rest_and_apps_elsewhere_are_left_out() {
        let ended = Fleet::new(apps(5), |_| {}).rebase(1, |app| match app {
            "app0" => Ok(RebaseOutcome { outcome: RebaseResult::Elsewhere, version: None }),
            "app1" => Err(ClientError::Status { status: 404, body: String::new() }),
            "app2" => rebased(),
            _ => Err(ClientError::Status { status: 400, body: r#"{"detail":"it crashed"}"#.to_owned() }),
        });

        let reason = "it crashed".to_owned();
        let results = [("app2", Outcome::Rebased { version: Some(4) }), ("app3", Outcome::Failed { reason })];
        let results = results.map(|(app, result)| AppResult { app: app.to_owned(), result });
        assert_eq!(ended, Ended { results: results.to_vec(), left: 1 });
        assert_eq!(line(&ended.results[1]), "app3: failed: it crashed");
    }
}
