//! Chores of the project: `cargo xtask help` lists them.

mod bench;
mod binaries;
mod cluster;
mod daemon;
mod demo;
mod e2e;
mod fuzz;
mod images;
mod platform;
mod postgres;
mod samples;
mod stack;
mod test;
mod wire;

use chores::{packages, paths, progress};
use clap::{Parser, Subcommand};

/// Chores of the project.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = false)]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Debug, Subcommand)]
enum Chore {
    /// Start the platform on this machine and push an app to it, step by step.
    Demo(demo::Demo),
    /// Run all tests that must pass, or some of them; what they need is installed and built.
    Test(test::Test),
    /// Run the scenarios, on this machine or on a cluster.
    E2e(e2e::E2e),
    /// Push every app of `examples/` to a platform of its own, with a table of times.
    Samples(samples::Samples),
    /// Make both images of the platform as archives for a registry or a cluster's nodes.
    Images(images::Images),
    /// Make the stack image that buildpack builds run in.
    Stack(stack::Stack),
    /// Measure: `push`, `roll`, `deploy`, `memory`, `api`, `router` or `hostile`.
    Bench(bench::Bench),
    /// Test with random input: `api`, `router` or `annotations`.
    Fuzz(fuzz::Fuzz),
    /// Test the router's protocols: `h2spec` or `tls`.
    Wire(wire::Wire),
    /// A real Kubernetes for tests: `up`, `down`, `status`, `kubectl`, `exec` or `load`.
    Cluster(cluster::ClusterChore),
}

fn main() -> std::process::ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Demo(demo) => demo.run(),
        Chore::Test(test) => test.run(),
        Chore::E2e(e2e) => e2e.run(),
        Chore::Samples(samples) => samples.run(),
        Chore::Images(images) => images.run(),
        Chore::Stack(stack) => stack.run(),
        Chore::Bench(bench) => bench.run(),
        Chore::Fuzz(fuzz) => fuzz.run(),
        Chore::Wire(wire) => wire.run(),
        Chore::Cluster(cluster) => cluster.run(),
    };
    match done {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
