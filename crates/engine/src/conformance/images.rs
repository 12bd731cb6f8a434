//! Promises of images.

use domain::Image;

use super::Subject;
use super::setting::*;
use crate::{ImageError, Images};

pub async fn an_unknown_image_is_not_found(subject: &dyn Subject) {
    let found = subject.engine().resolve("deis-conformance-none/such:latest", None).await;

    assert!(matches!(found, Err(ImageError::NotFound { .. } | ImageError::Engine(_))), "{found:?}");
}

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
