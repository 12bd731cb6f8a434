//! Copies of pushed source.

use engine::Bundles as _;
use engine_kubernetes::KubernetesBundles;
use oci::Access;

use crate::world::{World, app};

#[tokio::test]
async fn the_newest_copy_of_an_app_is_kept_and_another_app_of_its_name_does_not_get_it() {
    let world = World::new().await;
    let bundles = KubernetesBundles::new(world.settings());
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (bundle, fetched) = (folder.path().join("bundle"), folder.path().join("fetched"));
    let blog = app("blog");
    assert!(!bundles.fetch(&blog, "1", &fetched).await.expect("the registry answers"));

    let mut first = None;
    for text in ["first", "second"] {
        std::fs::write(&bundle, text).expect("written");
        bundles.store(&blog, "1", &bundle).await.expect("it is kept");
        let manifest = world.as_controller("blog/git", Access::Pull).manifest("latest").await;
        first.get_or_insert(manifest.expect("it is there").digest);
    }

    assert!(bundles.fetch(&blog, "1", &fetched).await.expect("the registry answers"));
    assert_eq!(std::fs::read_to_string(&fetched).expect("read"), "second");
    assert!(!bundles.fetch(&blog, "2", &fetched).await.expect("the registry answers"));
    let first = first.expect("it was kept");
    let old = world.as_controller("blog/git", Access::Pull).has_manifest(first.as_str()).await;
    assert!(!old.expect("the registry answers"), "the copy before is removed");
}
