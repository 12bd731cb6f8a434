//! Registration, login, passwords and the end of an account (api.md 4.2).

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use domain::users::{
    self, EMAIL_LENGTH_MAX, Joining, PASSWORD_LENGTH_MAX, REAL_NAME_LENGTH_MAX, Registrar,
    USERNAME_LENGTH_MAX,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use store::{NewUser, StoreError, User};

use super::access::{Caller, MaybeCaller};
use super::body::{Body, Fields};
use super::error::ApiError;
use super::identity::identify;
use super::users::{named, show};
use crate::{Controller, tokens};

const TAKEN: &str = "A user with that username already exists.";
const NO_LOGIN: &str = "Unable to log in with provided credentials.";

/// `POST /v2/auth/register/`.
pub(crate) async fn register(
    State(controller): State<Controller>,
    MaybeCaller(caller): MaybeCaller,
    body: Body,
) -> Result<(StatusCode, Json<api::users::User>), ApiError> {
    let registrar = registrar(caller.as_ref());
    let has_admin = controller.store.has_superuser().await?;
    let joining = may_register(&controller, registrar, has_admin)?;
    let (user, password) = registration(body.fields()?)?;
    let password_hash = controller.passwords.hash(password).await?;
    match controller.store.add_user(NewUser { password_hash, ..user }, joining).await {
        Ok(user) => Ok((StatusCode::CREATED, Json(show(user)))),
        Err(StoreError::Conflict { what }) if what == "username" => Err(ApiError::field("username", TAKEN)),
        // Somebody else became the first administrator meanwhile.
        Err(StoreError::Conflict { .. }) => Err(may_register(&controller, registrar, true)
            .err()
            .unwrap_or_else(|| ApiError::conflict("another user registered first, try again"))),
        Err(error) => Err(error.into()),
    }
}

fn registrar(caller: Option<&Caller>) -> Registrar {
    match caller {
        None => Registrar::Anonymous,
        Some(caller) if caller.is_admin() => Registrar::Admin,
        Some(_) => Registrar::User,
    }
}

/// A refusal is 403 also for who is anonymous: clients rely on it.
fn may_register(controller: &Controller, registrar: Registrar, has_admin: bool) -> Result<Joining, ApiError> {
    let mode = controller.settings.registration_mode;
    users::registration(mode, registrar, has_admin)
        .map_err(|refused| ApiError::detail(StatusCode::FORBIDDEN, refused.to_string()))
}

/// Reads who wants to register. The hash of the password is still to be made.
fn registration(mut fields: Fields) -> Result<(NewUser, String), ApiError> {
    let username = fields.text("username", USERNAME_LENGTH_MAX);
    if fields.is_fine("username")
        && let Err(wrong) = users::check_username(&username)
    {
        fields.complain("username", wrong.to_string());
    }
    let password = fields.password("password", PASSWORD_LENGTH_MAX);
    let email = fields.text_or_blank("email", EMAIL_LENGTH_MAX);
    if !email.is_empty()
        && let Err(wrong) = users::check_email(&email)
    {
        fields.complain("email", wrong.to_string());
    }
    let first_name = fields.text_or_blank("first_name", REAL_NAME_LENGTH_MAX);
    let last_name = fields.text_or_blank("last_name", REAL_NAME_LENGTH_MAX);
    fields.finish()?;
    let password_hash = String::new();
    let now = Timestamp::now();
    Ok((NewUser { username, email, first_name, last_name, password_hash, now }, password))
}

/// `POST /v2/auth/login/`. Each login makes a token of its own; the others go on.
pub(crate) async fn login(
    State(controller): State<Controller>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<api::auth::Token>, ApiError> {
    let mut fields = body.fields()?;
    let username = fields.text("username", USERNAME_LENGTH_MAX);
    let password = fields.password("password", PASSWORD_LENGTH_MAX);
    fields.finish()?;
    // A directory takes a name in any case; so do those who guess.
    let counted = username.to_lowercase();
    let attempt = controller.logins.begin(&source(&headers), &counted, Timestamp::now())?;
    let user = identify(&controller, &username, password).await?.ok_or_else(no_login)?;
    attempt.succeeded();
    let token = tokens::new_token();
    match controller.store.add_token(&user.username, &tokens::hash(&token), Timestamp::now()).await {
        Ok(()) => Ok(Json(api::auth::Token { token })),
        // Cancelled since we looked.
        Err(StoreError::NotFound { .. }) => Err(no_login()),
        Err(error) => Err(error.into()),
    }
}

/// Where a request comes from, as the router in front says; nobody else can set this header there.
fn source(headers: &HeaderMap) -> String {
    let forwarded = headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    forwarded.and_then(|list| list.rsplit(',').next()).unwrap_or_default().trim().to_owned()
}

fn no_login() -> ApiError {
    ApiError::fields(Map::from_iter([("non_field_errors".to_owned(), json!([NO_LOGIN]))]))
}

/// `POST /v2/auth/passwd/`. Tokens go on.
pub(crate) async fn passwd(
    State(controller): State<Controller>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let mut fields = body.fields()?;
    let Some(new) = given(&fields, "new_password") else {
        return Err(ApiError::bad_request("new_password is a required field"));
    };
    fields.password("new_password", PASSWORD_LENGTH_MAX);
    let (target, current) = (given(&fields, "username"), given(&fields, "password"));
    let target = target_of(&controller, &caller, target.as_deref()).await?;
    if !caller.is_admin() {
        let current = current.ok_or_else(|| ApiError::bad_request("password is a required field"))?;
        let attempt = controller.logins.begin(&source(&headers), &target.username, Timestamp::now())?;
        if !controller.passwords.matches(current, Some(&target.password_hash)).await? {
            return Err(ApiError::unauthorized("Current password does not match"));
        }
        attempt.succeeded();
    }
    fields.finish()?;
    let hash = controller.passwords.hash(new).await?;
    controller.store.set_password(&target.username, &hash).await.map_err(user_gone)?;
    Ok(Json(json!({"status": "password set"})))
}

/// A field that counts as missing when it is empty.
fn given(fields: &Fields, name: &str) -> Option<String> {
    fields.value(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// Whom the request is about: the caller, or for administrators anyone.
async fn target_of(controller: &Controller, caller: &Caller, target: Option<&str>) -> Result<User, ApiError> {
    match target {
        None => Ok(caller.0.clone()),
        Some(name) if name == caller.name() => Ok(caller.0.clone()),
        Some(name) if caller.is_admin() => named(controller, name).await,
        Some(_) => Err(ApiError::forbidden()),
    }
}

fn user_gone(error: StoreError) -> ApiError {
    match error {
        StoreError::NotFound { .. } => ApiError::missing("User"),
        error => error.into(),
    }
}

/// `POST /v2/auth/tokens/`: ends all tokens of the caller, of somebody, or of everybody.
pub(crate) async fn regenerate(
    State(controller): State<Controller>,
    caller: Caller,
    body: Body,
) -> Result<Json<Value>, ApiError> {
    let mut fields = body.fields()?;
    let is_about_others = fields.has("all") || fields.has("username");
    if is_about_others && !caller.is_admin() {
        return Err(ApiError::forbidden());
    }
    if fields.has("all") {
        controller.store.end_all_tokens().await?;
        return Ok(Json(json!("")));
    }
    let username = fields.optional_text("username", USERNAME_LENGTH_MAX);
    fields.finish()?;
    let username = username.unwrap_or_else(|| caller.name().to_owned());
    let token = tokens::new_token();
    let replaced = controller.store.replace_tokens(&username, &tokens::hash(&token), Timestamp::now()).await;
    replaced.map_err(user_gone)?;
    Ok(Json(json!({"token": token})))
}

/// `DELETE /v2/auth/cancel/`.
pub(crate) async fn cancel(
    State(controller): State<Controller>,
    caller: Caller,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let target = given(&body.fields()?, "username");
    let target = target_of(&controller, &caller, target.as_deref()).await?.username;
    match controller.store.remove_user(&target).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(StoreError::Conflict { what }) => Err(ApiError::conflict(still_owns(&target, &what))),
        Err(error) => Err(user_gone(error)),
    }
}

fn still_owns(username: &str, what: &str) -> String {
    if what == "apps" {
        return format!("{username} still has applications assigned. Delete or transfer ownership");
    }
    if what == "certificates" {
        return format!("{username} still owns certificates. Remove them first");
    }
    format!("{username} still owns {what} on applications of others, which cannot do without their owner")
}
