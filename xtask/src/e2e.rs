//! `cargo xtask e2e --cluster`: the scenarios on a real Kubernetes.
//!
//! The cluster comes up, both images are made and brought to its nodes, and a registry stands beside it as
//! that of a user: the stack image is there, as an image that people bring and build upon. Then the scenarios run
//! inside the cluster's network; each installs the chart for itself.

mod user_registry;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use serde_json::json;

use crate::binaries::{self, Profile};
use crate::cluster::{Cluster, GATEWAY_ADDRESS};
use crate::images::{self, Image, STACK, WORKFLOW, WorkflowFiles};
use crate::postgres::Postgres;
use crate::{packages, paths, progress};
use user_registry::UserRegistry;

/// Files of scenarios that run on a cluster too.
const SCENARIOS: [&str; 7] = ["journey", "examples", "bad_input", "settings", "edge", "cluster", "install"];
/// Installations at once: more than these two cores can carry only makes all of them late.
const AT_ONCE: &str = "2";
const TAG: &str = "e2e";
/// One of these: a server of a run that was killed may still hold its own.
const POSTGRES_PORTS: std::ops::Range<u32> = 15_000..20_000;
/// The machine's own authorities, which builds need where a site signs TLS itself.
const HOST_CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Run the scenarios on one machine, or on a cluster.
#[derive(Debug, clap::Args)]
pub struct E2e {
    /// On a Kubernetes cluster instead of this machine's Docker.
    #[arg(long)]
    cluster: bool,
    /// Only scenarios whose names contain this text.
    only: Option<String>,
}

impl E2e {
    pub fn run(self) -> anyhow::Result<()> {
        let mut command = match self.cluster {
            true => {
                let stage = Stage::set()?;
                return progress::run(&mut stage.scenarios(self.only.as_deref())?);
            }
            false => crate::test::scenarios(&crate::test::prepare_scenarios()?),
        };
        if let Some(only) = &self.only {
            command.arg("--").arg(only);
        }
        progress::run(&mut command)
    }
}

/// A cluster that has all that scenarios need; the user's registry ends with it.
pub struct Stage {
    cluster: Cluster,
    deis: PathBuf,
    /// CNCF Distribution's program.
    distribution: PathBuf,
    values: PathBuf,
    registry: UserRegistry,
    postgres: Postgres,
}

impl Stage {
    /// Brings up what does not run yet.
    pub fn set() -> anyhow::Result<Self> {
        packages::ensure(&[
            packages::GIT,
            packages::SSH,
            packages::SSH_KEYGEN,
            packages::CURL,
            packages::OPENSSL,
            packages::MMDEBSTRAP,
            packages::POSTGRESQL,
        ])?;
        let cluster = Cluster::chosen();
        cluster.up(None)?;
        let binaries = binaries::build(Profile::Debug)?;
        let registry = UserRegistry::start(&cluster)?;
        let distribution = images::distribution()?;
        let files = WorkflowFiles { binaries: &binaries, registry: &distribution }.files();
        let stack_files = images::stack_files(&binaries.slug)?;
        bring(&cluster, &Image::make(&WORKFLOW, format!("deis/workflow:{TAG}"), &files)?)?;
        // As that of a user, and as the page about installing has it.
        let users = Image::make(&STACK, registry.name("stack", TAG), &stack_files)?;
        let plain = Image::make(&STACK, format!("deis/stack:{TAG}"), &stack_files)?;
        bring(&cluster, &users)?;
        registry.push(&cluster, &users)?;
        bring(&cluster, &plain)?;
        let values = write_values(&registry)?;
        let port = POSTGRES_PORTS.start + std::process::id() % (POSTGRES_PORTS.end - POSTGRES_PORTS.start);
        let port = u16::try_from(port).context("ports are below 65536")?;
        let postgres = Postgres::start_at(GATEWAY_ADDRESS, port, &|program| cluster.command(program))?;
        Ok(Self { cluster, deis: binaries.deis, distribution, values, registry, postgres })
    }

    /// The command that holds the engine of a cluster to its promises.
    pub fn engine(&self) -> anyhow::Result<Command> {
        // By name: this very file may have been replaced by a newer build, which will do.
        let chore = std::env::current_exe().context("cannot tell where this program lies")?;
        let chore = chore.with_file_name("xtask");
        let mut command = self.cargo()?;
        command.args(["test", "--package=engine", "--all-features", "--locked", "--no-fail-fast"]);
        command.args(["--test=kubernetes", "--test=kubernetes_images", "--test=kubernetes_jobs"]);
        command
            .env("DEIS_IMAGE_LOADER", format!("{} cluster load", chore.display()))
            .env("WORKFLOW_TEST_REGISTRY", &self.distribution)
            .env("WORKFLOW_TEST_IMAGE", format!("deis/workflow:{TAG}"))
            .env("WORKFLOW_TEST_STACK", folder().join("stack.tar"));
        Ok(command)
    }

    /// The command that looks at what Helm makes of the chart.
    pub fn chart(&self) -> anyhow::Result<Command> {
        let mut command = self.cargo()?;
        command.args(["test", "--package=xtask", "--features=cluster", "--locked", "--test=chart"]);
        Ok(command)
    }

    /// The command that runs the scenarios.
    pub fn scenarios(&self, only: Option<&str>) -> anyhow::Result<Command> {
        let mut command = self.cargo()?;
        command.args(["test", "--package=e2e", "--features=cluster", "--locked", "--no-fail-fast"]);
        command.args(SCENARIOS.map(|name| format!("--test={name}")));
        command
            .env("WORKFLOW_E2E_CLUSTER", "1")
            .env("WORKFLOW_E2E_VALUES", &self.values)
            .env("WORKFLOW_E2E_POSTGRES", self.postgres.url())
            .env("WORKFLOW_E2E_STACK_IMAGE", self.registry.name("stack", TAG))
            .env("WORKFLOW_E2E_IMAGES", folder())
            .env("WORKFLOW_E2E_TAG", TAG)
            .env("DEIS_BIN", &self.deis);
        command.args(["--", "--test-threads", AT_ONCE]).args(only);
        Ok(command)
    }

    fn cargo(&self) -> anyhow::Result<Command> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.cluster.command(cargo)?;
        command.current_dir(paths::checkout());
        Ok(command)
    }
}

/// Loads an image on the nodes, unless they have exactly this one.
fn bring(cluster: &Cluster, image: &Image) -> anyhow::Result<()> {
    let loaded = crate::cluster::state_folder().join("loaded");
    std::fs::create_dir_all(&loaded).with_context(|| format!("cannot make {}", loaded.display()))?;
    let stamp = loaded.join(image.name.replace(['/', ':'], "_"));
    let digest = image.described.digest().to_string();
    if std::fs::read_to_string(&stamp).is_ok_and(|known| known == digest) {
        return Ok(());
    }
    let archive = image.save(&folder())?;
    progress::step(&format!("Load {} on all nodes", image.name), || cluster.load_image(&archive))?;
    std::fs::write(&stamp, digest).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Values of the chart that are the same for all scenarios.
fn write_values(registry: &UserRegistry) -> anyhow::Result<PathBuf> {
    let insecure = json!([{ "name": "WORKFLOW_INSECURE_REGISTRIES", "value": registry.host() }]);
    let ca_bundle = match Path::new(HOST_CA_BUNDLE).is_file() {
        true => std::fs::read_to_string(HOST_CA_BUNDLE).context(HOST_CA_BUNDLE)?,
        false => String::new(),
    };
    let values = json!({
        "image": { "tag": TAG },
        "stackImage": { "repository": registry.repository("stack"), "tag": TAG },
        "controller": { "extraEnv": insecure },
        "builder": { "extraEnv": insecure },
        "builds": { "caBundle": ca_bundle },
    });
    let path = folder().join("values.json");
    std::fs::create_dir_all(folder())?;
    std::fs::write(&path, values.to_string()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

fn folder() -> PathBuf {
    paths::target().join("e2e")
}
