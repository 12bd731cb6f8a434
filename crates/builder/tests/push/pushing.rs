//! Pushes as they should go, and builds and releases that fail.

use domain::build::BuildKind;
use engine::JobError;
use serde_json::json;

use crate::world::World;

const APP: &[(&str, &str)] = &[("Procfile", "web: ./serve\n"), ("index.html", "hello")];

#[tokio::test(flavor = "multi_thread")]
async fn a_push_is_built_and_released_and_then_accepted() {
    let world = World::new().await;
    let client = world.client("alice").await;
    let commit = client.commit(APP).await;

    let pushed = client.push("blog", "main").await;

    pushed.ended_with(0).shows(&[
        "\x1b[1GStarting build... but first, coffee!",
        "\x1b[1G-----> Building",
        "Build complete.",
        "Launching app.",
        "Launching...",
        "Done, blog:v2 deployed to Workflow",
        "deis open",
        "main -> main",
    ]);
    let (job, source) = world.engine.built().remove(0);
    assert_eq!(
        (job.sha.as_str(), job.kind, job.cache, job.dockerfile.build_args),
        (&commit[..8], BuildKind::Buildpack, true, false)
    );
    assert!(String::from_utf8_lossy(&source).contains("index.html"));
    let released = world.hooks.controller().released.remove(0);
    assert_eq!((released.receive_user.as_str(), released.receive_repo.as_str()), ("alice", "blog"));
    assert_eq!((released.sha.as_str(), released.dockerfile.as_str()), (&commit[..8], ""));
    assert_eq!(released.procfile["web"], "./serve");
    assert!(released.image.starts_with("sha256:"));
    let log = world.log("blog");
    assert!(log.contains("deis[builder]: INFO -----> Building") && log.contains("blog:v2 deployed"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_push_of_the_same_commit_is_up_to_date() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    client.push("blog", "main").await.ended_with(0);

    client.push("blog", "main").await.ended_with(0).shows(&["Everything up-to-date"]);

    assert_eq!(world.engine.built().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_wins_and_config_decides_on_cache_and_build_arguments() {
    let world = World::new().await;
    let values = json!({"DEIS_DISABLE_CACHE": "", "DEIS_DOCKER_BUILD_ARGS_ENABLED": 0, "COLOR": "teal"});
    world.hooks.controller().values = values.as_object().unwrap().clone();
    let client = world.client_with(&[("Dockerfile", "FROM scratch"), ("Procfile", "web: x")]).await;

    client.push("blog", "main").await.ended_with(0);

    let (job, _) = world.engine.built().remove(0);
    assert_eq!((job.kind, job.cache, job.dockerfile.build_args), (BuildKind::Dockerfile, false, true));
    assert_eq!(
        (job.env["COLOR"].as_str(), job.env["DEIS_DOCKER_BUILD_ARGS_ENABLED"].as_str()),
        ("teal", "0")
    );
    let released = world.hooks.controller().released[0].clone();
    assert_eq!((released.dockerfile.as_str(), released.reason.as_str()), ("true", "there is a Dockerfile"));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_apps_folder_is_built_and_its_dockerfile_is_found_by_the_config() {
    let world = World::new().await;
    let values = json!({
        "PROJECT_PATH": "./services/api/",
        "DOCKERFILE_PATH": "docker/web.Dockerfile",
        "DOCKERFILE_TARGET": "runtime",
    });
    world.hooks.controller().values = values.as_object().unwrap().clone();
    let files = [
        ("Procfile", "web: other\n"),
        ("services/api/Procfile", "web: ./api\n"),
        ("services/api/docker/web.Dockerfile", "FROM scratch AS runtime"),
    ];
    let client = world.client_with(&files).await;

    let pushed = client.push("blog", "main").await;

    pushed.ended_with(0).shows(&["Building the Dockerfile, as DOCKERFILE_PATH is set"]);
    let (job, source) = world.engine.built().remove(0);
    assert_eq!(job.kind, BuildKind::Dockerfile);
    assert_eq!(job.dockerfile.path.as_str(), "docker/web.Dockerfile");
    assert_eq!(job.dockerfile.target.as_deref(), Some("runtime"));
    let archive = String::from_utf8_lossy(&source);
    assert!(archive.contains("docker/web.Dockerfile") && archive.contains("web: ./api"));
    assert!(!archive.contains("services") && !archive.contains("web: other"));
    assert_eq!(world.hooks.controller().released[0].procfile["web"], "./api");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heroku_yml_has_an_image_for_each_dockerfile_and_one_release() {
    let world = World::new().await;
    let manifest = "build:\n  docker:\n    web: Dockerfile\n    worker: worker/Dockerfile\n    clock: worker/Dockerfile\n\
                    run:\n  clock: ./clock\nrelease:\n  command: [./migrate]\n";
    let files = [
        ("heroku.yml", manifest),
        ("Dockerfile", "FROM scratch"),
        ("worker/Dockerfile", "FROM scratch"),
        ("Procfile", "web: other"),
    ];
    let client = world.client_with(&files).await;

    let pushed = client.push("blog", "main").await;

    pushed.ended_with(0).shows(&[
        "Building 2 Dockerfiles, as there is a heroku.yml",
        "heroku.yml: `release` has no effect here",
        "blog:v2 deployed",
    ]);
    let built = world.engine.built();
    let contexts =
        built.iter().map(|(job, _)| (job.dockerfile.context.as_str(), job.dockerfile.path.as_str()));
    assert_eq!(contexts.collect::<Vec<_>>(), [("worker", "worker/Dockerfile"), ("", "Dockerfile")]);
    let released = world.hooks.controller().released.remove(0);
    assert_eq!(released.images.keys().collect::<Vec<_>>(), ["clock", "web", "worker"]);
    assert_eq!(released.procfile, [("clock".to_owned(), "./clock".to_owned())].into());
    assert_eq!(released.image, released.images["web"].image);

    client.commit(&[("heroku.yml", "build:\n  docker:\n    web: other/Dockerfile\n")]).await;
    let told = "there is no other/Dockerfile, which heroku.yml names";
    client.push("blog", "main").await.ended_with(1).shows(&[told]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_choice_that_the_source_does_not_have_is_refused_before_anything_is_built() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    for (values, told) in [
        (json!({"PROJECT_PATH": "api"}), "PROJECT_PATH is `api`, and the commit has no such folder"),
        (json!({"PROJECT_PATH": "index.html"}), "the commit has no such folder"),
        (json!({"PROJECT_PATH": "../other"}), "PROJECT_PATH is `../other`: give a path from the root"),
        (
            json!({"DOCKERFILE_PATH": "web.docker"}),
            "there is no web.docker, which is to be built as DOCKERFILE_PATH is set",
        ),
        (json!({"DOCKERFILE_TARGET": "a b"}), "DOCKERFILE_TARGET is `a b`, no name of a stage"),
    ] {
        world.hooks.controller().values = values.as_object().unwrap().clone();
        client.push("blog", "main").await.ended_with(1).shows(&[told]);
    }
    assert!(world.engine.built().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_that_was_taken_beside_a_procfile_says_how_to_choose_packs() {
    let world = World::new().await;
    let files = [("Dockerfile", "FROM scratch"), ("Procfile", "web: x"), ("requirements.txt", "flask")];
    let client = world.client_with(&files).await;

    let dockerfile = client.push("blog", "main").await;
    client.commit(&[("x", "")]).await;
    world.hooks.controller().build_kind = Some("buildpack".to_owned());
    let packs = client.push("blog", "main").await;

    dockerfile.ended_with(0).shows(&[
        "Building the Dockerfile, as there is a Dockerfile",
        "To build it with buildpacks (requirements.txt is there too), run `deis builds:kind buildpack` and push again",
    ]);
    packs.ended_with(0);
    let kinds: Vec<_> = world.engine.built().iter().map(|(job, _)| job.kind).collect();
    assert_eq!(kinds, [BuildKind::Dockerfile, BuildKind::Buildpack]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_builder_that_was_chosen_or_that_the_source_names_builds_it() {
    let world = World::new().await;
    let descriptor = "[io.buildpacks]\nbuilder = \"builders/described:1\"\nexclude = [\"*.md\"]\n";
    let client = world.client_with(&[("Dockerfile", "FROM scratch"), ("project.toml", descriptor)]).await;

    let described = client.push("blog", "main").await;
    client.commit(&[("x", "")]).await;
    world.hooks.controller().builder = Some("builders/own:1".to_owned());
    let chosen = client.push("blog", "main").await;

    described.ended_with(0).shows(&[
        "Building with Cloud Native Buildpacks of builders/described:1, as there is a project.toml",
        "project.toml: `exclude` has no effect here",
    ]);
    chosen.ended_with(0).shows(&[
        "Building with Cloud Native Buildpacks of builders/own:1, as `deis builder:set` has chosen a builder",
    ]);
    let jobs = world.engine.built();
    let builders: Vec<_> = jobs.iter().map(|(job, _)| (job.kind, job.cnb.builder.as_str())).collect();
    let cnb = BuildKind::Cnb;
    assert_eq!(builders, [(cnb, "builders/described:1"), (cnb, "builders/own:1")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_build_rejects_the_push_and_the_same_commit_can_be_pushed_again() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    world.engine.fail_next_build(JobError::Failed { exit_code: 17 });

    let failed = client.push("blog", "main").await;
    let again = client.push("blog", "main").await;

    failed.ended_with(1).shows(&[
        "remote: error:",
        "exited with code 17, stopping build",
        "pre-receive hook declined",
    ]);
    assert!(world.log("blog").contains("ERROR the build exited with code 17"));
    again.ended_with(0).shows(&["blog:v2 deployed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_fails_rejects_the_push_with_the_controllers_words() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    world.hooks.controller().refusal = Some("blog-web never became ready".to_owned());

    let pushed = client.push("blog", "main").await;

    pushed.ended_with(1).shows(&[
        "Launching app.",
        "the controller returned an error when publishing the release: blog-web never became ready",
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_to_a_locked_app_is_refused_before_anything_is_built_and_clones_are_served() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    let sentence = "blog is locked by alice since 2026-01-02T03:04:05Z; unlock it with deis apps:unlock";
    world.hooks.controller().lock = Some(sentence.to_owned());

    client.push("blog", "main").await.ended_with(1).shows(&["remote: error:", sentence]);

    assert!(world.engine.built().is_empty());
    client.clone_of("blog").await.ended_with(0);
    world.hooks.controller().lock = None;
    client.push("blog", "main").await.ended_with(0).shows(&["blog:v2 deployed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_away_rejects_the_push() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    world.engine.fail_unreachable();

    client.push("blog", "main").await.ended_with(1).shows(&["giving up", "try again in a minute"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_procfile_is_refused_before_anything_is_built() {
    let world = World::new().await;
    let client = world.client_with(&[("Procfile", "web: ./serve\nnonsense\n")]).await;

    let pushed = client.push("blog", "main").await;

    pushed.ended_with(1).shows(&["error: Procfile line 2"]);
    assert!(world.engine.built().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_procfile_behind_a_symlink_is_read_and_a_broken_one_counts_as_none() {
    let world = World::new().await;
    world.add_app("wiki", "12");
    let client = world.client_with(&[("processes", "web: ./serve\n")]).await;

    client.done("ln -s processes Procfile && git add -A && git commit -qm link").await;
    client.push("blog", "main").await.ended_with(0);
    client.done("git rm -q processes && git commit -qm broken").await;
    client.push("wiki", "main").await.ended_with(0);

    let released = std::mem::take(&mut world.hooks.controller().released);
    assert_eq!(released[0].procfile["web"], "./serve");
    assert!(released[1].procfile.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_files_is_refused() {
    let world = World::new().await;
    let client = world.client_with(&[]).await;

    client.push("blog", "main").await.ended_with(1).shows(&["has no files", "git add"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_is_broken_with_dots() {
    let world = World::with(|settings| settings.dots_interval = std::time::Duration::from_millis(20)).await;
    let client = world.client_with(APP).await;
    world.engine.hold_builds();

    let pushing = client.begin_push("blog", "main");
    world.until("the build runs", |world| !world.engine.built().is_empty()).await;
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    world.engine.let_builds_go();

    crate::client::ended(pushing).await.ended_with(0).shows(&["Building", "\x1b[1G...", "Done, "]);
}
