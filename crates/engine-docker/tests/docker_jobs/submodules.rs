//! Submodules: fetched inside the build's sandbox, from a server of this machine.

use domain::build::{BuildJob, BuildKind};
use domain::submodules::Submodule;
use engine::JobError;
use engine::conformance::builds::{build, built, job, nothing_is_left};

use crate::git_over_https::GitServer;
use crate::world::{BASE_IMAGE, World};

fn job_with(world: &World, kind: BuildKind, url: String, commit: &str) -> BuildJob {
    let (path, commit) = ("lib/a".to_owned(), commit.to_owned());
    BuildJob { submodules: vec![Submodule { path, commit, url }], ..job(world, kind) }
}

#[tokio::test]
async fn submodules_are_in_the_source_before_it_is_built() {
    let server = GitServer::for_containers();
    let commit = server.commit("lib.git", &[("word", "teal\n")]);
    let world = World::with(|settings| settings.build_ca_bundle = Some(server.authority())).await;
    let dockerfile = format!("FROM {BASE_IMAGE}\nCOPY . /source\nRUN cat /source/lib/a/word\n");
    for (kind, file, content) in [
        (BuildKind::Buildpack, "bin/pre-compile", "#!/bin/bash\ncat lib/a/word\n"),
        (BuildKind::Dockerfile, "Dockerfile", &dockerfile),
    ] {
        let files = [("Procfile", "web: bash\n"), ("lib/a/", ""), (file, content)];

        let job = job_with(&world, kind, server.url("lib.git"), &commit);
        let (_, output) = built(&world, &job, &files).await;

        let fetched = output.find("-----> Fetching submodules").expect(&output);
        let used = output.rfind("teal").expect(&output);
        assert!(fetched < used, "{output}");
    }
}

#[tokio::test]
async fn a_submodule_that_cannot_be_fetched_fails_the_build() {
    let server = GitServer::for_containers();
    let commit = server.commit("lib.git", &[]);
    let world = World::with(|settings| settings.build_ca_bundle = Some(server.authority())).await;
    for (kind, file) in [(BuildKind::Buildpack, "Procfile"), (BuildKind::Dockerfile, "Dockerfile")] {
        let job = job_with(&world, kind, server.url("none.git"), &commit);

        let (built, output) = build(&world, &job, &[(file, ""), ("lib/a/", "")]).await;

        assert!(matches!(built, Err(JobError::Failed { exit_code: 69 })), "{built:?}: {output}");
        assert!(output.contains("Submodule lib/a could not be fetched from https://"), "{output}");
    }
    nothing_is_left(&world).await;
}
