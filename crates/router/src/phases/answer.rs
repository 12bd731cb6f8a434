//! Phase 7: what the router adds to an answer: HSTS, Referrer-Policy, request ids, compression.

mod accepted;

use domain::edge::{Gzip, RouterRules};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Response, StatusCode, Version};
use hyper::Request;

use self::accepted::AcceptedCodings;
use super::caller::RequestOrigin;
use crate::access_log::app_log::{LogEntry, RequestFacts};
use crate::body::ProxyBody;
use crate::body::compress::{Coding, Encoder};
use crate::http1::headers;
use crate::state::WorkerState;
use crate::table::SiteRef;
use crate::table::site::Site;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const CORRELATION_ID: HeaderName = HeaderName::from_static("x-correlation-id");
/// Longest correlation id that is taken over from outside.
const CORRELATION_BYTES_MAX: usize = 512;

/// The facts of a request that its response depends on, kept until that is there.
pub(super) struct ResponseContext {
    /// Request and correlation id.
    ids: Option<(HeaderValue, HeaderValue)>,
    /// Compression that is welcome.
    accepted: AcceptedCodings,
}

impl ResponseContext {
    /// Reads the request, and gives it its ids.
    pub(super) fn of<B>(rules: &RouterRules, request: &mut Request<B>) -> Self {
        let accepted = if may_compress(request) {
            AcceptedCodings::of(request.headers())
        } else {
            AcceptedCodings::default()
        };
        let ids = rules.request_ids.then(|| new_ids(request.headers()));
        if let Some((id, correlation)) = &ids {
            request.headers_mut().insert(REQUEST_ID, id.clone());
            request.headers_mut().insert(CORRELATION_ID, correlation.clone());
        }
        Self { ids, accepted }
    }

    /// Begins the access line of a request, if its app wants one.
    pub(super) fn access<B>(
        &self,
        shared: &WorkerState,
        site: &SiteRef,
        host: &str,
        caller: &RequestOrigin,
        request: &Request<B>,
    ) -> Option<Box<LogEntry>> {
        let asked = RequestFacts {
            method: request.method(),
            path: request.uri().path_and_query(),
            host,
            client: caller.address,
            is_https: caller.is_https,
            id: self.ids.as_ref().map(|(id, _)| id.clone()),
        };
        LogEntry::begin(shared.app_log.as_ref(), site, asked)
    }

    /// Makes the response for the client.
    pub(super) fn carry_out(
        self,
        rules: &RouterRules,
        site: Option<&Site>,
        caller: &RequestOrigin,
        mut answer: Response<ProxyBody>,
    ) -> Response<ProxyBody> {
        let is_streamed = answer.body().is_streamed();
        match self.add_to(rules, site, caller, &mut answer, is_streamed) {
            Some(coding) => compressed(coding, answer),
            None => answer,
        }
    }

    /// Adds headers to the response; returns its compression, if any.
    pub(super) fn add_to<B>(
        self,
        rules: &RouterRules,
        site: Option<&Site>,
        caller: &RequestOrigin,
        answer: &mut Response<B>,
        is_streamed: bool,
    ) -> Option<Coding> {
        if let Some((id, correlation)) = self.ids {
            answer.headers_mut().insert(REQUEST_ID, id);
            answer.headers_mut().insert(CORRELATION_ID, correlation);
        }
        let site = site?;
        if let Some(hsts) = site.hsts.as_ref().filter(|_| caller.is_https) {
            answer.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, hsts.clone());
        }
        if let Some(policy) = &site.referrer_policy {
            answer.headers_mut().insert(header::REFERRER_POLICY, policy.clone());
        }
        let is_compressible = site.rules.gzip && is_streamed && is_compressible(&rules.gzip, answer);
        if is_compressible && rules.gzip.vary {
            answer.headers_mut().append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
        }
        is_compressible.then(|| self.accepted.best(&rules.gzip, site.rules.zstd)).flatten()
    }
}

fn new_ids(headers: &HeaderMap) -> (HeaderValue, HeaderValue) {
    let id = headers::written(format_args!("{:032x}", rand::random::<u128>()));
    let before = headers.get(CORRELATION_ID).and_then(|value| value.to_str().ok());
    let before = before.filter(|value| !value.is_empty() && value.len() <= CORRELATION_BYTES_MAX);
    let joined = before.map(|before| [before.as_bytes(), b", ", id.as_bytes()].concat());
    let correlation = joined.map_or_else(
        || id.clone(),
        |text| HeaderValue::try_from(text).expect("it is made of a header value and digits"),
    );
    (id, correlation)
}

fn may_compress<B>(request: &Request<B>) -> bool {
    request.method() != Method::HEAD && request.version() >= Version::HTTP_11
}

/// Returns true if the response is compressible.
fn is_compressible<B>(gzip: &Gzip, answer: &Response<B>) -> bool {
    let headers = answer.headers();
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let is_type = || {
        let media_type =
            text(header::CONTENT_TYPE).and_then(|text| text.split(';').next()).unwrap_or_default();
        let media_type = media_type.trim();
        gzip.types.iter().any(|known| known == "*" || known.eq_ignore_ascii_case(media_type))
    };
    let is_long = || {
        let length = text(header::CONTENT_LENGTH);
        length.is_none_or(|length| length.parse::<u64>().is_ok_and(|length| length >= gzip.bytes_min))
    };
    let may_change = || !text(header::CACHE_CONTROL).is_some_and(|value| value.contains("no-transform"));
    let is_plain =
        || !headers.contains_key(header::CONTENT_ENCODING) && !headers.contains_key(header::CONTENT_RANGE);
    let is_whole = matches!(answer.status(), StatusCode::OK | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND);
    is_whole && is_long() && is_type() && may_change() && is_plain()
}

fn compressed(coding: Coding, answer: Response<ProxyBody>) -> Response<ProxyBody> {
    // Without memory for it, it goes as it is.
    let Ok(encoder) = Encoder::new(coding) else { return answer };
    let (mut parts, body) = answer.into_parts();
    describe_compressed(&mut parts.headers, coding);
    Response::from_parts(parts, body.compressed(encoder))
}

/// Makes the headers those of a compressed body.
pub(super) fn describe_compressed(headers: &mut HeaderMap, coding: Coding) {
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::ACCEPT_RANGES);
    let name = match coding {
        Coding::Gzip { .. } => "gzip",
        Coding::Zstd => "zstd",
    };
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
    weaken_etag(headers);
}

/// A strong validator promises the same bytes, which these no longer are (RFC 9110 section 8.8.1).
fn weaken_etag(headers: &mut HeaderMap) {
    let Some(etag) = headers.get(header::ETAG).map(HeaderValue::as_bytes) else { return };
    if etag.starts_with(b"\"")
        && let Ok(weak) = HeaderValue::from_bytes(&[b"W/", etag].concat())
    {
        headers.insert(header::ETAG, weak);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_correlation_id_keeps_what_was_there_before() {
        let mut headers = HeaderMap::new();
        headers.insert(CORRELATION_ID, HeaderValue::from_static("abc"));

        let (id, correlation) = new_ids(&headers);

        assert_eq!(correlation.to_str().ok(), Some(format!("abc, {}", id.to_str().expect("text")).as_str()));
        assert_ne!(new_ids(&headers).0, id);
    }
}
