//! Tokens: 40 hex characters that a client shows instead of a password. Only hashes are kept.

use sha2::{Digest as _, Sha256};

/// Random bytes of a token.
const TOKEN_BYTES: usize = 20;

/// Draws a new token.
pub(crate) fn new_token() -> String {
    hex::encode(rand::random::<[u8; TOKEN_BYTES]>())
}

/// Stored form of a token. Without salt: a token is random enough, and is looked up by its hash.
pub(crate) fn hash(token: &str) -> String {
    hex::encode(Sha256::digest(token))
}
