//! Phase 2: may the request pass? Maintenance, whitelist, HTTPS, size.

use std::net::IpAddr;

use domain::routing::Route;
use http::{StatusCode, header};
use hyper::Request;

use super::Refusal;
use crate::worker::Shared;

/// Checks in the order of components.md 5.4: maintenance comes before availability.
pub(super) fn check<B>(
    shared: &Shared,
    route: &Route,
    client: IpAddr,
    host: &str,
    request: &Request<B>,
) -> Result<(), Refusal> {
    if !route.whitelist.is_empty() && !route.whitelist.iter().any(|entry| covers(entry, client)) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "your address is not on this app's whitelist"));
    }
    if route.https_enforced {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let location = Some(format!("https://{host}{path}"));
        let text = "this app is served over HTTPS only".to_owned();
        return Err(Refusal { status: StatusCode::MOVED_PERMANENTLY, text, location });
    }
    if route.maintenance {
        return Err(Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "down for maintenance, please try again later",
        ));
    }
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let bytes_max = shared.settings.body_bytes_max;
    if length.is_some_and(|length: u64| length > bytes_max) {
        let text = format!("the body is larger than the {bytes_max} bytes allowed here");
        return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, text));
    }
    Ok(())
}

/// Whether an address or network `entry` (such as `10.1.2.3/8`) covers the address.
fn covers(entry: &str, address: IpAddr) -> bool {
    let (network, bits) = match entry.split_once('/') {
        Some((network, bits)) => (network, bits.parse::<u32>().ok()),
        None => (entry, Some(u32::MAX)),
    };
    let (Ok(network), Some(bits)) = (network.parse::<IpAddr>(), bits) else { return false };
    match (network, address.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            same_prefix(network.to_bits().into(), address.to_bits().into(), bits.min(32), 32)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            same_prefix(network.to_bits(), address.to_bits(), bits.min(128), 128)
        }
        _ => false,
    }
}

fn same_prefix(left: u128, right: u128, bits: u32, width: u32) -> bool {
    bits == 0 || (left ^ right) >> (width - bits) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whitelist_entry_is_an_address_or_a_network() {
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        for (entry, client, covered) in [
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("10.1.2.3/8", "10.9.9.9", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "10.1.1.1", false),
            ("nonsense", "10.1.1.1", false),
        ] {
            assert_eq!(covers(entry, address(client)), covered, "{entry} {client}");
        }
    }
}
