//! Hashing of passwords, off the async threads and a few at a time: each takes memory and a core.

use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};

use crate::turns::{TurnError, TurnLimits, Turns};

/// Cost of a hash: of the settings that OWASP's password storage cheat sheet holds equally strong,
/// the one with the least memory, because an allocator may keep what a hash has used.
const MEMORY_KIB: u32 = 7 * 1024;
const ROUNDS: u32 = 5;
/// Hashes computed at once, those that wait for that, and for how long.
const TURNS: TurnLimits = TurnLimits { at_once_max: 2, waiting_max: 64, wait_max: Duration::from_secs(5) };

/// The one place where passwords are hashed (argon2id).
pub(crate) struct Passwords {
    turns: Turns,
    /// Checked for users that do not exist, so that both cases take the same time.
    decoy: String,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { turns: Turns::new(TURNS), decoy: hash(&crate::tokens::new_token()) }
    }

    /// Hashes a password with a new salt; `rank` says how far behind others that goes.
    pub(crate) async fn hash(&self, password: String, rank: u32) -> Result<String, TurnError> {
        self.in_turn(rank, move || hash(&password)).await
    }

    /// Returns true if `password` has this hash. Without a hash the answer is false, after the same time.
    pub(crate) async fn matches(
        &self,
        password: String,
        hash: Option<&str>,
        rank: u32,
    ) -> Result<bool, TurnError> {
        let exists = hash.is_some();
        let hash = hash.unwrap_or(&self.decoy).to_owned();
        Ok(self.in_turn(rank, move || matches(&password, &hash)).await? && exists)
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        rank: u32,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, TurnError> {
        let turn = self.turns.take(rank).await?;
        // The turn moves into the work: a caller that goes away does not make room for another.
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| TurnError::Full)
    }
}

fn hash(password: &str) -> String {
    let cost = Params::new(MEMORY_KIB, ROUNDS, 1, None).expect("the cost is within argon2's limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, cost)
        .hash_password(password.as_bytes())
        .expect("the system has random numbers")
        .to_string()
}

/// A hash that cannot be read matches nothing.
fn matches(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only_and_a_missing_hash_never() {
        let passwords = Passwords::new();
        let hash = passwords.hash("s3cret".to_owned(), 0).await.expect("a turn");

        assert!(hash.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{hash}");
        assert!(passwords.matches("s3cret".to_owned(), Some(&hash), 0).await.expect("a turn"));
        assert!(!passwords.matches(" s3cret".to_owned(), Some(&hash), 0).await.expect("a turn"));
        assert!(!passwords.matches("s3cret".to_owned(), None, 0).await.expect("a turn"));
        assert!(!passwords.matches("s3cret".to_owned(), Some("broken"), 0).await.expect("a turn"));
    }
}
