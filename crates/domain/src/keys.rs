//! SSH public keys as users enter them: a line of `authorized_keys`.
//!
//! Keys are compared by their blob. Comments differ between copies of one key, and MD5 has collisions, so neither
//! identifies a key.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use md5::Md5;
use sha2::{Digest as _, Sha256};

/// Longest name of a key, in characters.
pub const KEY_ID_LENGTH_MAX: usize = 128;
/// Longest text of a key, in characters; an RSA key of 16,384 bits has about 2,800.
pub const PUBLIC_KEY_LENGTH_MAX: usize = 16_384;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// An invalid public key. The display text is the answer of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("Key contains invalid base64 chars")]
    Base64,
    #[error("Key must be a single line")]
    Lines,
}

/// A public key: `type base64 [comment]`. The type is not judged; the SSH server does that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    text: String,
    blob: Vec<u8>,
}

impl PublicKey {
    /// Parses one line of `authorized_keys` (without options).
    ///
    /// # Errors
    ///
    /// [`KeyError::Lines`] for more than one line, [`KeyError::Base64`] where the second word is missing or is not
    /// base64.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let text = text.trim();
        if text.contains(['\n', '\r']) {
            return Err(KeyError::Lines);
        }
        let blob = text.split_whitespace().nth(1).ok_or(KeyError::Base64)?;
        let blob = BASE64.decode(blob).map_err(|_| KeyError::Base64)?;
        if blob.is_empty() {
            return Err(KeyError::Base64);
        }
        Ok(Self { text: text.to_owned(), blob })
    }

    /// The line as given, without outer blanks.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// SHA-256 of the blob in hex: what keys are looked up by.
    pub fn blob_sha256(&self) -> String {
        hex::encode(Sha256::digest(&self.blob))
    }

    /// MD5 of the blob as sixteen hex pairs with colons: for display only.
    pub fn fingerprint(&self) -> String {
        let pairs: Vec<_> = Md5::digest(&self.blob).iter().map(|byte| format!("{byte:02x}")).collect();
        pairs.join(":")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHs9Jk1cpUwvlw3wUqOm2aX5zqIBIFmV1qWjs1yS0yEF me@laptop";

    #[test]
    fn a_key_is_known_by_its_blob_whatever_the_comment() {
        let key = PublicKey::parse(KEY).expect("a key");
        let other = PublicKey::parse(&KEY.replace("me@laptop", "")).expect("a key");

        assert_eq!(key.blob_sha256(), other.blob_sha256());
        assert_ne!(key.as_str(), other.as_str());
    }

    #[test]
    fn the_fingerprint_is_that_of_ssh_keygen() {
        // echo -n 'ssh-x aGVsbG8=' has the blob `hello`.
        let key = PublicKey::parse("ssh-x aGVsbG8= c").expect("a key");

        assert_eq!(key.fingerprint(), "5d:41:40:2a:bc:4b:2a:76:b9:71:9d:91:10:17:c5:92");
        assert_eq!(key.blob_sha256(), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    }

    #[test]
    fn texts_without_a_blob_are_refused() {
        for bad in ["ssh-rsa", "ssh-rsa !!!", "", "ssh-rsa =", "AAAA"] {
            assert_eq!(PublicKey::parse(bad), Err(KeyError::Base64), "{bad:?}");
        }
        assert_eq!(PublicKey::parse("ssh-x aGVsbG8=\nssh-x d29ybGQ="), Err(KeyError::Lines));
    }
}
