//! What the builder asks and tells, on the internal listener only (api.md 4.20, `api::hooks`).

use axum::Json;
use axum::extract::State;
use domain::AppName;
use domain::access::Rule;
use domain::keys::{PUBLIC_KEY_LENGTH_MAX, PublicKey};
use domain::names::APP_NAME_LENGTH_MAX;
use domain::users::USERNAME_LENGTH_MAX;

use super::access::{Caller, app_access};
use super::body::{Body, Fields};
use super::config;
use super::error::ApiError;
use super::users::named;
use crate::Controller;

/// `POST /v2/hooks/key/`: whose key is this?
pub(crate) async fn key(
    State(controller): State<Controller>,
    body: Body,
) -> Result<Json<api::hooks::KeyOwner>, ApiError> {
    let mut fields = body.fields()?;
    let public = fields.text("public", PUBLIC_KEY_LENGTH_MAX);
    fields.finish()?;
    let key = PublicKey::parse(&public).map_err(|wrong| ApiError::field("public", wrong.to_string()))?;
    let owner = controller.store.key_owner(&key.blob_sha256()).await?;
    let username = owner.ok_or_else(|| ApiError::missing("Key"))?;
    Ok(Json(api::hooks::KeyOwner { username }))
}

/// `POST /v2/hooks/access/`: may this user push to and clone exactly this app?
pub(crate) async fn access(
    State(controller): State<Controller>,
    body: Body,
) -> Result<Json<api::hooks::Access>, ApiError> {
    let mut fields = body.fields()?;
    let who = Receiver::of(&mut fields);
    fields.finish()?;
    let (_, app) = who.admitted(&controller).await?;
    let record = controller.store.app(&app).await?.ok_or_else(|| ApiError::missing("App"))?;
    Ok(Json(api::hooks::Access { app: app.to_string(), uuid: record.uuid }))
}

/// `POST /v2/hooks/config/`: what a build of the app is made with.
pub(crate) async fn config(
    State(controller): State<Controller>,
    body: Body,
) -> Result<Json<api::config::Config>, ApiError> {
    let mut fields = body.fields()?;
    let who = Receiver::of(&mut fields);
    fields.finish()?;
    let (_, app) = who.admitted(&controller).await?;
    config::current(&controller, &app).await
}

/// `GET /v2/hooks/apps/`: every app there is.
pub(crate) async fn apps(State(controller): State<Controller>) -> Result<Json<api::hooks::Apps>, ApiError> {
    let apps = controller.store.app_names().await?;
    Ok(Json(api::hooks::Apps { apps: apps.iter().map(AppName::to_string).collect() }))
}

/// Who pushes, and to which app.
pub(super) struct Receiver {
    user: String,
    app: String,
}

impl Receiver {
    pub(super) fn of(fields: &mut Fields) -> Self {
        Self {
            user: fields.text("receive_user", USERNAME_LENGTH_MAX),
            app: fields.text("receive_repo", APP_NAME_LENGTH_MAX),
        }
    }

    /// The same right as for using the app: its owner, collaborators and administrators push and clone.
    pub(super) async fn admitted(&self, controller: &Controller) -> Result<(Caller, AppName), ApiError> {
        let user = named(controller, &self.user).await?;
        if !user.is_active {
            return Err(ApiError::forbidden());
        }
        let caller = Caller(user);
        let app = app_access(controller, &caller, &self.app, Rule::UseApp).await?;
        Ok((caller, app))
    }
}
