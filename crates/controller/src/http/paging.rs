//! Lists come in pages (docs/spec/api.md 1.5), and times on the wire (docs/spec/api.md 1.8).

use axum::Json;
use axum::extract::{FromRequestParts, Query};
use axum::http::header::HOST;
use axum::http::request::Parts;
use store::{PageRange, Rows};

use super::error::ApiError;

/// A time as clients read it: UTC, whole seconds.
pub(crate) use domain::times::second as wire_time;

/// The part of a list that a request asks for, and how to address the others.
#[derive(Debug, Clone)]
pub(crate) struct Paging {
    pub(crate) page: PageRange,
    /// `http://host/v2/apps/`.
    url: String,
    /// Parameters other than `limit` and `offset`.
    others: Vec<(String, String)>,
}

impl<S: Sync> FromRequestParts<S> for Paging {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Query(mut pairs) =
            Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).unwrap_or_else(|_| Query(Vec::new()));
        let number = |name: &str| {
            let value = pairs.iter().rev().find(|(key, _)| key == name);
            value.and_then(|(_, value)| value.trim().parse::<i64>().ok())
        };
        let limit =
            number("limit").filter(|limit| *limit > 0).unwrap_or(api::PAGE_LIMIT_DEFAULT.cast_signed());
        let offset = number("offset").filter(|offset| *offset > 0).unwrap_or(0);
        pairs.retain(|(key, _)| key != "limit" && key != "offset");
        Ok(Self { page: PageRange { limit, offset }, url: url(parts), others: pairs })
    }
}

fn url(parts: &Parts) -> String {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let scheme = if header("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    let host = header(HOST.as_str()).or(parts.uri.host()).unwrap_or("localhost");
    format!("{scheme}://{host}{}", parts.uri.path())
}

impl Paging {
    /// The page on the wire; `show` turns a row into its wire type.
    pub(crate) fn answer<R, T>(&self, listed: Rows<R>, show: impl Fn(R) -> T) -> Json<api::Page<T>> {
        let PageRange { limit, offset } = self.page;
        let count = listed.count;
        let after = offset.saturating_add(limit);
        let next = (after.cast_unsigned() < count).then(|| self.link(after));
        let previous = (offset > 0).then(|| self.link(offset.saturating_sub(limit).max(0)));
        let results = listed.rows.into_iter().map(show).collect();
        Json(api::Page { count, next, previous, results })
    }

    fn link(&self, offset: i64) -> String {
        let mut pairs = self.others.clone();
        pairs.push(("limit".to_owned(), self.page.limit.to_string()));
        if offset > 0 {
            pairs.push(("offset".to_owned(), offset.to_string()));
        }
        pairs.sort();
        let query: Vec<_> =
            pairs.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        format!("{}?{}", self.url, query.join("&"))
    }
}

fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}
