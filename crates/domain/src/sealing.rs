//! Sealing: encryption of secrets at rest.
//!
//! A sealed text carries the id of its key, so that a wrong key can be told from damage and a platform can have
//! several keys: the newest seals, all of them open. XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha); the caller
//! provides the nonce.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

/// Bytes of a nonce; draw them at random for each sealing.
pub const NONCE_BYTES: usize = 24;

/// A 256-bit key and its public id.
#[derive(Clone)]
pub struct SealingKey {
    cipher: XChaCha20Poly1305,
    id: String,
    fingerprints: Hmac<Sha256>,
}

/// The keys of a platform: the newest seals, all of them open.
#[derive(Debug, Clone)]
pub struct SealingKeys {
    newest: SealingKey,
    older: Vec<SealingKey>,
}

/// Stored keys that could not be read. The message contains nothing of the text, which may be a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("expected keys of 64 hex digits, one a line, the newest first")]
    Malformed,
    #[error("expected at most {KEYS_MAX} keys: remove those that seal nothing any more")]
    TooMany,
}

/// Most keys that a platform has at a time; two, unless old keys are never removed after rotations.
pub const KEYS_MAX: usize = 16;

/// A text that could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealingError {
    #[error("value is not sealed by this platform")]
    Malformed,
    #[error("value is sealed with key {sealed_with}, but at hand is {at_hand}")]
    OtherKey { sealed_with: String, at_hand: String },
    #[error("sealed value for `{context}` is damaged or was moved from elsewhere")]
    Damaged { context: String },
}

impl SealingKey {
    /// A key from 256 random bits.
    pub fn new(key: &[u8; 32]) -> Self {
        let id = hex::encode(&Sha256::digest(key)[..4]);
        let fingerprints = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(key).expect("HMAC takes any key");
        // A key of its own for each purpose (NIST SP 800-108, with HMAC as the function).
        let own = fingerprints.chain_update("workflow fingerprints").finalize().into_bytes();
        let fingerprints = <Hmac<Sha256> as hmac::KeyInit>::new_from_slice(&own).expect("HMAC takes any key");
        Self { cipher: XChaCha20Poly1305::new(&(*key).into()), id, fingerprints }
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
        format!("{}{}", prefix(&self.id), STANDARD.encode(body))
    }

    /// Deterministic name of `plain` in `context`, to find it again: 32 hex digits that reveal nothing without the
    /// key.
    pub fn fingerprint(&self, context: &str, plain: &[u8]) -> String {
        let place = Sha256::digest(context);
        let hash = self.fingerprints.clone().chain_update(place).chain_update(plain).finalize().into_bytes();
        hex::encode(&hash[..16])
    }

    /// Opens what [`SealingKey::seal`] made for the same context.
    ///
    /// # Errors
    ///
    /// [`SealingError::Malformed`] for a text that is not sealed, [`SealingError::OtherKey`] for the text of
    /// another key, [`SealingError::Damaged`] where the text or the context was changed.
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

impl SealingKeys {
    /// Parses stored keys: 64 hex digits a line, the newest first.
    ///
    /// # Errors
    ///
    /// [`KeysError::TooMany`] above [`KEYS_MAX`], [`KeysError::Malformed`] for other lines and for no key at all.
    pub fn parse(text: &str) -> Result<Self, KeysError> {
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.len() > KEYS_MAX {
            return Err(KeysError::TooMany);
        }
        let key = |line: &&str| {
            let mut bytes = [0; 32];
            hex::decode_to_slice(line, &mut bytes).map_err(|_| KeysError::Malformed)?;
            Ok(SealingKey::new(&bytes))
        };
        let mut keys = lines.iter().map(key).collect::<Result<Vec<_>, _>>()?.into_iter();
        Ok(Self { newest: keys.next().ok_or(KeysError::Malformed)?, older: keys.collect() })
    }

    /// Id of the key that seals.
    pub fn newest_id(&self) -> &str {
        self.newest.id()
    }

    /// Ids of the keys that only open.
    pub fn older_ids(&self) -> impl Iterator<Item = &str> {
        self.older.iter().map(SealingKey::id)
    }

    /// Prefix of texts that are sealed with the newest key.
    pub fn newest_prefix(&self) -> String {
        prefix(self.newest.id())
    }

    /// Seals with the newest key; see [`SealingKey::seal`].
    pub fn seal(&self, context: &str, plain: &[u8], nonce: [u8; NONCE_BYTES]) -> String {
        self.newest.seal(context, plain, nonce)
    }

    /// A name by the newest key; see [`SealingKey::fingerprint`].
    pub fn fingerprint(&self, context: &str, plain: &[u8]) -> String {
        self.newest.fingerprint(context, plain)
    }

    /// Names by all keys, that of the newest first.
    pub fn fingerprints(&self, context: &str, plain: &[u8]) -> impl Iterator<Item = String> {
        [&self.newest].into_iter().chain(&self.older).map(move |key| key.fingerprint(context, plain))
    }

    /// Opens what any of the keys has sealed for the same context.
    ///
    /// # Errors
    ///
    /// Those of [`SealingKey::open`]; [`SealingError::OtherKey`] where none of the keys has sealed it.
    pub fn open(&self, context: &str, sealed: &str) -> Result<Vec<u8>, SealingError> {
        let its_own = |key: &&SealingKey| sealed.starts_with(&prefix(&key.id));
        self.older.iter().find(its_own).unwrap_or(&self.newest).open(context, sealed)
    }

    /// Seals anew what an older key has sealed; `None` where the newest has.
    ///
    /// # Errors
    ///
    /// Those of [`SealingKeys::open`].
    pub fn reseal(
        &self,
        context: &str,
        sealed: &str,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Option<String>, SealingError> {
        if sealed.starts_with(&self.newest_prefix()) {
            return Ok(None);
        }
        Ok(Some(self.seal(context, &self.open(context, sealed)?, nonce)))
    }
}

impl From<SealingKey> for SealingKeys {
    fn from(newest: SealingKey) -> Self {
        Self { newest, older: Vec::new() }
    }
}

fn prefix(id: &str) -> String {
    format!("v1:{id}:")
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

    #[test]
    fn of_several_keys_the_newest_seals_and_all_open() {
        let (old, new) = ("08".repeat(32), "07".repeat(32));
        let before = SealingKeys::parse(&old).expect("a key");
        let keys = SealingKeys::parse(&format!("{new}\n{old}\n")).expect("two keys");
        let sealed = before.seal("config blog", b"secret", [1; NONCE_BYTES]);

        let again =
            keys.reseal("config blog", &sealed, [2; NONCE_BYTES]).expect("it opens").expect("sealed anew");

        assert_eq!(keys.open("config blog", &sealed), Ok(b"secret".to_vec()));
        assert_eq!(keys.open("config blog", &again), Ok(b"secret".to_vec()));
        assert!(again.starts_with(&keys.newest_prefix()) && !sealed.starts_with(&keys.newest_prefix()));
        assert_eq!(keys.reseal("config blog", &again, [3; NONCE_BYTES]), Ok(None));
        assert_eq!(keys.older_ids().collect::<Vec<_>>(), [before.newest_id()]);
        assert!(matches!(before.open("config blog", &again), Err(SealingError::OtherKey { .. })));
    }

    #[test]
    fn keys_that_cannot_be_read_are_refused_and_not_repeated() {
        let key = "07".repeat(32);
        for text in ["", "\n", "planted", &key[1..], &format!("{key} {key}")] {
            let error = SealingKeys::parse(text).expect_err(text);
            assert_eq!(error, KeysError::Malformed);
            assert!(!error.to_string().contains("planted"));
        }
        assert_eq!(SealingKeys::parse(&format!("{key}\n").repeat(17)).expect_err("17"), KeysError::TooMany);
    }
}
