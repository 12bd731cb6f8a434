//! A volume whose only use is that it comes first.
//!
//! A node learns of a Secret by a watch that it begins when the first pod that names it arrives. Where that watch is
//! not in step after a second, as on a busy node or where the API server's authorizer does not know yet that the pod
//! is the node's, the pull goes on without a credential, the registry refuses it, and the next try is 10 s later; a
//! container whose environment cannot be had waits as long. Volumes are different: a node tries to mount them again
//! after half a second, and neither pulls nor makes containers before all are there. So each pod mounts one key
//! that says nothing of each Secret that it names, and once they are mounted the node has both Secrets.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{
    KeyToPath, ProjectedVolumeSource, SecretProjection, Volume, VolumeMount, VolumeProjection,
};

use crate::names;

/// Key of Secrets that pods name; not the name of a variable of any process type.
pub const HERE: &str = "-here";
const VOLUME: &str = "deis-secrets";
const FOLDER: &str = "/run/deis-secrets";
const EVERYBODY_READS: i32 = 0o444;

/// Value of the key: not a secret.
pub fn here() -> (String, ByteString) {
    (HERE.to_owned(), ByteString(b"here".to_vec()))
}

/// Names the pull secret and the Secret of an environment.
pub fn volume(env: &str) -> Volume {
    let key_of = |secret: &str| VolumeProjection {
        secret: Some(SecretProjection {
            name: secret.to_owned(),
            items: Some(vec![KeyToPath { key: HERE.to_owned(), path: secret.to_owned(), mode: None }]),
            optional: None,
        }),
        ..VolumeProjection::default()
    };
    Volume {
        name: VOLUME.to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(EVERYBODY_READS),
            sources: Some(vec![key_of(names::PULL_SECRET), key_of(env)]),
        }),
        ..Volume::default()
    }
}

pub fn mount() -> VolumeMount {
    VolumeMount {
        name: VOLUME.to_owned(),
        mount_path: FOLDER.to_owned(),
        read_only: Some(true),
        ..VolumeMount::default()
    }
}
