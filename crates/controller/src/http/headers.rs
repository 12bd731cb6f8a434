//! Headers that every answer carries, and what browsers ask of other origins (docs/spec/api.md 1.1).

use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

const ALWAYS: [(HeaderName, &str); 5] = [
    (HeaderName::from_static("deis_api_version"), api::API_VERSION),
    (HeaderName::from_static("deis_platform_version"), api::PLATFORM_VERSION),
    (X_FRAME_OPTIONS, "DENY"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_XSS_PROTECTION, "1; mode=block"),
];

const CROSS_ORIGIN: [(HeaderName, &str); 2] = [
    (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (ACCESS_CONTROL_EXPOSE_HEADERS, "DEIS_API_VERSION, DEIS_PLATFORM_VERSION"),
];

const PREFLIGHT: [(HeaderName, &str); 3] = [
    (ACCESS_CONTROL_ALLOW_HEADERS, "content-type, accept, origin, Authorization, Host"),
    (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    (ACCESS_CONTROL_MAX_AGE, "86400"),
];

/// Lets the request through and completes whatever comes back.
pub(crate) async fn complete(request: Request, next: Next) -> Response {
    let from_origin = request.headers().contains_key(ORIGIN);
    let is_preflight = from_origin
        && request.method() == Method::OPTIONS
        && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight { StatusCode::OK.into_response() } else { next.run(request).await };
    let is_unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    add(headers, &ALWAYS);
    if is_unauthorized {
        add(headers, &[(WWW_AUTHENTICATE, "Token")]);
    }
    if from_origin {
        add(headers, &CROSS_ORIGIN);
    }
    if is_preflight {
        add(headers, &PREFLIGHT);
    }
    response
}

fn add(headers: &mut HeaderMap, more: &[(HeaderName, &'static str)]) {
    for (name, value) in more {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
