//! Images on a real Docker daemon: local ones, and ones of a registry on loopback.

use domain::{Digest, Image};
use engine::{EngineError, ImageError, Images as _, RegistryCredentials};
use testkit::docker::{docker, image_id};

use crate::registry::Registry;
use crate::world::{World, app, start};

/// An image that a user brought to the machine, under a name of its own.
struct UsersImage {
    name: String,
    id: String,
}

impl UsersImage {
    fn import() -> Self {
        let name = format!("users-image-{:08x}:v1", rand::random::<u32>());
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(name.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, "name", name.as_bytes()).expect("memory takes it");
        let layer = archive.into_inner().expect("memory takes it");
        let id = testkit::docker::import(&name, &layer, &["EXPOSE 9090 8080", "USER 1001"]);
        Self { name, id }
    }
}

impl Drop for UsersImage {
    fn drop(&mut self) {
        docker(&["rmi", "--force", &self.name]);
    }
}

#[tokio::test]
async fn a_local_image_is_pinned_kept_and_removed_and_the_users_name_stays() {
    let world = World::new().await;
    let users = UsersImage::import();

    let resolved = world.engine.resolve(&users.name, None).await.expect("it is here");

    assert_eq!((resolved.ports.as_slice(), resolved.user.as_str()), (&[8080, 9090][..], "1001"));
    let Image::External { reference, digest } = &resolved.image else { panic!("it was brought") };
    assert_eq!((reference, digest.as_str()), (&users.name, users.id.as_str()));

    let blog = app("blog");
    let kept = format!("{}:{}", world.repository("blog"), digest.hex());
    for _ in 0..2 {
        world.engine.keep(&blog, &resolved.image).await.expect("keeping twice changes nothing");
    }
    assert_eq!(image_id(&kept), users.id);
    for _ in 0..2 {
        world.engine.remove(&blog, &resolved.image).await.expect("removing twice changes nothing");
    }
    assert!(image_id(&kept).is_empty());
    assert_eq!(image_id(&users.name), users.id, "the user's own name was taken away");
}

#[tokio::test]
async fn an_image_is_kept_by_its_digest_although_its_name_has_moved_on() {
    let world = World::new().await;
    let (first, second) = (UsersImage::import(), UsersImage::import());
    let name = format!("moving-{}", world.instance.0);
    docker(&["tag", &first.name, &name]);
    let resolved = world.engine.resolve(&name, None).await.expect("it is here");

    docker(&["tag", &second.name, &name]);
    let kept = world.engine.keep(&app("blog"), &resolved.image).await;
    docker(&["rmi", &name]);

    kept.expect("the image is still here");
    assert_eq!(
        image_id(&format!("{}:{}", world.repository("blog"), resolved.image.digest().hex())),
        first.id
    );
}

#[tokio::test]
async fn an_app_cannot_have_the_image_of_another() {
    let world = World::new().await;
    let users = UsersImage::import();
    let resolved = world.engine.resolve(&users.name, None).await.expect("it is here");
    world.engine.keep(&app("shop"), &resolved.image).await.expect("it can be kept");
    let digest = resolved.image.digest().clone();

    let by_name = format!("{}:{}", world.repository("shop"), digest.hex());
    let foreign = world.engine.resolve(&by_name, None).await.expect("it is here").image;
    let built = Image::Built { app: app("shop"), digest };
    for image in [foreign, built] {
        let refused = world.engine.keep(&app("blog"), &image).await.expect_err("it is another app's");
        assert!(refused.to_string().contains("belongs to another app"), "{refused}");
    }
}

#[tokio::test]
async fn an_image_that_is_nowhere_is_told_so() {
    let world = World::new().await;
    let registry = Registry::start().await;

    let missing = format!("{}/tiny:v2", registry.host);
    let error = world.engine.resolve(&missing, None).await.expect_err("it is nowhere");
    assert_eq!(error.to_string(), format!("image {missing} not found"));

    let malformed = world.engine.resolve("Not An Image", None).await;
    assert!(matches!(malformed, Err(ImageError::Malformed { .. })), "{malformed:?}");

    let part = world.engine.resolve("deis/controller:v2", None).await.expect_err("it is no app");
    assert!(part.to_string().contains("part of the platform"), "{part}");

    // Nothing listens there: as on a machine without a registry.
    let error = world.engine.resolve("127.0.0.1:1/none:v1", None).await.expect_err("nobody answers");
    let text = error.to_string();
    assert!(text.contains("image 127.0.0.1:1/none:v1 not found on this machine"), "{text}");
    assert!(text.contains("docker load"), "{text}");

    let gone = Image::External { reference: missing, digest: Digest::of(b"gone") };
    let gone = world.engine.keep(&app("blog"), &gone).await;
    assert!(matches!(gone, Err(ImageError::NotFound { .. })), "{gone:?}");
}

#[tokio::test]
async fn a_pulled_image_is_pinned_to_the_registrys_digest_and_leaves_nothing_behind() {
    let world = World::new().await;
    let registry = Registry::start().await;
    let reference = format!("{}/tiny:v1", registry.host);

    let resolved = world.engine.resolve(&reference, None).await.expect("the registry has it");

    assert_eq!(resolved.image.digest(), &registry.digest);
    assert_eq!((resolved.ports.as_slice(), resolved.user.as_str()), (&[8080][..], "1001"));
    assert!(image_id(&reference).is_empty(), "the name it came by would outlive the app");

    let name = |app: &str| format!("{}:{}", world.repository(app), registry.digest.hex());
    for owner in ["blog", "shop"] {
        world.engine.keep(&app(owner), &resolved.image).await.expect("it can be kept");
    }
    let id = image_id(&name("blog"));
    assert_eq!(image_id(&name("shop")), id);
    world.engine.remove(&app("blog"), &resolved.image).await.expect("it goes");
    assert_eq!(image_id(&id), id, "shop still has it");
    world.engine.remove(&app("shop"), &resolved.image).await.expect("it goes");
    assert!(image_id(&id).is_empty(), "nobody has it any more");
}

#[tokio::test]
async fn a_private_image_needs_a_login_each_time() {
    let world = World::new().await;
    let registry = Registry::start_private().await;
    let reference = format!("{}/tiny:v1", registry.host);
    let login = RegistryCredentials { username: "a".to_owned(), password: "b".to_owned(), hostname: None };

    let denied = world.engine.resolve(&reference, None).await.expect_err("it is private");
    assert_eq!(denied.to_string(), format!("Permission Denied attempting to pull image {reference}"));

    let resolved = world.engine.resolve(&reference, Some(&login)).await.expect("the login is right");
    assert_eq!(resolved.image.digest(), &registry.digest);
    let again = world.engine.resolve(&reference, None).await;
    assert!(matches!(again, Err(ImageError::Denied { .. })), "another app's login opens it: {again:?}");
}

#[tokio::test]
async fn an_image_that_was_pulled_for_nothing_goes_at_the_next_start() {
    let world = World::new().await;
    let registry = Registry::start().await;
    let resolved =
        world.engine.resolve(&format!("{}/tiny:v1", registry.host), None).await.expect("it is there");
    let name = format!("{}:{}", world.repository("0pulled"), resolved.image.digest().hex());
    assert!(!image_id(&name).is_empty());

    start(&world.settings).await;

    assert!(image_id(&name).is_empty());
}

#[tokio::test]
async fn an_image_in_use_is_not_removed() {
    let world = World::new().await;
    let users = UsersImage::import();
    let resolved = world.engine.resolve(&users.name, None).await.expect("it is here");
    let blog = app("blog");
    world.engine.keep(&blog, &resolved.image).await.expect("it can be kept");
    docker(&["rmi", &users.name]);
    let kept = format!("{}:{}", world.repository("blog"), resolved.image.digest().hex());
    let label = format!("io.deis.instance={}", world.instance.0);
    docker(&["create", "--label", &label, &kept, "/none"]);

    let refused = world.engine.remove(&blog, &resolved.image).await;

    assert!(matches!(refused, Err(ImageError::Engine(EngineError::Refused { .. }))), "{refused:?}");
    assert!(!image_id(&kept).is_empty());
}
