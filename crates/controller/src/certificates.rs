//! Reads certificates and keys as users bring them: what a certificate says of itself, and whether the key is
//! its own. Nothing of a key is ever part of an error.

mod pem;

use domain::certs::{CertFacts, colon_hex};
use jiff::Timestamp;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};
use rustls::sign::SigningKey;
use sha2::{Digest as _, Sha256};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::time::ASN1Time;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

/// Most certificates of one chain.
const CHAIN_LENGTH_MAX: usize = 20;
/// The label that certificates are written with, and an old one.
const CERTIFICATE: &str = "CERTIFICATE";
const X509_CERTIFICATE: &str = "X509 CERTIFICATE";

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

/// A text that is no certificate or key. The display text is the answer of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("Could not load certificate: {0}")]
    Certificate(String),
    #[error("Could not load private key: {0}")]
    Key(String),
}

/// A certificate that was understood, with its chain: each signed by the next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The certificates alone: whatever else the text held, such as a key, is left out.
    pub(crate) pem: String,
    pub(crate) facts: CertFacts,
    /// Its own first.
    chain: Vec<Link>,
}

/// One certificate of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    der: CertificateDer<'static>,
    facts: CertFacts,
    public_key: Vec<u8>,
    /// The names of both sides, and the ids of their keys where it has them.
    subject: Vec<u8>,
    issuer: Vec<u8>,
    key_id: Option<Vec<u8>>,
    issuer_key_id: Option<Vec<u8>>,
}

/// A private key that was understood.
pub(crate) struct PrivateKey {
    /// The key alone, as everybody reads it.
    pub(crate) pem: String,
    signing: std::sync::Arc<dyn SigningKey>,
}

impl Certificate {
    /// Reads PEM: the certificate first, its chain behind it in any order.
    pub(crate) fn parse(text: &str) -> Result<Self, CertificateError> {
        let wrong = CertificateError::Certificate;
        let mut links: Vec<Link> = Vec::new();
        let sections = pem::sections(text).map_err(|error| wrong(error.to_string()))?;
        for section in
            sections.iter().filter(|section| [CERTIFICATE, X509_CERTIFICATE].contains(&section.label))
        {
            let der = section.der().map_err(|error| wrong(error.to_string()))?;
            if links.len() == CHAIN_LENGTH_MAX {
                return Err(wrong(format!("a chain has at most {CHAIN_LENGTH_MAX} certificates")));
            }
            // Files that were joined may have one twice.
            if links.iter().all(|link| *link.der != *der) {
                let number = links.len() + 1;
                links.push(
                    Link::parse(der)
                        .map_err(|error| wrong(format!("number {number} of the text: {error}")))?,
                );
            }
        }
        if links.is_empty() {
            return Err(wrong(without_certificate(&sections)));
        }
        Ok(Self::of(links))
    }

    /// The certificate of this key with the others as its chain, wherever in the text it stood; `None` where none is.
    pub(crate) fn of_key(mut self, key: &PrivateKey) -> Option<Self> {
        let own = self.chain.iter().position(|link| link.is_of(key))?;
        // Only those before it have moved.
        self.chain[..=own].rotate_right(1);
        Some(Self::of(self.chain))
    }

    /// Puts the chain of the first one in order. What belongs to no chain of it stays, behind.
    fn of(mut links: Vec<Link>) -> Self {
        for place in 1..links.len() {
            let Some(next) = (place..links.len()).find(|next| links[*next].signed(&links[place - 1])) else {
                break;
            };
            links[place..=next].rotate_right(1);
        }
        Self {
            pem: links.iter().map(|link| pem::written(CERTIFICATE, &link.der)).collect(),
            facts: links[0].facts.clone(),
            chain: links,
        }
    }

    /// Returns true if `key` is the private half of this certificate's key.
    pub(crate) fn belongs_to(&self, key: &PrivateKey) -> bool {
        self.chain[0].is_of(key)
    }
}

impl Link {
    fn parse(der: Vec<u8>) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
        let extensions = || parsed.iter_extensions().map(|extension| extension.parsed_extension());
        let key_id = extensions().find_map(|extension| match extension {
            ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        });
        let issuer_key_id = extensions().find_map(|extension| match extension {
            ParsedExtension::AuthorityKeyIdentifier(id) => id.key_identifier.as_ref().map(|id| id.0.to_vec()),
            _ => None,
        });
        let (subject, issuer) = (parsed.subject().as_raw().to_vec(), parsed.issuer().as_raw().to_vec());
        let (facts, public_key) = (facts(&der, &parsed), parsed.public_key().raw.to_vec());
        Ok(Self { der: der.into(), facts, public_key, subject, issuer, key_id, issuer_key_id })
    }

    /// Returns true if this certificate, by its name and the id of its key, is the issuer of `other`.
    fn signed(&self, other: &Self) -> bool {
        let is_key = match (&self.key_id, &other.issuer_key_id) {
            (Some(id), Some(wanted)) => id == wanted,
            _ => true,
        };
        self.subject == other.issuer && is_key
    }

    fn is_of(&self, key: &PrivateKey) -> bool {
        key.signing.public_key().is_some_and(|public| public.as_ref() == self.public_key)
    }
}

/// Describes a text that holds no certificate, as far as its kind can be told.
fn without_certificate(sections: &[pem::Section<'_>]) -> String {
    match sections.iter().find(|section| section.label.ends_with("PRIVATE KEY")) {
        Some(_) => "this is a private key, the certificate belongs here".to_owned(),
        None => without("certificate", CERTIFICATE, sections),
    }
}

fn without(what: &str, label: &str, sections: &[pem::Section<'_>]) -> String {
    let expected = format!("no {what} in PEM form found: expected `-----BEGIN {label}-----`");
    match sections.first() {
        Some(found) => format!("{expected}, found `-----BEGIN {}-----`", found.label),
        None => expected,
    }
}

impl PrivateKey {
    /// Reads an unencrypted RSA, ECDSA or Ed25519 key in PEM.
    pub(crate) fn parse(text: &str) -> Result<Self, CertificateError> {
        let wrong = |why: &str| CertificateError::Key(why.to_owned());
        let sections = pem::sections(text).map_err(|error| wrong(&error.to_string()))?;
        let Some(section) = sections.iter().find(|section| section.label.ends_with("PRIVATE KEY")) else {
            let is_certificate = sections.iter().any(|section| section.label == CERTIFICATE);
            let why = match is_certificate {
                true => "this is a certificate, the private key belongs here".to_owned(),
                false => without("private key", "PRIVATE KEY", &sections),
            };
            return Err(wrong(&why));
        };
        if section.is_encrypted() {
            return Err(wrong("it is encrypted; decrypt it with `openssl pkey -in KEY -out PLAIN`"));
        }
        let der = section.der().map_err(|error| wrong(&error.to_string()))?;
        let pem = pem::written(section.label, &der);
        let key = match section.label {
            "RSA PRIVATE KEY" => PrivateKeyDer::from(PrivatePkcs1KeyDer::from(der)),
            "EC PRIVATE KEY" => PrivateKeyDer::from(PrivateSec1KeyDer::from(der)),
            _ => PrivateKeyDer::from(PrivatePkcs8KeyDer::from(der)),
        };
        let signing = default_provider().key_provider.load_private_key(key);
        let signing =
            signing.map_err(|_| wrong("expected an RSA, ECDSA (P-256, P-384, P-521) or Ed25519 key"))?;
        Ok(Self { pem, signing })
    }
}

fn facts(der: &[u8], parsed: &X509Certificate<'_>) -> CertFacts {
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

#[cfg(test)]
mod tests;
