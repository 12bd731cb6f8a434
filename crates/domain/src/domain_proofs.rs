//! Proofs that the owner of an app controls a domain: a TXT record of the domain's zone.
//!
//! The value is derived from a key of the platform, the user and the domain, so nothing is stored. Only who controls
//! the zone can set it, and it proves nothing for another user or another domain.

use jiff::Timestamp;

use crate::domains::{DomainError, DomainName, NAME_LENGTH_MAX};
use crate::sealing::SealingKeys;

/// First label of the record's name: no host has it.
const LABEL: &str = "_deis";
/// Tells the value apart from those that others set under the same name.
const VALUE_PREFIX: &str = "deis-domain-proof=";

/// The TXT record that proves one domain for one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainProof {
    domain: DomainName,
    owner: String,
    name: String,
    /// By each key of the platform, the newest first, so that a rotation invalidates no record that was just set.
    values: Vec<String>,
}

impl DomainProof {
    /// Derives the record for `owner`, a user since `joined`: a later user of the same name has other values.
    ///
    /// # Errors
    ///
    /// [`DomainError::TooLongToProve`] where the record's name would be none.
    pub fn new(
        keys: &SealingKeys,
        domain: &DomainName,
        owner: &str,
        joined: Timestamp,
    ) -> Result<Self, DomainError> {
        let name = format!("{LABEL}.{}", domain.without_wildcard());
        if name.len() > NAME_LENGTH_MAX {
            return Err(DomainError::TooLongToProve { host: domain.to_string(), record: name });
        }
        let context = format!("domain proof {} {owner}", joined.as_second());
        let values = keys.fingerprints(&context, domain.as_str().as_bytes());
        let values = values.map(|value| format!("{VALUE_PREFIX}{value}")).collect();
        Ok(Self { domain: domain.clone(), owner: owner.to_owned(), name, values })
    }

    /// Name of the record, without a trailing dot. A domain and the wildcard over it have the same.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value to set.
    pub fn value(&self) -> &str {
        self.values.first().map_or("", String::as_str)
    }

    /// Checks what DNS returned for the name: the texts of all TXT records.
    ///
    /// # Errors
    ///
    /// [`DomainError::Unproven`] unless one of them is a right value.
    pub fn check<T: AsRef<[u8]>>(&self, texts: &[T]) -> Result<(), DomainError> {
        let is_right = |text: &T| self.values.iter().any(|value| value.as_bytes() == text.as_ref());
        if texts.iter().any(is_right) {
            return Ok(());
        }
        let name = &self.name;
        let found = if texts.is_empty() {
            format!("there is no TXT record {name}")
        } else {
            format!("the TXT record {name} has another value")
        };
        let (host, owner, value) = (self.domain.to_string(), self.owner.clone(), self.value().to_owned());
        Err(DomainError::Unproven { host, owner, found, value })
    }

    /// Message for a lookup without an answer.
    pub fn unanswered(&self) -> String {
        let (domain, name, value) = (&self.domain, &self.name, self.value());
        format!(
            "DNS does not answer for the TXT record {name}, which must have the value {value} before {domain} is added. \
             Try again later."
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sealing::SealingKey;

    const JOINED: Timestamp = Timestamp::UNIX_EPOCH;

    fn keys() -> SealingKeys {
        SealingKey::new(&[7; 32]).into()
    }

    fn proof_by(keys: &SealingKeys, domain: &str, owner: &str, joined: Timestamp) -> DomainProof {
        let domain = DomainName::parse(domain).expect("a good domain");
        DomainProof::new(keys, &domain, owner, joined).expect("a proof")
    }

    fn proof(domain: &str, owner: &str) -> DomainProof {
        proof_by(&keys(), domain, owner, JOINED)
    }

    #[test]
    fn the_record_is_below_the_domain_and_for_a_wildcard_below_its_parent() {
        for (domain, name) in [
            ("www.example.com", "_deis.www.example.com"),
            ("*.example.com", "_deis.example.com"),
            ("ümlaut.com", "_deis.xn--mlaut-jva.com"),
        ] {
            assert_eq!(proof(domain, "alice").name(), name, "{domain}");
        }
    }

    #[test]
    fn a_value_belongs_to_one_user_one_domain_and_one_platform() {
        let value = proof("www.example.com", "alice").value().to_owned();
        let later = Timestamp::from_second(1).expect("a time");
        let others = [
            proof("www.example.com", "bob"),
            proof("example.com", "alice"),
            proof("*.www.example.com", "alice"),
            proof_by(&keys(), "www.example.com", "alice", later),
            proof_by(&SealingKey::new(&[8; 32]).into(), "www.example.com", "alice", JOINED),
        ];

        assert_eq!(value, proof("www.example.com", "alice").value(), "it is the same each time");
        assert_eq!(value.len(), VALUE_PREFIX.len() + 32);
        assert!(others.iter().all(|other| other.value() != value), "{others:?}");
    }

    #[test]
    fn one_right_value_among_others_is_a_proof() {
        let proof = proof("www.example.com", "alice");
        let right = proof.value();

        assert_eq!(proof.check(&["v=spf1 -all", right]), Ok(()));
        let missing = proof.check::<&str>(&[]).expect_err("no record").to_string();
        assert!(missing.starts_with(
            "No proof that alice controls www.example.com: there is no TXT record _deis.www.example.com."
        ));
        assert!(missing.contains(right), "{missing}");
        let other = proof.check(&["v=spf1 -all"]).expect_err("another record").to_string();
        assert!(other.contains("the TXT record _deis.www.example.com has another value"), "{other}");
        assert!(other.contains(right) && !other.contains("spf1"), "{other}");
    }

    #[test]
    fn values_of_older_keys_prove_until_the_keys_are_removed() {
        let (old, new) = ("08".repeat(32), "07".repeat(32));
        let before = SealingKeys::parse(&old).expect("a key");
        let rotated = SealingKeys::parse(&format!("{new}\n{old}\n")).expect("two keys");
        let set = proof_by(&before, "www.example.com", "alice", JOINED).value().to_owned();
        let by = |keys| proof_by(keys, "www.example.com", "alice", JOINED);

        assert_eq!(by(&rotated).check(&[&set]), Ok(()));
        assert_ne!(by(&rotated).value(), set);
        assert!(by(&SealingKeys::parse(&new).expect("a key")).check(&[&set]).is_err());
    }

    #[test]
    fn a_domain_whose_record_would_have_too_long_a_name_cannot_be_proven() {
        let long = format!("{}.com", ["a".repeat(62).as_str(); 4].join(".").split_off(4));
        let domain = DomainName::parse(&long).expect("a long domain");

        let refused = DomainProof::new(&keys(), &domain, "alice", JOINED);

        assert!(matches!(refused, Err(DomainError::TooLongToProve { .. })), "{}: {refused:?}", long.len());
    }
}
