//! Packages of images, listed when they are asked for. The last lists are kept: the image of a digest never changes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use domain::sbom::Inventory;
use domain::{AppName, Digest, Image};
use engine::{ImageError, Images};
use tokio::sync::Mutex;

const KEPT_MAX: usize = 32;
/// Until the lists of others that were asked for before are made.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Packages that could not be listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InventoryError {
    #[error("the packages of other images are being listed, try again")]
    TimedOut,
    #[error(transparent)]
    Image(#[from] ImageError),
}

type StoredInventory = ((AppName, Digest), Arc<Inventory>);

/// The lists that are kept, the newest last. One image is read at a time, as it takes a core and much of a disk.
#[derive(Debug, Default)]
pub(crate) struct Inventories(Mutex<VecDeque<StoredInventory>>);

impl Inventories {
    /// The packages of an image of this app.
    pub(crate) async fn of(
        &self,
        images: &dyn Images,
        app: &AppName,
        image: &Image,
    ) -> Result<Arc<Inventory>, InventoryError> {
        let waited = tokio::time::timeout(WAIT_MAX, self.0.lock()).await;
        let mut kept = waited.map_err(|_| InventoryError::TimedOut)?;
        let key = (app.clone(), image.digest().clone());
        if let Some((_, inventory)) = kept.iter().find(|(known, _)| *known == key) {
            return Ok(inventory.clone());
        }
        let inventory = Arc::new(images.packages(app, image).await?);
        if kept.len() >= KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back((key, inventory.clone()));
        Ok(inventory)
    }
}
