//! Apps (docs/spec/api.md 4.5).

use std::collections::BTreeMap;

use api::apps::{APP_PATH, APPS_PATH, LOCK_PATH};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::AppName;
use domain::access::Action::{Delete, Read, Transfer, Write};
use domain::access::{Permission, Resource, needs};
use domain::app_names::{GENERATED_NAMES, generated_name};
use domain::lookalikes::is_lookalike;
use domain::names::APP_NAME_LENGTH_MAX;
use domain::structure::Structure;
use domain::users::USERNAME_LENGTH_MAX;
use jiff::Timestamp;
use store::{AppLock, AppRecord, CreatedApp, StoreError};

use super::access::{Caller, ThisApp, app_access};
use super::body::{Fields, RawBody};
use super::error::ApiError;
use super::operation::{Operation, delete, get, post};
use super::outcome;
use super::paging::{Paging, wire_time};
use super::users::named;
use crate::Controller;

const ID_TAKEN: &str = "Application with this id already exists.";
/// Made-up names that are tried before giving up.
const GENERATED_TRIES: usize = 50;
/// Longest reason of a lock, in characters.
const REASON_CHARS_MAX: usize = 200;
const ONE_LINE: &str = "Give one line of text, without control characters.";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        get(APPS_PATH, needs(Read, Resource::Apps), "Lists apps", list).page::<api::apps::App>(),
        post(APPS_PATH, needs(Write, Resource::Apps), "Makes an app", create)
            .takes::<api::apps::NewApp>()
            .gives::<api::apps::App>(201)
            .found_by("id"),
        get(APP_PATH, needs(Read, Resource::App), "Shows an app", info).gives::<api::apps::App>(200),
        // The handler also wants the permission to transfer.
        post(APP_PATH, needs(Write, Resource::App), "Gives an app to another owner", update)
            .takes::<api::apps::AppChange>()
            .empty(200),
        delete(APP_PATH, needs(Delete, Resource::App), "Destroys an app", destroy),
        post(
            LOCK_PATH,
            needs(Write, Resource::Lock),
            "Locks an app: it is neither deployed, scaled nor destroyed",
            lock,
        )
        .takes::<api::apps::NewLock>()
        .gives::<api::apps::Lock>(201),
        delete(LOCK_PATH, needs(Delete, Resource::Lock), "Unlocks an app", unlock),
    ]
}

/// `GET /v2/apps/`: those that the caller may use, by name.
async fn list(
    State(controller): State<Controller>,
    caller: Caller,
    paging: Paging,
) -> Result<Json<api::Page<api::apps::App>>, ApiError> {
    let apps = controller.store.apps_of(caller.name(), caller.may(Read, Resource::App), paging.page).await?;
    Ok(paging.answer(apps, |(app, structure)| show(app, structure)))
}

/// `POST /v2/apps/`.
async fn create(
    State(controller): State<Controller>,
    caller: Caller,
    body: RawBody,
) -> Result<(StatusCode, Json<api::apps::App>), ApiError> {
    let created = match wanted_name(&controller, body.fields()?)? {
        Some(name) => {
            if let Some(reason) = refusal_of_engine(&controller, &name).await {
                return Err(ApiError::field("id", format!("{name} cannot be used: {reason}.")));
            }
            let created = controller.create_app(name.clone(), caller.name()).await;
            created.map_err(|error| name_taken(&name, error))?
        }
        None => create_with_made_up_name(&controller, &caller).await?,
    };
    let app = created.app;
    Ok((StatusCode::CREATED, Json(show(app, Structure::new()))))
}

/// `GET /v2/apps/{app}/`.
async fn info(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
) -> Result<Json<api::apps::App>, ApiError> {
    let structure = controller.store.structure(&app).await?;
    let app = controller.store.app(&app).await?.ok_or_else(|| ApiError::missing("App"))?;
    Ok(Json(show(app, structure)))
}

/// `POST /v2/apps/{app}/`: transfers the app to another owner; without one, creates missing objects again.
async fn update(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<StatusCode, ApiError> {
    let mut fields = body.fields()?;
    let owner = fields.optional_text("owner", USERNAME_LENGTH_MAX);
    fields.finish()?;
    let now = Timestamp::now();
    match owner {
        Some(owner) => {
            app_access(&controller, &caller, app.as_str(), Permission::new(Transfer, Resource::App)).await?;
            let owner = named(&controller, &owner).await?.username;
            controller.store.transfer_app(&app, &owner, now).await?;
            controller.access_version.changed().await;
            controller.say(&app, format!("{} transferred {app} to {owner}", caller.name()));
        }
        None => controller.store.touch_app(&app, now).await?,
    }
    outcome::of_routing(&controller, &app).await?;
    Ok(StatusCode::OK)
}

/// `DELETE /v2/apps/{app}/`: answers when nothing is left of it.
async fn destroy(
    State(controller): State<Controller>,
    ThisApp(app): ThisApp,
) -> Result<StatusCode, ApiError> {
    controller.remove_app(&app).await?;
    controller.access_version.changed().await;
    outcome::of_removal(&controller, &app).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v2/apps/{app}/lock/`.
async fn lock(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
    body: RawBody,
) -> Result<(StatusCode, Json<api::apps::Lock>), ApiError> {
    let mut fields = body.fields()?;
    let reason = fields.text_or_blank("reason", REASON_CHARS_MAX);
    if reason.contains(char::is_control) {
        fields.complain("reason", ONE_LINE);
    }
    fields.finish()?;
    let reason = Some(reason).filter(|reason| !reason.is_empty());
    let lock = AppLock { user: caller.name().to_owned(), since: Timestamp::now(), reason };
    let lock = controller.store.lock_app(&app, lock).await?;
    controller.say(&app, format!("{app} is locked by {lock}"));
    Ok((StatusCode::CREATED, Json(show_lock(lock))))
}

/// `DELETE /v2/apps/{app}/lock/`.
async fn unlock(
    State(controller): State<Controller>,
    caller: Caller,
    ThisApp(app): ThisApp,
) -> Result<StatusCode, ApiError> {
    if !controller.store.unlock_app(&app).await? {
        return Err(ApiError::unprocessable(format!("{app} is not locked")));
    }
    controller.say(&app, format!("{} unlocked {app}", caller.name()));
    Ok(StatusCode::NO_CONTENT)
}

/// The name that the body asks for; `None` where it leaves that to us.
fn wanted_name(controller: &Controller, mut fields: Fields) -> Result<Option<AppName>, ApiError> {
    if fields.value("id").is_none_or(serde_json::Value::is_null) {
        return Ok(None);
    }
    let id = fields.text("id", APP_NAME_LENGTH_MAX);
    fields.finish()?;
    let name = AppName::parse(&id).map_err(|wrong| ApiError::field("id", wrong.to_string()))?;
    let reserved = &controller.settings.reserved_names;
    if reserved.contains(name.as_str()) {
        return Err(ApiError::field("id", format!("{name} is a reserved name.")));
    }
    if let Some(reserved) = reserved.iter().find(|reserved| is_lookalike(name.as_str(), reserved)) {
        let message = format!("{name} is easily taken for the reserved name {reserved}; choose another.");
        return Err(ApiError::field("id", message));
    }
    Ok(Some(name))
}

async fn create_with_made_up_name(controller: &Controller, caller: &Caller) -> Result<CreatedApp, ApiError> {
    for _ in 0..GENERATED_TRIES {
        let name = generated_name(rand::random_range(0..GENERATED_NAMES));
        if refusal_of_engine(controller, &name).await.is_some() {
            continue;
        }
        match controller.create_app(name, caller.name()).await {
            Err(StoreError::Conflict { .. }) => (),
            outcome => return Ok(outcome?),
        }
    }
    Err(ApiError::field("id", "No made-up name is free; choose a name."))
}

/// Reason why the engine refuses a name, which something outside the platform has. If the engine does not answer,
/// the first deploy asks again.
async fn refusal_of_engine(controller: &Controller, name: &AppName) -> Option<String> {
    let refusal = controller.engine.name_refusal(name).await;
    refusal.unwrap_or_else(|error| {
        tracing::warn!(%name, error = &error as &dyn std::error::Error, "cannot tell whether a name is free");
        None
    })
}

fn name_taken(name: &AppName, error: StoreError) -> ApiError {
    match error {
        StoreError::Conflict { what } if what == "domain" => {
            ApiError::field("id", format!("{name} is already in use as a domain of another application."))
        }
        StoreError::Conflict { .. } => ApiError::field("id", ID_TAKEN),
        other => other.into(),
    }
}

fn show(app: AppRecord, structure: Structure) -> api::apps::App {
    let AppRecord { uuid, id, owner, created, updated, removing: _, lock } = app;
    let structure: BTreeMap<_, _> =
        structure.into_iter().map(|(process, replicas)| (process.to_string(), replicas)).collect();
    let (created, updated) = (wire_time(created), wire_time(updated));
    let lock = lock.map(show_lock);
    api::apps::App { uuid, id: id.to_string(), owner, structure, created, updated, lock }
}

fn show_lock(lock: AppLock) -> api::apps::Lock {
    let AppLock { user, since, reason } = lock;
    api::apps::Lock { user, since: wire_time(since), reason }
}
