//! Receiver of a role's lines about apps.

use std::path::PathBuf;

use logger::LoggerClient;

use super::key_in;

/// The same of a role that does its work without, too.
#[derive(Debug, Clone, clap::Args)]
pub struct OptionalLines {
    /// Address of the logger.
    #[arg(long, env = "WORKFLOW_LOGGER_URL", default_value = "http://deis-logger")]
    logger_url: String,

    /// File with the logger's key for sending lines; without one, none are sent.
    #[arg(long, env = "WORKFLOW_LINES_KEY_FILE")]
    lines_key_file: Option<PathBuf>,
}

impl OptionalLines {
    pub fn client(&self) -> anyhow::Result<Option<LoggerClient>> {
        let Self { logger_url, lines_key_file } = self.clone();
        lines_key_file.map(|lines_key_file| LinesSettings { logger_url, lines_key_file }.client()).transpose()
    }
}

#[derive(Debug, Clone, clap::Args)]
pub struct LinesSettings {
    /// Address of the logger.
    #[arg(long, env = "WORKFLOW_LOGGER_URL", default_value = "http://deis-logger")]
    pub logger_url: String,

    /// File with the logger's key for sending lines.
    #[arg(long, env = "WORKFLOW_LINES_KEY_FILE")]
    pub lines_key_file: PathBuf,
}

impl LinesSettings {
    pub fn client(&self) -> anyhow::Result<LoggerClient> {
        let key = key_in("--lines-key-file", &self.lines_key_file)?;
        Ok(LoggerClient::new(&self.logger_url, key)?)
    }
}
