//! Recipes of the images.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use cluster::{BUILDKIT, Programs};

use super::Recipe;
use super::files::Files;
use crate::progress;

pub const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// BuildKit's daemon is started as root with the two capabilities that mapping ids takes and needs no program
/// with the set-user-id bit; the ranges of subordinate ids are those of its user.
const PREPARE_WORKFLOW: &str = "groupadd --gid 1000 deis \
    && useradd --uid 1000 --gid 1000 --home-dir /var/lib/workflow --no-create-home --shell /usr/sbin/nologin deis \
    && echo deis:100000:65536 >/etc/subuid && echo deis:100000:65536 >/etc/subgid \
    && chmod u-s /usr/bin/newuidmap /usr/bin/newgidmap \
    && install -d -o 1000 -g 1000 -m 0755 /var/lib/buildkit \
       /workspace /workspace/source /workspace/out /bases \
    && install -d -m 0755 /etc/buildkit \
    && install -d -o 1000 -g 1000 -m 0700 /var/lib/workflow";

/// Half of the content of the packages of `images/workflow/packages.txt`. Debian's list of packages stays, for scanners
/// of known vulnerabilities. Of git, the parts stay that the builder and BuildKit's `ADD <repository>` call; character
/// sets of mainframes are the half of glibc's that no repository names as its `working-tree-encoding`.
const UNUSED_IN_WORKFLOW: &[&str] = &[
    "/etc/perl /usr/share/perl* /usr/bin/*perl* /usr/lib/*-linux-gnu/*perl*",
    "/usr/bin/apt* /usr/lib/apt /usr/lib/*-linux-gnu/libapt-* /usr/lib/*-linux-gnu/libstdc++*",
    "/usr/bin/git-shell /usr/bin/scalar /usr/share/gitweb",
    "/usr/lib/git-core/git-daemon /usr/lib/git-core/git-http-backend /usr/lib/git-core/git-http-fetch",
    "/usr/lib/git-core/git-http-push /usr/lib/git-core/git-imap-send /usr/lib/git-core/git-shell",
    "/usr/lib/git-core/scalar /usr/lib/*-linux-gnu/gconv/IBM*",
];

/// The image of all roles of the platform, and of the steps around a build.
pub const WORKFLOW: Recipe = Recipe {
    folder: "workflow",
    prepare: PREPARE_WORKFLOW,
    unused: UNUSED_IN_WORKFLOW,
    entrypoint: "/usr/local/bin/workflow",
};

/// The image in which Dockerfiles are built. Its base is that of the workflow image; on top are BuildKit, `slug`, which
/// fetches submodules, `lifecycle`, which restores and exports layers of Cloud Native Buildpacks, and for a cluster `workflow`, whose `build-step` starts BuildKit there.
pub const BUILDER: Recipe = Recipe {
    folder: "workflow",
    prepare: PREPARE_WORKFLOW,
    unused: UNUSED_IN_WORKFLOW,
    entrypoint: "/usr/local/bin/buildkitd",
};

/// BuildKit's programs.
pub struct BuildKit {
    daemon: PathBuf,
    client: PathBuf,
}

impl BuildKit {
    /// Builds the missing programs.
    pub fn ensure() -> anyhow::Result<Self> {
        let programs = Programs::ensure_group(&BUILDKIT)?;
        let found = |name: &str| {
            let file = programs.path(name);
            file.is_file().then_some(file).with_context(|| format!("{name} was not built"))
        };
        Ok(Self { daemon: found("buildkitd")?, client: found("buildctl")? })
    }

    /// Files of the builder image; `lifecycle` lies beside `slug`. `workflow` is needed in a cluster only.
    pub fn builder_files(&self, slug: &Path, workflow: Option<&Path>) -> anyhow::Result<Files> {
        let workflow = workflow.map(stripped).transpose()?;
        let lifecycle = slug.with_file_name("lifecycle");
        let programs = [
            ("buildkitd", self.daemon.as_path()),
            ("buildctl", &self.client),
            ("slug", slug),
            ("lifecycle", &lifecycle),
        ];
        let workflow = workflow.iter().map(|file| ("workflow", file.as_path()));
        Ok(programs.into_iter().chain(workflow).map(placed).collect())
    }
}

fn placed((name, file): (&str, &Path)) -> (PathBuf, PathBuf) {
    (Path::new("usr/local/bin").join(name), file.to_owned())
}

/// The platform's program and those that it starts.
pub struct WorkflowFiles<'a> {
    pub workflow: &'a Path,
    /// CNCF Distribution's `registry`.
    pub registry: &'a Path,
}

impl WorkflowFiles<'_> {
    pub fn files(&self) -> anyhow::Result<Files> {
        let workflow = stripped(self.workflow)?;
        Ok([("workflow", workflow.as_path()), ("registry", self.registry)].into_iter().map(placed).collect())
    }
}

/// A copy of a program without its symbols, a fifth of its size: nobody runs a debugger in an image.
fn stripped(program: &Path) -> anyhow::Result<PathBuf> {
    let copy = program.with_extension("stripped");
    let unfinished = program.with_extension(format!("{}-unfinished", std::process::id()));
    progress::run(Command::new("strip").arg("-o").arg(&unfinished).arg(program))?;
    std::fs::rename(&unfinished, &copy).with_context(|| format!("cannot write {}", copy.display()))?;
    Ok(copy)
}
