//! Branches, tags and deletions.

use crate::world::World;

const APP: &[(&str, &str)] = &[("Procfile", "web: ./serve\n")];

#[tokio::test(flavor = "multi_thread")]
async fn several_refs_are_accepted_and_the_last_branch_is_built_once() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    client.done("git tag v1 && git branch a").await;
    client.commit(&[("x", "1")]).await;
    let last = client.done("git branch z && git rev-parse z").await;

    client.push("blog", "a z v1").await.ended_with(0).shows(&["blog:v2 deployed"]);

    let built = world.engine.built();
    assert_eq!(built.iter().map(|(job, _)| job.sha.as_str()).collect::<Vec<_>>(), [&last[..8]]);
    let refs = client.done(&format!("git ls-remote {}", client.url("blog"))).await;
    assert!(
        refs.contains("refs/heads/a") && refs.contains("refs/heads/z") && refs.contains("refs/tags/v1"),
        "{refs}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_alone_are_kept_and_not_built() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    client.done("git tag v1").await;

    client.push("blog", "v1").await.ended_with(0).shows(&["nothing is built"]);

    assert!(world.engine.built().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn any_branch_deploys_and_a_forced_push_goes_back() {
    let world = World::new().await;
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
async fn deletions_and_names_that_exclude_each_other_are_refused_before_a_build() {
    let world = World::new().await;
    let client = world.client_with(APP).await;
    client.push("blog", "main").await.ended_with(0);

    let deleted = client.push("blog", ":main").await;
    let beside = client.push("blog", "HEAD:refs/heads/main/x").await;
    let note = client.push("blog", "HEAD:refs/notes/x").await;

    deleted.ended_with(1).shows(&["`main` cannot be deleted"]);
    beside.ended_with(1).shows(&["`main/x` cannot stand beside `main`"]);
    note.ended_with(1).shows(&["neither a branch nor a tag"]);
    assert_eq!(world.engine.built().len(), 1);
}
