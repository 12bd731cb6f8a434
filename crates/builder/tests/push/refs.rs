//! Branches, tags and deletions.

use crate::client::Client;
use crate::world::World;

const APP: &[(&str, &str)] = &[("Procfile", "web: ./serve\n")];

/// Any branch deploys blog.
async fn world_for_any() -> World {
    let world = World::new().await;
    world.hooks.controller().branches.insert("blog".to_owned(), "*".to_owned());
    world
}

async fn refs_of(client: &Client, app: &str) -> Vec<String> {
    let listed = client.done(&format!("git ls-remote {}", client.url(app))).await;
    listed.lines().filter_map(|line| Some(line.split_once('\t')?.1.to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_refs_are_accepted_and_the_last_branch_is_built_once() {
    let world = world_for_any().await;
    let client = world.client_with(APP).await;
    client.done("git tag v1 && git branch a").await;
    client.commit(&[("x", "1")]).await;
    let last = client.done("git branch z && git rev-parse z").await;

    client.push("blog", "a z v1").await.ended_with(0).shows(&["blog:v2 deployed"]);

    let built = world.engine.built();
    assert_eq!(built.iter().map(|(job, _)| job.sha.as_str()).collect::<Vec<_>>(), [&last[..8]]);
    let refs = refs_of(&client, "blog").await;
    assert_eq!(refs, ["HEAD", "refs/heads/a", "refs/heads/z", "refs/tags/v1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_alone_are_kept_and_not_built() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    client.done("git tag v1").await;

    client.push("blog", "v1").await.ended_with(0).shows(&["nothing is built", "git push deis main"]);

    assert!(world.engine.built().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn any_branch_deploys_where_that_is_wanted_and_a_forced_push_goes_back() {
    let world = world_for_any().await;
    let client = world.client_with(APP).await;
    client.commit(&[("x", "1")]).await;
    client.push("blog", "HEAD:refs/heads/feature/x").await.ended_with(0).shows(&["blog:v2 deployed"]);

    client
        .push("blog", "--force HEAD~1:refs/heads/feature/x")
        .await
        .ended_with(0)
        .shows(&["blog:v3 deployed"]);

    let cloned = client.clone_of("blog").await;
    cloned.ended_with(0);
    client.done("test ! -e blog-clone/x && test -e blog-clone/Procfile").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_main_and_master_deploys_a_new_app_from_then_on() {
    let world = World::new().await;
    let client = world.client_with(APP).await;

    let feature = client.push("blog", "HEAD:refs/heads/feature").await;
    feature.ended_with(1).shows(&[
        "a new app is deployed by",
        "git push deis feature:main",
        "deis git:branch feature",
    ]);
    client.push("blog", "HEAD:refs/heads/master").await.ended_with(0).shows(&["blog:v2 deployed"]);
    client.commit(&[("x", "1")]).await;
    let main = client.push("blog", "HEAD:refs/heads/main").await;
    main.ended_with(1)
        .shows(&["the branch `master` deploys this app, not `main`", "git push deis main:master"]);
    client.push("blog", "HEAD:refs/heads/master").await.ended_with(0).shows(&["blog:v3 deployed"]);

    let branches: Vec<_> = world.hooks.controller().released.iter().map(|done| done.branch.clone()).collect();
    assert_eq!(branches, [Some("master".to_owned()), Some("master".to_owned())]);
    assert_eq!(world.engine.built().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_was_deployed_before_branches_were_recorded_keeps_the_branch_of_its_last_deploy() {
    let world = world_for_any().await;
    let client = world.client_with(APP).await;
    client.push("blog", "HEAD:refs/heads/main").await.ended_with(0);
    client.push("blog", "HEAD:refs/heads/develop").await.ended_with(0);
    world.hooks.controller().branches.clear();

    client.commit(&[("x", "1")]).await;
    client
        .push("blog", "main")
        .await
        .ended_with(1)
        .shows(&["the branch `develop` deploys this app, not `main`"]);
    client.push("blog", "HEAD:refs/heads/develop").await.ended_with(0).shows(&["blog:v4 deployed"]);

    assert_eq!(world.hooks.controller().branches["blog"], "develop");
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_that_are_pushed_along_are_kept_and_told() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    client.done("git branch zebra").await;

    let pushed = client.push("blog", "main zebra").await;

    pushed
        .ended_with(0)
        .shows(&["Only kept, as the branch `main` deploys this app: zebra", "blog:v2 deployed"]);
    assert_eq!(refs_of(&client, "blog").await, ["HEAD", "refs/heads/main", "refs/heads/zebra"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_not_removed_and_names_that_exclude_each_other_are_refused_before_a_build() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    client.push("blog", "main").await.ended_with(0);

    let deleted = client.push("blog", ":main").await;
    let beside = client.push("blog", "main HEAD:refs/heads/main/x").await;
    let stash = client.push("blog", "HEAD:refs/stash").await;

    deleted.ended_with(1).shows(&["`main` cannot be deleted"]);
    beside.ended_with(1).shows(&["`main/x` cannot stand beside `main`"]);
    stash.ended_with(1).shows(&["`refs/stash` cannot be kept here"]);
    assert_eq!(world.engine.built().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_and_tags_that_nothing_runs_can_be_removed() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    client.done("git tag -a v1 -m one").await;
    // Without a branch `main` there, git makes a tag of it.
    let tag = client.push("blog", "v1:main").await;
    tag.ended_with(0).shows(&["`main` is a tag now", "git push deis :refs/tags/main"]);
    client.push("blog", "HEAD:refs/heads/main HEAD:refs/heads/old").await.ended_with(0);

    client.push("blog", ":refs/heads/old :refs/tags/main").await.ended_with(0).shows(&["Only removed"]);

    assert_eq!(refs_of(&client, "blog").await, ["HEAD", "refs/heads/main"]);
    client.commit(&[("x", "1")]).await;
    client.push("blog", "HEAD:main").await.ended_with(0).shows(&["blog:v3 deployed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_is_taken_with_all_its_refs_and_follows_removals() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    client
        .done(
            "git branch a && git tag v1 && git notes add -m note && git update-ref refs/remotes/o/main main",
        )
        .await;

    client.push("blog", "--mirror").await.ended_with(0).shows(&["blog:v2 deployed"]);
    let all = [
        "HEAD",
        "refs/heads/a",
        "refs/heads/main",
        "refs/notes/commits",
        "refs/remotes/o/main",
        "refs/tags/v1",
    ];
    assert_eq!(refs_of(&client, "blog").await, all);

    // A branch gives its name to a folder.
    client.done("git tag -d v1 && git branch -D a && git branch a/b").await;
    client.commit(&[("x", "1")]).await;
    client.push("blog", "--mirror").await.ended_with(0).shows(&["blog:v3 deployed"]);
    client.done("git branch -D a/b").await;
    client.push("blog", "--prune 'refs/heads/*:refs/heads/*'").await.ended_with(0).shows(&["Only removed"]);
    let rest = ["HEAD", "refs/heads/main", "refs/notes/commits", "refs/remotes/o/main"];
    assert_eq!(refs_of(&client, "blog").await, rest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_branch_takes_the_place_of_the_one_that_ran() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    client.push("blog", "main").await.ended_with(0);
    world.hooks.controller().branches.insert("blog".to_owned(), "trunk".to_owned());

    client.push("blog", ":main").await.ended_with(1).shows(&["`main` cannot be deleted"]);
    client.push("blog", "main:refs/heads/trunk :main").await.ended_with(0).shows(&["blog:v3 deployed"]);

    client.clone_of("blog").await.ended_with(0);
    assert_eq!(client.done("git -C blog-clone symbolic-ref --short HEAD").await, "trunk\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_object_of_a_mirror_changes_no_source() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    let other = client.commit(&[("Procfile", "web: ./other\n")]).await;
    client.done(&format!("git reset -q --hard HEAD~1 && git replace HEAD {other}")).await;

    client.push("blog", "--mirror").await.ended_with(0);
    client.commit(&[("x", "1")]).await;
    client.push("blog", "main").await.ended_with(0);

    let released = std::mem::take(&mut world.hooks.controller().released);
    assert_eq!(released[0].procfile["web"], "./serve");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_builders_own_refs_are_not_for_clients() {
    let world = World::new().await;
    let client = world.client_with(APP).await;

    client.push("blog", "main HEAD:refs/workflow/x").await.ended_with(1).shows(&["hidden ref"]);

    assert!(!refs_of(&client, "blog").await.contains(&"refs/workflow/x".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_with_a_wrong_old_id_is_refused_before_it_is_released() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    let first = client.done("git rev-parse HEAD").await.trim().to_owned();
    client.push("blog", "main").await.ended_with(0);
    let second = client.commit(&[("x", "1")]).await;
    let wrong = client.commit(&[("x", "2")]).await;
    let pack = crate::packs::of_git(&client, "HEAD --not HEAD~2").await;

    for old in [wrong.as_str(), crate::packs::NO_ID] {
        let pushed = client.push_raw("blog", (old, &second, "refs/heads/main"), &pack).await;
        pushed.shows(&["is not where the push expects it to be", "git fetch", "ng refs/heads/main"]);
    }

    assert_eq!((world.engine.built().len(), world.hooks.controller().released.len()), (1, 1));
    client.push_raw("blog", (&first, &second, "refs/heads/main"), &pack).await.shows(&["ok refs/heads/main"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_would_lead_to_no_commit_is_refused_before_anything_is_released() {
    let world = world_for_any().await;
    let client = world.client_with(APP).await;
    let blob = client.done("git hash-object -w Procfile").await.trim().to_owned();
    let pack = crate::packs::of_git(&client, "HEAD").await;

    let pushed = client.push_raw("blog", (crate::packs::NO_ID, &blob, "refs/heads/blob"), &pack).await;

    pushed.shows(&["not a commit", "ng refs/heads/blob"]);
    assert!(world.engine.built().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_annotated_tag_and_unusual_names_are_taken_as_they_are() {
    let world = world_for_any().await;
    let client = world.client_with(APP).await;
    client.done("git tag -a v1 -m one && git branch 'fïx/#42_a+b=c' && git tag 'rel@1.0'").await;

    client.push("blog", "v1 rel@1.0").await.ended_with(0).shows(&["nothing is built"]);
    client.push("blog", "'fïx/#42_a+b=c'").await.ended_with(0).shows(&["blog:v2 deployed"]);
    client.push("blog", "v1^{}:refs/heads/main").await.ended_with(0).shows(&["blog:v3 deployed"]);
}
