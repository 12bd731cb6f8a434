//! Names and labels of everything that the engine makes in Docker, so that it is found again and removed.

use std::collections::HashMap;

use domain::AppName;
use domain::deployment::Workload;

use engine::rollout::replica::spec_hash;

/// Platform that an object belongs to.
pub const INSTANCE_LABEL: &str = "io.deis.instance";
pub const APP_LABEL: &str = "io.deis.app";
/// Process type of a replica; jobs have none.
pub const PROCESS_LABEL: &str = "io.deis.process";
pub const RELEASE_LABEL: &str = "io.deis.release";
/// Hash of all that a replica was made from.
pub const SPEC_LABEL: &str = "io.deis.spec";
/// The user's hook, so that it is run also when nothing else is known about the release any more.
pub const PRE_STOP_LABEL: &str = "io.deis.pre-stop";

/// First part of the names of all images, networks and volumes of this platform.
pub fn namespace(instance: &str) -> String {
    format!("deis-{instance}")
}

/// Docker's option for the name of a network's bridge, which it chooses itself where it is not given.
pub const BRIDGE_OPTION: &str = "com.docker.network.bridge.name";
/// Linux' bound of an interface's name is 15 characters: so many of the instance's and of the network's.
const BRIDGE_INSTANCE_LENGTH: usize = 6;
const BRIDGE_NETWORK_LENGTH: usize = 7;

/// Prefix of the names of all bridges of this platform, and of no other interface: the firewall matches it.
pub fn bridge_prefix(instance: &str) -> String {
    let digest = domain::Digest::of(format!("bridges of {instance}").as_bytes());
    format!("dw{}", &digest.hex()[..BRIDGE_INSTANCE_LENGTH])
}

/// The bridge of a network of this name.
pub fn bridge(instance: &str, network: &str) -> String {
    let digest = domain::Digest::of(format!("bridge of {network}").as_bytes());
    format!("{}{}", bridge_prefix(instance), &digest.hex()[..BRIDGE_NETWORK_LENGTH])
}

pub fn network(instance: &str, app: &AppName) -> String {
    format!("{}-{app}", namespace(instance))
}

/// Labels of a replica.
pub fn labels(instance: &str, workload: &Workload) -> HashMap<String, String> {
    let labels = [
        (INSTANCE_LABEL, instance.to_owned()),
        (APP_LABEL, workload.id.app.to_string()),
        (PROCESS_LABEL, workload.id.process.to_string()),
        (RELEASE_LABEL, workload.release.to_string()),
        (SPEC_LABEL, spec_hash(workload)),
        ("heritage", "deis".to_owned()),
    ];
    let hook = workload.hooks.pre_stop.iter().map(|hook| (PRE_STOP_LABEL, hook.clone()));
    labels.into_iter().chain(hook).map(|(name, value)| (name.to_owned(), value)).collect()
}
