//! Hooks of the builder, on the internal listener only (docs/spec/api.md 4.20, `api::hooks`).

use api::hooks::{ACCESS_PATH, APPS_PATH, CONFIG_PATH, KEY_PATH};
use axum::Json;
use axum::extract::State;
use domain::AppName;
use domain::access::AccessRule::Builder;
use domain::access::{Action, Permission, Resource};
use domain::keys::{PUBLIC_KEY_LENGTH_MAX, PublicKey};
use domain::names::APP_NAME_LENGTH_MAX;
use domain::users::USERNAME_LENGTH_MAX;

use super::access::{Caller, app_access};
use super::body::{Fields, RawBody};
use super::config;
use super::error::ApiError;
use super::operation::{Operation, get, post};
use super::users::named;
use crate::Controller;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        post(KEY_PATH, Builder, "Finds the owner of a key", key)
            .takes::<api::hooks::KeyQuestion>()
            .gives::<api::hooks::KeyOwner>(200),
        post(ACCESS_PATH, Builder, "Finds the app that a user may push to", access)
            .takes::<api::hooks::AccessQuestion>()
            .gives::<api::hooks::RepositoryAccess>(200),
        post(CONFIG_PATH, Builder, "Shows the config for a build", config)
            .takes::<api::hooks::ConfigQuestion>()
            .gives::<api::config::Config>(200),
        get(APPS_PATH, Builder, "Lists the names of all apps", apps).gives::<api::hooks::Apps>(200),
    ]
}

/// `POST /v2/hooks/key/`: whose key is this?
async fn key(
    State(controller): State<Controller>,
    body: RawBody,
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
async fn access(
    State(controller): State<Controller>,
    body: RawBody,
) -> Result<Json<api::hooks::RepositoryAccess>, ApiError> {
    let mut fields = body.fields()?;
    let who = PushTarget::of(&mut fields);
    fields.finish()?;
    let (_, app) = who.admitted(&controller).await?;
    let record = controller.store.app(&app).await?.ok_or_else(|| ApiError::missing("App"))?;
    let settings = controller.store.settings(&app).await?.settings;
    let stack = Some(settings.stack().into());
    let default_builder = controller.settings.default_builder.clone();
    let builder = settings.builder.as_ref().and_then(|it| it.image(default_builder.as_deref()));
    let builder = builder.map(str::to_owned);
    let branch = settings.git_branch.map(String::from);
    let build_kind = settings.build_kind.map(|kind| kind.as_str().to_owned());
    let (app, uuid) = (app.to_string(), record.uuid);
    Ok(Json(api::hooks::RepositoryAccess { app, uuid, branch, build_kind, stack, builder, default_builder }))
}

/// `POST /v2/hooks/config/`: config for a build of the app. A locked app is refused before it is built.
async fn config(
    State(controller): State<Controller>,
    body: RawBody,
) -> Result<Json<api::config::Config>, ApiError> {
    let mut fields = body.fields()?;
    let who = PushTarget::of(&mut fields);
    fields.finish()?;
    let (_, app) = who.admitted(&controller).await?;
    controller.store.app_must_be_unlocked(&app).await?;
    config::current(&controller, &app).await
}

/// `GET /v2/hooks/apps/`: every app there is.
async fn apps(State(controller): State<Controller>) -> Result<Json<api::hooks::Apps>, ApiError> {
    let apps = controller.store.app_names().await?;
    Ok(Json(api::hooks::Apps { apps: apps.iter().map(AppName::to_string).collect() }))
}

/// Pusher and app.
pub(super) struct PushTarget {
    user: String,
    app: String,
}

const PUSH: Permission = Permission::new(Action::Write, Resource::Builds);

impl PushTarget {
    pub(super) fn of(fields: &mut Fields) -> Self {
        Self {
            user: fields.text("receive_user", USERNAME_LENGTH_MAX),
            app: fields.text("receive_repo", APP_NAME_LENGTH_MAX),
        }
    }

    /// Whoever may build pushes and clones.
    pub(super) async fn admitted(&self, controller: &Controller) -> Result<(Caller, AppName), ApiError> {
        let user = named(controller, &self.user).await?;
        if !user.is_active {
            return Err(ApiError::forbidden());
        }
        let caller = Caller(user);
        let app = app_access(controller, &caller, &self.app, PUSH).await?;
        Ok((caller, app))
    }
}
