//! Phase 4: may the request pass? Whitelist, HTTPS, maintenance, size.

use http::{Method, StatusCode, Version, header};
use hyper::Request;

use super::Refusal;
use super::caller::RequestOrigin;
use crate::http1::HEADERS_MAX;
use crate::http1::headers;
use crate::settings::RouterSettings;
use crate::table::site::Site;

/// The text of Deis, which scripts look for.
const MAINTENANCE: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
    <title>Site Maintenance</title></head>\
    <body><h1>Site Maintenance</h1><p>Down for maintenance, please try again later.</p></body></html>";

/// Checks in the order of docs/spec/components.md 5.4: maintenance comes before availability.
pub(super) fn check<B>(
    settings: &RouterSettings,
    site: &Site,
    caller: &RequestOrigin,
    host: &str,
    request: &Request<B>,
) -> Result<(), Refusal> {
    let whitelist = site.rules.whitelist.as_deref();
    if whitelist.is_some_and(|list| !list.iter().any(|network| network.covers(caller.address))) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "your address is not on this app's whitelist"));
    }
    if site.rules.https_enforced && !caller.is_https {
        return Err(to_https(settings, caller, host, request));
    }
    if site.route.edge.maintenance {
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, MAINTENANCE);
        return Err(Refusal { media_type: "text/html; charset=utf-8", ..refusal });
    }
    let length: Option<u64> =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    match (length, site.rules.body_bytes_max) {
        (Some(length), Some(bytes_max)) if length > bytes_max => Err(too_large(bytes_max)),
        _ => Ok(()),
    }
}

/// Refuses what two readers could take for two different requests, or what no request of HTTP/1.1 can be made of.
pub(super) fn check_form<B>(request: &Request<B>) -> Result<(), Refusal> {
    if request.method() == Method::CONNECT {
        // Later bytes may be meant for the tunnel.
        return Err(Refusal::last(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not served here"));
    }
    check_target(request)?;
    if request.headers().len() > HEADERS_MAX {
        let text = format!("a request has at most {HEADERS_MAX} headers here");
        return Err(Refusal::last(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, text));
    }
    if request.headers().get_all(header::CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(Refusal::last(StatusCode::BAD_REQUEST, "a request has one Content-Length at most"));
    }
    if !headers::has_known_coding(request.headers()) {
        let text = "the only transfer coding here is `chunked`";
        return Err(Refusal::last(StatusCode::NOT_IMPLEMENTED, text));
    }
    Ok(())
}

/// A path, or a whole URL with one; `*` is for OPTIONS alone, a host without scheme for CONNECT, which is refused
/// before (RFC 9112 section 3.2).
fn check_target<B>(request: &Request<B>) -> Result<(), Refusal> {
    let (uri, method) = (request.uri(), request.method());
    // The path of a URL may be empty, but not that of HTTP/2 (RFC 9113 section 8.3.1).
    let may_be_empty = uri.scheme().is_some() && request.version() < Version::HTTP_2;
    let is_path = match uri.path_and_query().map(|path| path.as_str()) {
        Some("*") => *method == Method::OPTIONS,
        Some(path) => path.starts_with('/') || (may_be_empty && path.starts_with('?')),
        None => false,
    };
    let is_whole = uri.authority().is_none() || uri.scheme().is_some();
    if is_path && is_whole {
        return Ok(());
    }
    Err(Refusal::last(StatusCode::BAD_REQUEST, "the target of a request is a path or a URL"))
}

pub(super) fn too_large(bytes_max: u64) -> Refusal {
    let text = format!("the body is larger than the {bytes_max} bytes allowed here");
    Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text)
}

/// 301 as in Deis; 308 where 301 would make clients send another method without the body (RFC 9110 section
/// 15.4.2).
fn to_https<B>(
    settings: &RouterSettings,
    caller: &RequestOrigin,
    host: &str,
    request: &Request<B>,
) -> Refusal {
    let status = match *request.method() {
        Method::GET | Method::HEAD => StatusCode::MOVED_PERMANENTLY,
        _ => StatusCode::PERMANENT_REDIRECT,
    };
    let asks_for = headers::upgrade(request.headers());
    let is_websocket =
        asks_for.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let scheme = if is_websocket { "wss" } else { "https" };
    // A proxy in front has its own port.
    let port = settings.https.as_ref().filter(|_| !caller.is_proxied);
    let port = port.map(|https| https.public_port.unwrap_or(https.listen.port()));
    let port = port.filter(|port| *port != 443).map(|port| format!(":{port}")).unwrap_or_default();
    // The parser has removed the brackets of an IPv6 address.
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let location = Some(format!("{scheme}://{host}{port}{path}"));
    Refusal { location, ..Refusal::new(status, "this app is served over HTTPS only") }
}
