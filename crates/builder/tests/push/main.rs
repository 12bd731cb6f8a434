//! A real git and a real ssh client against the builder, with stand-ins for the engine and for the
//! controller's hooks.

mod access;
mod bombs;
mod client;
mod connections;
mod copies;
#[path = "../../../store/tests/disk/mod.rs"]
mod disk;
mod engine;
mod full;
mod histories;
mod hooks;
mod hostile;
mod interruption;
mod packs;
mod pushing;
mod refs;
mod shares;
mod world;

/// The builder under test starts this binary as git's hook, with only this test chosen.
#[test]
#[ignore = "run by git, not by people"]
fn git_hook() {
    if std::env::var_os("WORKFLOW_PUSH_TOKEN").is_some() {
        let accepted = builder::hook_main() == std::process::ExitCode::SUCCESS;
        std::process::exit(i32::from(!accepted));
    }
}
