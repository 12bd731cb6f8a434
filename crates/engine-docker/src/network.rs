//! The network of each app: its own, so that apps do not see one another.
//!
//! Docker runs out of its default networks at the thirtieth, so each app takes a /26 from a range of ours.

use std::collections::HashMap;
use std::net::Ipv4Addr;

use bollard::errors::Error;
use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest, NetworkDisconnectRequest};
use domain::AppName;

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
    let range = Range::parse(&inner.settings.network_range)
        .map_err(|reason| EngineError::Refused { what: what.to_owned(), reason })?;
    let taken = taken(inner).await.map_err(|error| inner.failed(what, error))?;
    // The first candidate differs by app, so that platforms that share a daemon seldom collide.
    let free = range.subnets(seed(name)).filter(|subnet| !taken.iter().any(|other| subnet.overlaps(other)));
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

fn request(inner: &Inner, app: &AppName, name: &str, subnet: Range) -> NetworkCreateRequest {
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

async fn taken(inner: &Inner) -> Result<Vec<Range>, Error> {
    let networks = inner.client.list_networks(None).await?;
    let configs = networks.into_iter().filter_map(|network| network.ipam?.config).flatten();
    Ok(configs.filter_map(|config| Range::parse(&config.subnet?).ok()).collect())
}

fn seed(name: &str) -> u32 {
    let digest = domain::Digest::of(name.as_bytes());
    u32::from_str_radix(&digest.hex()[..8], 16).expect("a digest is hex")
}

/// An IPv4 network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    first: u32,
    prefix: u8,
}

impl Range {
    fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is not an IPv4 network such as 10.213.0.0/16");
        let (address, prefix) = text.split_once('/').ok_or_else(bad)?;
        let address: Ipv4Addr = address.parse().map_err(|_| bad())?;
        let prefix: u8 = prefix.parse().map_err(|_| bad())?;
        if prefix > 32 {
            return Err(bad());
        }
        let size = 1_u64 << (32 - prefix);
        let first = u64::from(u32::from(address)) / size * size;
        Ok(Self { first: u32::try_from(first).expect("rounded down from a u32"), prefix })
    }

    fn last(self) -> u32 {
        let size = 1_u64 << (32 - self.prefix);
        u32::try_from(u64::from(self.first) + size - 1).expect("a network ends within the address space")
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.first <= other.last() && other.first <= self.last()
    }

    /// All networks of an app's size in this range, from a place that `seed` picks, once around.
    fn subnets(self, seed: u32) -> impl Iterator<Item = Self> {
        let count = 1_u32 << PREFIX.saturating_sub(self.prefix).min(24);
        let count = if self.prefix > PREFIX { 0 } else { count };
        (0..count).map(move |step| {
            let index = (seed % count + step) % count;
            Self { first: self.first + index * (1 << (32 - PREFIX)), prefix: PREFIX }
        })
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_network_of_a_range_is_tried_once_and_none_outside_it() {
        let range = Range::parse("10.213.0.0/24").expect("good");

        let mut subnets: Vec<_> = range.subnets(7).map(|subnet| subnet.to_string()).collect();

        assert_eq!(subnets[0], "10.213.0.192/26");
        subnets.sort();
        assert_eq!(subnets, ["10.213.0.0/26", "10.213.0.128/26", "10.213.0.192/26", "10.213.0.64/26"]);
        assert_eq!(Range::parse("10.0.0.0/27").expect("good").subnets(0).count(), 0);
    }

    #[test]
    fn networks_overlap_when_they_share_an_address() {
        let range = |text| Range::parse(text).expect("good");
        assert!(range("10.0.0.0/8").overlaps(&range("10.213.0.64/26")));
        assert!(!range("10.213.0.0/26").overlaps(&range("10.213.0.64/26")));
        assert!(Range::parse("10.0.0.0/33").is_err());
        assert!(Range::parse("fe80::/64").is_err());
    }
}
