//! The platform's certificate on one machine: two files, looked at again and again, so that a renewed
//! certificate is served without a restart.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, ensure};
use domain::certs::Pair;
use engine_docker::DockerEngine;
use tokio::sync::watch;

use crate::settings::EdgeArguments;

const POLL_INTERVAL: Duration = Duration::from_secs(30);
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Reads the pair, if there is to be one, and makes sure that it can be served.
pub fn read(settings: &EdgeArguments) -> anyhow::Result<Option<Pair>> {
    let (Some(certificate), Some(key)) = (&settings.platform_cert, &settings.platform_key) else {
        return Ok(None);
    };
    let pair = Pair { certificate: text("--platform-cert", certificate)?, key: text("--platform-key", key)? };
    // While both are being replaced, the one may be newer than the other.
    router::check_pair(&pair).map_err(|reason| {
        anyhow!("--platform-cert {} with --platform-key {}: {reason}", certificate.display(), key.display())
    })?;
    Ok(Some(pair))
}

/// Reloads a changed pair, until the platform stops. After unreadable files the current pair stays.
pub async fn follow(settings: EdgeArguments, engine: DockerEngine, mut stopping: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            () = tokio::time::sleep(POLL_INTERVAL) => {}
        }
        match read(&settings) {
            Ok(pair) => engine.set_platform_certificate(pair),
            Err(error) => tracing::warn!("the platform's certificate cannot be read again: {error:#}"),
        }
    }
}

fn text(flag: &str, path: &Path) -> anyhow::Result<String> {
    let what = || format!("{flag} {}", path.display());
    let size = std::fs::metadata(path).with_context(what)?.len();
    ensure!(size <= FILE_BYTES_MAX, "{}: {size} bytes are too many for a certificate or key", what());
    let text = std::fs::read_to_string(path).with_context(what)?;
    ensure!(text.contains("-----BEGIN "), "{}: expected PEM", what());
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::OptionalListen;

    #[test]
    fn files_that_cannot_be_served_are_refused_with_the_reason() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let settings = |certificate, key| EdgeArguments {
            https_listen: OptionalListen(None),
            platform_cert: Some(certificate),
            platform_key: Some(key),
            metrics_listen: OptionalListen(None),
            router_settings: Vec::new(),
            app_settings: Vec::new(),
        };
        let no_pem = file("no.pem", "hello");
        let empty = file("empty.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");

        for (settings, reason) in [
            (settings(folder.path().join("missing"), no_pem.clone()), "--platform-cert"),
            (settings(empty.clone(), no_pem), "--platform-key"),
            (settings(empty.clone(), empty), "its key cannot be read"),
        ] {
            let refused = read(&settings).expect_err(reason);
            assert!(format!("{refused:#}").contains(reason), "{refused:#}");
        }
    }
}
