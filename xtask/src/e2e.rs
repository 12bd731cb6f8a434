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
use crate::images::files::Files;
use crate::images::{self, Image, STACK, WORKFLOW, WorkflowFiles};
use crate::postgres::Postgres;
use crate::{packages, paths, progress};
use user_registry::UserRegistry;

/// Files of scenarios that run on a cluster too.
const SCENARIOS: &[&str] = &[
    "journey",
    "examples",
    "bad_input",
    "settings",
    "edge",
    "websockets",
    "processes",
    "people",
    "images",
    "sessions",
    "cluster",
    "install",
];
/// Installations at once: more than these two cores can carry only makes all of them late.
const AT_ONCE: &str = "2";
/// The machine's own authorities, which builds need where a site signs TLS itself.
const HOST_CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Run the scenarios on one machine, or on a cluster.
#[derive(Debug, clap::Args)]
pub struct E2e {
    /// On a Kubernetes cluster instead of this machine's Docker.
    #[arg(long)]
    cluster: bool,
    /// Only the scenarios of this file, or those whose names contain this text.
    only: Option<String>,
}

impl E2e {
    pub fn run(self) -> anyhow::Result<()> {
        let mut command = match self.cluster {
            true => {
                let stage = Stage::set(&SCENES)?;
                return progress::run(&mut stage.scenarios(self.only.as_deref())?);
            }
            false => crate::test::scenarios(&crate::test::prepare_scenarios()?)?,
        };
        if let Some(only) = &self.only {
            command.arg("--").arg(only);
        }
        progress::run(&mut command)
    }
}

/// What tells one stage from another: several can be set at once.
pub struct Setting {
    /// How the programs are built.
    pub profile: Profile,
    /// Of the images, and the name of the folder that their archives lie in.
    pub tag: &'static str,
    pub registry_port: u16,
    pub postgres_port: u16,
}

/// For scenarios.
pub const SCENES: Setting =
    Setting { profile: Profile::Debug, tag: "e2e", registry_port: 5_000, postgres_port: 5_432 };

/// A cluster that has all that scenarios need; the user's registry ends with it.
pub struct Stage {
    tag: &'static str,
    cluster: Cluster,
    deis: PathBuf,
    stack_files: Files,
    /// CNCF Distribution's program.
    distribution: PathBuf,
    values: PathBuf,
    registry: UserRegistry,
    postgres: Postgres,
}

impl Stage {
    /// Brings up what does not run yet.
    pub fn set(setting: &Setting) -> anyhow::Result<Self> {
        let Setting { profile, tag, registry_port, postgres_port } = *setting;
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
        let binaries = binaries::build(profile)?;
        let registry = UserRegistry::start(&cluster, registry_port)?;
        let distribution = images::distribution()?;
        let files = WorkflowFiles { binaries: &binaries, registry: &distribution }.files();
        let stack_files = images::stack_files(&binaries.slug)?;
        let archives = folder(tag);
        let workflow = Image::make(&WORKFLOW, format!("deis/workflow:{tag}"), &files)?;
        bring(&cluster, &workflow, &archives)?;
        // As that of a user, and as the page about installing has it.
        let users = Image::make(&STACK, registry.name("stack", tag), &stack_files)?;
        let plain = Image::make(&STACK, format!("deis/stack:{tag}"), &stack_files)?;
        bring(&cluster, &users, &archives)?;
        registry.push(&cluster, &users, &archives)?;
        bring(&cluster, &plain, &archives)?;
        let values = write_values(&registry, tag)?;
        let postgres =
            Postgres::start_at(GATEWAY_ADDRESS, postgres_port, &|program| cluster.command(program))?;
        Ok(Self { tag, cluster, deis: binaries.deis, stack_files, distribution, values, registry, postgres })
    }

    /// The command that holds the engine of a cluster to its promises.
    pub fn engine(&self) -> anyhow::Result<Command> {
        let chore = this_file()?;
        let mut command = self.cargo()?;
        command.args(["test", "--package=engine", "--all-features", "--locked", "--no-fail-fast"]);
        command.args(["--test=kubernetes", "--test=kubernetes_images", "--test=kubernetes_jobs"]);
        command
            .env("DEIS_IMAGE_LOADER", format!("{} cluster load", chore.display()))
            .env("WORKFLOW_TEST_REGISTRY", &self.distribution)
            .env("WORKFLOW_TEST_IMAGE", format!("deis/workflow:{}", self.tag))
            .env("WORKFLOW_TEST_STACK", folder(self.tag).join("stack.tar"));
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
        let (files, only) = chosen(only);
        command.args(files.iter().map(|name| format!("--test={name}")));
        command.args(["--", "--test-threads", AT_ONCE]).args(only);
        self.tell(&mut command);
        Ok(command)
    }

    /// This very program again, inside the cluster's network and told what scenarios are told.
    pub fn this_program(&self) -> anyhow::Result<Command> {
        let mut command = self.cluster.command(this_file()?)?;
        command.args(std::env::args_os().skip(1));
        self.tell(&mut command);
        Ok(command)
    }

    /// Puts an image like the stack, but with a file more, into the user's registry; tells its name there.
    pub fn push_other_image(&self) -> anyhow::Result<String> {
        let mut files = self.stack_files.clone();
        files.insert(PathBuf::from("usr/share/other"), paths::checkout().join("Cargo.toml"));
        let other = Image::make(&STACK, self.registry.name("other", self.tag), &files)?;
        let archives = folder(self.tag);
        other.save(&archives)?;
        self.registry.push(&self.cluster, &other, &archives)?;
        Ok(other.name)
    }

    fn tell(&self, command: &mut Command) {
        command
            .env("WORKFLOW_E2E_CLUSTER", "1")
            .env("WORKFLOW_E2E_VALUES", &self.values)
            .env("WORKFLOW_E2E_POSTGRES", self.postgres.url())
            .env("WORKFLOW_E2E_STACK_IMAGE", self.registry.name("stack", self.tag))
            .env("WORKFLOW_E2E_IMAGES", folder(self.tag))
            .env("WORKFLOW_E2E_DISTRIBUTION", &self.distribution)
            .env("WORKFLOW_E2E_INSECURE_REGISTRY", self.registry.host())
            .env("WORKFLOW_E2E_TAG", self.tag)
            .env("DEIS_BIN", &self.deis);
    }

    fn cargo(&self) -> anyhow::Result<Command> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = self.cluster.command(cargo)?;
        command.current_dir(paths::checkout());
        Ok(command)
    }
}

/// Files of scenarios, and a part of the names of those to run.
fn chosen(only: Option<&str>) -> (Vec<&'static str>, Option<&str>) {
    let file = SCENARIOS.iter().find(|file| Some(**file) == only);
    file.map_or((SCENARIOS.to_vec(), only), |file| (vec![*file], None))
}

/// Loads an image on the nodes, unless they have exactly this one.
fn bring(cluster: &Cluster, image: &Image, archives: &Path) -> anyhow::Result<()> {
    let loaded = crate::cluster::state_folder().join("loaded");
    std::fs::create_dir_all(&loaded).with_context(|| format!("cannot make {}", loaded.display()))?;
    let stamp = loaded.join(image.name.replace(['/', ':'], "_"));
    let digest = image.described.digest().to_string();
    if std::fs::read_to_string(&stamp).is_ok_and(|known| known == digest) {
        return Ok(());
    }
    let archive = image.save(archives)?;
    progress::step(&format!("Load {} on all nodes", image.name), || cluster.load_image(&archive))?;
    std::fs::write(&stamp, digest).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Values of the chart that are the same for all scenarios.
fn write_values(registry: &UserRegistry, tag: &str) -> anyhow::Result<PathBuf> {
    let ca_bundle = match Path::new(HOST_CA_BUNDLE).is_file() {
        true => std::fs::read_to_string(HOST_CA_BUNDLE).context(HOST_CA_BUNDLE)?,
        false => String::new(),
    };
    let values = json!({
        "image": { "tag": tag },
        "stackImage": { "repository": registry.repository("stack"), "tag": tag },
        "registry": { "insecureHosts": [registry.host()] },
        "builds": { "caBundle": ca_bundle },
    });
    let folder = folder(tag);
    let path = folder.join("values.json");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(&path, values.to_string()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// This program, by name: the very file may have been replaced by a newer build, which will do.
fn this_file() -> anyhow::Result<PathBuf> {
    let file = std::env::current_exe().context("cannot tell where this program lies")?;
    Ok(file.with_file_name("xtask"))
}

fn folder(tag: &str) -> PathBuf {
    paths::target().join(tag)
}
