//! The phases of a request, in the order that it meets them: `caller` finds out who asks, `matching` finds the
//! route, `guard` decides whether it may pass, `limits` whether it comes too soon, `forward` brings it to a
//! backend, `answer` adds what the router says, `log` counts what came of it.

mod answer;
mod caller;
mod forward;
mod guard;
mod headers;
mod limits;
mod log;
mod matching;

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
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
    let site = guard::check_framing(&request).and_then(|()| matching::site(&shared, &request));
    let (site, answer) = match site {
        Err(refusal) => (None, refusal.into_response()),
        Ok((site, host)) => match guard::check(&shared.settings, &site, &caller, &host, &request)
            .and_then(|()| limits::admit(&shared, &site, &caller))
        {
            Err(refusal) => (Some(site), refusal.into_response()),
            Ok(permit) => {
                let answer =
                    forward::forward(&shared, Rc::clone(&site), &host, &caller, permit, request).await;
                (Some(site), answer)
            }
        },
    };
    let answer = wishes.carry_out(&rules, site.as_deref(), &caller, answer);
    entry.end(&shared.metrics, site.as_deref(), answer.status());
    Ok(answer)
}

/// An answer of the router's own.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    pub(crate) media_type: &'static str,
    pub(crate) location: Option<String>,
    /// When asking again makes sense.
    pub(crate) retry_after: Option<Duration>,
}

const PLAIN: &str = "text/plain; charset=utf-8";

impl Refusal {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), media_type: PLAIN, location: None, retry_after: None }
    }

    pub(crate) fn into_response(self) -> Response<ProxyBody> {
        let mut response = Response::new(ProxyBody::text(self.text + "\n"));
        *response.status_mut() = self.status;
        let media_type = HeaderValue::from_static(self.media_type);
        response.headers_mut().insert(header::CONTENT_TYPE, media_type);
        if let Some(location) = self.location.and_then(|location| HeaderValue::try_from(location).ok()) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        if let Some(wait) = self.retry_after {
            // Whole seconds, not one too early.
            let seconds = wait.as_millis().div_ceil(1_000).max(1);
            let seconds =
                HeaderValue::try_from(seconds.to_string()).expect("digits are a valid header value");
            response.headers_mut().insert(header::RETRY_AFTER, seconds);
        }
        response
    }
}
