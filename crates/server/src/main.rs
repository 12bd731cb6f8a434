//! The `workflow` program: the roles of the platform. Settings and wiring only; no rule lives here.

mod data_dir;
mod files;
mod firewall;
mod handover;
mod health;
mod install;
mod keys;
mod log_writer;
mod memory;
mod orphans;
mod platform_cert;
mod process;
mod push_image;
mod rebase;
mod roles;
mod settings;
mod up;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use engine::build_steps::{self, PASSWORD_VARIABLE, SPEC_VARIABLE, Step};
use rustix::process::{Resource, getrlimit, setrlimit};
use tracing_subscriber::EnvFilter;

use firewall::FirewallCommand;
use keys::Keys;
use log_writer::LineWriter;
use orphans::OrphanCommand;
use push_image::PushImage;
use rebase::RebaseCommand;
use roles::{
    BuilderRole, ControllerRole, LogAgentRole, LoggerRole, RegistryProxyRole, RegistryRole, RouterRole,
};
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
    Controller(Box<ControllerRole>),
    Builder(Box<BuilderRole>),
    Router(Box<RouterRole>),
    Logger(Box<LoggerRole>),
    LogAgent(Box<LogAgentRole>),
    Registry(Box<RegistryRole>),
    RegistryProxy(Box<RegistryProxyRole>),
    PushImage(PushImage),
    Keys(Keys),
    Orphans(OrphanCommand),
    Rebase(RebaseCommand),
    /// Run in the pod of a build, as one of its steps.
    #[command(hide = true)]
    BuildStep {
        step: Step,
    },
    /// Run in the helper container of the firewall: keeps its rules, or removes them.
    #[command(hide = true)]
    Firewall(FirewallCommand),
    /// Run by git when a push arrives; speaks to the builder that started git.
    #[command(hide = true)]
    GitHook,
}

fn main() -> ExitCode {
    without_core_dumps();
    let role = Arguments::parse().role;
    match role {
        Role::GitHook => return builder::hook_main(),
        Role::BuildStep { step } => return build_step(step),
        _ => {}
    }
    match start(&role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Checks the settings, then runs the role to its end.
fn start(role: &Role) -> anyhow::Result<()> {
    match role {
        Role::Up(settings) => settings.check()?,
        Role::Controller(role) => role.check()?,
        Role::Builder(role) => role.check()?,
        Role::Router(role) => role.check()?,
        Role::Logger(role) => role.check()?,
        Role::LogAgent(role) => role.check()?,
        Role::Registry(role) => role.check()?,
        Role::RegistryProxy(role) => role.check()?,
        Role::PushImage(push) => push.check()?,
        Role::Keys(keys) => keys.check()?,
        Role::Orphans(orphans) => orphans.check()?,
        Role::Rebase(rebase) => rebase.check()?,
        Role::Firewall(_) | Role::GitHook | Role::BuildStep { .. } => {}
    }
    if let Role::Up(settings) = role
        && settings.install
    {
        let command = Arguments::command();
        let up = command.find_subcommand("up").expect("it is declared above");
        println!("{}", install::install(&install::Root(PathBuf::from("/")), settings, up)?);
        return Ok(());
    }
    start_log();
    choose_tls_provider();
    memory::keep_trimmed()?;
    match role {
        Role::Up(settings) => up::run(settings),
        Role::Controller(role) => role.run(),
        Role::Builder(role) => role.run(),
        Role::Router(role) => role.run(),
        Role::Logger(role) => role.run(),
        Role::LogAgent(role) => role.run(),
        Role::Registry(role) => role.run(),
        Role::RegistryProxy(role) => role.run(),
        Role::PushImage(push) => push.run(),
        Role::Keys(keys) => keys.run(),
        Role::Orphans(orphans) => orphans.run(),
        Role::Rebase(rebase) => rebase.run(),
        Role::Firewall(firewall) => firewall.run(),
        Role::GitHook | Role::BuildStep { .. } => Ok(()),
    }
}

/// Keys and passwords are in our memory: it goes to no file, and to no debugger of another process of our user. The
/// hard limit stays, for children that ask for it.
fn without_core_dumps() {
    let none = rustix::process::Rlimit { current: Some(0), ..getrlimit(Resource::Core) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        eprintln!("warning: cannot switch core dumps off: {error}");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        eprintln!("warning: cannot keep this process from being dumped: {error}");
    }
}

fn choose_tls_provider() {
    rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .expect("nothing has chosen another provider");
}

/// Its output goes to the pusher, so that nothing else is printed.
fn build_step(step: Step) -> ExitCode {
    choose_tls_provider();
    let spec = std::env::var(SPEC_VARIABLE).unwrap_or_default();
    let password = std::env::var(PASSWORD_VARIABLE).ok();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let code = match runtime {
        Ok(runtime) => runtime.block_on(build_steps::run(step, &spec, password)),
        Err(error) => {
            println!("cannot start the step's runtime: {error}");
            1
        }
    };
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

/// Logs to stderr; `WORKFLOW_LOG` chooses what, such as `info,access=debug`.
fn start_log() {
    let filter = EnvFilter::try_from_env("WORKFLOW_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_terminal)
        .with_writer(move || LineWriter::new(std::io::stderr(), is_terminal))
        .init();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_memory_goes_to_no_core_dump() {
        without_core_dumps();

        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        #[cfg(target_os = "linux")]
        assert_eq!(
            rustix::process::dumpable_behavior().expect("it can be asked"),
            rustix::process::DumpableBehavior::NotDumpable
        );
    }
}
