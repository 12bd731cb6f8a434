//! Hashing of passwords, off the async threads and a few at a time: each takes memory and a core.

use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Cost of a hash: of the settings that OWASP's password storage cheat sheet holds equally strong,
/// the one with the least memory, because an allocator may keep what a hash has used.
const MEMORY_KIB: u32 = 7 * 1024;
const ROUNDS: u32 = 5;
/// Hashes computed at once.
const AT_ONCE_MAX: usize = 2;
/// Longest wait for a turn.
const WAIT_SECONDS_MAX: u64 = 20;

/// Why no hash was made or checked: too many others wait.
#[derive(Debug, thiserror::Error)]
#[error("too many logins at once, try again in a moment")]
pub(crate) struct Busy;

/// The one place where passwords are hashed (argon2id).
pub(crate) struct Passwords {
    turns: Arc<Semaphore>,
    /// Checked for users that do not exist, so that both cases take the same time.
    decoy: String,
}

impl Passwords {
    pub(crate) fn new() -> Self {
        Self { turns: Arc::new(Semaphore::new(AT_ONCE_MAX)), decoy: hash(&crate::tokens::new_token()) }
    }

    /// Hashes a password with a new salt.
    pub(crate) async fn hash(&self, password: String) -> Result<String, Busy> {
        self.in_turn(move || hash(&password)).await
    }

    /// Whether `password` is the one with this hash. Without a hash the answer is no, after the same time.
    pub(crate) async fn matches(&self, password: String, hash: Option<&str>) -> Result<bool, Busy> {
        let exists = hash.is_some();
        let hash = hash.unwrap_or(&self.decoy).to_owned();
        Ok(self.in_turn(move || matches(&password, &hash)).await? && exists)
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let turn = self.turn().await?;
        // The turn moves into the work: a caller that goes away does not make room for another.
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        done.await.map_err(|_| Busy)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Busy> {
        let turn = Arc::clone(&self.turns).acquire_owned();
        let in_time = tokio::time::timeout(Duration::from_secs(WAIT_SECONDS_MAX), turn).await;
        in_time.map_err(|_| Busy)?.map_err(|_| Busy)
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
        let hash = passwords.hash("s3cret".to_owned()).await.expect("a turn");

        assert!(hash.starts_with("$argon2id$v=19$m=7168,t=5,p=1$"), "{hash}");
        assert!(passwords.matches("s3cret".to_owned(), Some(&hash)).await.expect("a turn"));
        assert!(!passwords.matches(" s3cret".to_owned(), Some(&hash)).await.expect("a turn"));
        assert!(!passwords.matches("s3cret".to_owned(), None).await.expect("a turn"));
        assert!(!passwords.matches("s3cret".to_owned(), Some("broken")).await.expect("a turn"));
    }
}
