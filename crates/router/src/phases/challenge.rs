//! Phase 3: HTTP-01 challenges of certificate authorities (RFC 8555 section 8.3). They are answered
//! before the app's access rules; an unknown token is left to the app.

use domain::challenges::answer;
use http::{Method, StatusCode};
use hyper::Request;

use super::Refusal;
use crate::table::site::Site;

pub(super) fn check<B>(site: &Site, host: &str, request: &Request<B>) -> Result<(), Refusal> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    match answer(&site.route.challenges, host, request.uri().path()) {
        None => Ok(()),
        Some(answer) => {
            let media_type = "application/octet-stream";
            Err(Refusal { media_type, ..Refusal::new(StatusCode::OK, answer) })
        }
    }
}
