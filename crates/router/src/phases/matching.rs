//! Phase 2: which route does the request's host mean?

use domain::hosts::parse_host;
use http::{StatusCode, Version, header};
use hyper::Request;

use super::Refusal;
use crate::state::WorkerState;
use crate::table::SiteRef;

/// Finds the route with its rules; 400 without one clear host (RFC 9112 section 3.2), 404 for a host of nobody.
pub(super) fn site<B>(shared: &WorkerState, request: &Request<B>) -> Result<(SiteRef, String), Refusal> {
    let host = host(request).ok_or_else(|| {
        Refusal::last(StatusCode::BAD_REQUEST, "a request needs exactly one valid Host header")
    })?;
    let site = shared.table.borrow().site(&host);
    match site {
        Some(site) => Ok((site, host)),
        None => Err(Refusal::new(StatusCode::NOT_FOUND, format!("no app answers at {host}"))),
    }
}

/// The host asked for: the request target's where it is a whole URL (RFC 9112 section 3.2.2), else the only Host
/// header's, which must be there and be right beside a URL too. In HTTP/2 it may be left out, but not differ
/// (RFC 9113 section 8.3.1).
fn host<B>(request: &Request<B>) -> Option<String> {
    let mut values = request.headers().get_all(header::HOST).iter();
    let told = match (values.next(), values.next()) {
        (Some(value), None) => Some(parse_host(value.to_str().ok()?)?),
        (Some(_), Some(_)) => return None,
        (None, _) => None,
    };
    let Some(authority) = request.uri().authority() else { return told };
    let asked = parse_host(authority.as_str())?;
    let agrees = match request.version() {
        Version::HTTP_2 => told.is_none_or(|told| told == asked),
        Version::HTTP_11 => told.is_some(),
        _ => true,
    };
    agrees.then_some(asked)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(version: Version, target: &str, hosts: &[&str]) -> Option<String> {
        let mut request = Request::get(target).version(version);
        for host in hosts {
            request = request.header("host", *host);
        }
        host(&request.body(()).expect("valid"))
    }

    #[test]
    fn one_host_is_told_and_a_whole_url_wins_over_it() {
        let http1 = |target, hosts| asked(Version::HTTP_11, target, hosts);

        assert_eq!(http1("/", &["a.com"]).as_deref(), Some("a.com"));
        assert_eq!(http1("http://A.com:80/x", &["b.com"]).as_deref(), Some("a.com"));
        for (target, hosts) in
            [("/", &["a.com", "b.com"][..]), ("/", &[]), ("http://a.com/", &[]), ("http://a.com/", &["b c"])]
        {
            assert_eq!(http1(target, hosts), None, "{target} {hosts:?}");
        }
        assert_eq!(asked(Version::HTTP_10, "http://a.com/", &[]).as_deref(), Some("a.com"));
    }

    #[test]
    fn in_http2_a_host_header_may_not_differ_from_the_authority() {
        let http2 = |hosts| asked(Version::HTTP_2, "https://a.com/", hosts);

        assert_eq!(http2(&[]).as_deref(), Some("a.com"));
        assert_eq!(http2(&["A.com:443"]).as_deref(), Some("a.com"));
        assert_eq!(http2(&["b.com"]), None);
    }
}
