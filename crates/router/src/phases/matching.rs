//! Phase 2: which route does the request's host mean?

use domain::hosts::parse_host;
use http::{StatusCode, header};
use hyper::Request;

use super::Refusal;
use crate::table::Found;
use crate::worker::Shared;

/// Finds the route with its rules; 400 without one clear host (RFC 9112 section 3.2), 404 for a host of nobody.
pub(super) fn site<B>(shared: &Shared, request: &Request<B>) -> Result<(Found, String), Refusal> {
    let host = host(request).ok_or_else(|| {
        Refusal::new(StatusCode::BAD_REQUEST, "a request needs exactly one valid Host header")
    })?;
    let site = shared.table.borrow().site(&host);
    match site {
        Some(site) => Ok((site, host)),
        None => Err(Refusal::new(StatusCode::NOT_FOUND, format!("no app answers at {host}"))),
    }
}

/// The host asked for: the request target's where it is a whole URL (RFC 9112 section 3.2.2), else the
/// only Host header's.
fn host<B>(request: &Request<B>) -> Option<String> {
    let mut values = request.headers().get_all(header::HOST).iter();
    let first = values.next();
    if values.next().is_some() {
        return None;
    }
    match request.uri().authority() {
        Some(authority) => parse_host(authority.as_str()),
        None => parse_host(first?.to_str().ok()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_host_header_is_refused_and_a_whole_url_wins_over_the_header() {
        let two = Request::get("/").header("host", "a.com").header("host", "b.com").body(()).expect("valid");
        let whole = Request::get("http://A.com:80/x").header("host", "b.com").body(()).expect("valid");

        assert_eq!(host(&two), None);
        assert_eq!(host(&whole).as_deref(), Some("a.com"));
        assert_eq!(host(&Request::get("/").body(()).expect("valid")), None);
    }
}
