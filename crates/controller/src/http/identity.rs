//! Verification of logins: by the directory, where there is one, then by the platform's own passwords.

use domain::directory::{NO_PASSWORD, Person};
use jiff::Timestamp;
use store::{NewUser, UserRecord};

use super::error::ApiError;
use crate::Controller;
use crate::directory::DirectoryError;

const DIRECTORY_AWAY: &str = "The directory that knows passwords does not answer, and this is no password of the platform's own. \
     Try again later.";

/// The user with this name and password; `None` if there is none, or they may not log in. `rank` says how far behind
/// others that goes.
pub(crate) async fn identify(
    controller: &Controller,
    username: &str,
    password: String,
    rank: u32,
) -> Result<Option<UserRecord>, ApiError> {
    let asked = match &controller.settings.directory {
        // Large, and most platforms have none.
        Some(directory) => Box::pin(directory.who_in_turn(username, &password, rank)).await,
        None => Ok(None),
    };
    if let Ok(Some(person)) = asked {
        let user = controller.store.put_user(record(person)).await?;
        return Ok(Some(user).filter(|user| user.is_active));
    }
    if let Err(DirectoryError::Overload(error)) = &asked {
        return Err(error.0.into());
    }
    if let Some(user) = with_own_password(controller, username, password, rank).await? {
        if let Err(error) = asked {
            tracing::warn!(error = &error as &dyn std::error::Error, "logged in without the directory");
        }
        return Ok(Some(user));
    }
    match asked {
        Ok(_) => Ok(None),
        Err(error) => Err(ApiError::unavailable(DIRECTORY_AWAY, error)),
    }
}

async fn with_own_password(
    controller: &Controller,
    username: &str,
    password: String,
    rank: u32,
) -> Result<Option<UserRecord>, ApiError> {
    let user = controller.store.user(username).await?.filter(|user| user.is_active);
    let hash = user.as_ref().map(|user| user.password_hash.as_str()).filter(|hash| *hash != NO_PASSWORD);
    let matches = controller.passwords.matches(password, hash, rank).await?;
    Ok(user.filter(|_| matches))
}

/// The directory keeps the password.
fn record(person: Person) -> NewUser {
    let Person { username, first_name, last_name, email } = person;
    let password_hash = NO_PASSWORD.to_owned();
    NewUser { username, email, first_name, last_name, password_hash, now: Timestamp::now() }
}
