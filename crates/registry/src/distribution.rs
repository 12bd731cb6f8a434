//! The Distribution process beside us: its config, its start and its end.

use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use domain::registry_access::AccessKey;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::process::{Child, Command};

use crate::signer::Signer;
use crate::storage::Storage;
use crate::token::{ISSUER, PATH, SERVICE};
use crate::{RegistryError, RegistrySettings};

/// From TERM to KILL.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);
/// Tags of one repository that Distribution lists at once.
const TAGS_MAX: u32 = 1000;

/// Settings that Distribution's config is made from.
#[derive(Debug, Clone)]
pub struct DistributionSettings<'a> {
    pub port: u16,
    pub storage: &'a Storage,
    /// File with the public keys of tokens.
    pub key_set: &'a Path,
    /// Key that signs uploads under way.
    pub upload_secret: &'a str,
}

/// Distribution's config. JSON is YAML too.
pub fn distribution_config(settings: &DistributionSettings<'_>) -> Value {
    let DistributionSettings { port, storage, key_set, upload_secret } = settings;
    let mut config = json!({
        "version": "0.1",
        "log": { "level": "error", "formatter": "text", "accesslog": { "disabled": true } },
        "storage": {
            storage.driver(): storage.parameters(),
            "delete": { "enabled": true },
            "maintenance": { "uploadpurging": { "enabled": true, "age": "48h", "interval": "24h", "dryrun": false } },
        },
        "http": {
            "addr": format!("127.0.0.1:{port}"),
            "secret": upload_secret,
            // Answers are the same whatever name we are reached by.
            "relativeurls": true,
            "headers": { "X-Content-Type-Options": ["nosniff"] },
        },
        "tags": { "maxtags": TAGS_MAX },
        "auth": { "token": {
            // Tokens are had where the registry is, whatever name it is reached by.
            "autoredirect": true,
            "autoredirectpath": PATH,
            "realm": PATH,
            "service": SERVICE,
            "issuer": ISSUER,
            "jwks": key_set,
            "signingalgorithms": ["EdDSA"],
        }},
    });
    // Files are looked at as fast as a cache, which would know blobs that were collected since.
    if storage.driver() != "filesystem" {
        config["storage"]["cache"] = json!({ "blobdescriptor": "inmemory" });
    }
    config
}

/// The process; it is killed when this is dropped.
pub struct Distribution {
    child: Child,
}

impl Distribution {
    pub async fn start(settings: &RegistrySettings) -> Result<Self, RegistryError> {
        let config = write_files(settings).map_err(|source| RegistryError::Config {
            folder: settings.folder.display().to_string(),
            source,
        })?;
        let mut command = Command::new(&settings.program);
        command.arg("serve").arg(config).env("OTEL_TRACES_EXPORTER", "none");
        command.stdin(Stdio::null()).kill_on_drop(true);
        // Distribution takes such variables for settings; a cluster sets some for its Services.
        let overrides =
            std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("REGISTRY_"));
        for (name, _) in overrides {
            command.env_remove(name);
        }
        let child = command.spawn().map_err(|source| RegistryError::Start {
            program: settings.program.display().to_string(),
            source,
        })?;
        Ok(Self { child })
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) => status.to_string(),
            Err(error) => error.to_string(),
        }
    }

    /// Ends it: gently, then by force.
    pub async fn stop(mut self) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id {
            // It may have ended in this moment; then there is nothing to stop.
            let _ = kill(Pid::from_raw(id), Signal::SIGTERM);
        }
        if tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await.is_err() {
            tracing::warn!("the registry's program does not end, killing it");
            let _ = self.child.kill().await;
        }
    }
}

/// Uploads under way carry their state, signed with this: the same at each replica.
fn upload_secret(key: &AccessKey) -> String {
    hex::encode(Sha256::digest([&key.signing_seed()[..], b"uploads"].concat()))
}

/// Path of its config.
pub fn config_file(settings: &RegistrySettings) -> PathBuf {
    settings.folder.join("config.yml")
}

/// Writes the config and the public keys; the config may hold the storage's secrets.
fn write_files(settings: &RegistrySettings) -> std::io::Result<PathBuf> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&settings.folder)?;
    let key_set = settings.folder.join("keys.json");
    write(&key_set, &Signer::new(&settings.key).key_set())?;
    let config = distribution_config(&DistributionSettings {
        port: settings.distribution_port,
        storage: &settings.storage,
        key_set: &key_set,
        upload_secret: &upload_secret(&settings.key),
    });
    let path = config_file(settings);
    write(&path, &config)?;
    Ok(path)
}

fn write(path: &Path, content: &Value) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec_pretty(content).expect("JSON can be written"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_parameters_are_passed_on_and_tokens_are_asked_for() {
        let storage = Storage::parse("s3", r#"{"bucket":"images","secure":true}"#).expect("good");
        let settings = DistributionSettings {
            port: 5001,
            storage: &storage,
            key_set: Path::new("/k.json"),
            upload_secret: "s",
        };

        let config = distribution_config(&settings);

        assert_eq!(config["storage"]["s3"], json!({ "bucket": "images", "secure": true }));
        assert_eq!(config["storage"]["delete"]["enabled"], true);
        assert_eq!(config["http"]["addr"], "127.0.0.1:5001");
        assert_eq!(config["auth"]["token"]["jwks"], "/k.json");
        assert_eq!(config["auth"]["token"]["autoredirectpath"], "/token");
    }
}
