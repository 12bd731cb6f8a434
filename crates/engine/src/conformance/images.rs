//! Promises of images.

use domain::Image;

use super::Subject;
use super::setting::*;
use crate::{ImageError, Images};

/// An engine that cannot reach a registry may return another error than `NotFound`, but an error.
pub async fn an_unknown_image_is_not_found(subject: &dyn Subject) {
    let found = subject.engine().resolve("deis-conformance-none/such:latest", None).await;

    assert!(matches!(found, Err(ImageError::NotFound { .. } | ImageError::Engine(_))), "{found:?}");
}

/// Both are idempotent, and the user's own image stays.
pub async fn an_image_can_be_kept_and_removed_twice(subject: &dyn Subject) {
    let engine = subject.engine();
    let image = subject.image();
    let Image::External { reference, digest } = &image else { panic!("an image of the user's") };
    let resolved = engine.resolve(reference, None).await.expect("it is here");
    assert_eq!(resolved.image.digest(), digest);

    for _ in 0..2 {
        engine.keep(&app(), &image).await.expect("it is here");
    }
    for _ in 0..2 {
        Images::remove(&*engine, &app(), &image).await.expect("it was kept, or is gone");
    }

    engine.resolve(reference, None).await.expect("what is the user's own stays");
}

/// A kept image is in the list from [`Images::keep`] to [`Images::remove`].
pub async fn a_stored_image_is_listed_until_it_is_removed(subject: &dyn Subject) {
    let engine = subject.engine();
    let image = subject.image();
    let entry = (app(), image.digest().clone());
    let is_listed = async || engine.stored(&[app()]).await.expect("reachable").contains(&entry);

    let before = is_listed().await;
    engine.keep(&app(), &image).await.expect("it is here");
    let kept = is_listed().await;
    Images::remove(&*engine, &app(), &image).await.expect("it was kept");
    let after = is_listed().await;

    assert_eq!((before, kept, after), (false, true, false));
}
