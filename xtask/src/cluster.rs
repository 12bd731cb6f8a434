//! `cargo xtask cluster`: a real Kubernetes for tests, see the package `cluster`.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context as _;
use cluster::{Cluster, Status};

/// Start, look at, use and remove a Kubernetes for tests.
#[derive(Debug, clap::Args)]
pub struct ClusterChore {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Build what is missing and start the cluster; with KUBECONFIG set, only check that it answers.
    Up {
        /// Number of nodes; two unless the cluster runs.
        #[arg(long)]
        nodes: Option<u8>,
    },
    /// Take the cluster down and remove all of it; built programs stay in the cache.
    Down,
    /// Show nodes and components.
    Status {
        /// `json` for scripts.
        #[arg(short, long, value_enum, default_value = "text")]
        output: Output,
    },
    /// Run kubectl against the cluster.
    Kubectl {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Run a program inside the cluster's network, with KUBECONFIG set and kubectl and helm in PATH.
    Exec {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        words: Vec<OsString>,
    },
    /// Load an image on every node, from an archive of OCI's or Docker's kind.
    Load { archive: PathBuf },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Output {
    Text,
    Json,
}

impl ClusterChore {
    pub fn run(self) -> anyhow::Result<()> {
        let cluster = Cluster::chosen();
        match self.action {
            Action::Up { nodes } => cluster.up(nodes),
            Action::Down => cluster.down(),
            Action::Status { output } => print_status(&cluster.status()?, output),
            Action::Kubectl { arguments } => become_program(cluster.command("kubectl")?.args(arguments)),
            Action::Exec { words } => become_program(cluster.command(&words[0])?.args(&words[1..])),
            Action::Load { archive } => cluster.load_image(&archive),
        }
    }
}

fn print_status(status: &Status, output: Output) -> anyhow::Result<()> {
    match output {
        Output::Text => println!("{}", status.text()),
        Output::Json => println!("{}", serde_json::to_string_pretty(status)?),
    }
    Ok(())
}

/// Replaces this process by a program, so that its exit code, signals and terminal are the caller's.
fn become_program(command: &mut Command) -> anyhow::Result<()> {
    let error = command.exec();
    Err(error).with_context(|| format!("cannot run `{}`", crate::progress::shown(command)))
}
