//! Apps, their logs and one-off processes.

use super::{Client, ClientError, Lines, part};
use crate::Page;
use crate::apps::{App, AppChange, NewApp};
use crate::run::{Run, RunResult};

impl Client {
    /// Makes an app; without an id the platform makes up a name.
    pub fn create_app(&self, id: Option<&str>) -> Result<App, ClientError> {
        match id {
            Some(id) => self.post("/v2/apps/", &NewApp { id: Some(id.to_owned()) }),
            None => self.post_empty("/v2/apps/"),
        }
    }

    pub fn apps(&self, limit: i64) -> Result<Page<App>, ClientError> {
        self.get(&format!("/v2/apps/?limit={limit}"))
    }

    pub fn app(&self, app: &str) -> Result<App, ClientError> {
        self.get(&format!("/v2/apps/{}/", part(app)))
    }

    pub fn transfer_app(&self, app: &str, owner: &str) -> Result<(), ClientError> {
        let change = AppChange { owner: Some(owner.to_owned()) };
        self.tell(&format!("/v2/apps/{}/", part(app)), &change)
    }

    pub fn destroy_app(&self, app: &str) -> Result<(), ClientError> {
        self.delete(&format!("/v2/apps/{}/", part(app)))
    }

    /// The last `lines` log lines as plain text; empty where there are none.
    pub fn logs(&self, app: &str, lines: Option<u64>) -> Result<String, ClientError> {
        let query = lines.map(|lines| format!("?log_lines={lines}")).unwrap_or_default();
        self.get_text(&format!("/v2/apps/{}/logs{query}", part(app)))
    }

    /// The log as it grows: the last `lines` lines, or those that came after the event `after`, and new ones.
    /// Each line of the answer is a [`crate::logs::LogEvent`].
    pub fn follow_logs(
        &self,
        app: &str,
        lines: Option<u64>,
        after: Option<u64>,
    ) -> Result<Lines, ClientError> {
        let query = [("log_lines", lines), ("after", after)];
        let query: Vec<_> =
            query.iter().filter_map(|(name, value)| Some(format!("{name}={}", (*value)?))).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        self.get_lines(&format!("/v2/apps/{}/logs/follow{mark}{}", part(app), query.join("&")))
    }

    /// Runs a command in a fresh container of the current release and waits for its end.
    pub fn run(&self, app: &str, command: &str) -> Result<RunResult, ClientError> {
        let run = Run { command: command.to_owned() };
        self.post(&format!("/v2/apps/{}/run", part(app)), &run)
    }
}
