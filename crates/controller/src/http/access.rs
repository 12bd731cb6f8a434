//! Who is calling, and what may they do (api.md 1.3 and 3).

use axum::extract::{FromRequestParts, Request};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use domain::AppName;
use store::User;
use subtle::ConstantTimeEq as _;

use super::error::ApiError;
use crate::{Controller, tokens};

pub(crate) const NO_CREDENTIALS: &str = "Authentication credentials were not provided.";

/// Who may enter a URL at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guard {
    Anyone,
    User,
    Admin,
    Builder,
}

/// The user whose token came with the request.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) User);

impl Caller {
    pub(crate) fn name(&self) -> &str {
        &self.0.username
    }

    pub(crate) fn is_admin(&self) -> bool {
        self.0.is_superuser
    }
}

/// The same for URLs that need no credentials.
#[derive(Debug, Clone)]
pub(crate) struct MaybeCaller(pub(crate) Option<Caller>);

/// Lets a request in or says why not; a caller is kept with the request for the handler.
pub(crate) async fn admit(
    controller: &Controller,
    guard: Guard,
    request: &mut Request,
) -> Result<(), ApiError> {
    if guard == Guard::Builder {
        return admit_builder(controller, request.headers());
    }
    let caller = match (guard, token(request.headers())) {
        (Guard::Anyone, Ok(Some(token))) => caller_of(controller, token).await?.ok(),
        (Guard::Anyone, _) => None,
        (_, Ok(Some(token))) => Some(caller_of(controller, token).await?.map_err(ApiError::unauthorized)?),
        (_, Ok(None)) => return Err(ApiError::unauthorized(NO_CREDENTIALS)),
        (_, Err(malformed)) => return Err(ApiError::unauthorized(malformed)),
    };
    if guard == Guard::Admin && !caller.as_ref().is_some_and(Caller::is_admin) {
        return Err(ApiError::forbidden());
    }
    if let Some(caller) = caller {
        request.extensions_mut().insert(caller);
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

async fn caller_of(controller: &Controller, token: &str) -> Result<Result<Caller, &'static str>, ApiError> {
    Ok(match controller.store.user_of_token(&tokens::hash(token)).await? {
        None => Err("Invalid token."),
        Some(user) if !user.is_active => Err("User inactive or deleted."),
        Some(user) => Ok(Caller(user)),
    })
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| ApiError::internal("a handler wants a caller at a URL that anyone may enter"))
    }
}

impl<S: Sync> FromRequestParts<S> for MaybeCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Ok(Self(parts.extensions.get::<Caller>().cloned()))
    }
}

/// What a request wants to do with an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Read and change: owner, collaborators, administrators.
    Use,
    /// Share, transfer, delete the app or anything of it: owner and administrators.
    Own,
}

/// Finds the app of a URL for this caller: 404 where there is none, 403 where it is not for them.
pub(crate) async fn app_access(
    controller: &Controller,
    caller: &Caller,
    app: &str,
    need: Need,
) -> Result<AppName, ApiError> {
    let (app, owner) = owned_app(controller, app).await?;
    if caller.is_admin() || caller.name() == owner {
        return Ok(app);
    }
    if need == Need::Use && controller.store.is_collaborator(&app, caller.name()).await? {
        return Ok(app);
    }
    Err(ApiError::forbidden())
}

/// Finds the app of a URL and its owner, whoever asks: 404 where there is none.
pub(crate) async fn owned_app(controller: &Controller, app: &str) -> Result<(AppName, String), ApiError> {
    let app = AppName::parse(app).map_err(|_| ApiError::missing("App"))?;
    let owner = controller.store.app_owner(&app).await?.ok_or_else(|| ApiError::missing("App"))?;
    Ok((app, owner))
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
