//! The network of each app: its own, so that apps do not see one another.
//!
//! Docker runs out of its default networks at the thirtieth, so each app takes a /26 from a range of ours.

use std::collections::HashMap;

use bollard::errors::Error;
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest, NetworkDisconnectRequest};
use domain::AppName;
use ipnet::Ipv4Net;

use super::jobs::status;
use super::{Inner, names};
use engine::EngineError;

/// Prefix length of an app's network: room for 61 containers.
const PREFIX: u8 = 26;
/// Ranges that are tried before giving up, where Docker says that they are taken.
const TRIES_MAX: usize = 64;

/// The name of the app's network, which is made if it is missing.
pub(super) async fn ensure(inner: &Inner, app: &AppName) -> Result<String, EngineError> {
    let _alone = inner.networks.lock().await;
    let name = names::network(&inner.settings.instance, app);
    match inner.client.inspect_network(&name, None).await {
        Ok(_) => return Ok(name),
        Err(error) if status(&error) == Some(404) => {}
        Err(error) => return Err(inner.failed("look for the app's network", error)),
    }
    create(inner, app, &name).await?;
    Ok(name)
}

/// Removes the app's network; a missing one is no error.
pub(super) async fn remove(inner: &Inner, app: &AppName) -> Result<(), EngineError> {
    let name = names::network(&inner.settings.instance, app);
    if inner.client.remove_network(&name).await.is_ok() {
        return Ok(());
    }
    // Docker may count endpoints of containers that are gone.
    release(inner, &name).await.map_err(|error| inner.failed("empty the app's network", error))?;
    match inner.client.remove_network(&name).await {
        Err(error) if status(&error) != Some(404) => Err(inner.failed("remove the app's network", error)),
        _ => Ok(()),
    }
}

/// As [`remove`], unless there is an app of that name by now, which then has the network.
pub(super) async fn remove_unless_wanted(inner: &Inner, app: &AppName) -> Result<(), EngineError> {
    let _alone = inner.networks.lock().await;
    if inner.apps().contains_key(app) {
        return Ok(());
    }
    remove(inner, app).await
}

/// Disconnects containers that do not exist any more.
async fn release(inner: &Inner, network: &str) -> Result<(), Error> {
    let found = match inner.client.inspect_network(network, None).await {
        Err(error) if status(&error) == Some(404) => return Ok(()),
        found => found?,
    };
    for (id, endpoint) in found.containers.unwrap_or_default() {
        let is_gone = inner.client.inspect_container(&id, None).await;
        if !is_gone.is_err_and(|error| status(&error) == Some(404)) {
            continue;
        }
        let container = endpoint.name.unwrap_or(id);
        let request = NetworkDisconnectRequest { container, force: Some(true) };
        inner.client.disconnect_network(network, request).await?;
    }
    Ok(())
}

async fn create(inner: &Inner, app: &AppName, name: &str) -> Result<(), EngineError> {
    let what = "make the app's network";
    let range = parse_range(&inner.settings.network_range)
        .map_err(|reason| EngineError::Refused { what: what.to_owned(), reason })?;
    let taken = taken(inner).await.map_err(|error| inner.failed(what, error))?;
    // The first candidate differs by app, so that platforms that share a daemon seldom collide.
    let free = subnets(range, seed(name)).filter(|subnet| !taken.iter().any(|other| overlap(subnet, other)));
    for subnet in free.take(TRIES_MAX) {
        match inner.client.create_network(request(inner, app, name, subnet)).await {
            // Made by someone else in the meantime.
            Err(error) if status(&error) == Some(409) => return Ok(()),
            Err(error) if is_taken(&error) => {}
            made => return made.map(drop).map_err(|error| inner.failed(what, error)),
        }
    }
    let reason = format!(
        "no free /{PREFIX} in {}; remove unused networks (`docker network prune`) or set another network range",
        inner.settings.network_range
    );
    Err(EngineError::Refused { what: what.to_owned(), reason })
}

fn request(inner: &Inner, app: &AppName, name: &str, subnet: Ipv4Net) -> NetworkCreateRequest {
    let labels = [
        (names::INSTANCE_LABEL, inner.settings.instance.as_str()),
        (names::APP_LABEL, app.as_str()),
        ("heritage", "deis"),
    ];
    let config = IpamConfig { subnet: Some(subnet.to_string()), ..IpamConfig::default() };
    NetworkCreateRequest {
        name: name.to_owned(),
        driver: Some("bridge".to_owned()),
        ipam: Some(Ipam { config: Some(vec![config]), ..Ipam::default() }),
        options: Some(HashMap::from([(
            names::BRIDGE_OPTION.to_owned(),
            names::bridge(&inner.settings.instance, name),
        )])),
        labels: Some(labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()),
        ..NetworkCreateRequest::default()
    }
}

/// Docker's words for a range that some network or route of the host has.
fn is_taken(error: &Error) -> bool {
    let message = super::jobs::message(error).to_ascii_lowercase();
    ["overlap", "conflicts with network", "already in use"].iter().any(|words| message.contains(words))
}

async fn taken(inner: &Inner) -> Result<Vec<Ipv4Net>, Error> {
    let networks = inner.client.list_networks(None).await?;
    let configs = networks.into_iter().filter_map(|network| network.ipam?.config).flatten();
    Ok(configs.filter_map(|config| parse_range(&config.subnet?).ok()).collect())
}

fn seed(name: &str) -> usize {
    let digest = domain::Digest::of(name.as_bytes());
    usize::from_str_radix(&digest.hex()[..8], 16).expect("a digest is hex")
}

fn parse_range(text: &str) -> Result<Ipv4Net, String> {
    let range: Result<Ipv4Net, _> = text.parse();
    range
        .map(|range| range.trunc())
        .map_err(|_| format!("`{text}` is not an IPv4 network such as 10.213.0.0/16"))
}

fn overlap(one: &Ipv4Net, other: &Ipv4Net) -> bool {
    one.contains(other) || other.contains(one)
}

/// All networks of an app's size in a range, from a place that `seed` picks, once around.
fn subnets(range: Ipv4Net, seed: usize) -> impl Iterator<Item = Ipv4Net> {
    let count = 1 << PREFIX.saturating_sub(range.prefix_len());
    range.subnets(PREFIX).into_iter().flatten().cycle().skip(seed % count).take(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_of_a_range_is_tried_once_and_none_outside_it() {
        let range = parse_range("10.213.0.0/24").expect("good");

        let mut tried: Vec<_> = subnets(range, 7).map(|subnet| subnet.to_string()).collect();

        assert_eq!(tried[0], "10.213.0.192/26");
        tried.sort();
        assert_eq!(tried, ["10.213.0.0/26", "10.213.0.128/26", "10.213.0.192/26", "10.213.0.64/26"]);
        assert_eq!(subnets(parse_range("10.0.0.0/27").expect("good"), 0).count(), 0);
    }

    #[test]
    fn networks_overlap_when_they_share_an_address() {
        let range = |text| parse_range(text).expect("good");
        assert!(overlap(&range("10.0.0.0/8"), &range("10.213.0.64/26")));
        assert!(!overlap(&range("10.213.0.0/26"), &range("10.213.0.64/26")));
        assert!(parse_range("10.0.0.0/33").is_err());
        assert!(parse_range("fe80::/64").is_err());
    }
}
