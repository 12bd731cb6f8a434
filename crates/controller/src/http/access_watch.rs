//! Watches whether access that was granted to a long request still holds: sessions, followed logs, one-off processes.
//!
//! The request ends as soon as its token, its user, the user's right to the app, or the app is gone. On the
//! controller that recorded the end this is at once; on others of the same database within [`RECHECK_INTERVAL`].

use std::sync::Arc;
use std::time::Duration;

use domain::AppName;
use domain::access::{Permission, permit};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::access::{Caller, CallerToken, roles_on};
use super::error::ApiError;
use crate::Controller;

/// Longest age of an answer of the database. One query serves all watches of a process.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Longest time that a request continues while the database does not answer.
const UNCHECKED_MAX: Duration = Duration::from_secs(60);

/// The version of access ([`store::Store::access_version`]) as this process knows it.
#[derive(Clone)]
pub(crate) struct AccessVersion {
    known: Arc<Mutex<Option<(Instant, i64)>>>,
    changed: watch::Sender<()>,
}

impl Default for AccessVersion {
    fn default() -> Self {
        Self { known: Arc::default(), changed: watch::Sender::new(()) }
    }
}

impl AccessVersion {
    /// Has all watches check again: access of a user has ended.
    pub(crate) async fn changed(&self) {
        *self.known.lock().await = None;
        self.changed.send_replace(());
    }

    async fn current(&self, controller: &Controller) -> Result<i64, ApiError> {
        let mut known = self.known.lock().await;
        if let Some((at, version)) = *known
            && at.elapsed() < RECHECK_INTERVAL
        {
            return Ok(version);
        }
        let version = controller.store.access_version().await?;
        *known = Some((Instant::now(), version));
        Ok(version)
    }
}

/// The access of one request to one app, watched by a task of its own: a request that is busy must not hold it up.
pub(crate) struct AccessWatch {
    watching: JoinHandle<()>,
    has_ended: bool,
}

impl AccessWatch {
    /// Watches what the request with this token was let in for.
    pub(crate) fn new(
        controller: &Controller,
        token: CallerToken,
        app: &AppName,
        permission: Permission,
    ) -> Self {
        let watching = tokio::spawn(WatchedRequest::new(controller, token, app, permission).ended());
        Self { watching, has_ended: false }
    }

    /// Waits for the end of the access. May be dropped and called again.
    pub(crate) async fn ended(&mut self) {
        if !self.has_ended {
            // A task that broke watches nothing any more: its request ends, too.
            _ = (&mut self.watching).await;
            self.has_ended = true;
        }
    }
}

impl Drop for AccessWatch {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// Checks once whether the access holds. While the database does not answer, the request continues.
pub(crate) async fn holds_still(
    controller: &Controller,
    token: &CallerToken,
    app: &AppName,
    permission: Permission,
) -> bool {
    WatchedRequest::new(controller, token.clone(), app, permission).holds().await.unwrap_or(true)
}

/// A request, and the permission by which it was admitted.
struct WatchedRequest {
    controller: Controller,
    token: CallerToken,
    app: AppName,
    permission: Permission,
    /// An app that is made anew under the same name is another one.
    app_uuid: Option<String>,
    changed: watch::Receiver<()>,
    checked: Option<i64>,
    checked_at: Instant,
}

impl WatchedRequest {
    fn new(controller: &Controller, token: CallerToken, app: &AppName, permission: Permission) -> Self {
        Self {
            controller: controller.clone(),
            token,
            app: app.clone(),
            permission,
            app_uuid: None,
            changed: controller.access_version.changed.subscribe(),
            checked: None,
            checked_at: Instant::now(),
        }
    }

    async fn ended(mut self) {
        loop {
            match self.still_holds().await {
                Ok(true) => self.checked_at = Instant::now(),
                Ok(false) => return,
                Err(_) if self.checked_at.elapsed() >= UNCHECKED_MAX => return,
                // Asked again in a moment.
                Err(_) => (),
            }
            _ = timeout(RECHECK_INTERVAL, self.changed.changed()).await;
        }
    }

    async fn still_holds(&mut self) -> Result<bool, ApiError> {
        let version = self.controller.access_version.current(&self.controller).await?;
        if self.checked == Some(version) {
            return Ok(true);
        }
        let holds = self.holds().await?;
        self.checked = Some(version);
        Ok(holds)
    }

    async fn holds(&mut self) -> Result<bool, ApiError> {
        let store = &self.controller.store;
        let Some(user) = store.user_of_token(&self.token.0).await?.filter(|user| user.is_active) else {
            return Ok(false);
        };
        let Some(app) = store.app(&self.app).await?.filter(|app| !app.removing) else { return Ok(false) };
        if *self.app_uuid.get_or_insert_with(|| app.uuid.clone()) != app.uuid {
            return Ok(false);
        }
        let (_, roles) = roles_on(&self.controller, &Caller(user), self.app.as_str()).await?;
        Ok(permit(&roles, self.permission))
    }
}
