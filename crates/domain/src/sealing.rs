//! Sealing: how secrets are kept at rest.
//!
//! A sealed text carries the id of its key, so that a wrong key is told apart from damage and keys can
//! be changed later. XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha); the nonce comes from the caller.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use sha2::Digest as _;

/// Bytes of a nonce; draw them at random for each sealing.
pub const NONCE_BYTES: usize = 24;

/// A 256-bit key and its public id.
#[derive(Clone)]
pub struct SealingKey {
    cipher: XChaCha20Poly1305,
    id: String,
}

/// Why a text could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    #[error("value is not sealed by this platform")]
    Malformed,
    #[error("value is sealed with key {sealed_with}, but the key at hand is {at_hand}")]
    OtherKey { sealed_with: String, at_hand: String },
    #[error("sealed value for `{context}` is damaged or was moved from elsewhere")]
    Damaged { context: String },
}

impl SealingKey {
    pub fn new(key: &[u8; 32]) -> Self {
        let id = hex::encode(&sha2::Sha256::digest(key)[..4]);
        Self { cipher: XChaCha20Poly1305::new(&(*key).into()), id }
    }

    /// Public name of the key: eight hex digits of its hash.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Seals `plain` for one place, `context` (such as `config blog`): it opens nowhere else.
    pub fn seal(&self, context: &str, plain: &[u8], nonce: [u8; NONCE_BYTES]) -> String {
        let payload = Payload { msg: plain, aad: context.as_bytes() };
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(nonce), payload)
            .expect("XChaCha20-Poly1305 refuses only texts of 256 GB");
        let mut body = nonce.to_vec();
        body.extend_from_slice(&sealed);
        format!("v1:{}:{}", self.id, STANDARD.encode(body))
    }

    /// Opens what [`SealingKey::seal`] made for the same context.
    pub fn open(&self, context: &str, sealed: &str) -> Result<Vec<u8>, SealingError> {
        let mut parts = sealed.splitn(3, ':');
        let (Some("v1"), Some(id), Some(body)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(SealingError::Malformed);
        };
        if id != self.id {
            return Err(SealingError::OtherKey { sealed_with: id.to_owned(), at_hand: self.id.clone() });
        }
        let body = STANDARD.decode(body).map_err(|_| SealingError::Malformed)?;
        let (nonce, cipher_text) = body.split_at_checked(NONCE_BYTES).ok_or(SealingError::Malformed)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().expect("split at exactly this length");
        self.cipher
            .decrypt(&XNonce::from(nonce), Payload { msg: cipher_text, aad: context.as_bytes() })
            .map_err(|_| SealingError::Damaged { context: context.to_owned() })
    }
}

/// Shows the id only; the key must never reach a log.
impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_text_opens_only_with_its_key_and_in_its_place() {
        let key = SealingKey::new(&[7; 32]);
        let other = SealingKey::new(&[8; 32]);
        let sealed = key.seal("config blog", b"secret", [1; NONCE_BYTES]);

        assert!(!sealed.contains("secret"));
        assert_eq!(key.open("config blog", &sealed), Ok(b"secret".to_vec()));
        assert!(matches!(other.open("config blog", &sealed), Err(SealingError::OtherKey { .. })));
        assert!(matches!(key.open("config shop", &sealed), Err(SealingError::Damaged { .. })));
        assert_eq!(key.open("config blog", "plain"), Err(SealingError::Malformed));
    }
}
