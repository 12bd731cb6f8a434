//! Names and labels of everything that the engine makes in Docker, so that it is found again and removed.

use std::collections::HashMap;

use domain::AppName;
use domain::deployment::Workload;

use crate::replica::spec_hash;

/// Which platform a thing belongs to.
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
