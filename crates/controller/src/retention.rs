//! Retention: removal of images of old releases, of failed pushes and of destroyed apps from the image store.
//!
//! A pass compares the stored images with those that each app needs (`domain::retention`). It does not depend on
//! events; unneeded images are remembered in memory alone, so that a restart only keeps images longer.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use domain::retention::{GRACE, UnusedSince, needed};
use domain::{AppName, Digest, Image};
use jiff::Timestamp;

use crate::Controller;

/// Time between two passes.
const PASS_EVERY: Duration = Duration::from_secs(10 * 60);
/// Images removed in one pass; the next one continues.
const REMOVALS_MAX: usize = 200;

/// Runs passes for as long as this controller leads.
pub async fn run(controller: Controller) -> Infallible {
    let mut retention = Retention::new(controller);
    loop {
        tokio::time::sleep(PASS_EVERY).await;
        retention.pass(Timestamp::now()).await;
    }
}

/// Images seen unneeded so far.
pub struct Retention {
    controller: Controller,
    unneeded: UnusedSince<(AppName, Digest)>,
}

impl Retention {
    pub fn new(controller: Controller) -> Self {
        Self { controller, unneeded: UnusedSince::default() }
    }

    /// Removes what has been unneeded for the grace period at `now`; returns how many images that were. An
    /// engine or database that does not answer ends the pass, and nothing is removed for want of knowledge.
    pub async fn pass(&mut self, now: Timestamp) -> usize {
        match self.unneeded_now().await {
            Ok(found) => {
                let due = self.unneeded.due(found, now, GRACE);
                self.remove(due).await
            }
            Err(error) => {
                tracing::warn!(
                    error = &*error as &dyn std::error::Error,
                    "cannot tell which images are needed"
                );
                0
            }
        }
    }

    async fn unneeded_now(
        &self,
    ) -> Result<BTreeSet<(AppName, Digest)>, Box<dyn std::error::Error + Send + Sync>> {
        let Controller { store, engine, images, settings, .. } = &self.controller;
        // Listed before anything else is read: an image that comes later is not judged in this pass.
        let mut stored = images.stored(&store.app_names().await?).await?;
        let apps = store.app_names().await?;
        let mut running: BTreeMap<AppName, Vec<Digest>> = BTreeMap::new();
        for workload in engine.wanted().await? {
            running.entry(workload.id.app).or_default().push(workload.image.digest().clone());
        }
        for app in apps {
            let releases = store.release_images(&app).await?;
            let in_use = running.remove(&app).unwrap_or_default();
            for digest in needed(&releases, in_use, settings.builds_kept) {
                stored.remove(&(app.clone(), digest));
            }
        }
        // An app that is being destroyed still runs its images.
        stored.retain(|(app, digest)| !running.get(app).is_some_and(|images| images.contains(digest)));
        Ok(stored)
    }

    async fn remove(&self, due: Vec<(AppName, Digest)>) -> usize {
        let mut removed = 0;
        for (app, digest) in due.into_iter().take(REMOVALS_MAX) {
            let image = Image::Built { app: app.clone(), digest };
            match self.controller.images.remove(&app, &image).await {
                Ok(()) => {
                    removed += 1;
                    tracing::info!(%app, digest = %image.digest(), "removed an image that no release needs");
                }
                // Something still uses it, such as a one-off process; a later pass comes back.
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(%app, digest = %image.digest(), error, "an old image stays for now");
                }
            }
        }
        removed
    }
}
