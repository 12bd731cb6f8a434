use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DnType, KeyPair, RsaKeySize, SanType};

use sha2::Digest as _;

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
            let key = PrivateKey::parse(key).unwrap_or_else(|error| panic!("{other}: {error}"));
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

/// A certificate with its key, its intermediate and its root.
fn chain() -> (KeyPair, [String; 3]) {
    let named = |name: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        params
    };
    let authority = |name: &str| {
        let mut params = named(name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        (params, KeyPair::generate().expect("a key"))
    };
    let ((root_params, root_key), (middle_params, middle_key)) = (authority("root"), authority("middle"));
    let root = root_params.self_signed(&root_key).expect("a root");
    let root_issuer = rcgen::Issuer::new(root_params, root_key);
    let middle = middle_params.signed_by(&middle_key, &root_issuer).expect("an intermediate");
    let middle_issuer = rcgen::Issuer::new(middle_params, middle_key);
    let key = KeyPair::generate().expect("a key");
    let own = named("foo.com").signed_by(&key, &middle_issuer).expect("a certificate");
    (key, [own.pem(), middle.pem(), root.pem()])
}

#[test]
fn a_chain_in_any_order_is_put_in_order_behind_the_certificate_of_the_key() {
    let (key, parts) = chain();
    let key = PrivateKey::parse(&key.serialize_pem()).expect("a good key");
    let ordered = Certificate::parse(&parts.concat()).expect("a good chain").pem;

    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let text = order.map(|part| parts[part].as_str()).concat();
        let read = Certificate::parse(&text).expect("a good chain").of_key(&key).expect("it is among them");
        assert_eq!(
            (read.pem.as_str(), read.facts.common_name.as_deref()),
            (ordered.as_str(), Some("foo.com"))
        );
        assert_eq!(read.pem.replace("\r\n", "\n"), parts.concat().replace("\r\n", "\n"));
    }
    let twice = format!("{}{}", parts.concat(), parts.concat());
    assert_eq!(Certificate::parse(&twice).expect("a good chain").pem, ordered);
    let (stranger, _) = chain();
    let stranger = PrivateKey::parse(&stranger.serialize_pem()).expect("a good key");
    assert_eq!(Certificate::parse(&ordered).expect("a good chain").of_key(&stranger), None);
}

#[test]
fn pem_is_read_as_it_is_found_in_files() {
    let (key, parts) = chain();
    let (plain, plain_key) =
        (parts.concat().replace("\r\n", "\n"), key.serialize_pem().replace("\r\n", "\n"));
    let wanted = Certificate::parse(&plain).expect("a good chain");
    type Change = fn(&str) -> String;
    let forms: [(&str, Change); 9] = [
        ("Windows", |text| text.replace('\n', "\r\n")),
        ("old Macintosh", |text| text.replace('\n', "\r")),
        ("glued", |text| text.replace("-----\n-----", "----------").trim_end().to_owned()),
        ("a byte order mark in front of each", |text| text.replace("-----BEGIN", "\u{feff}-----BEGIN")),
        ("on one line", |text| text.replace('\n', "")),
        ("blanks for line breaks", |text| text.replace('\n', " ")),
        ("escaped line breaks", |text| text.replace('\n', "\\n")),
        ("indented", |text| text.replace('\n', "\n    ")),
        ("with words around", |text| format!("Bag Attributes\n  friendlyName: x\n{text}that was all")),
    ];

    for (form, change) in forms {
        assert_eq!(Certificate::parse(&change(&plain)).as_ref(), Ok(&wanted), "{form}");
        let key = PrivateKey::parse(&change(&plain_key)).unwrap_or_else(|error| panic!("{form}: {error}"));
        assert_eq!(key.pem, plain_key, "{form}");
        assert!(wanted.belongs_to(&key), "{form}");
    }
}

#[test]
fn what_was_given_instead_is_told() {
    let (key, parts) = chain();
    let text = |error: CertificateError| error.to_string();
    let of_certificate = |pem: &str| text(Certificate::parse(pem).expect_err("no certificate"));
    let of_key = |pem: &str| text(PrivateKey::parse(pem).err().expect("no key"));

    assert!(
        of_certificate(&key.serialize_pem()).ends_with("this is a private key, the certificate belongs here")
    );
    assert!(of_key(&parts[0]).ends_with("this is a certificate, the private key belongs here"));
    let encrypted = key.serialize_pem().replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let plain = key.serialize_pem().replace('\r', "");
    let old = plain.replacen("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n\n", 1);
    for sealed in [encrypted, old] {
        assert!(of_key(&sealed).contains("it is encrypted"), "{sealed}");
    }
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nAA==\n-----END CERTIFICATE REQUEST-----\n";
    assert!(of_certificate(request).ends_with("found `-----BEGIN CERTIFICATE REQUEST-----`"));
    let cut = parts[0].split_at(parts[0].len() / 2).0;
    assert!(of_certificate(cut).contains("is the file whole?"));
    assert!(of_certificate(&format!("{cut}{}", parts[1])).contains("is the file whole?"));
    let broken = parts.concat().replacen("-----END CERT", "!-----END CERT", 2);
    assert!(of_certificate(&broken).ends_with("is not base64"));
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
        let error = PrivateKey::parse(text).err().expect("no key").to_string();
        assert!(error.starts_with("Could not load private key: ") && !error.contains("c2VjcmV0"), "{error}");
    }
}
