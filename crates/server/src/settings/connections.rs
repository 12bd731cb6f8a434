//! Limits of a router's clients: connections, and memory and disk for the bodies of their requests.

use std::path::{Path, PathBuf};

use anyhow::ensure;
use router::RouterSettings;

#[derive(Debug, Clone, clap::Args)]
pub struct ConnectionSettings {
    /// Open connections of clients [default: half of the files that the process may open, and 20000 at most].
    #[arg(long, env = "WORKFLOW_CONNECTIONS_MAX", value_parser = at_least_one)]
    pub connections_max: Option<usize>,

    /// Connections of one source, an IPv4 address or an IPv6 network of 64 bits [default: an eighth].
    #[arg(long, env = "WORKFLOW_CONNECTIONS_BY_SOURCE_MAX", value_parser = at_least_one)]
    pub connections_by_source_max: Option<usize>,

    /// Folder for bodies of requests beyond 1 MiB while they come in, in files without names; `none` lets those stream
    /// [default: `bodies` in the data folder; of a router in a cluster the folder for temporary files].
    #[arg(long, env = "WORKFLOW_BODY_DIR")]
    pub body_dir: Option<String>,

    /// MiB of memory for bodies that come in; one source has an eighth of it.
    #[arg(long, env = "WORKFLOW_BODY_MEMORY_MIB", default_value_t = 64)]
    pub body_memory_mib: u64,

    /// MiB of disk for bodies that come in; one source has an eighth of it.
    #[arg(long, env = "WORKFLOW_BODY_DISK_MIB", default_value_t = 2_048)]
    pub body_disk_mib: u64,

    /// Bytes a second that a body must come with on average, 20 seconds aside; those that stream may be slower.
    #[arg(long, env = "WORKFLOW_BODY_RATE_MIN", default_value_t = 1_024)]
    pub body_rate_min: u64,
}

/// Least value of settings for a number of connections.
fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| format!("`{text}`: expected 1 or more"))
}

impl ConnectionSettings {
    pub fn check(&self) -> anyhow::Result<()> {
        let Some(dir) = self.body_dir.as_deref().filter(|dir| *dir != "none") else { return Ok(()) };
        ensure!(Path::new(dir).is_dir(), "--body-dir {dir}: expected a folder, or none");
        Ok(())
    }

    /// Adds them to the settings of a router, whose own folder for bodies is this one.
    pub fn add_to(&self, settings: &mut RouterSettings, dir: PathBuf) {
        if let Some(max) = self.connections_max {
            settings.connections_max = max;
            settings.connections_by_source_max = (max / 8).max(64).min(max);
        }
        if let Some(max) = self.connections_by_source_max {
            settings.connections_by_source_max = max;
        }
        settings.buffering.dir = match self.body_dir.as_deref() {
            None => Some(dir),
            Some("none") => None,
            Some(dir) => Some(dir.into()),
        };
        settings.buffering.memory_max = self.body_memory_mib << 20;
        settings.buffering.disk_max = self.body_disk_mib << 20;
        settings.body_rate.bytes_per_second = self.body_rate_min;
    }
}
