use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DnType, KeyPair, RsaKeySize, SanType};

use super::*;

fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "US");
    params.distinguished_name.push(DnType::OrganizationName, "Deis");
    params.distinguished_name.push(DnType::CommonName, "foo.com");
    let email = DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]);
    params.distinguished_name.push(email, "x@y");
    params.subject_alt_names = vec![
        SanType::DnsName(Ia5String::try_from("www.foo.com").expect("ASCII")),
        SanType::IpAddress([10, 0, 0, 1].into()),
    ];
    params.not_before = rcgen::date_time_ymd(2020, 1, 2);
    params.not_after = rcgen::date_time_ymd(2040, 11, 10);
    params
}

fn keys() -> Vec<(&'static str, KeyPair)> {
    let made = |key: Result<KeyPair, rcgen::Error>| key.expect("a key");
    vec![
        ("RSA", made(KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, RsaKeySize::_2048))),
        ("P-256", made(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256))),
        ("P-384", made(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384))),
        ("P-521", made(KeyPair::generate_for(&rcgen::PKCS_ECDSA_P521_SHA512))),
        ("Ed25519", made(KeyPair::generate_for(&rcgen::PKCS_ED25519))),
    ]
}

#[test]
fn a_certificate_tells_names_dates_and_fingerprint() {
    let key = KeyPair::generate().expect("a key");
    let made = params().self_signed(&key).expect("a certificate");

    let facts = Certificate::parse(&made.pem()).expect("a good certificate").facts;

    assert_eq!(facts.common_name.as_deref(), Some("foo.com"));
    assert_eq!(facts.san, ["www.foo.com"]);
    assert_eq!(facts.subject, "/C=US/O=Deis/CN=foo.com/emailAddress=x@y");
    assert_eq!(facts.issuer, facts.subject);
    assert_eq!(facts.starts.to_string(), "2020-01-02T00:00:00Z");
    assert_eq!(facts.expires.to_string(), "2040-11-10T00:00:00Z");
    assert_eq!(facts.fingerprint, colon_hex(&Sha256::digest(made.der())));
}

#[test]
fn every_kind_of_key_matches_its_own_certificate_only() {
    let pairs: Vec<_> = keys()
        .into_iter()
        .map(|(kind, key)| {
            (kind, params().self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
        })
        .collect();

    for (one, certificate, _) in &pairs {
        let certificate = Certificate::parse(certificate).expect("a good certificate");
        for (other, _, key) in &pairs {
            let key = Key::parse(key).unwrap_or_else(|error| panic!("{other}: {error}"));
            assert_eq!(certificate.belongs_to(&key), one == other, "{one} {other}");
        }
    }
}

#[test]
fn a_chain_is_kept_and_a_key_among_it_is_not() {
    let key = KeyPair::generate().expect("a key");
    let (first, second) =
        (params().self_signed(&key).expect("one").pem(), params().self_signed(&key).expect("two").pem());
    let text = format!("{}{first}\n{second}", key.serialize_pem());

    let read = Certificate::parse(&text).expect("a good chain");

    assert_eq!(read.pem.matches("BEGIN CERTIFICATE").count(), 2);
    assert!(!read.pem.contains("PRIVATE KEY"), "{}", read.pem);
    assert_eq!(Certificate::parse(&read.pem), Ok(read));
}

#[test]
fn a_certificate_without_an_end_expires_at_the_end_of_time() {
    let key = KeyPair::generate().expect("a key");
    let mut params = params();
    params.not_after = rcgen::date_time_ymd(9999, 12, 31);

    let made = params.self_signed(&key).expect("a certificate");

    let facts = Certificate::parse(&made.pem()).expect("a good certificate").facts;
    assert_eq!(facts.expires, Timestamp::MAX);
}

#[test]
fn what_is_no_certificate_or_key_is_refused_without_repeating_it() {
    for text in ["", "nonsense", "-----BEGIN CERTIFICATE-----\nc2VjcmV0\n-----END CERTIFICATE-----\n"] {
        let error = Certificate::parse(text).expect_err("no certificate").to_string();
        assert!(error.starts_with("Could not load certificate: "), "{error}");
    }
    let text = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n";
    for text in ["", "nonsense", text] {
        let error = Key::parse(text).err().expect("no key").to_string();
        assert!(error.starts_with("Could not load private key: ") && !error.contains("c2VjcmV0"), "{error}");
    }
}
