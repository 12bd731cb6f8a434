//! The phases of a request, in the order that it meets them: `caller` finds out who asks, `matching` finds the
//! route, `guard` decides whether it may pass, `forward` brings it to a backend, `answer` adds what the router
//! says, `log` counts what came of it.

mod answer;
mod caller;
mod forward;
mod guard;
mod headers;
mod log;
mod matching;

use std::convert::Infallible;
use std::rc::Rc;

use http::{HeaderValue, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::body::ProxyBody;
use crate::connection::Visit;
use crate::worker::Shared;
use caller::Caller;

/// Serves one request.
pub(crate) async fn serve(
    shared: Rc<Shared>,
    visit: Visit,
    mut request: Request<Incoming>,
) -> Result<Response<ProxyBody>, Infallible> {
    let rules = shared.table.borrow().rules.clone();
    let caller = Caller::of(&rules, &shared.settings, visit, request.headers());
    let entry = log::Entry::begin(&request, caller.address);
    let wishes = answer::Wishes::of(&rules, &mut request);
    let is_http1 = request.version() < Version::HTTP_2;
    let site = guard::check_framing(&request).and_then(|()| matching::site(&shared, &request));
    let mut access = None;
    let (site, answer) = match site {
        Err(refusal) => (None, refusal.into_response()),
        Ok((site, host)) => {
            access = wishes.access(&shared, &site, &host, &caller, &request);
            match guard::check(&shared.settings, &site, &caller, &host, &request) {
                Err(refusal) => (Some(site), refusal.into_response()),
                Ok(()) => {
                    let answer = forward::forward(&shared, Rc::clone(&site), &host, &caller, request).await;
                    (Some(site), answer)
                }
            }
        }
    };
    let release = answer.body().release();
    let mut answer = wishes.carry_out(&rules, site.as_deref(), &caller, answer);
    entry.end(&shared.metrics, site.as_deref(), answer.status());
    if shared.is_leaving.get() && is_http1 && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(log::told(answer, access, release))
}

/// An answer of the router's own.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    pub(crate) media_type: &'static str,
    pub(crate) location: Option<String>,
}

const PLAIN: &str = "text/plain; charset=utf-8";

impl Refusal {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), media_type: PLAIN, location: None }
    }

    pub(crate) fn into_response(self) -> Response<ProxyBody> {
        let mut response = Response::new(ProxyBody::text(self.text + "\n"));
        *response.status_mut() = self.status;
        let media_type = HeaderValue::from_static(self.media_type);
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        if let Some(location) = self.location.and_then(|location| HeaderValue::try_from(location).ok()) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}
