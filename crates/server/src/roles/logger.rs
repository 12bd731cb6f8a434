//! `workflow logger`: keeps the lines of all apps, taken over HTTP.

use std::net::SocketAddr;
use std::path::PathBuf;

use logger::LoggerSettings;

use super::{RoleSettings, everywhere};
use crate::files;
use crate::health;
use crate::process::{self, Process};
use crate::settings::{check_log_lines, key_in};

/// Connections, where the limit of open files allows.
const CONNECTIONS_MAX: usize = 2_048;

/// Keeps the lines of all apps.
#[derive(Debug, Clone, clap::Args)]
pub struct LoggerRole {
    /// Folder for the lines; the logger must be the only one that writes to it.
    #[arg(long, env = "WORKFLOW_DATA_DIR", default_value = "/var/lib/workflow")]
    data_dir: PathBuf,

    /// Address and port of HTTP.
    #[arg(long, env = "WORKFLOW_LOGGER_LISTEN", default_value_t = everywhere(8088))]
    listen: SocketAddr,

    /// File with the key that the controller shows to read lines.
    #[arg(long, env = "WORKFLOW_LOGGER_KEY_FILE")]
    logger_key_file: PathBuf,

    /// File with the key that agents, builder and controller show to write lines.
    #[arg(long, env = "WORKFLOW_LINES_KEY_FILE")]
    lines_key_file: PathBuf,

    /// Lines kept of each app's log.
    #[arg(long, env = "NUMBER_OF_LINES", default_value_t = 1_000)]
    log_lines: usize,

    #[command(flatten)]
    role: RoleSettings,
}

impl LoggerRole {
    pub fn check(&self) -> anyhow::Result<()> {
        check_log_lines(self.log_lines)?;
        self.settings().map(drop)
    }

    pub fn run(&self) -> anyhow::Result<()> {
        process::run(self.serve())
    }

    async fn serve(&self) -> anyhow::Result<()> {
        let mut process = Process::new()?;
        let listener = process::bind("--listen", self.listen).await?;
        process.add("logger", logger::run(self.settings()?, Some(listener), None, process.stopping()));
        self.role.add_health(&mut process, health::always()).await?;
        tracing::info!("taking lines on {}", self.listen);
        process.run(self.role.stop_timeout()).await
    }

    fn settings(&self) -> anyhow::Result<LoggerSettings> {
        Ok(LoggerSettings {
            lines_per_app_max: self.log_lines,
            connections_max: files::alone(CONNECTIONS_MAX),
            key: Some(key_in("--logger-key-file", &self.logger_key_file)?),
            lines_key: Some(key_in("--lines-key-file", &self.lines_key_file)?),
            ..LoggerSettings::new(self.data_dir.join("logs"))
        })
    }
}
