//! Submodules of a source, fetched from a git server over https.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::git_over_https::{GitServer, git};
use crate::support::{Done, World};

fn server() -> GitServer {
    GitServer::start([127, 0, 0, 1].into())
}

/// Runs `slug submodules` on a source with empty folders for these: path, URL, commit.
fn fetched(world: &World, server: &GitServer, submodules: &[(&str, &str, &str)]) -> Done {
    listed(world, submodules);
    let mut slug = world.slug("submodules");
    slug.arg("--workspace").arg(world.path("workspace")).env("GIT_SSL_CAINFO", server.authority());
    Done::from(slug.output().expect("slug starts"))
}

fn listed(world: &World, submodules: &[(&str, &str, &str)]) {
    let mut list = Vec::new();
    for (path, url, commit) in submodules {
        let _ = fs::create_dir_all(world.path(&format!("workspace/source/{path}")));
        list.push(json!({ "path": path, "url": url, "commit": commit }));
    }
    world.file("workspace/submodules.json", &json!(list).to_string());
}

fn read(world: &World, path: &str) -> String {
    fs::read_to_string(world.path(&format!("workspace/source/{path}"))).unwrap_or_default()
}

#[test]
fn packs_find_submodules_at_their_commits_with_those_within_them() {
    let (world, server) = (World::new(), server());
    let icons = server.commit("team/icons.git", &[("icon", "star\n")]);
    server.commit("team/icons.git", &[("icon", "newer\n")]);
    let modules = "[submodule \"icons\"]\n\tpath = art/icons\n\turl = ../icons.git\n\
                   [submodule \"old\"]\n\tpath = old\n\turl = git@git.example:old.git\n";
    server.commit("team/theme.git", &[("style", "blue\n"), (".gitmodules", modules)]);
    let theme = server.repository("team/theme.git");
    for path in ["art/icons", "old"] {
        git(&theme, &["update-index", "--add", "--cacheinfo", &format!("160000,{icons},{path}")]);
        fs::create_dir_all(theme.join(path)).expect("a folder");
    }
    let commit = server.commit("team/theme.git", &[]);
    server.commit("team/theme.git", &[("style", "newer\n")]);
    listed(&world, &[("lib/theme", &server.url("team/theme.git"), &commit)]);
    world.program("buildpacks/10-any/bin/compile", "cat lib/theme/style lib/theme/art/icons/icon");

    let mut build = world.build_command();
    let done =
        Done::from(build.env("GIT_SSL_CAINFO", server.authority()).output().expect("it starts")).good();

    assert!(done.has_line("-----> Fetching submodules"), "{done:#?}");
    let from = server.url("team/theme.git");
    assert!(done.has_line(&format!("       lib/theme from {from} at {}", &commit[..8])), "{done:#?}");
    assert!(done.has_line("       blue") && done.has_line("       star"), "{done:#?}");
    let empty = " !     Submodule lib/theme/old stays empty: only https is fetched, and its URL in .gitmodules is \
                 git@git.example:old.git";
    assert!(done.has_line(empty), "{done:#?}");
    assert!(world.layer().contains(&"app/lib/theme/art/icons/icon".to_owned()));
}

#[test]
fn a_server_that_gives_no_commit_alone_is_asked_for_all_it_has() {
    let (world, server) = (World::new(), server());
    let commit = server.commit("lib.git", &[("a", "first")]);
    server.commit("lib.git", &[("a", "second")]);

    fetched(&world, &server, &[("lib", &server.url("old/lib.git"), &commit)]).good();

    assert_eq!(read(&world, "lib/a"), "first");
}

#[test]
fn one_that_cannot_be_fetched_fails_the_build_and_says_why_without_the_password() {
    let (world, server) = (World::new(), server());
    let commit = server.commit("lib.git", &[("a", "a")]);
    let missing = "1".repeat(40);
    let with_password = |path: &str| server.url(path).replace("https://", "https://me:s3cret@");
    for (path, commit, reason) in [
        ("none.git", &commit, "not found"),
        ("lib.git", &missing, "there is no commit 1111"),
        ("away/lib.git", &commit, "http"),
    ] {
        let done = fetched(&world, &server, &[("lib", &with_password(path), commit)]);

        assert_eq!(done.code, 69, "{done:#?}");
        let begins = format!(" !     Submodule lib could not be fetched from {}: ", server.url(path));
        assert!(done.err.starts_with(&begins) && done.err.contains(reason), "{done:#?}");
        assert!(done.err.contains("`update = none` in .gitmodules"), "{done:#?}");
        assert!(!done.err.contains("s3cret") && !done.out.contains("s3cret"), "{done:#?}");
    }
    listed(&world, &[("lib", &server.url("lib.git"), &commit)]);
    let mut slug = world.slug("submodules");
    let strange =
        Done::from(slug.arg("--workspace").arg(world.path("workspace")).output().expect("it starts"));
    assert_eq!(strange.code, 69, "an authority that is not trusted: {strange:#?}");
}

#[test]
fn links_are_made_as_they_are_and_nothing_is_written_through_one() {
    let (world, server) = (World::new(), server());
    let repository = server.repository("lib.git");
    fs::create_dir_all(&repository).expect("a folder");
    symlink("../../../app", repository.join("up")).expect("a link");
    let commit = server.commit("lib.git", &[("harm", "x")]);
    let url = server.url("lib.git");
    symlink(world.path("app"), world.path("workspace/source/out")).expect("a link");

    fetched(&world, &server, &[("lib", &url, &commit)]).good();
    let through = fetched(&world, &server, &[("out", &url, &commit)]);

    let link = fs::read_link(world.path("workspace/source/lib/up")).expect("a link");
    assert_eq!(link.to_string_lossy(), "../../../app");
    assert_eq!(through.code, 74, "{through:#?}");
    assert!(!world.path("app/harm").exists());
}

#[test]
fn no_configuration_of_the_sandbox_has_a_say() {
    let (world, server) = (World::new(), server());
    let commit = server.commit("lib.git", &[("a", "a")]);
    let url = server.url("lib.git");
    world.file(
        "config",
        &format!("[url \"file:///srv/\"]\n\tinsteadOf = {url}\n[http]\n\tproxy = http://127.0.0.1:1\n"),
    );
    listed(&world, &[("lib", &url, &commit)]);

    let mut slug = world.slug("submodules");
    slug.arg("--workspace").arg(world.path("workspace")).env("GIT_SSL_CAINFO", server.authority());
    slug.env("GIT_CONFIG_GLOBAL", world.path("config")).env("GIT_CONFIG_SYSTEM", world.path("config"));
    slug.env("GIT_CONFIG_PARAMETERS", "'core.gitProxy=false'").env("GIT_ALLOW_PROTOCOL", "file:http");
    slug.env("GIT_DIR", "/nowhere");
    Done::from(slug.output().expect("slug starts")).good();

    assert_eq!(read(&world, "lib/a"), "a");
}

#[test]
fn a_source_without_submodules_is_left_alone() {
    let world = World::new();
    let mut slug = world.slug("submodules");

    let done = Done::from(slug.arg("--workspace").arg(world.path("workspace")).output().expect("it starts"));

    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, "", ""));
}
