//! The phases of a request, in the order in which it meets them:
//!
//! 1. `caller` determines the client.
//! 2. `matching` finds the route.
//! 3. `challenge` answers certificate authorities.
//! 4. `guard` checks access.
//! 5. `limits` applies rate limits.
//! 6. `forward` sends it to a backend.
//! 7. `answer` adds the router's headers.
//! 8. `log` counts the outcome.
//!
//! [`serve`] goes through them on the slow path, [`fast_path::serve`] on the fast one.

mod answer;
pub(crate) mod caller;
mod challenge;
pub(crate) mod fast_path;
mod forward;
mod guard;
mod limits;
mod log;
mod matching;

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::body::ProxyBody;
use crate::body::attended::AttendedBody;
use crate::http1::response_error::ResponseError;
use crate::limits::connections::{ConnectionHandle, ShareExhausted, StreamHandle};
use crate::phases::caller::ClientConnection;
use crate::state::WorkerState;
use crate::table::{SiteRef, TableRef};
use caller::RequestOrigin;

/// Serves one request of the slow path.
pub(crate) async fn serve(
    shared: Rc<WorkerState>,
    client: ClientConnection,
    open: ConnectionHandle,
    request: Request<Incoming>,
) -> Result<Response<AttendedBody>, Infallible> {
    let is_http1 = request.version() < Version::HTTP_2;
    let attended = match open.attended(!is_http1) {
        Ok(attended) => Rc::new(attended),
        Err(ShareExhausted) => return Ok(Refusal::crowded().into_response().map(AttendedBody::unattended)),
    };
    let answer = answered(&shared, client, &attended, request).await;
    Ok(shared.answers.attend(answer, attended, is_http1))
}

async fn answered(
    shared: &Rc<WorkerState>,
    client: ClientConnection,
    attended: &Rc<StreamHandle>,
    mut request: Request<Incoming>,
) -> Response<ProxyBody> {
    let is_http1 = request.version() < Version::HTTP_2;
    shared.metrics.on_slow_path.add(1);
    let (AdmittedRequest { table, caller, entry, context }, verdict) = admit(shared, client, &mut request);
    let mut access = None;
    let (site, answer) = match verdict {
        Err((found, refusal)) => {
            if let Some((site, host)) = &found {
                access = context.access(shared, site, host, &caller, &request);
            }
            forward::linger_after(&refusal, request);
            entry.end(shared, found.as_ref().map(|(site, _)| &**site), refusal.status);
            (found.map(|(site, _)| site), refusal.into_response())
        }
        Ok((site, host)) => {
            access = context.access(shared, &site, &host, &caller, &request);
            let waiting = log::PendingEntry::begin(entry, shared, &site);
            let answer = match limits::admit(shared, &site, &caller) {
                Err(refusal) => refusal.into_response(),
                Ok(permit) => {
                    forward::forward(shared, site.clone(), &host, &caller, permit, attended, request).await
                }
            };
            waiting.end(answer.status());
            (Some(site), answer)
        }
    };
    let release = answer.body().release();
    let mut answer = context.carry_out(&table.rules, site.as_deref(), &caller, answer);
    if shared.is_leaving.get() && is_http1 && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    log::logged(answer, access, release)
}

/// Facts about a request from before it goes to an app that its response needs.
struct AdmittedRequest {
    /// Table that admitted it.
    table: Rc<TableRef>,
    caller: RequestOrigin,
    entry: log::AccessEntry,
    context: answer::ResponseContext,
}

/// The site that is to serve a request, and the host asked for; else the refusal, and both where they are known.
type AdmitResult = Result<(SiteRef, String), (Option<(SiteRef, String)>, Refusal)>;

/// The phases before `limits`, which may be gone through twice: nothing is counted here.
fn admit<B>(
    shared: &WorkerState,
    client: ClientConnection,
    request: &mut Request<B>,
) -> (AdmittedRequest, AdmitResult) {
    let table = Rc::clone(&shared.table.borrow());
    let caller = RequestOrigin::of(&table.rules, &shared.settings, client, request.headers());
    let entry = log::AccessEntry::begin(request, caller.address);
    let context = answer::ResponseContext::of(&table.rules, request);
    let site = guard::check_form(request).and_then(|()| matching::site(shared, request));
    let verdict = match site {
        Err(refusal) => Err((None, refusal)),
        Ok((site, host)) => {
            let passes = challenge::check(&site, &host, request)
                .and_then(|()| guard::check(&shared.settings, &site, &caller, &host, request));
            match passes {
                Err(refusal) => Err((Some((site, host)), refusal)),
                Ok(()) => Ok((site, host)),
            }
        }
    };
    (AdmittedRequest { table, caller, entry, context }, verdict)
}

impl From<ResponseError> for Refusal {
    fn from(error: ResponseError) -> Self {
        // After a switch, what follows may be meant for the other protocol.
        let is_last = error == ResponseError::Switched;
        Self { error: Some(error), is_last, ..Self::new(error.status(), error.to_string()) }
    }
}

/// An answer of the router's own.
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    pub(crate) media_type: &'static str,
    pub(crate) location: Option<String>,
    /// When asking again makes sense.
    pub(crate) retry_after: Option<Duration>,
    /// Nothing more is read on this connection: what follows could be meant otherwise than we would take it.
    pub(crate) is_last: bool,
    /// Fault of the app's response.
    pub(crate) error: Option<ResponseError>,
}

const PLAIN: &str = "text/plain; charset=utf-8";

impl Refusal {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self {
            status,
            text: text.into(),
            media_type: PLAIN,
            location: None,
            retry_after: None,
            is_last: false,
            error: None,
        }
    }

    /// After it the connection is closed.
    pub(crate) fn last(status: StatusCode, text: impl Into<String>) -> Self {
        Self { is_last: true, ..Self::new(status, text) }
    }

    /// One source has reached its limit of concurrent requests.
    fn crowded() -> Self {
        let text = "too many requests at once from your address";
        Self { retry_after: Some(Duration::from_secs(1)), ..Self::new(StatusCode::TOO_MANY_REQUESTS, text) }
    }

    pub(crate) fn into_response(self) -> Response<ProxyBody> {
        let is_last = self.is_last;
        let (mut response, text) = self.into_parts();
        if is_last {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.map(|()| ProxyBody::text(text))
    }

    /// The head, and the text behind it.
    fn into_parts(self) -> (Response<()>, String) {
        let mut response = Response::new(());
        *response.status_mut() = self.status;
        if let Some(error) = self.error {
            response.extensions_mut().insert(error);
        }
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
        (response, self.text + "\n")
    }
}
