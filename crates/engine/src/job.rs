//! Shared rules of jobs on every engine: their limit, and the certificate authorities of builds.

use std::time::Duration;

use domain::submodules::Submodule;

use crate::JobError;

/// Path of a build's bundle of certificate authorities.
pub const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Seconds after which a rebase is stopped.
pub const REBASE_SECONDS_MAX: u32 = 600;
/// Variables by which the usual tools find the bundle.
pub const CA_VARIABLES: &[&str] = &[
    "AWS_CA_BUNDLE",
    "BUNDLE_SSL_CA_CERT",
    "CARGO_HTTP_CAINFO",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "SSL_CERT_FILE",
    "npm_config_cafile",
];

/// The list of what a build fetches into its source, for `slug`; `None` where that is nothing.
pub fn submodule_list(submodules: &[Submodule]) -> Option<Vec<u8>> {
    let list = || serde_json::to_vec(submodules).expect("texts are JSON");
    (!submodules.is_empty()).then(list)
}

/// Limits the time of a job; its guards remove its objects when it is dropped here.
pub async fn within<T>(
    deadline_seconds: u32,
    job: impl Future<Output = Result<T, JobError>>,
) -> Result<T, JobError> {
    tokio::time::timeout(Duration::from_secs(u64::from(deadline_seconds)), job)
        .await
        .unwrap_or(Err(JobError::TimedOut { seconds: deadline_seconds }))
}
