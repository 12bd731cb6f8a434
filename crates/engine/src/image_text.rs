//! Image references as users write them, and the words about those that cannot be used: the same on every engine.

use domain::Image;
use domain::image_reference::ImageReference;

use crate::{EngineError, ImageError};

/// Parses a reference; an invalid one is [`ImageError::Malformed`].
pub fn parse(reference: &str) -> Result<ImageReference, ImageError> {
    ImageReference::parse(reference)
        .map_err(|error| ImageError::Malformed { reference: reference.to_owned(), reason: error.to_string() })
}

/// Error for an image that apps may not use.
pub fn refused(image: &str, reason: &str) -> ImageError {
    EngineError::Refused { what: format!("use image {image}"), reason: reason.to_owned() }.into()
}

/// Name of an image for messages: its reference, or `<app>@<digest>` for a built one.
pub fn shown(image: &Image) -> String {
    match image {
        Image::Built { app, digest } => format!("{app}@{digest}"),
        Image::External { reference, .. } => reference.clone(),
    }
}
