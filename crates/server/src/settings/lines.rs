//! Receiver of a role's lines about apps.

use std::path::PathBuf;

use anyhow::ensure;
use axum::http::Uri;
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
        let url = &self.logger_url;
        let is_usable =
            url.parse::<Uri>().is_ok_and(|uri| uri.scheme_str() == Some("http") && uri.host().is_some());
        ensure!(
            is_usable,
            "--logger-url `{url}`: the logger's address is such as http://deis-logger.deis.svc"
        );
        Ok(LoggerClient::new(url, Some(key_in("--lines-key-file", &self.lines_key_file)?)))
    }
}
