//! Registration, login, passwords and tokens.

use std::time::Duration;

use serde_json::json;

use super::{Client, ClientError};
use crate::auth::{Login, PasswordChange, Registration, Token};
use crate::users::User;

/// Longest wait for the end of a token.
const END_TOKEN_MAX: Duration = Duration::from_secs(10);

impl Client {
    /// Registers a user; the first one becomes administrator.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 403 where the caller may not register users, with 400 for a name or password
    /// that was refused.
    pub fn register(&self, registration: &Registration) -> Result<(), ClientError> {
        self.tell("/v2/auth/register/", registration)
    }

    /// Makes a token for a user.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 400 alike for a wrong name and a wrong password (docs/spec/api.md 4.2).
    pub fn login(&self, username: &str, password: &str) -> Result<Token, ClientError> {
        let login = Login { username: username.to_owned(), password: password.to_owned() };
        self.post("/v2/auth/login/", &login)
    }

    /// Fetches the account of the caller.
    pub fn whoami(&self) -> Result<User, ClientError> {
        self.get("/v2/auth/whoami/")
    }

    /// Changes a password and ends the other tokens of that user.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 401 for a wrong current password.
    pub fn change_password(&self, change: &PasswordChange) -> Result<(), ClientError> {
        self.tell("/v2/auth/passwd/", change)
    }

    /// Deletes the account of `username`, or the caller's own.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 409 for a user who still owns apps.
    pub fn cancel(&self, username: Option<&str>) -> Result<(), ClientError> {
        match username {
            Some(username) => self.delete_with("/v2/auth/cancel/", &json!({ "username": username })),
            None => self.delete("/v2/auth/cancel/"),
        }
    }

    /// Ends the caller's token; waits for at most 10 s.
    pub fn end_token(&self) -> Result<(), ClientError> {
        self.delete_within("/v2/auth/tokens/", END_TOKEN_MAX)
    }

    /// Replaces the caller's token.
    pub fn regenerate_token(&self) -> Result<Token, ClientError> {
        self.post_empty("/v2/auth/tokens/")
    }

    /// Replaces the token of another user, which only administrators may.
    pub fn regenerate_token_of(&self, username: &str) -> Result<(), ClientError> {
        self.tell("/v2/auth/tokens/", &json!({ "username": username }))
    }

    /// Replaces every user's token, also the caller's.
    pub fn regenerate_all_tokens(&self) -> Result<(), ClientError> {
        self.tell("/v2/auth/tokens/", &json!({ "all": true }))
    }
}
