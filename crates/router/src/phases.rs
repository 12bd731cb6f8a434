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
pub(crate) mod short;

use std::convert::Infallible;
use std::rc::Rc;

use http::{HeaderValue, StatusCode, header};
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
    let (Admitted { table, caller, entry, wishes }, verdict) = admit(&shared, visit, &mut request);
    let (site, answer) = match verdict {
        Err((site, refusal)) => (site, refusal.into_response()),
        Ok((site, host)) => {
            let answer = forward::forward(&shared, site.clone(), &host, &caller, request).await;
            (Some(site), answer)
        }
    };
    let answer = wishes.carry_out(&table.rules, site.as_deref(), &caller, answer);
    entry.end(&shared, site.as_deref(), answer.status());
    Ok(answer)
}

/// What is known of a request before it goes to an app, and needed when its answer is there.
struct Admitted {
    /// What it was admitted by.
    table: Rc<Held>,
    caller: Caller,
    entry: log::Entry,
    wishes: answer::Wishes,
}

/// The site that is to serve a request, and the host asked for; else the refusal, and the site where that is known.
type Verdict = Result<(Found, String), (Option<Found>, Refusal)>;

/// The phases before `forward`.
fn admit<B>(shared: &Shared, visit: Visit, request: &mut Request<B>) -> (Admitted, Verdict) {
    let table = Rc::clone(&shared.table.borrow());
    let caller = Caller::of(&table.rules, &shared.settings, visit, request.headers());
    let entry = log::Entry::begin(request, caller.address);
    let wishes = answer::Wishes::of(&table.rules, request);
    let site = guard::check_framing(request).and_then(|()| matching::site(shared, request));
    let verdict = match site {
        Err(refusal) => Err((None, refusal)),
        Ok((site, host)) => match guard::check(&shared.settings, &site, &caller, &host, request) {
            Err(refusal) => Err((Some(site), refusal)),
            Ok(()) => Ok((site, host)),
        },
    };
    (Admitted { table, caller, entry, wishes }, verdict)
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
        let (response, text) = self.into_parts();
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
        (response, self.text + "\n")
    }
}
