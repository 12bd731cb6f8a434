//! Copies of pushed source: a builder that has lost its disk loses no clone.

use std::path::Path;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use domain::AppName;
use engine::{Bundles, EngineError, JobError};

use crate::world::World;

/// Bundles in memory, the newest last.
#[derive(Clone, Default)]
pub struct TestBundles(Arc<Mutex<Vec<BundleCopy>>>);

#[derive(Clone)]
struct BundleCopy {
    id: String,
    bundle: Vec<u8>,
}

impl TestBundles {
    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[async_trait]
impl Bundles for TestBundles {
    async fn store(&self, _app: &AppName, id: &str, bundle: &Path) -> Result<(), EngineError> {
        let kept = BundleCopy { id: id.to_owned(), bundle: std::fs::read(bundle).unwrap() };
        self.0.lock().unwrap().push(kept);
        Ok(())
    }

    async fn fetch(&self, _app: &AppName, id: &str, to: &Path) -> Result<bool, EngineError> {
        let kept = self.0.lock().unwrap().clone();
        let bundle = kept.into_iter().rfind(|kept| kept.id == id).map(|kept| kept.bundle);
        if let Some(bundle) = &bundle {
            std::fs::write(to, bundle).unwrap();
        }
        Ok(bundle.is_some())
    }
}

const FILES: &[(&str, &str)] = &[("Procfile", "web: ./serve\n"), ("serve", "#!/bin/sh\n")];

#[tokio::test]
async fn a_builder_without_its_disk_still_has_what_was_pushed() {
    let mut world = World::new().await;
    let client = world.client_with(FILES).await;
    client.push("blog", "main").await.ended_with(0);
    client.commit(&[("more", "more\n")]).await;
    client.push("blog", "main").await.ended_with(0);

    world.lose_disk().await;

    let cloner = world.client("alice").await;
    cloner.clone_of("blog").await.ended_with(0);
    assert_eq!(std::fs::read_to_string(cloner.folder.join("blog-clone/more")).unwrap(), "more\n");
    // Its history is known: what was pushed before is not new.
    let again = world.client("alice").await;
    again.done(&format!("git pull -q {} main", again.url("blog"))).await;
    again.commit(&[("most", "most\n")]).await;
    again.push("blog", "main").await.ended_with(0);
}

#[tokio::test]
async fn what_was_refused_is_not_kept() {
    let world = World::new().await;
    let client = world.client_with(FILES).await;
    client.push("blog", "main").await.ended_with(0);
    world.until("a copy is kept", |world| world.bundles.count() == 1).await;

    client.commit(&[("more", "more\n")]).await;
    world.engine.fail_next_build(JobError::Failed { exit_code: 17 });
    client.push("blog", "main").await.ended_with(1);
    assert_eq!(world.bundles.count(), 1);
}

#[tokio::test]
async fn the_source_of_an_app_that_had_the_name_before_is_not_shown() {
    let mut world = World::new().await;
    let client = world.client_with(FILES).await;
    client.push("blog", "main").await.ended_with(0);
    world.add_app("blog", "22");

    world.lose_disk().await;

    let cloner = world.client("alice").await;
    cloner.clone_of("blog").await.shows(&["empty repository"]);
}
