//! Credentials that opened an image, kept between resolving and copying it.
//!
//! Each copy follows its own resolving, which asks the registry again, so nobody gets an image by the credentials
//! of another user.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use domain::Image;

use engine::RegistryCredentials;

/// Images that are found and not copied yet.
const IMAGES_MAX: usize = 64;

/// The newest findings; the oldest is forgotten first.
#[derive(Default)]
pub struct CredentialCache(Mutex<VecDeque<(Image, Option<RegistryCredentials>)>>);

impl CredentialCache {
    pub fn remember(&self, image: &Image, credentials: Option<&RegistryCredentials>) {
        let mut images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        images.retain(|(known, _)| known != image);
        if images.len() == IMAGES_MAX {
            images.pop_front();
        }
        images.push_back((image.clone(), credentials.cloned()));
    }

    pub fn of(&self, image: &Image) -> Option<RegistryCredentials> {
        let images = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        images.iter().find(|(known, _)| known == image).and_then(|(_, credentials)| credentials.clone())
    }
}

#[cfg(test)]
mod tests {
    use domain::Digest;

    use super::*;

    #[test]
    fn the_last_finding_of_an_image_counts_and_old_ones_are_forgotten() {
        let image = |number: usize| Image::External {
            reference: format!("image:{number}"),
            digest: Digest::of(b"x"),
        };
        let credentials =
            RegistryCredentials { username: "a".to_owned(), password: "b".to_owned(), hostname: None };
        let remembered = CredentialCache::default();

        remembered.remember(&image(0), Some(&credentials));
        assert_eq!(remembered.of(&image(0)).expect("just found").username, "a");
        remembered.remember(&image(0), None);
        assert!(remembered.of(&image(0)).is_none());

        remembered.remember(&image(1), Some(&credentials));
        for number in 2..=IMAGES_MAX + 1 {
            remembered.remember(&image(number), None);
        }
        assert!(remembered.of(&image(1)).is_none());
    }
}
