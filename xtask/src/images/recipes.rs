//! What the two images are made of.

use std::path::{Path, PathBuf};

use super::Recipe;
use super::archive::Start;
use super::files::{self, Files};
use crate::binaries::Binaries;
use crate::paths;

const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Buildpack builds run in it, and the apps that they make.
pub const STACK: Recipe = Recipe {
    folder: "stack",
    prepare: "groupadd --gid 2000 slug \
        && useradd --uid 2000 --gid 2000 --home-dir /app --no-create-home --shell /bin/bash slug \
        && install -d -o 2000 -g 2000 -m 0755 /app /workspace /workspace/source /workspace/env \
           /workspace/cache /workspace/out",
    start: Start {
        user: "2000:2000",
        env: &[PATH, "HOME=/app", "STACK=bookworm", "LANG=C.UTF-8"],
        entrypoint: "/usr/bin/slug",
        folder: "/app",
    },
};

/// All roles of the platform run from it. Only the step that builds a Dockerfile runs as root, for whose
/// user namespaces there are the ranges of subordinate ids.
pub const WORKFLOW: Recipe = Recipe {
    folder: "workflow",
    prepare: "groupadd --gid 1000 deis \
        && useradd --uid 1000 --gid 1000 --home-dir /var/lib/workflow --no-create-home --shell /usr/sbin/nologin deis \
        && echo root:100000:65536 >/etc/subuid && echo root:100000:65536 >/etc/subgid \
        && install -d -o 1000 -g 1000 -m 0700 /var/lib/workflow",
    start: Start {
        user: "1000:1000",
        env: &[PATH, "HOME=/var/lib/workflow", "LANG=C.UTF-8"],
        entrypoint: "/usr/local/bin/workflow",
        folder: "/var/lib/workflow",
    },
};

/// `slug` and the buildpacks.
pub fn stack_files(slug: &Path) -> anyhow::Result<Files> {
    let mut files = Files::from([(PathBuf::from("usr/bin/slug"), slug.to_owned())]);
    files::add_folder(&mut files, "buildpacks", &paths::checkout().join("buildpacks"))?;
    Ok(files)
}

/// The platform's programs and the registry's.
pub struct WorkflowFiles<'a> {
    pub binaries: &'a Binaries,
    /// CNCF Distribution's `registry`.
    pub registry: &'a Path,
}

impl WorkflowFiles<'_> {
    pub fn files(&self) -> Files {
        let Binaries { workflow, deis, slug } = self.binaries;
        let programs =
            [("workflow", workflow.as_path()), ("deis", deis), ("slug", slug), ("registry", self.registry)];
        let placed = |(name, file): (&str, &Path)| (Path::new("usr/local/bin").join(name), file.to_owned());
        programs.into_iter().map(placed).collect()
    }
}
