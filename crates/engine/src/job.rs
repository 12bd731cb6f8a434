//! What jobs have in common on every engine: their bound, and how builds find certificate authorities.

use std::time::Duration;

use crate::JobError;

/// Where a build has its bundle of certificate authorities.
pub const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
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

/// Bounds a job; what it made is removed by its guards when it is dropped here.
pub async fn within<T>(
    deadline_seconds: u32,
    job: impl Future<Output = Result<T, JobError>>,
) -> Result<T, JobError> {
    tokio::time::timeout(Duration::from_secs(u64::from(deadline_seconds)), job)
        .await
        .unwrap_or(Err(JobError::TimedOut { seconds: deadline_seconds }))
}
