//! Authentication and authorization (docs/spec/api.md 1.3 and 3). The rules are in `domain::access`.

use axum::extract::{FromRequestParts, Path, Request};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use domain::AppName;
use domain::access::{AccessRule, Action, Permission, Resource, Role, Scope, permit};
use jiff::Timestamp;
use listener::Source;
use listener::http::{PeerSource, RequestHandle, forwarded_for};
use store::UserRecord;
use subtle::ConstantTimeEq as _;

use super::error::ApiError;
use crate::{Controller, tokens};

pub(crate) const NO_CREDENTIALS: &str = "Authentication credentials were not provided.";

/// The user whose token came with the request.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) UserRecord);

impl Caller {
    pub(crate) fn name(&self) -> &str {
        &self.0.username
    }

    /// Returns true if the user's roles on the platform permit the action.
    pub(crate) fn may(&self, action: Action, resource: Resource) -> bool {
        permit(self.roles(), Permission::new(action, resource))
    }

    /// Roles on the platform.
    fn roles(&self) -> &'static [Role] {
        if self.0.is_superuser { &[Role::User, Role::Administrator] } else { &[Role::User] }
    }
}

/// The hash of the token that came with the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallerToken(pub(crate) String);

/// The same for URLs that need no credentials.
#[derive(Debug, Clone)]
pub(crate) struct MaybeCaller(pub(crate) Option<Caller>);

/// Source of a request; `None` if it is unknown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientSource(pub(crate) Option<Source>);

impl ClientSource {
    fn of<T>(request: &axum::http::Request<T>) -> Self {
        Self::from(request.extensions().get::<PeerSource>(), request.headers())
    }

    /// The server says it; the header alone counts where there is none before us, as in tests.
    fn from(client: Option<&PeerSource>, headers: &HeaderMap) -> Self {
        Self(client.map_or_else(|| forwarded_for(headers), |client| client.0))
    }
}

impl<S: Sync> FromRequestParts<S> for ClientSource {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::from(parts.extensions.get::<PeerSource>(), &parts.headers))
    }
}

/// Lets a request in or returns the refusal; a caller is stored with the request for the handler.
pub(crate) async fn admit(
    controller: &Controller,
    rule: AccessRule,
    request: &mut Request,
) -> Result<(), ApiError> {
    if rule == AccessRule::Builder {
        return admit_builder(controller, request.headers());
    }
    let place = ClientSource::of(request);
    let caller = match (rule, token(request.headers())) {
        (AccessRule::Anyone, Ok(Some(token))) => caller_of(controller, place, token).await?.ok(),
        (AccessRule::Anyone, _) => None,
        (_, Ok(Some(token))) => {
            Some(caller_of(controller, place, token).await?.map_err(ApiError::unauthorized)?)
        }
        (_, Ok(None)) => return Err(ApiError::unauthorized(NO_CREDENTIALS)),
        (_, Err(malformed)) => return Err(ApiError::unauthorized(malformed)),
    };
    let roles = caller.as_ref().map_or(&[][..], |(caller, _)| caller.roles());
    if rule.scope() == Some(Scope::Platform) && !rule.admits(roles) {
        return Err(ApiError::forbidden());
    }
    if let Some((caller, token)) = caller {
        if let Some(handle) = request.extensions().get::<RequestHandle>() {
            handle.set_user(caller.name());
        }
        request.extensions_mut().insert(caller);
        request.extensions_mut().insert(token);
    }
    Ok(())
}

fn admit_builder(controller: &Controller, headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get(api::hooks::BUILDER_AUTH_HEADER).map_or(&b""[..], |value| value.as_bytes());
    let wanted = controller.settings.builder_key.expose().as_bytes();
    if !wanted.is_empty() && bool::from(given.ct_eq(wanted)) {
        Ok(())
    } else {
        Err(ApiError::unauthorized(NO_CREDENTIALS))
    }
}

/// The token in `Authorization: token <key>`; other schemes count as no credentials.
fn token(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let Some(header) = headers.get(AUTHORIZATION) else { return Ok(None) };
    let Ok(header) = header.to_str() else {
        return Err("Invalid token header. Token string should not contain invalid characters.");
    };
    let mut words = header.split_ascii_whitespace();
    if !words.next().is_some_and(|scheme| scheme.eq_ignore_ascii_case("token")) {
        return Ok(None);
    }
    match (words.next(), words.next()) {
        (None, _) => Err("Invalid token header. No credentials provided."),
        (Some(token), None) => Ok(Some(token)),
        (Some(_), Some(_)) => Err("Invalid token header. Token string should not contain spaces."),
    }
}

async fn caller_of(
    controller: &Controller,
    ClientSource(place): ClientSource,
    token: &str,
) -> Result<Result<(Caller, CallerToken), &'static str>, ApiError> {
    let _turn = controller.logins.token_turn(place, Timestamp::now()).await?;
    let hash = tokens::hash(token);
    Ok(match controller.store.user_of_token(&hash).await? {
        None => {
            controller.logins.wrong_token(place, Timestamp::now());
            Err("Invalid token.")
        }
        Some(user) if !user.is_active => Err("User inactive or deleted."),
        Some(user) => Ok((Caller(user), CallerToken(hash))),
    })
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| ApiError::internal("a handler wants a caller at a URL that anyone may enter"))
    }
}

impl<S: Sync> FromRequestParts<S> for CallerToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let token = parts.extensions.get::<Self>().cloned();
        token.ok_or_else(|| ApiError::internal("a handler wants a token at a URL that anyone may enter"))
    }
}

impl<S: Sync> FromRequestParts<S> for MaybeCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(parts.extensions.get::<Caller>().cloned()))
    }
}

/// The app that a URL is about, which the caller may use as the URL's row asks.
#[derive(Debug, Clone)]
pub(crate) struct ThisApp(pub(crate) AppName);

impl<S: Sync> FromRequestParts<S> for ThisApp {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let app = parts.extensions.get::<Self>().cloned();
        app.ok_or_else(|| ApiError::internal("a handler wants the app of a URL that is about none"))
    }
}

/// Finds and authorizes the app of the URL, for rules that are about an app.
pub(crate) async fn admit_to_app(
    controller: &Controller,
    rule: AccessRule,
    request: Request,
) -> Result<Request, ApiError> {
    let AccessRule::Needs(permission) = rule else { return Ok(request) };
    if permission.resource.scope() != Scope::App {
        return Ok(request);
    }
    let (mut parts, body) = request.into_parts();
    let caller = Caller::from_request_parts(&mut parts, &()).await?;
    let Path(names) = Path::<Vec<(String, String)>>::from_request_parts(&mut parts, &())
        .await
        .map_err(|error| ApiError::internal(error.to_string()))?;
    let (_, app) = names
        .into_iter()
        .find(|(name, _)| name == "app")
        .ok_or_else(|| ApiError::internal("a row about an app has no app in its path"))?;
    let app = app_access(controller, &caller, &app, permission).await?;
    parts.extensions.insert(ThisApp(app));
    Ok(Request::from_parts(parts, body))
}

/// Finds an app for this caller: 404 where there is none, 403 where it is not for them.
pub(crate) async fn app_access(
    controller: &Controller,
    caller: &Caller,
    app: &str,
    permission: Permission,
) -> Result<AppName, ApiError> {
    let (app, roles) = roles_on(controller, caller, app).await?;
    if permit(&roles, permission) { Ok(app) } else { Err(ApiError::forbidden()) }
}

/// Finds an app, and the caller's roles on it and on the platform: 404 if there is none.
pub(crate) async fn roles_on(
    controller: &Controller,
    caller: &Caller,
    app: &str,
) -> Result<(AppName, Vec<Role>), ApiError> {
    let missing = || ApiError::missing("App");
    let app = AppName::parse(app).map_err(|_| missing())?;
    let mut roles = controller.store.roles_on(&app, caller.name()).await?.ok_or_else(missing)?;
    roles.extend(caller.roles());
    Ok((app, roles))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token_of(header: &'static str) -> Result<Option<String>, &'static str> {
        let headers = HeaderMap::from_iter([(AUTHORIZATION, header.parse().expect("a header"))]);
        token(&headers).map(|token| token.map(str::to_owned))
    }

    #[test]
    fn the_scheme_is_token_in_any_case() {
        assert_eq!(token_of("token abc"), Ok(Some("abc".to_owned())));
        assert_eq!(token_of("Token  abc "), Ok(Some("abc".to_owned())));
        assert_eq!(token_of("Bearer abc"), Ok(None));
        assert_eq!(token_of(""), Ok(None));
        assert_eq!(token_of("token"), Err("Invalid token header. No credentials provided."));
        assert_eq!(
            token_of("token a b"),
            Err("Invalid token header. Token string should not contain spaces.")
        );
    }
}
