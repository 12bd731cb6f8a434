//! Registration, login, passwords and tokens.

use serde_json::json;

use super::{Client, ClientError};
use crate::auth::{Login, PasswordChange, Registration, Token};
use crate::users::User;

impl Client {
    pub fn register(&self, registration: &Registration) -> Result<(), ClientError> {
        self.tell("/v2/auth/register/", registration)
    }

    pub fn login(&self, username: &str, password: &str) -> Result<Token, ClientError> {
        let login = Login { username: username.to_owned(), password: password.to_owned() };
        self.post("/v2/auth/login/", &login)
    }

    pub fn whoami(&self) -> Result<User, ClientError> {
        self.get("/v2/auth/whoami/")
    }

    pub fn change_password(&self, change: &PasswordChange) -> Result<(), ClientError> {
        self.tell("/v2/auth/passwd/", change)
    }

    /// Deletes the account of `username`, or the caller's own.
    pub fn cancel(&self, username: Option<&str>) -> Result<(), ClientError> {
        match username {
            Some(username) => self.delete_with("/v2/auth/cancel/", &json!({ "username": username })),
            None => self.delete("/v2/auth/cancel/"),
        }
    }

    /// Replaces the caller's token.
    pub fn regenerate_token(&self) -> Result<Token, ClientError> {
        self.post_empty("/v2/auth/tokens/")
    }

    pub fn regenerate_token_of(&self, username: &str) -> Result<(), ClientError> {
        self.tell("/v2/auth/tokens/", &json!({ "username": username }))
    }

    /// Replaces every user's token, also the caller's.
    pub fn regenerate_all_tokens(&self) -> Result<(), ClientError> {
        self.tell("/v2/auth/tokens/", &json!({ "all": true }))
    }
}
