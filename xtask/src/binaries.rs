//! The project's programs, built by cargo.

use std::path::PathBuf;
use std::process::Command;

use crate::{paths, progress};

/// Build profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    Debug,
    Release,
    /// The profile of published programs: minutes longer to build.
    Dist,
}

/// Folder of the programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    pub workflow: PathBuf,
    pub deis: PathBuf,
    pub slug: PathBuf,
}

/// Builds all three programs.
pub fn build(profile: Profile) -> anyhow::Result<Binaries> {
    let (arguments, folder): (&[&str], &str) = match profile {
        Profile::Debug => (&[], "debug"),
        Profile::Release => (&["--release"], "release"),
        Profile::Dist => (&["--profile=dist"], "dist"),
    };
    progress::step(&format!("Build workflow and deis ({folder})"), || {
        let packages = ["build", "--package=workflow", "--package=deis"];
        progress::run(cargo().current_dir(paths::checkout()).args(packages).args(arguments))
    })?;
    let slug = build_slug()?;
    Ok(Binaries {
        workflow: paths::target().join(folder).join("workflow"),
        deis: paths::target().join(folder).join("deis"),
        slug,
    })
}

/// Builds the program of the stack image, and `lifecycle` beside it; linked statically, it starts in any stack whatever C library
/// that has.
pub fn build_slug() -> anyhow::Result<PathBuf> {
    let target = paths::target().join("slug");
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    progress::step("Build slug and lifecycle (static)", || {
        progress::run(
            cargo()
                .current_dir(paths::checkout())
                .args([
                    "build",
                    "--package=slug",
                    "--package=lifecycle",
                    "--release",
                    "--target",
                    &triple,
                    "--target-dir",
                ])
                .arg(&target)
                .env("RUSTFLAGS", "-C target-feature=+crt-static"),
        )
    })?;
    Ok(target.join(triple).join("release/slug"))
}

fn cargo() -> Command {
    Command::new(paths::cargo())
}
