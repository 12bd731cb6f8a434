//! Registration, login, passwords and tokens.

use std::time::Duration;

use super::{Client, ClientError, folder};
use crate::auth::{
    CANCEL_PATH, Cancellation, LOGIN_PATH, Login, PASSWORD_PATH, PasswordChange, REGISTER_PATH, Registration,
    TOKENS_PATH, Token, TokenChange,
};
use crate::users::{User, WHOAMI_PATH};

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
        self.tell(&folder(REGISTER_PATH, []), registration)
    }

    /// Makes a token for a user.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 400 alike for a wrong name and a wrong password (docs/spec/api.md 4.2).
    pub fn login(&self, username: &str, password: &str) -> Result<Token, ClientError> {
        let login = Login { username: username.to_owned(), password: password.to_owned() };
        self.post(LOGIN_PATH, &login)
    }

    /// Fetches the account of the caller.
    pub fn whoami(&self) -> Result<User, ClientError> {
        self.get(&folder(WHOAMI_PATH, []))
    }

    /// Changes a password and ends the other tokens of that user.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 401 for a wrong current password.
    pub fn change_password(&self, change: &PasswordChange) -> Result<(), ClientError> {
        self.tell(&folder(PASSWORD_PATH, []), change)
    }

    /// Deletes the account of `username`, or the caller's own.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 409 for a user who still owns apps.
    pub fn cancel(&self, username: Option<&str>) -> Result<(), ClientError> {
        match username {
            Some(username) => self
                .delete_with(&folder(CANCEL_PATH, []), &Cancellation { username: Some(username.to_owned()) }),
            None => self.delete(&folder(CANCEL_PATH, [])),
        }
    }

    /// Ends the caller's token; waits for at most 10 s.
    pub fn end_token(&self) -> Result<(), ClientError> {
        self.delete_within(TOKENS_PATH, END_TOKEN_MAX)
    }

    /// Replaces the caller's token.
    pub fn regenerate_token(&self) -> Result<Token, ClientError> {
        self.post_empty(TOKENS_PATH)
    }

    /// Replaces the token of another user, which only administrators may.
    pub fn regenerate_token_of(&self, username: &str) -> Result<(), ClientError> {
        let change = TokenChange { username: Some(username.to_owned()), ..TokenChange::default() };
        self.tell(TOKENS_PATH, &change)
    }

    /// Replaces every user's token, also the caller's.
    pub fn regenerate_all_tokens(&self) -> Result<(), ClientError> {
        self.tell(TOKENS_PATH, &TokenChange { all: Some(true), ..TokenChange::default() })
    }
}
