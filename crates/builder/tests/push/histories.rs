//! Histories that are incomplete, old or odd, and sources with more than plain files.

use domain::submodules::Submodule;

use crate::client::Client;
use crate::packs::Pack;
use crate::world::World;

const APP: &[(&str, &str)] = &[("Procfile", "web: ./serve\n")];

/// A clone of the last commit only, of a history of four.
async fn shallow_clone(client: &Client) {
    for number in ["1", "2", "3"] {
        client.commit(&[("number", number)]).await;
    }
    client.done("git clone -q --depth 1 file://$PWD shallow").await;
}

async fn push_shallow(client: &Client, what: &str) -> crate::client::Printed {
    client.run(&format!("cd shallow && git push {} {what}", client.url("blog"))).await
}

const CHANGE: &str = "cd shallow && echo more > number && git commit -qam more";

#[tokio::test(flavor = "multi_thread")]
async fn a_push_out_of_a_shallow_clone_is_deployed_and_accepted() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    shallow_clone(&client).await;

    push_shallow(&client, "HEAD:main").await.ended_with(0).shows(&["blog:v2 deployed", "main"]);
    client.done(CHANGE).await;
    push_shallow(&client, "HEAD:main").await.ended_with(0).shows(&["blog:v3 deployed"]);

    let source = String::from_utf8_lossy(&world.engine.built()[1].1).into_owned();
    assert!(source.contains("number") && source.contains("more\n"));
    client.clone_of("blog").await.ended_with(0);
    assert_eq!(client.done("cat blog-clone/number").await, "more\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_history_is_pushed_onto_a_shallow_one_and_the_other_way_round() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    shallow_clone(&client).await;
    push_shallow(&client, "HEAD:main").await.ended_with(0);

    client.commit(&[("number", "4")]).await;
    client.push("blog", "main").await.ended_with(0).shows(&["blog:v3 deployed"]);
    // As CI does that clones anew each time.
    client.done("rm -rf shallow && git clone -q --depth 1 file://$PWD shallow").await;
    client.done(CHANGE).await;
    push_shallow(&client, "--force HEAD:main").await.ended_with(0).shows(&["blog:v4 deployed"]);
    client.commit(&[("number", "last")]).await;
    client.push("blog", "--force main").await.ended_with(0).shows(&["blog:v5 deployed"]);

    let repository = world.repository("blog", "11");
    client.done(&format!("git -C {} fsck --strict", repository.display())).await;
    client.clone_of("blog").await.ended_with(0);
    assert_eq!(client.done("cat blog-clone/number").await, "last");
}

/// git omits objects behind a commit that the other side has.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_with_what_a_shallow_history_lacks_is_taken_when_it_is_pushed_again() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    shallow_clone(&client).await;
    client.push("blog", "HEAD~3:refs/heads/main HEAD~3:refs/heads/whole").await.ended_with(0);
    push_shallow(&client, "--force HEAD:main").await.ended_with(0);
    client.done("git checkout -q -b side HEAD~1 && git commit -q --allow-empty -m side").await;
    client.done("git checkout -q main && git merge -q --no-edit side").await;

    let first = client.push("blog", "main").await;
    let again = client.push("blog", "main").await;

    first.ended_with(1).shows(&["came from a shallow clone", "push again"]);
    again.ended_with(0).shows(&["blog:v4 deployed"]);
    let repository = world.repository("blog", "11");
    client.done(&format!("git -C {} fsck --strict", repository.display())).await;
    let kept = client.done(&format!("git -C {} rev-list --count --all", repository.display())).await;
    let all = client.done("git rev-list --count main").await;
    assert_eq!(kept, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_shallow_history_is_restored() {
    let mut world = World::new().await;
    let client = world.client_with(APP).await;
    shallow_clone(&client).await;
    push_shallow(&client, "HEAD:main").await.ended_with(0);
    world.until("a copy is kept", |world| world.bundles.count() == 1).await;

    world.lose_disk().await;

    let cloner = world.client("alice").await;
    cloner.clone_of("blog").await.ended_with(0);
    assert_eq!(cloner.done("cat blog-clone/number").await, "3");
    cloner.done("cd blog-clone && git commit -q --allow-empty -m next").await;
    let again = format!("cd blog-clone && git push {} main", cloner.url("blog"));
    cloner.run(&again).await.ended_with(0).shows(&["blog:v3 deployed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_breaks_off_elsewhere_is_refused_before_it_is_released() {
    let world = World::new().await;
    let client = world.client("alice").await;
    let mut pack = Pack::default();
    let blob = pack.blob(b"web: ./serve\n");
    let tree = pack.tree(&[("100644", "Procfile".to_owned(), &blob)]);
    let missing = "1".repeat(40);
    let middle = pack.child(&tree, &missing);
    let last = pack.child(&tree, &middle);

    // History may end where the client says that it does.
    let update = format!("{} {last} refs/heads/main", crate::packs::NO_ID);
    let shallow =
        client.push_raw_lines("blog", &[&format!("shallow {middle}"), &update], &pack.bytes()).await;
    shallow.shows(&["ok refs/heads/main"]);
    let mut broken = Pack::default();
    let blob = broken.blob(b"web: ./other\n");
    let tree = broken.tree(&[("100644", "Procfile".to_owned(), &blob)]);
    let earlier = broken.child(&"2".repeat(40), &missing);
    let last = broken.child(&tree, &earlier);
    let update = format!("{} {last} refs/heads/master", crate::packs::NO_ID);
    world.hooks.controller().branches.insert("blog".to_owned(), "*".to_owned());

    let pushed =
        client.push_raw_lines("blog", &[&format!("shallow {earlier}"), &update], &broken.bytes()).await;

    pushed.shows(&["ng refs/heads/master"]);
    assert_eq!(world.engine.built().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_and_tags_as_old_programs_wrote_them_are_taken() {
    let world = World::new().await;
    let client = world.client("alice").await;
    let mut pack = Pack::default();
    let blob = pack.blob(b"web: ./serve\n");
    // Zero-padded modes, and one that git would not write today.
    let script = pack.tree(&[("100664", "run".to_owned(), &blob)]);
    let tree = pack.tree(&[("100644", "Procfile".to_owned(), &blob), ("040000", "bin".to_owned(), &script)]);
    let mut last = String::new();
    for who in [
        "A <a@example.com> 1700000000 +051800",
        "A <a@example.com>1700000000 +0000",
        "A <a@example.com> 0001700000000 +0000",
        "A<a@example.com> 1700000000 +0000",
        "A <a@example.com 1700000000 +0000",
        "A <a@example.com> 99999999999999999999 +0000",
        "A <a@example.com> yesterday +0000",
    ] {
        let parent = if last.is_empty() { String::new() } else { format!("parent {last}\n") };
        last = pack.commit_text(&format!("tree {tree}\n{parent}author {who}\ncommitter {who}\n\nold\n"));
    }
    let update = format!("{} {last} refs/heads/main", crate::packs::NO_ID);

    let pushed = client.push_raw_lines("blog", &[&update], &pack.bytes()).await;

    pushed.shows(&["blog:v2 deployed", "ok refs/heads/main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_that_would_harm_a_checkout_are_refused_whatever_else_is_taken() {
    let world = World::new().await;
    let client = world.client("alice").await;
    for names in [&[".GIT"][..], &[".git\u{200c}"], &["git~1"], &[".."], &["a/b"], &["same", "same"]] {
        let mut pack = Pack::default();
        let blob = pack.blob(b"x");
        let entries: Vec<_> =
            names.iter().map(|name| ("100644", (*name).to_owned(), blob.as_str())).collect();
        let tree = pack.tree(&entries);
        let commit = pack.commit(&tree, "harm");
        let update = format!("{} {commit} refs/heads/main", crate::packs::NO_ID);

        let pushed = client.push_raw_lines("blog", &[&update], &pack.bytes()).await;

        pushed.shows(&["unpack", "ng refs/heads/main"]);
    }
    let modules = "[submodule \"../x\"]\n\tpath = x\n\turl = -u./payload\n";
    client.commit(&[("Procfile", "web: x\n"), (".gitmodules", modules)]).await;
    client.push("blog", "main").await.ended_with(1).shows(&["gitmodules"]);
    assert!(world.engine.built().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_gets_the_submodules_with_https_urls_and_the_pusher_is_told_of_the_others() {
    let world = World::new().await;
    let client = world.client("alice").await;
    let modules = "[submodule \"theme\"]\n\tpath = lib/theme\n\turl = https://me:word@git.example/theme.git\n\
                   [submodule \"old\"]\n\tpath = old\n\turl = git@git.example:old.git\n\
                   [submodule \"near\"]\n\tpath = near\n\turl = ../near.git\n";
    let files = [
        ("Procfile", "web: x\n"),
        (".gitmodules", modules),
        (".gitattributes", ".gitmodules export-ignore\n"),
    ];
    client.commit(&files).await;
    let commit = client.done("git rev-parse HEAD").await.trim().to_owned();
    for path in ["lib/theme", "old", "near", "stray"] {
        client.done(&format!("git update-index --add --cacheinfo 160000,{commit},{path}")).await;
    }
    client.done("git commit -qm modules").await;

    let pushed = client.push("blog", "main").await;

    pushed.ended_with(0).shows(&[
        "Submodule near stays empty: its URL ../near.git is relative",
        "Submodule old stays empty: only https is fetched, and its URL in .gitmodules is git@git.example:old.git",
        "Submodule stray stays empty: .gitmodules has no URL for it",
        "blog:v2 deployed",
    ]);
    assert!(world.log("blog").contains("Submodule old stays empty"));
    let url = "https://me:word@git.example/theme.git".to_owned();
    assert_eq!(
        world.engine.built()[0].0.submodules,
        [Submodule { path: "lib/theme".to_owned(), commit, url }]
    );
    assert!(!pushed.text.contains("word"), "{}", pushed.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn pointers_of_large_files_are_named_to_the_pusher() {
    let world = World::new().await;
    let client = world.client("alice").await;
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 99\n";
    client.commit(&[("Procfile", "web: x\n"), ("film.mp4", pointer), ("small.txt", "version 1\n")]).await;

    let pushed = client.push("blog", "main").await;

    pushed.ended_with(0).shows(&["film.mp4 of Git LFS: the build gets the pointers", "blog:v2 deployed"]);
    assert!(!pushed.text.contains("small.txt"), "{}", pushed.text);
    assert!(world.log("blog").contains("film.mp4 of Git LFS"));
}
