//! Certificates: their names and facts (docs/spec/api.md 4.15). The controller parses them.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Longest name of a certificate, in characters.
pub const CERT_NAME_LENGTH_MAX: usize = 253;

/// An invalid certificate name. The display text is the answer of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Can only contain a-z (lowercase), 0-9 and hyphens")]
pub struct CertNameError;

/// Checks a name: `^[a-z0-9-]+$`.
pub fn check_name(name: &str) -> Result<(), CertNameError> {
    let is_well = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !name.is_empty() && name.bytes().all(is_well) { Ok(()) } else { Err(CertNameError) }
}

/// Facts read from a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertFacts {
    pub common_name: Option<String>,
    /// DNS names that it is good for.
    pub san: Vec<String>,
    /// SHA-256 of the certificate as upper-case hex pairs with colons.
    pub fingerprint: String,
    pub expires: Timestamp,
    pub starts: Timestamp,
    /// `/C=US/O=Deis/CN=foo.com`, in the order of the certificate.
    pub issuer: String,
    pub subject: String,
}

/// A certificate with its chain, and its key, both PEM: what a server needs.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pair {
    pub certificate: String,
    pub key: String,
}

/// Leaves the key out: it must never reach a log.
impl fmt::Debug for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pair(..)")
    }
}

/// A certificate and the domains of one app that it is attached to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachedCert {
    pub name: String,
    /// In the form that domains are kept in; may start with `*.`.
    pub domains: Vec<String>,
    /// Shared, so that it is read once.
    pub pair: Arc<Pair>,
}

/// Bytes as upper-case hex pairs with colons.
pub fn colon_hex(bytes: &[u8]) -> String {
    let pairs: Vec<_> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_letters_digits_and_hyphens() {
        for good in ["a", "foo-com", "-", "9"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in ["", "Foo", "foo.com", "a_b", "a b", "../x", "ü"] {
            assert_eq!(check_name(bad), Err(CertNameError), "{bad}");
        }
    }

    #[test]
    fn a_fingerprint_is_pairs_with_colons() {
        assert_eq!(colon_hex(&[0xab, 0x01, 0xff]), "AB:01:FF");
    }
}
