//! What the builder asks and tells; needs [`Client::with_builder_key`].

use super::{Client, ClientError};
use crate::config::Config;
use crate::hooks::{
    Access, AccessQuestion, Apps, BuildDone, ConfigQuestion, KeyOwner, KeyQuestion, Released,
};

impl Client {
    /// Whose SSH key is this? `None` where nobody has it.
    pub fn hook_key_owner(&self, public: &str) -> Result<Option<KeyOwner>, ClientError> {
        let question = KeyQuestion { public: public.to_owned() };
        match self.post("/v2/hooks/key/", &question) {
            Err(ClientError::Status { status: 404, .. }) => Ok(None),
            answer => answer.map(Some),
        }
    }

    /// May the user push to and clone the app? Status 403 or 404 where not.
    pub fn hook_access(&self, user: &str, app: &str) -> Result<Access, ClientError> {
        let question = AccessQuestion { receive_user: user.to_owned(), receive_repo: app.to_owned() };
        self.post("/v2/hooks/access/", &question)
    }

    /// The config that a build of the app is made with.
    pub fn hook_config(&self, user: &str, app: &str) -> Result<Config, ClientError> {
        let question = ConfigQuestion { receive_user: user.to_owned(), receive_repo: app.to_owned() };
        self.post("/v2/hooks/config/", &question)
    }

    /// Releases a build; returns when its deploy has succeeded or failed.
    pub fn hook_build(&self, build: &BuildDone) -> Result<Released, ClientError> {
        self.post("/v2/hooks/build/", build)
    }

    /// The names of all apps there are.
    pub fn hook_apps(&self) -> Result<Apps, ClientError> {
        self.get("/v2/hooks/apps/")
    }
}
