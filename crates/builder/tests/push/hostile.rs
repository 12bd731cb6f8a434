//! Clients that ask for what they must not get.

use crate::world::World;

const APP: &[(&str, &str)] = &[("Procfile", "web: ./serve\n")];

#[tokio::test(flavor = "multi_thread")]
async fn only_ping_and_git_are_served() {
    let world = World::new().await;
    let client = world.client("alice").await;

    client.ssh("", "ping").await.ended_with(0).shows(&["pong"]);
    client.ssh("", "id").await.ended_with(1).shows(&["only `git push`"]);
    client.ssh("", "\"git-upload-archive 'blog.git'\"").await.ended_with(1);
    assert_ne!(client.ssh("-tt", "").await.code, Some(0));
    assert_ne!(client.ssh("-s", "sftp").await.code, Some(0));
    let forwarded = client.ssh("-o ExitOnForwardFailure=yes -R 0:127.0.0.1:1", "ping").await;
    assert_ne!(forwarded.code, Some(0), "{}", forwarded.text);
    client.ssh("-W 127.0.0.1:1", "").await.shows(&["prohibited"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_repository_names_are_refused_and_touch_nothing() {
    let world = World::new().await;
    let client = world.client("alice").await;

    for name in ["../blog", "$(id)", "blog.git --upload-pack=x", "`id`", "", "BLOG", "blog/../blog"] {
        let asked =
            client.ssh("", &format!("\"git-receive-pack '{}'\"", name.replace(['$', '`'], "\\$"))).await;
        asked.ended_with(128).shows(&["ERR ", "is not the name of an app"]);
    }
    let left: Vec<_> = std::fs::read_dir(world.data_dir().join("repositories")).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_over_the_bound_is_refused() {
    let world = World::with(|settings| settings.push_bytes_max = 64 << 10).await;
    let client = world.client("alice").await;
    client.done("head -c 300000 /dev/urandom > big").await;
    client.commit(APP).await;

    let pushed = client.push("blog", "main").await;

    pushed.ended_with(1).shows(&["maximum allowed size"]);
    assert!(world.engine.built().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_unpacks_over_the_bound_is_refused() {
    let world = World::with(|settings| settings.source_bytes_max = 1 << 20).await;
    let client = world.client("alice").await;
    client.done("head -c 3000000 /dev/zero > big").await;
    client.commit(APP).await;

    client.push("blog", "main").await.ended_with(1).shows(&["larger than 1 MiB unpacked"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_that_would_harm_a_checkout_are_refused() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    let blob = client.done("git hash-object -w Procfile").await;
    let tree = format!("printf '100644 blob {}\\t.git' | git mktree --missing", blob.trim());
    let make = format!(
        "{tree} > t && git commit-tree -m bad $(cat t) > c && git update-ref refs/heads/bad $(cat c)"
    );
    client.done(&make).await;

    let pushed = client.push("blog", "bad").await;

    pushed.ended_with(1).shows(&["hasDotgit"]);
    assert!(world.engine.built().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nearly_full_disk_is_said_before_anything_is_sent() {
    let world = World::with(|settings| settings.disk_free_bytes_min = u64::MAX).await;
    let client = world.client_with(APP).await;

    client.push("blog", "main").await.ended_with(128).shows(&["disk is nearly full", "tell the operator"]);
}
