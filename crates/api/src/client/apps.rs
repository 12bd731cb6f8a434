//! Apps, their logs and one-off processes.

use super::{Client, ClientError, LineStream, folder, path};
use crate::Page;
use crate::apps::{APP_PATH, APPS_PATH, App, AppChange, LOCK_PATH, Lock, NewApp, NewLock};
use crate::logs::{FOLLOW_PATH, LOGS_PATH};
use crate::run::{BASE64, RUN_PATH, Run, RunResult};

impl Client {
    /// Creates an app; without an id the platform makes up a name.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 400 for a name that is malformed, reserved or taken.
    pub fn create_app(&self, id: Option<&str>) -> Result<App, ClientError> {
        match id {
            Some(id) => self.post(&folder(APPS_PATH, []), &NewApp { id: Some(id.to_owned()) }),
            None => self.post_empty(&folder(APPS_PATH, [])),
        }
    }

    /// Lists the apps that the caller may use, by name, at most `limit`.
    pub fn apps(&self, limit: i64) -> Result<Page<App>, ClientError> {
        self.get(&format!("{}?limit={limit}", folder(APPS_PATH, [])))
    }

    /// Fetches an app.
    pub fn app(&self, app: &str) -> Result<App, ClientError> {
        self.get(&folder(APP_PATH, [app]))
    }

    /// Makes another user the owner of an app.
    pub fn transfer_app(&self, app: &str, owner: &str) -> Result<(), ClientError> {
        let change = AppChange { owner: Some(owner.to_owned()) };
        self.tell(&folder(APP_PATH, [app]), &change)
    }

    /// Removes an app; returns when everything of it is gone.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 503 where that takes longer; the removal goes on.
    pub fn destroy_app(&self, app: &str) -> Result<(), ClientError> {
        self.delete(&folder(APP_PATH, [app]))
    }

    /// Locks an app.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 409 for an app that is locked.
    pub fn lock_app(&self, app: &str, reason: Option<&str>) -> Result<Lock, ClientError> {
        self.post(&folder(LOCK_PATH, [app]), &NewLock { reason: reason.map(str::to_owned) })
    }

    /// Unlocks an app.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 422 for an app that is not locked.
    pub fn unlock_app(&self, app: &str) -> Result<(), ClientError> {
        self.delete(&folder(LOCK_PATH, [app]))
    }

    /// The last `lines` log lines as plain text; empty where there are none.
    pub fn logs(&self, app: &str, lines: Option<u64>) -> Result<String, ClientError> {
        let query = lines.map(|lines| format!("?log_lines={lines}")).unwrap_or_default();
        self.get_text(&format!("{}{query}", path(LOGS_PATH, [app])))
    }

    /// The log as it grows: the last `lines` lines, or those that came after the event `after`, and new ones.
    /// Each line of the answer is a [`crate::logs::LogEvent`].
    pub fn follow_logs(
        &self,
        app: &str,
        lines: Option<u64>,
        after: Option<u64>,
    ) -> Result<LineStream, ClientError> {
        let query = [("log_lines", lines), ("after", after)];
        let query: Vec<_> =
            query.iter().filter_map(|(name, value)| Some(format!("{name}={}", (*value)?))).collect();
        let mark = if query.is_empty() { "" } else { "?" };
        self.get_lines(&format!("{}{mark}{}", path(FOLLOW_PATH, [app]), query.join("&")))
    }

    /// Runs a command in a new container of the current release and waits for its end. The output comes as base64,
    /// from older platforms as text.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 400 for an app without a build, with 503 for a process that could not be run
    /// or took too long. The exit code of the command is no error.
    pub fn run(&self, app: &str, command: &str) -> Result<RunResult, ClientError> {
        let run = Run { command: command.to_owned(), encoding: Some(BASE64.to_owned()) };
        self.post(&path(RUN_PATH, [app]), &run)
    }
}
