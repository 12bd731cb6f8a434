//! Images in memory: those that a test registered.

use std::collections::BTreeSet;

use async_trait::async_trait;
use domain::sbom::Inventory;
use domain::{AppName, Digest, Image};

use super::FakeEngine;
use crate::image_text::shown;
use crate::{ImageError, Images, RegistryCredentials, ResolvedImage};

#[async_trait]
impl Images for FakeEngine {
    async fn resolve(
        &self,
        reference: &str,
        _credentials: Option<&RegistryCredentials>,
    ) -> Result<ResolvedImage, ImageError> {
        let state = self.reachable(&format!("find image {reference}"))?;
        if state.denied_images.contains(reference) {
            return Err(ImageError::Denied { reference: reference.to_owned() });
        }
        let found = state.known_images.get(reference).cloned();
        found.ok_or_else(|| ImageError::NotFound { reference: reference.to_owned() })
    }

    async fn keep(&self, app: &AppName, image: &Image) -> Result<(), ImageError> {
        let mut state = self.reachable("keep the image")?;
        let is_same = |(owner, other): &(AppName, Image)| owner == app && other.digest() == image.digest();
        if matches!(image, Image::Built { .. }) && state.calls.removed_images.iter().any(is_same) {
            return Err(ImageError::NotFound { reference: shown(image) });
        }
        state.calls.kept.push((app.clone(), image.clone()));
        state.kept_images.insert((app.clone(), image.digest().to_string()));
        Ok(())
    }

    async fn remove(&self, app: &AppName, image: &Image) -> Result<(), ImageError> {
        let mut state = self.reachable("remove the image")?;
        state.calls.removed_images.push((app.clone(), image.clone()));
        state.kept_images.remove(&(app.clone(), image.digest().to_string()));
        Ok(())
    }

    async fn stored(&self, _: &[AppName]) -> Result<BTreeSet<(AppName, Digest)>, ImageError> {
        let state = self.reachable("list images")?;
        let digest = |text: &str| Digest::parse(text).expect("it was a digest when it was kept");
        Ok(state.kept_images.iter().map(|(app, text)| (app.clone(), digest(text))).collect())
    }

    async fn packages(&self, app: &AppName, image: &Image) -> Result<Inventory, ImageError> {
        let mut state = self.reachable("list the packages of the image")?;
        if !state.kept_images.contains(&(app.clone(), image.digest().to_string())) {
            return Err(ImageError::NotFound { reference: shown(image) });
        }
        state.calls.scanned.push(image.digest().clone());
        Ok(state.inventories.get(image.digest()).cloned().unwrap_or_default())
    }
}
