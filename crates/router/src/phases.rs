//! The phases of a request, in the order that it meets them: `caller` finds out who asks, `matching` finds the
//! route, `challenge` answers certificate authorities, `guard` decides whether it may pass, `limits` whether it comes
//! too soon, `forward` brings it to a backend, `answer` adds what the router says, `log` counts what came of it.

mod answer;
mod caller;
mod challenge;
mod forward;
mod guard;
mod headers;
mod limits;
mod log;
mod matching;
pub(crate) mod short;

use std::convert::Infallible;
use std::rc::Rc;
use std::time::Duration;

use http::{HeaderValue, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::{Request, Response};

use crate::body::ProxyBody;
use crate::connection::Visit;
use crate::table::{Found, Held};
use crate::worker::Shared;
use caller::Caller;

/// Serves one request.
pub(crate) async fn serve(
    shared: Rc<Shared>,
    visit: Visit,
    mut request: Request<Incoming>,
) -> Result<Response<ProxyBody>, Infallible> {
    let is_http1 = request.version() < Version::HTTP_2;
    let (Admitted { table, caller, entry, wishes }, verdict) = admit(&shared, visit, &mut request);
    let mut access = None;
    let (site, answer) = match verdict {
        Err((found, refusal)) => {
            if let Some((site, host)) = &found {
                access = wishes.access(&shared, site, host, &caller, &request);
            }
            (found.map(|(site, _)| site), refusal.into_response())
        }
        Ok((site, host)) => {
            access = wishes.access(&shared, &site, &host, &caller, &request);
            let answer = match limits::admit(&shared, &site, &caller) {
                Err(refusal) => refusal.into_response(),
                Ok(permit) => forward::forward(&shared, site.clone(), &host, &caller, permit, request).await,
            };
            (Some(site), answer)
        }
    };
    let release = answer.body().release();
    let mut answer = wishes.carry_out(&table.rules, site.as_deref(), &caller, answer);
    entry.end(&shared, site.as_deref(), answer.status());
    if shared.is_leaving.get() && is_http1 && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(log::told(answer, access, release))
}

/// What is known of a request before it goes to an app, and needed when its answer is there.
struct Admitted {
    /// What it was admitted by.
    table: Rc<Held>,
    caller: Caller,
    entry: log::Entry,
    wishes: answer::Wishes,
}

/// The site that is to serve a request, and the host asked for; else the refusal, and both where they are known.
type Verdict = Result<(Found, String), (Option<(Found, String)>, Refusal)>;

/// The phases before `limits`, which may be gone through twice: nothing is counted here.
fn admit<B>(shared: &Shared, visit: Visit, request: &mut Request<B>) -> (Admitted, Verdict) {
    let table = Rc::clone(&shared.table.borrow());
    let caller = Caller::of(&table.rules, &shared.settings, visit, request.headers());
    let entry = log::Entry::begin(request, caller.address);
    let wishes = answer::Wishes::of(&table.rules, request);
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
    (Admitted { table, caller, entry, wishes }, verdict)
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
        }
    }

    /// After it the connection is closed.
    pub(crate) fn last(status: StatusCode, text: impl Into<String>) -> Self {
        Self { is_last: true, ..Self::new(status, text) }
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
