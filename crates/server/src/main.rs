//! The `workflow` program: the roles of the platform. Settings and wiring only; no rule lives here.

mod data_dir;
mod install;
mod settings;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use settings::UpSettings;

/// Deis Workflow: push source with git, get a running, routed, numbered release.
#[derive(Debug, Parser)]
#[command(name = "workflow", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Run the whole platform on this machine with Docker.
    Up(Box<UpSettings>),
    /// Run by git when a push arrives; speaks to the builder that started git.
    #[command(hide = true)]
    GitHook,
}

fn main() -> ExitCode {
    match Arguments::parse().role {
        Role::GitHook => builder::hook_main(),
        Role::Up(settings) => report(start(&settings)),
    }
}

fn start(settings: &UpSettings) -> anyhow::Result<()> {
    settings.check()?;
    if settings.install {
        let command = Arguments::command();
        let up = command.find_subcommand("up").expect("it is declared above");
        println!("{}", install::install(&install::Root(PathBuf::from("/")), settings, up)?);
        return Ok(());
    }
    start_log();
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing has chosen another provider");
    up::run(settings)
}

/// Logs to stderr; `WORKFLOW_LOG` chooses what, such as `info,access=debug`.
fn start_log() {
    let filter = EnvFilter::try_from_env("WORKFLOW_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_terminal)
        .with_writer(std::io::stderr)
        .init();
}

fn report(ended: anyhow::Result<()>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
