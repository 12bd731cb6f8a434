//! Packs by URL: from git by default branch, branch, tag and commit, and from archives.

use std::process::Command;

use crate::support::{World, git};

/// A world with a pack in a repository whose tag `old` says `old`, whose head says `new`.
fn world_with_repository() -> (World, String) {
    let world = World::new();
    world.program("pack/bin/detect", "exit 1");
    world.program("pack/bin/compile", "echo old");
    let url = world.repository("pack");
    let path = world.path("pack");
    git(&path, &["tag", "old"]);
    world.program("pack/bin/compile", "echo new");
    git(
        &path,
        &["-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "-q", "-a", "-m", "second"],
    );
    (world, url)
}

#[test]
fn a_pack_is_fetched_at_the_head_of_its_default_branch() {
    let (world, url) = world_with_repository();
    world.file("workspace/env/BUILDPACK_URL", &format!("{url}\n"));

    let done = world.build().good();

    assert!(done.has_line("-----> Fetching custom buildpack"), "{done:#?}");
    assert!(done.has_line("-----> pack app detected"), "a failing detect only costs the name: {done:#?}");
    assert!(done.has_line("       new"));
}

#[test]
fn a_pack_is_fetched_at_a_branch_tag_or_commit() {
    let (world, url) = world_with_repository();
    let commit = git(&world.path("pack"), &["rev-parse", "old"]);
    for (reference, says) in [("trunk", "new"), ("old", "old"), (commit.as_str(), "old")] {
        world.file("workspace/source/hello.txt", "hello");
        world.file("workspace/env/BUILDPACK_URL", &format!("{url}#{reference}"));

        let done = world.build().good();

        assert!(done.has_line(&format!("       {says}")), "{reference}: {done:#?}");
    }
}

#[test]
fn a_pack_comes_from_an_archive_with_or_without_a_folder_around_it() {
    for (archive, what) in [("pack.tgz", "."), ("pack.tar.gz", "pack"), ("pack.tar", ".")] {
        let world = World::new();
        world.program("pack/bin/detect", "echo Archived");
        world.program("pack/bin/compile", "echo unpacked");
        let from = if what == "." { world.path("pack") } else { world.path("") };
        let path = world.path(archive);
        let packed = Command::new("tar").arg("-caf").arg(&path).arg("-C").arg(from).arg(what).status();
        assert!(packed.expect("tar starts").success());
        world.file("workspace/env/BUILDPACK_URL", &format!("file://{}", path.display()));

        let done = world.build().good();

        assert!(done.has_line("-----> Archived app detected"), "{archive}: {done:#?}");
        assert!(done.has_line("       unpacked"));
    }
}

#[test]
fn a_pack_that_lost_its_executable_bits_still_works() {
    let world = World::new();
    world.file("pack/bin/compile", "#!/bin/sh\necho works\n");
    let url = world.repository("pack");
    world.file("workspace/env/BUILDPACK_URL", &url);

    assert!(world.build().good().has_line("       works"));
}

#[test]
fn what_cannot_be_fetched_or_is_no_pack_is_named() {
    let (world, url) = world_with_repository();
    world.file("nothing/README", "x");
    let nothing = world.repository("nothing");
    for (wanted, code, named) in [
        ("file:///nowhere/pack".to_owned(), 69, "could not be fetched"),
        (format!("{url}#none"), 69, "#none could not be fetched"),
        ("file:///nowhere/pack.tgz".to_owned(), 69, "could not be fetched"),
        (nothing, 65, "it has no bin/compile"),
        ("--option".to_owned(), 65, "is not a URL"),
    ] {
        world.file("workspace/source/hello.txt", "hello");
        world.file("workspace/env/BUILDPACK_URL", &wanted);

        let done = world.build();

        assert_eq!(done.code, code, "{done:#?}");
        assert!(done.err.contains(named), "{done:#?}");
    }
}
