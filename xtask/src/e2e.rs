//! `cargo xtask e2e --cluster`: the scenarios on a real Kubernetes.
//!
//! The cluster is started, both images are made and loaded on its nodes, and a registry runs beside it like
//! that of a user: it has the stack image, as an image that users deploy and build upon. Then the scenarios run
//! inside the cluster's network; each has an installation of the chart.

mod user_registry;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use cluster::{Cluster, DATABASE_ADDRESS, Programs};
use serde_json::json;

use crate::binaries::{self, Profile};
use crate::images::files::Files;
use crate::images::stacks::{self, Stack, Use};
use crate::images::{self, BUILDER, BuildKit, Image, WORKFLOW, WorkflowFiles};
use crate::postgres::Postgres;
use crate::test::TestRun;
use crate::{packages, paths, progress};
use user_registry::UserRegistry;

/// Files with scenarios that run on a cluster too.
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
/// Scenarios that do not depend on the engine: the whole run has them on one machine only. By name, they run here too.
const ON_ONE_MACHINE_ONLY: &[&str] = &[
    "the_first_user_becomes_administrator_and_then_only_administrators_register_others",
    "only_who_may_touch_an_app_does",
    "hosts_of_the_platform_and_of_other_apps_cannot_be_claimed",
    "people_administer_share_and_hand_over",
    "where_the_operator_asks_for_proof_a_domain_is_added_once_its_txt_record_is_set",
    "config_is_edited_as_a_file",
    "a_push_that_makes_no_sense_says_why",
    // Packs run in the same program on both engines; one of them and Dockerfiles test the engine's part.
    "nodejs",
    "go",
    "java_without_a_framework",
    "php_behind_nginx",
    "rust_with_axum",
    "static_files",
    "procfile_alone",
    "a_dockerfile_with_build_arguments_and_a_procfile",
    // A cluster refuses such builds.
    "cloud_native_buildpacks",
];
/// The toolchain that one scenario on a cluster needs.
const TOOLCHAIN: &str = "ruby";
/// Installations at once: more of them, on two cores, only make each slower.
const AT_ONCE: &str = "2";
/// The machine's certificate authorities, which builds need where a site's own authority signs TLS.
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
        let only = self.only.as_deref();
        if self.cluster {
            let stage = Stage::set(&SCENES)?;
            let ended = progress::run(&mut stage.scenarios(only)?.command()?);
            return stage.remove_platforms().and(ended);
        }
        progress::run(&mut crate::test::scenarios()?.arguments(only.as_slice()).command()?)
    }
}

/// Settings of a stage: several stages can exist at once.
pub struct Setting {
    /// Build profile of the programs.
    pub profile: Profile,
    /// Tag of the images, and name of the folder with their archives.
    pub tag: &'static str,
    pub registry_port: u16,
    pub postgres_port: u16,
}

/// Setting of scenarios.
pub const SCENES: Setting =
    Setting { profile: Profile::Debug, tag: "e2e", registry_port: 5_000, postgres_port: 5_432 };

/// A cluster with everything that scenarios need; the user's registry ends with it.
pub struct Stage {
    tag: &'static str,
    cluster: Cluster,
    deis: PathBuf,
    slug: PathBuf,
    /// CNCF Distribution's program.
    distribution: PathBuf,
    values: PathBuf,
    registry: UserRegistry,
    postgres: Postgres,
}

impl Stage {
    /// Starts the parts that do not run yet.
    pub fn set(setting: &Setting) -> anyhow::Result<Self> {
        let Setting { profile, tag, registry_port, postgres_port } = *setting;
        packages::ensure(&[
            packages::GIT,
            packages::SSH,
            packages::SSH_KEYGEN,
            packages::CURL,
            packages::MMDEBSTRAP,
            packages::POSTGRESQL,
        ])?;
        let cluster = Cluster::chosen();
        cluster.up(None)?;
        let binaries = binaries::build(profile)?;
        let registry = UserRegistry::start(&cluster, registry_port)?;
        let distribution = images::distribution()?;
        let programs = WorkflowFiles { workflow: &binaries.workflow, registry: &distribution };
        let files = programs.files()?;
        let archives = folder(tag);
        let workflow = Image::make(&WORKFLOW, format!("deis/workflow:{tag}"), &files)?;
        bring(&cluster, &workflow, &archives)?;
        let files = BuildKit::ensure()?.builder_files(&binaries.slug, Some(&binaries.workflow))?;
        let builder = Image::make(&BUILDER, format!("deis/builder:{tag}"), &files)?;
        bring(&cluster, &builder, &archives)?;
        // As a user's registry would have it, and as docs/install.md names it.
        let stack = stack_tag(tag);
        let toolchains = [TOOLCHAIN.to_owned()];
        for image in
            stacks::images(stacks::DEFAULT, &toolchains, &binaries.slug, &registry.name("stack", &stack))?
        {
            bring(&cluster, &image, &archives)?;
            registry.push(&cluster, &image, &archives)?;
        }
        for image in
            stacks::images(stacks::DEFAULT, &toolchains, &binaries.slug, &format!("deis/stack:{stack}"))?
        {
            bring(&cluster, &image, &archives)?;
        }
        let values = write_values(&registry, tag)?;
        let postgres =
            Postgres::start_at(DATABASE_ADDRESS, postgres_port, &|program| cluster.command(program))?;
        Ok(Self {
            tag,
            cluster,
            deis: binaries.deis,
            slug: binaries.slug,
            distribution,
            values,
            registry,
            postgres,
        })
    }

    /// Tests of the engine on a cluster: the conformance suite.
    pub fn engine(&self) -> anyhow::Result<TestRun> {
        let chore = this_file()?;
        let tests = ["--test=kubernetes", "--test=kubernetes_images", "--test=kubernetes_jobs"];
        let run =
            TestRun::on(&self.cluster, &["--package=engine-kubernetes", "--all-features"]).selecting(&tests);
        Ok(run
            .at_once(tests.len())
            .env("DEIS_IMAGE_LOADER", format!("{} cluster load", chore.display()))
            .env("WORKFLOW_TEST_REGISTRY", &self.distribution)
            .env("WORKFLOW_TEST_IMAGE", format!("deis/workflow:{}", self.tag))
            .env("WORKFLOW_TEST_BUILDER", format!("deis/builder:{}", self.tag))
            .env("WORKFLOW_TEST_STACK", folder(self.tag).join(format!("stack-{}.tar", stack_tag(self.tag)))))
    }

    /// The scenarios.
    pub fn scenarios(&self, only: Option<&str>) -> anyhow::Result<TestRun> {
        // An earlier run may have been stopped, with other programs.
        self.remove_platforms()?;
        let is_whole = only.is_none();
        let (files, only) = chosen(only);
        let files: Vec<_> = files.iter().map(|name| format!("--test={name}")).collect();
        let run = TestRun::on(&self.cluster, &["--package=e2e", "--features=cluster"]);
        let run = run.selecting(&files.iter().map(String::as_str).collect::<Vec<_>>());
        let mut run = run.arguments(&["--test-threads", AT_ONCE]).arguments(only.as_slice());
        if is_whole {
            run = run.arguments(&["--exact"]);
            run = ON_ONE_MACHINE_ONLY.iter().fold(run, |run, name| run.arguments(&["--skip", name]));
        }
        let variables = self.variables();
        let run = variables.into_iter().fold(run, |run, (name, value)| run.env(name, value));
        Ok(run.env("WORKFLOW_E2E_PLATFORMS", self.platforms()?))
    }

    /// Removes the platforms that scenarios have left for reuse.
    pub fn remove_platforms(&self) -> anyhow::Result<()> {
        let folder = self.platforms()?;
        for file in std::fs::read_dir(&folder)?.flatten() {
            let release = file.file_name().to_string_lossy().into_owned();
            let mut helm = self.cluster.command("helm")?;
            let named = [&*release, &format!("--namespace={release}"), "--ignore-not-found"];
            progress::run(helm.arg("uninstall").args(named).stdout(Stdio::null()))?;
            let mut kubectl = self.cluster.command("kubectl")?;
            kubectl.args(["delete", "namespace", "--wait=false", "--ignore-not-found"]);
            progress::run(kubectl.args([&release, &format!("{release}-builds")]).stdout(Stdio::null()))?;
            std::fs::remove_file(file.path())?;
        }
        Ok(())
    }

    /// Folder in which scenarios record free platforms.
    fn platforms(&self) -> anyhow::Result<PathBuf> {
        let folder = folder(self.tag).join("platforms");
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(folder)
    }

    /// A command of this program inside the cluster's network, with the environment of scenarios.
    pub fn this_program(&self) -> anyhow::Result<Command> {
        let mut command = self.cluster.command(this_file()?)?;
        command.args(std::env::args_os().skip(1));
        command.envs(self.variables());
        Ok(command)
    }

    /// Pushes an image like the stack, but with one more file, to the user's registry; returns its name there.
    pub fn push_other_image(&self) -> anyhow::Result<String> {
        let stack = Stack::named(stacks::DEFAULT)?;
        let file = Files::from([("usr/share/other".into(), paths::checkout().join("Cargo.toml"))]);
        let other =
            stack.make(&self.slug)?.image(Use::Run, self.registry.name("other", self.tag)).with(&file)?;
        let archives = folder(self.tag);
        other.save(&archives)?;
        self.registry.push(&self.cluster, &other, &archives)?;
        Ok(other.name)
    }

    /// Environment of scenarios.
    fn variables(&self) -> [(&'static str, OsString); 9] {
        [
            ("WORKFLOW_E2E_CLUSTER", "1".into()),
            ("WORKFLOW_E2E_VALUES", self.values.clone().into()),
            ("WORKFLOW_E2E_POSTGRES", self.postgres.url().into()),
            ("WORKFLOW_E2E_STACK_IMAGE", self.registry.name("stack", &stack_tag(self.tag)).into()),
            ("WORKFLOW_E2E_IMAGES", folder(self.tag).into()),
            ("WORKFLOW_E2E_DISTRIBUTION", self.distribution.clone().into()),
            ("WORKFLOW_E2E_INSECURE_REGISTRY", self.registry.host().into()),
            ("WORKFLOW_E2E_TAG", self.tag.into()),
            ("DEIS_BIN", self.deis.clone().into()),
        ]
    }
}

/// Tests of the chart, rendered by Helm; no cluster is needed.
pub fn chart() -> anyhow::Result<TestRun> {
    let path = Programs::ensure_only(|program| program == "helm")?.search_path()?;
    Ok(TestRun::new(&["--package=xtask", "--features=cluster", "--test=chart"]).env("PATH", path))
}

/// Files of scenarios, and a part of the names of those to run.
fn chosen(only: Option<&str>) -> (Vec<&'static str>, Option<&str>) {
    let file = SCENARIOS.iter().find(|file| Some(**file) == only);
    file.map_or((SCENARIOS.to_vec(), only), |file| (vec![*file], None))
}

/// Loads an image on the nodes, unless they have this very image.
fn bring(cluster: &Cluster, image: &Image, archives: &Path) -> anyhow::Result<()> {
    let loaded = cluster::state_folder().join("loaded");
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

/// Tag of the run image of the default stack.
fn stack_tag(tag: &str) -> String {
    format!("{}-{tag}", stacks::DEFAULT)
}

/// Values of the chart that are the same for all scenarios.
fn write_values(registry: &UserRegistry, tag: &str) -> anyhow::Result<PathBuf> {
    let ca_bundle = match Path::new(HOST_CA_BUNDLE).is_file() {
        true => std::fs::read_to_string(HOST_CA_BUNDLE).context(HOST_CA_BUNDLE)?,
        false => String::new(),
    };
    let values = json!({
        "image": { "tag": tag },
        "builderImage": { "tag": tag },
        "stackImage": { "repository": registry.repository("stack"), "tag": tag },
        "registry": { "insecureHosts": [registry.host()] },
        "builds": { "caBundle": ca_bundle },
        "networkPolicies": { "closedAddresses": [{ "cidr": format!("{DATABASE_ADDRESS}/32") }] },
    });
    let folder = folder(tag);
    let path = folder.join("values.json");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(&path, values.to_string()).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// This program, by name: its file may have been replaced by a newer build, which is fine to use.
fn this_file() -> anyhow::Result<PathBuf> {
    let file = std::env::current_exe().context("cannot tell where this program lies")?;
    Ok(file.with_file_name("xtask"))
}

fn folder(tag: &str) -> PathBuf {
    paths::target().join(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_left_out_on_a_cluster_exist() {
        let read = |file: &&str| {
            let path = paths::checkout().join("e2e/tests").join(format!("{file}.rs"));
            std::fs::read_to_string(path).expect("a file of scenarios")
        };
        let scenarios: String = SCENARIOS.iter().map(read).collect();

        for name in ON_ONE_MACHINE_ONLY {
            assert!(scenarios.contains(&format!("\nfn {name}()")), "no scenario is called {name}");
        }
    }
}
