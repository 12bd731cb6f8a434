//! Images: found in registries, kept in the platform's, removed from it.

use domain::{Digest, Image};
use engine::{EngineError, ImageError, Images as _, RegistryCredentials};
use oci::{Access, push_archive};
use testkit::{WAIT_MAX, wait_until};

use crate::world::{KEY, World, app, push_image, push_index};

/// Another registry, with a login of its own, where users have their images.
async fn users_registry() -> (World, RegistryCredentials) {
    let registry = World::new().await;
    let login = domain::registry_access::AccessKey::new(KEY).for_app(&app("team"));
    let credentials =
        RegistryCredentials { username: login.username, password: login.password, hostname: None };
    (registry, credentials)
}

#[tokio::test]
async fn an_image_is_pinned_kept_and_removed() {
    let world = World::new().await;
    let (users, credentials) = users_registry().await;
    let digest = push_image(&users.as_controller("team", Access::Push), "v1", "one").await;
    let reference = format!("{}/team:v1", users.host);
    let images = world.images();

    let resolved = images.resolve(&reference, Some(&credentials)).await.expect("it is there");
    assert_eq!((resolved.ports.as_slice(), resolved.user.as_str()), (&[8080, 9090][..], "1001"));
    assert_eq!(resolved.image, Image::External { reference, digest: digest.clone() });

    // Its name moves on between being found and being kept.
    push_image(&users.as_controller("team", Access::Push), "v1", "two").await;
    for _ in 0..2 {
        images.keep(&app("blog"), &resolved.image).await.expect("keeping twice changes nothing");
    }
    let kept = world.as_controller("blog", Access::Pull);
    assert_eq!(kept.manifest(digest.hex()).await.expect("it is kept").digest, digest);
    let stored = images.stored(&[app("blog"), app("shop")]).await.expect("the registry answers");
    assert_eq!(stored.into_iter().collect::<Vec<_>>(), [(app("blog"), digest.clone())]);
    for _ in 0..2 {
        images.remove(&app("blog"), &resolved.image).await.expect("removing twice changes nothing");
    }
    assert!(!kept.has_manifest(digest.as_str()).await.expect("the registry answers"));
    assert!(images.stored(&[app("blog")]).await.expect("the registry answers").is_empty());
    assert!(
        users.as_controller("team", Access::Pull).has_manifest(digest.as_str()).await.expect("it answers")
    );
}

#[tokio::test]
async fn an_index_is_pinned_to_the_image_of_the_clusters_platform() {
    let world = World::new().await;
    let (users, credentials) = users_registry().await;
    let digest = push_index(&users.as_controller("team", Access::Push), "v1", "many").await;

    let images = world.images();
    let resolved = images.resolve(&format!("{}/team:v1", users.host), Some(&credentials)).await;
    let resolved = resolved.expect("it is there");
    images.keep(&app("blog"), &resolved.image).await.expect("it can be kept");

    assert_eq!(resolved.image.digest(), &digest);
    world.as_controller("blog", Access::Pull).manifest(digest.as_str()).await.expect("it is kept");
}

#[tokio::test]
async fn a_private_image_needs_a_login_each_time() {
    let world = World::new().await;
    let (users, credentials) = users_registry().await;
    push_image(&users.as_controller("team", Access::Push), "v1", "one").await;
    let reference = format!("{}/team:v1", users.host);
    let images = world.images();
    images.resolve(&reference, Some(&credentials)).await.expect("the login is right");

    let denied = images.resolve(&reference, None).await.expect_err("it is private");

    assert_eq!(denied.to_string(), format!("Permission Denied attempting to pull image {reference}"));
}

#[tokio::test]
async fn an_image_that_is_nowhere_is_told_so() {
    let world = World::new().await;
    let (users, credentials) = users_registry().await;
    let images = world.images();

    let missing = format!("{}/team:v2", users.host);
    let error = images.resolve(&missing, Some(&credentials)).await.expect_err("it is nowhere");
    assert_eq!(error.to_string(), format!("image {missing} not found"));

    let malformed = images.resolve("Not An Image", None).await;
    assert!(matches!(malformed, Err(ImageError::Malformed { .. })), "{malformed:?}");
    let part = images.resolve("deis/controller:v2", None).await.expect_err("it is no app");
    assert!(part.to_string().contains("part of the platform"), "{part}");
    let silent = images.resolve("127.0.0.1:1/none:v1", None).await;
    assert!(matches!(silent, Err(ImageError::Engine(EngineError::Unreachable { .. }))), "{silent:?}");

    let gone = Image::Built { app: app("blog"), digest: Digest::of(b"gone") };
    let gone = images.keep(&app("blog"), &gone).await;
    assert!(matches!(gone, Err(ImageError::NotFound { .. })), "{gone:?}");
}

#[tokio::test]
async fn an_app_cannot_have_the_image_of_another_and_may_have_its_own() {
    let world = World::new().await;
    let digest = push_image(&world.as_controller("shop", Access::Push), "v1", "shop").await;
    let images = world.images();

    let by_name = images.resolve("127.0.0.1:5555/shop:v1", None).await.expect("it is there").image;
    let built = Image::Built { app: app("shop"), digest };
    for image in [&by_name, &built] {
        let refused = images.keep(&app("blog"), image).await.expect_err("it is another app's");
        assert!(refused.to_string().contains("belongs to another app"), "{refused}");
    }
    for image in [&by_name, &built] {
        images.keep(&app("shop"), image).await.expect("it is its own");
    }
}

#[tokio::test]
async fn nothing_of_an_app_is_left_when_it_is_removed() {
    let world = World::new().await;
    for name in ["blog", "blog/cache", "blog/git", "shop"] {
        push_image(&world.as_controller(name, Access::Push), "v1", name).await;
    }

    for _ in 0..2 {
        world.images().remove_app(&app("blog")).await.expect("twice is as good as once");
    }

    for (name, is_there) in [("blog", false), ("blog/cache", false), ("blog/git", false), ("shop", true)] {
        let found = world.as_controller(name, Access::Pull).has_manifest("v1").await.expect("it answers");
        assert_eq!(found, is_there, "{name}");
    }
}

#[tokio::test]
async fn the_space_of_removed_images_is_given_back_and_others_stay() {
    let each = std::time::Duration::from_millis(500);
    let world = World::collecting(Some(registry::CollectSettings { every: each, quiet: each })).await;
    let blog = world.as_controller("blog", Access::Push);
    let kept = push_image(&blog, "kept", "kept").await;
    let with_one = world.blob_bytes();
    let gone = push_image(&blog, "gone", &"gone".repeat(100_000)).await;
    assert!(world.blob_bytes() > with_one);

    let removing = world.as_controller("blog", Access::Delete);
    removing.remove_manifest(gone.as_str()).await.expect("it is there");

    wait_until("the space is given back", WAIT_MAX, async || match world.blob_bytes() {
        bytes if bytes > with_one => Err(bytes),
        _ => Ok(()),
    })
    .await;
    blog.manifest(kept.as_str()).await.expect("what has a name stays");
    // A removed blob can be pushed again: nothing remembers it as present.
    push_image(&blog, "gone", &"gone".repeat(100_000)).await;
    assert!(world.blob_bytes() > with_one);
}

#[tokio::test]
async fn an_archive_of_docker_save_can_be_pushed_and_found() {
    let world = World::new().await;
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let mut archive = tar::Builder::new(file.reopen().expect("opened"));
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, name, content).expect("written");
    };
    add("manifest.json", br#"[{"Config":"c.json","RepoTags":["a:b"],"Layers":["1/layer.tar"]}]"#);
    add("c.json", br#"{"config":{"User":"7"}}"#);
    add("1/layer.tar", &vec![7; 3_000_000]);
    archive.into_inner().expect("written");

    let to = world.as_controller("blog", Access::Push);
    let digest = push_archive(file.path(), &to, "v1").await.expect("it is taken");

    let found = world.images().resolve("127.0.0.1:5555/blog:v1", None).await.expect("it is there");
    assert_eq!((found.image.digest(), found.user.as_str()), (&digest, "7"));
}
