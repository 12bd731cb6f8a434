//! Reads certificates and keys as users bring them: what a certificate says of itself, and whether the key is
//! its own. Nothing of a key is ever part of an error.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::certs::{CertFacts, colon_hex};
use jiff::Timestamp;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Most certificates of one chain.
const CHAIN_LENGTH_MAX: usize = 20;
const PEM_LINE_CHARS: usize = 64;

/// Attributes of names by the short names that OpenSSL has for them.
const SHORT_NAMES: &[(&str, &str)] = &[
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.42", "GN"),
    ("2.5.4.97", "organizationIdentifier"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
];

/// Why a text is not what it should be. The display text is what the API answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("Could not load certificate: {0}")]
    Certificate(String),
    #[error("Could not load private key: {0}")]
    Key(String),
}

/// A certificate that was understood, with the chain that follows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The certificates alone: whatever else the text held, such as a key, is left out.
    pub(crate) pem: String,
    pub(crate) facts: CertFacts,
    public_key: Vec<u8>,
}

/// A private key that was understood.
pub(crate) struct Key {
    signing: std::sync::Arc<dyn SigningKey>,
}

impl Certificate {
    /// Reads PEM: the certificate first, its chain behind it.
    pub(crate) fn parse(text: &str) -> Result<Self, CertificateError> {
        let wrong = |why: &dyn std::fmt::Display| CertificateError::Certificate(why.to_string());
        let chain: Vec<_> = CertificateDer::pem_slice_iter(text.as_bytes())
            .take(CHAIN_LENGTH_MAX + 1)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(&error))?;
        if chain.len() > CHAIN_LENGTH_MAX {
            return Err(wrong(&format!("a chain has at most {CHAIN_LENGTH_MAX} certificates")));
        }
        let first = chain.first().ok_or_else(|| wrong(&"no certificate in PEM form found"))?;
        let (_, parsed) = X509Certificate::from_der(first).map_err(|error| wrong(&error))?;
        Ok(Self {
            pem: chain.iter().map(pem).collect(),
            facts: facts(first, &parsed),
            public_key: parsed.public_key().raw.to_vec(),
        })
    }

    /// Whether `key` is the private half of this certificate's key.
    pub(crate) fn belongs_to(&self, key: &Key) -> bool {
        key.signing.public_key().is_some_and(|public| public.as_ref() == self.public_key)
    }
}

impl Key {
    /// Reads an unencrypted RSA, ECDSA or Ed25519 key in PEM.
    pub(crate) fn parse(text: &str) -> Result<Self, CertificateError> {
        let wrong = |why: String| CertificateError::Key(why);
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| wrong(error.to_string()))?;
        let signing = default_provider().key_provider.load_private_key(key);
        let signing = signing
            .map_err(|_| wrong("expected an RSA, ECDSA (P-256, P-384, P-521) or Ed25519 key".to_owned()))?;
        Ok(Self { signing })
    }
}

fn facts(der: &CertificateDer<'_>, parsed: &X509Certificate<'_>) -> CertFacts {
    let common_name = parsed.subject().iter_common_name().next().map(text_of);
    CertFacts {
        common_name,
        san: dns_names(parsed),
        fingerprint: colon_hex(&Sha256::digest(der)),
        expires: moment(parsed.validity().not_after),
        starts: moment(parsed.validity().not_before),
        issuer: one_line(parsed.issuer()),
        subject: one_line(parsed.subject()),
    }
}

fn dns_names(parsed: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = parsed.subject_alternative_name() else { return Vec::new() };
    let names = extension.value.general_names.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    names.collect()
}

/// "No end" (RFC 5280 4.1.2.5) lies beyond what a timestamp can hold.
fn moment(time: ASN1Time) -> Timestamp {
    Timestamp::from_second(time.timestamp()).unwrap_or(Timestamp::MAX)
}

fn one_line(name: &X509Name<'_>) -> String {
    let attribute = |attribute: &AttributeTypeAndValue<'_>| {
        let oid = attribute.attr_type().to_id_string();
        let short =
            SHORT_NAMES.iter().find(|(known, _)| *known == oid).map_or(oid.as_str(), |(_, short)| short);
        format!("/{short}={}", text_of(attribute))
    };
    name.iter_attributes().map(attribute).collect()
}

fn text_of(attribute: &AttributeTypeAndValue<'_>) -> String {
    match attribute.as_str() {
        Ok(text) => text.to_owned(),
        Err(_) => String::from_utf8_lossy(attribute.attr_value().data).into_owned(),
    }
}

fn pem(der: &CertificateDer<'_>) -> String {
    let body = STANDARD.encode(der);
    let lines = body.as_bytes().chunks(PEM_LINE_CHARS).map(|line| String::from_utf8_lossy(line) + "\n");
    format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", lines.collect::<String>())
}

#[cfg(test)]
mod tests;
