//! Submodules: fetched inside the build's sandbox, from a server of this machine.

use domain::build::{BuildJob, BuildKind};
use domain::submodules::Submodule;
use engine::JobError;

use crate::git_over_https::GitServer;
use crate::world::{World, base_image, job, need_stack};

fn job_with(kind: BuildKind, url: String, commit: &str) -> BuildJob {
    let (path, commit) = ("lib/a".to_owned(), commit.to_owned());
    BuildJob { submodules: vec![Submodule { path, commit, url }], ..job(kind) }
}

#[tokio::test]
async fn submodules_are_in_the_source_before_it_is_built() {
    need_stack();
    let server = GitServer::for_containers();
    let commit = server.commit("lib.git", &[("word", "teal\n")]);
    let world = World::with(|settings| settings.build_ca_bundle = Some(server.authority())).await;
    let dockerfile = format!("FROM {}\nCOPY . /source\nRUN cat /source/lib/a/word\n", base_image());
    for (kind, file, content) in [
        (BuildKind::Buildpack, "bin/pre-compile", "#!/bin/bash\ncat lib/a/word\n"),
        (BuildKind::Dockerfile, "Dockerfile", &dockerfile),
    ] {
        let files = [("Procfile", "web: bash\n"), ("lib/a/", ""), (file, content)];

        let (built, output) = world.build(&job_with(kind, server.url("lib.git"), &commit), &files).await;

        built.unwrap_or_else(|error| panic!("{kind:?}: {error}: {output}"));
        let fetched = output.find("-----> Fetching submodules").expect(&output);
        let used = output.rfind("teal").expect(&output);
        assert!(fetched < used, "{output}");
    }
}

#[tokio::test]
async fn a_submodule_that_cannot_be_fetched_fails_the_build() {
    need_stack();
    let server = GitServer::for_containers();
    let commit = server.commit("lib.git", &[]);
    let world = World::with(|settings| settings.build_ca_bundle = Some(server.authority())).await;
    for (kind, file) in [(BuildKind::Buildpack, "Procfile"), (BuildKind::Dockerfile, "Dockerfile")] {
        let job = job_with(kind, server.url("none.git"), &commit);

        let (built, output) = world.build(&job, &[(file, ""), ("lib/a/", "")]).await;

        assert!(matches!(built, Err(JobError::Failed { exit_code: 69 })), "{built:?}: {output}");
        assert!(output.contains("Submodule lib/a could not be fetched from https://"), "{output}");
    }
    world.no_container_is_left().await;
}
