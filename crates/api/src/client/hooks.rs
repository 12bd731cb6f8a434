//! Hooks of the builder; they need [`Client::with_builder_key`].

use super::{Client, ClientError, folder};
use crate::config::Config;
use crate::hooks::{
    ACCESS_PATH, APPS_PATH, AccessQuestion, Apps, BUILD_PATH, BuildDone, BuildOutcome, CONFIG_PATH,
    ConfigQuestion, KEY_PATH, KeyOwner, KeyQuestion, REBASE_PATH, RebaseOutcome, RebaseWanted,
    RepositoryAccess,
};

impl Client {
    /// Finds the owner of an SSH key; `None` (404) if no user has it.
    pub fn hook_key_owner(&self, public: &str) -> Result<Option<KeyOwner>, ClientError> {
        let question = KeyQuestion { public: public.to_owned() };
        match self.post(&folder(KEY_PATH, []), &question) {
            Err(ClientError::Status { status: 404, .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// Checks that the user may push to and clone the app.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 403 where the user may not, with 404 where there is no such app.
    pub fn hook_access(&self, user: &str, app: &str) -> Result<RepositoryAccess, ClientError> {
        let question = AccessQuestion { receive_user: user.to_owned(), receive_repo: app.to_owned() };
        self.post(&folder(ACCESS_PATH, []), &question)
    }

    /// Config for a build of the app.
    pub fn hook_config(&self, user: &str, app: &str) -> Result<Config, ClientError> {
        let question = ConfigQuestion { receive_user: user.to_owned(), receive_repo: app.to_owned() };
        self.post(&folder(CONFIG_PATH, []), &question)
    }

    /// Releases a build; returns when its deploy has succeeded or failed.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 400 and a detail where the deploy failed.
    pub fn hook_build(&self, build: &BuildDone) -> Result<BuildOutcome, ClientError> {
        self.post(&folder(BUILD_PATH, []), build)
    }

    /// Puts an app on the newest images of a stack; returns when that release is deployed.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 400 and a detail where the deploy failed.
    pub fn hook_rebase(&self, wanted: &RebaseWanted) -> Result<RebaseOutcome, ClientError> {
        self.post(&folder(REBASE_PATH, []), wanted)
    }

    /// Names of all apps on the platform.
    pub fn hook_apps(&self) -> Result<Apps, ClientError> {
        self.get(&folder(APPS_PATH, []))
    }
}
