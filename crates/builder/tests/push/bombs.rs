//! Small pushes that unpack to much more: refused with a sentence, while others push on.

use nix::sys::resource::{UsageWho, getrusage};

use crate::client::Client;
use crate::packs::{COPY_BYTES, NO_ID, Pack};
use crate::world::{World, make_key};

const MEMORY_MIB: u64 = 128;
const APP: &[(&str, &str)] = &[("Procfile", "web: ./serve\n")];

async fn bounded_world() -> World {
    World::with(|settings| {
        settings.git_memory_bytes = MEMORY_MIB << 20;
        settings.source_entries_max = 2_000;
    })
    .await
}

async fn push(client: &Client, pack: &Pack, commit: &str) -> crate::client::Printed {
    client.push_raw("blog", (NO_ID, commit, "refs/heads/main"), &pack.bytes()).await
}

/// The largest process among those that have ended, and theirs.
fn largest_child_mib() -> i64 {
    getrusage(UsageWho::RUSAGE_CHILDREN).unwrap().max_rss() >> 10
}

fn nothing_is_left(world: &World) {
    assert!(world.engine.built().is_empty() && world.hooks.controller().released.is_empty());
    let objects = std::fs::read_dir(world.repository("blog", "11").join("objects")).unwrap();
    let objects: Vec<_> = objects.map(|entry| entry.unwrap().file_name()).collect();
    let kept = objects.iter().filter(|name| *name != "info" && *name != "pack");
    assert_eq!(kept.count(), 0, "objects of a refused push are kept: {objects:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_that_unpacks_to_gigabytes_is_refused_and_others_push_meanwhile() {
    let world = bounded_world().await;
    let bob = make_key(&world.folder.path().join("bob"), "ed25519").await;
    world.hooks.controller().keys.insert(bob, "bob".to_owned());
    world.hooks.controller().apps.insert("wiki".to_owned(), ("12".to_owned(), vec!["bob".to_owned()]));
    let (client, other) = (world.client("alice").await, world.client("bob").await);
    other.commit(APP).await;
    let mut pack = Pack::default();
    let base = pack.blob(&vec![0; COPY_BYTES as usize]);
    pack.copies(&base, 4 << 10);
    let procfile = pack.blob(b"web: ./serve\n");
    let tree = pack.tree(&[("100644", "Procfile".to_owned(), &procfile)]);
    let commit = pack.commit(&tree, "bomb");
    assert!(pack.bytes().len() < 8 << 10, "it is a small push");

    let (bomb, pushed) = tokio::join!(push(&client, &pack, &commit), other.push("wiki", "main"));

    bomb.shows(&["error: unpacking the push takes more than 128 MiB of memory"]);
    pushed.ended_with(0).shows(&["wiki:v2 deployed"]);
    let largest = largest_child_mib();
    assert!(largest < 2 * i64::try_from(MEMORY_MIB).unwrap(), "a process took {largest} MiB");
    assert!(world.log("blog").contains("a push of alice was refused: unpacking"));
    world.hooks.controller().released.clear();
    assert!(world.engine.built().iter().all(|(job, _)| job.app.as_str() == "wiki"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_inflates_beyond_the_memory_is_refused() {
    let world = bounded_world().await;
    let client = world.client_with(APP).await;
    let message = "head -c 200000000 /dev/zero | tr '\\0' m";
    client
        .done(&format!("{message} | git commit-tree HEAD^{{tree}} | xargs git update-ref refs/heads/huge"))
        .await;

    client.push("blog", "huge").await.ended_with(1).shows(&["takes more than 128 MiB of memory"]);

    nothing_is_left(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_with_a_huge_message_is_refused() {
    let world = bounded_world().await;
    let client = world.client("alice").await;
    let mut pack = Pack::default();
    let procfile = pack.blob(b"web: ./serve\n");
    let tree = pack.tree(&[("100644", "Procfile".to_owned(), &procfile)]);
    let commit = pack.commit(&tree, &"m".repeat(2 << 20));

    push(&client, &pack, &commit).await.shows(&["larger than 1 MiB", "shorten its message"]);

    nothing_is_left(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn trees_that_name_each_other_many_times_are_refused() {
    let world = bounded_world().await;
    let client = world.client("alice").await;
    let mut pack = Pack::default();
    let mut inner = pack.blob(b"x");
    let mut mode = "100644";
    // Ten of ten of ten...: ten thousand million files.
    for _ in 0..10 {
        let entries: Vec<_> = (0..10).map(|name| (mode, name.to_string(), inner.as_str())).collect();
        inner = pack.tree(&entries);
        mode = "40000";
    }
    let commit = pack.commit(&inner, "bomb");
    assert!(pack.bytes().len() < 4 << 10);

    push(&client, &pack, &commit).await.shows(&["more than 2000 files and folders"]);

    nothing_is_left(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_in_folders_without_end_are_refused() {
    let world = bounded_world().await;
    let client = world.client("alice").await;
    let mut pack = Pack::default();
    let mut inner = pack.blob(b"x");
    let mut mode = "100644";
    for _ in 0..1_000 {
        inner = pack.tree(&[(mode, "d".to_owned(), inner.as_str())]);
        mode = "40000";
    }
    let commit = pack.commit(&inner, "deep");

    push(&client, &pack, &commit).await.shows(&["more than 128 folders within each other"]);

    nothing_is_left(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_no_disk_takes_and_many_submodules_are_refused() {
    let world = bounded_world().await;
    let client = world.client("alice").await;
    let mut pack = Pack::default();
    let blob = pack.blob(b"x");
    let named = pack.tree(&[("100644", "n".repeat(300), blob.as_str())]);
    let named = pack.commit(&named, "long name");
    let modules: Vec<_> = (100..250).map(|number| ("160000", number.to_string(), named.as_str())).collect();
    let modules = pack.tree(&modules);
    let modules = pack.commit(&modules, "many submodules");

    push(&client, &pack, &named).await.shows(&["longer than 255 bytes"]);
    push(&client, &pack, &modules).await.shows(&["more than 100 submodules"]);

    nothing_is_left(&world);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_takes_git_too_long_is_refused() {
    let world = World::with(|settings| settings.git_cpu_seconds = 1).await;
    let client = world.client("alice").await;
    let mut pack = Pack::default();
    let base = pack.blob(&vec![0; COPY_BYTES as usize]);
    // Each is more than 100 MiB to be hashed.
    for times in 100..140 {
        pack.copies(&base, times);
    }
    let tree = pack.tree(&[("100644", "Procfile".to_owned(), &base)]);
    let commit = pack.commit(&tree, "slow");

    push(&client, &pack, &commit).await.shows(&["takes more than 1 seconds of processor time"]);

    nothing_is_left(&world);
}
