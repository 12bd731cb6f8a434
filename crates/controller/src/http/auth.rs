//! Registration, login, passwords and the end of an account (docs/spec/api.md 4.2).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use domain::access::AccessRule::Anyone;
use domain::access::Action::{Delete, Write};
use domain::access::{Resource, needs};
use domain::users::{
    self, AddCondition, EMAIL_LENGTH_MAX, PASSWORD_LENGTH_MAX, REAL_NAME_LENGTH_MAX, Registrar,
    USERNAME_LENGTH_MAX,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use store::{NewUser, StoreError, UserRecord};

use super::access::{Caller, CallerToken, ClientSource, MaybeCaller};
use super::body::{Fields, RawBody};
use super::error::ApiError;
use super::identity::identify;
use super::operation::{Operation, delete, post};
use super::users::{named, show};
use crate::logins::LoginAttempt;
use crate::password_policy::{PasswordPolicy, WeakPassword};
use crate::{Controller, tokens};

const TAKEN: &str = "A user with that username already exists.";
const NO_LOGIN: &str = "Unable to log in with provided credentials.";

pub(super) fn operations() -> Vec<Operation> {
    vec![
        // The registration mode has its own say: `domain::users::registration`.
        post(
            api::auth::REGISTER_PATH,
            Anyone,
            "Makes an account; the first one is an administrator's",
            register,
        )
        .takes::<api::auth::Registration>()
        .gives::<api::users::User>(201),
        post(api::auth::LOGIN_PATH, Anyone, "Makes a token", login)
            .takes::<api::auth::Login>()
            .gives::<api::auth::Token>(200),
        post(api::auth::PASSWORD_PATH, needs(Write, Resource::Account), "Changes a password", passwd)
            .takes::<api::auth::PasswordChange>()
            .any(),
        post(
            api::auth::TOKENS_PATH,
            needs(Write, Resource::Tokens),
            "Ends all tokens of an account, or of all, and makes a new one",
            regenerate,
        )
        .takes::<api::auth::TokenChange>()
        .any(),
        delete(
            api::auth::TOKENS_PATH,
            needs(Delete, Resource::Tokens),
            "Ends the token that comes with the request",
            logout,
        ),
        delete(api::auth::CANCEL_PATH, needs(Delete, Resource::Account), "Ends an account", cancel)
            .takes::<api::auth::Cancellation>(),
    ]
}

/// `POST /v2/auth/register/`.
async fn register(
    State(controller): State<Controller>,
    MaybeCaller(caller): MaybeCaller,
    ClientSource(place): ClientSource,
    body: RawBody,
) -> Result<(StatusCode, Json<api::users::User>), ApiError> {
    let registrar = registrar(caller.as_ref());
    let has_admin = controller.store.has_superuser().await?;
    let joining = may_register(&controller, registrar, has_admin)?;
    let (user, password) = registration(body.fields()?, controller.settings.password_policy)?;
    // An administrator is authenticated.
    let attempt = match registrar {
        Registrar::Admin => None,
        _ => Some(controller.logins.begin_registration(place, Timestamp::now())?),
    };
    let rank = attempt.as_ref().map_or(0, LoginAttempt::rank);
    let hashed = controller.passwords.hash(password, rank).await;
    let password_hash = match (hashed, attempt) {
        (Ok(hash), _) => hash,
        (Err(error), attempt) => {
            attempt.into_iter().for_each(LoginAttempt::not_judged);
            return Err(error.into());
        }
    };
    match controller.store.add_user(NewUser { password_hash, ..user }, joining).await {
        Ok(user) => Ok((StatusCode::CREATED, Json(show(user)))),
        Err(StoreError::Conflict { what }) if what == "username" => Err(ApiError::field("username", TAKEN)),
        // Another user became the first administrator meanwhile.
        Err(StoreError::Conflict { .. }) => Err(may_register(&controller, registrar, true)
            .err()
            .unwrap_or_else(|| ApiError::conflict("another user registered first, try again"))),
        Err(error) => Err(error.into()),
    }
}

fn registrar(caller: Option<&Caller>) -> Registrar {
    match caller {
        None => Registrar::Anonymous,
        Some(caller) if caller.may(Write, Resource::Users) => Registrar::Admin,
        Some(_) => Registrar::User,
    }
}

/// A refusal is 403 also for who is anonymous: clients rely on it.
fn may_register(
    controller: &Controller,
    registrar: Registrar,
    has_admin: bool,
) -> Result<AddCondition, ApiError> {
    let mode = controller.settings.registration_mode;
    users::registration(mode, registrar, has_admin)
        .map_err(|refused| ApiError::detail(StatusCode::FORBIDDEN, refused.to_string()))
}

/// Reads the fields of a registration. The password is not hashed yet.
fn registration(mut fields: Fields, policy: PasswordPolicy) -> Result<(NewUser, String), ApiError> {
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
    check_password(&mut fields, "password", policy.check(&password, &username, &email));
    let first_name = fields.text_or_blank("first_name", REAL_NAME_LENGTH_MAX);
    let last_name = fields.text_or_blank("last_name", REAL_NAME_LENGTH_MAX);
    fields.finish()?;
    let password_hash = String::new();
    let now = Timestamp::now();
    Ok((NewUser { username, email, first_name, last_name, password_hash, now }, password))
}

/// Adds the faults of a new password.
fn check_password(fields: &mut Fields, field: &str, checked: Result<(), WeakPassword>) {
    if fields.is_fine(field)
        && let Err(weak) = checked
    {
        fields.complain(field, weak.to_string());
    }
}

/// `POST /v2/auth/login/`. Each login makes a new token; other tokens stay valid.
async fn login(
    State(controller): State<Controller>,
    ClientSource(place): ClientSource,
    body: RawBody,
) -> Result<Json<api::auth::Token>, ApiError> {
    let mut fields = body.fields()?;
    let username = fields.text("username", USERNAME_LENGTH_MAX);
    let password = fields.password("password", PASSWORD_LENGTH_MAX);
    fields.finish()?;
    // A directory matches names in any case; so do guesses.
    let counted = username.to_lowercase();
    let attempt = controller.logins.begin(place, &counted, Timestamp::now())?;
    let user = match identify(&controller, &username, password, attempt.rank()).await {
        Ok(user) => user.ok_or_else(no_login)?,
        Err(error) => {
            attempt.not_judged();
            return Err(error);
        }
    };
    attempt.succeeded();
    let token = tokens::new_token();
    match controller.store.add_token(&user.username, &tokens::hash(&token), Timestamp::now()).await {
        Ok(()) => Ok(Json(api::auth::Token { token })),
        // Cancelled since we looked.
        Err(StoreError::NotFound { .. }) => Err(no_login()),
        Err(error) => Err(error.into()),
    }
}

fn no_login() -> ApiError {
    ApiError::fields(Map::from_iter([("non_field_errors".to_owned(), json!([NO_LOGIN]))]))
}

/// `POST /v2/auth/passwd/`. The user's tokens end, and with them sessions and followed logs; the token of the
/// request stays valid, as clients expect it.
async fn passwd(
    State(controller): State<Controller>,
    caller: Caller,
    CallerToken(token): CallerToken,
    ClientSource(place): ClientSource,
    body: RawBody,
) -> Result<Json<Value>, ApiError> {
    let mut fields = body.fields()?;
    let Some(new) = given(&fields, "new_password") else {
        return Err(ApiError::bad_request("new_password is a required field"));
    };
    fields.password("new_password", PASSWORD_LENGTH_MAX);
    let (target, current) = (given(&fields, "username"), given(&fields, "password"));
    let target = target_of(&controller, &caller, target.as_deref()).await?;
    if !caller.may(Write, Resource::Users) {
        let current = current.ok_or_else(|| ApiError::bad_request("password is a required field"))?;
        let attempt = controller.logins.begin(place, &target.username, Timestamp::now())?;
        match controller.passwords.matches(current, Some(&target.password_hash), attempt.rank()).await {
            Ok(true) => attempt.succeeded(),
            Ok(false) => return Err(ApiError::unauthorized("Current password does not match")),
            Err(error) => {
                attempt.not_judged();
                return Err(error.into());
            }
        }
    }
    let policy = controller.settings.password_policy;
    check_password(&mut fields, "new_password", policy.check(&new, &target.username, &target.email));
    fields.finish()?;
    let hash = controller.passwords.hash(new, 0).await?;
    controller.store.set_password(&target.username, &hash, Some(&token)).await.map_err(user_gone)?;
    controller.access_version.changed().await;
    Ok(Json(json!({"status": "password set"})))
}

/// A field that counts as missing when it is empty.
fn given(fields: &Fields, name: &str) -> Option<String> {
    fields.value(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// User whom the request changes: the caller, or for administrators anyone.
async fn target_of(
    controller: &Controller,
    caller: &Caller,
    target: Option<&str>,
) -> Result<UserRecord, ApiError> {
    match target {
        None => Ok(caller.0.clone()),
        Some(name) if name == caller.name() => Ok(caller.0.clone()),
        Some(name) if caller.may(Write, Resource::Users) => named(controller, name).await,
        Some(_) => Err(ApiError::forbidden()),
    }
}

fn user_gone(error: StoreError) -> ApiError {
    match error {
        StoreError::NotFound { .. } => ApiError::missing("User"),
        error => error.into(),
    }
}

/// `POST /v2/auth/tokens/`: ends all tokens of the caller, of another user, or of all users.
pub(crate) async fn regenerate(
    State(controller): State<Controller>,
    caller: Caller,
    body: RawBody,
) -> Result<Json<Value>, ApiError> {
    let mut fields = body.fields()?;
    let is_about_others = fields.has("all") || fields.has("username");
    if is_about_others && !caller.may(Write, Resource::Users) {
        return Err(ApiError::forbidden());
    }
    if fields.has("all") {
        controller.store.end_all_tokens().await?;
        controller.access_version.changed().await;
        return Ok(Json(json!("")));
    }
    let username = fields.optional_text("username", USERNAME_LENGTH_MAX);
    fields.finish()?;
    let username = username.unwrap_or_else(|| caller.name().to_owned());
    let token = tokens::new_token();
    let replaced = controller.store.replace_tokens(&username, &tokens::hash(&token), Timestamp::now()).await;
    replaced.map_err(user_gone)?;
    controller.access_version.changed().await;
    Ok(Json(json!({"token": token})))
}

/// `DELETE /v2/auth/tokens/`: ends the token that comes with the request, and what was opened with it.
async fn logout(
    State(controller): State<Controller>,
    CallerToken(token): CallerToken,
    body: RawBody,
) -> Result<StatusCode, ApiError> {
    body.fields()?.finish()?;
    controller.store.end_token(&token).await?;
    controller.access_version.changed().await;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /v2/auth/cancel/`.
async fn cancel(
    State(controller): State<Controller>,
    caller: Caller,
    body: RawBody,
) -> Result<StatusCode, ApiError> {
    let target = given(&body.fields()?, "username");
    let target = target_of(&controller, &caller, target.as_deref()).await?.username;
    match controller.store.remove_user(&target).await {
        Ok(()) => {
            controller.access_version.changed().await;
            Ok(StatusCode::NO_CONTENT)
        }
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
