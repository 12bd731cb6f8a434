//! Tokens: 40 hex characters that a client shows instead of a password. Only hashes are kept.

use sha2::{Digest as _, Sha256};

/// Random bytes of a token.
const TOKEN_BYTES: usize = 20;

/// Draws a new token.
pub(crate) fn new_token() -> String {
    hex::encode(rand::random::<[u8; TOKEN_BYTES]>())
}

/// What is recorded of a token. Without salt: a token is random enough, and has to be looked up by it.
pub(crate) fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}
