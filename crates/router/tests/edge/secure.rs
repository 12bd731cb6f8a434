//! The visitor's side of TLS, and certificates for the router's side.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use domain::certs::{AttachedCert, Pair};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls::{StreamOwned, SupportedProtocolVersion};

use crate::visitor::{Visitor, tcp};

/// A certificate for these names that signs itself, and its key.
pub fn pair(names: &[&str]) -> Pair {
    let key = rcgen::KeyPair::generate().expect("a key");
    let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let params = rcgen::CertificateParams::new(names).expect("host names");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    Pair { certificate, key: key.serialize_pem() }
}

pub fn attached(pair: &Pair, domains: &[&str]) -> AttachedCert {
    let domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
    AttachedCert { name: "foo".to_owned(), domains, pair: Arc::new(pair.clone()) }
}

/// TLS configuration of a client that trusts only this certificate.
pub fn trusting(
    pair: &Pair,
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("PEM");
    roots.add(certificate).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .expect("both are there")
        .with_root_certificates(roots)
        .with_no_client_auth();
    offering(config, alpn)
}

/// Offers these protocols; each connection shows the certificate anew.
fn offering(mut config: ClientConfig, alpn: &[&str]) -> Arc<ClientConfig> {
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    config.resumption = rustls::client::Resumption::disabled();
    Arc::new(config)
}

/// Shakes hands; an error where that fails.
pub fn shaken(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> Result<(ClientConnection, TcpStream), std::io::Error> {
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut connection = ClientConnection::new(Arc::clone(config), name).expect("a connection");
    let mut stream = tcp(address);
    while connection.is_handshaking() {
        connection.complete_io(&mut stream)?;
    }
    Ok((connection, stream))
}

/// Connects by this configuration; an error where the handshake fails.
pub fn connect_with(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> Result<Visitor, std::io::Error> {
    let (connection, stream) = shaken(address, name, config)?;
    Ok(Visitor::on(StreamOwned::new(connection, stream)))
}

/// Connects, trusting this certificate alone.
pub fn connect(address: SocketAddr, name: &str, pair: &Pair) -> Result<Visitor, std::io::Error> {
    connect_with(address, name, &trusting(pair, &[&TLS12, &TLS13], &[]))
}

/// Result of a handshake.
pub struct Shown {
    pub protocol: Option<Vec<u8>>,
    pub certificate: Vec<u8>,
}

/// Shakes hands and goes.
pub fn handshake(
    address: SocketAddr,
    name: &str,
    config: &Arc<ClientConfig>,
) -> Result<Shown, std::io::Error> {
    let (connection, _) = shaken(address, name, config)?;
    let certificate = connection.peer_certificates().and_then(<[_]>::first).expect("one was shown").to_vec();
    Ok(Shown { protocol: connection.alpn_protocol().map(<[u8]>::to_vec), certificate })
}

/// TLS configuration of a certificate authority: it accepts any certificate, whoever signed it.
pub fn accepting_anything(alpn: &[&str]) -> Arc<ClientConfig> {
    let provider = Arc::new(default_provider());
    let verifier = Arc::new(Anything(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS12, &TLS13])
        .expect("both are there")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    offering(config, alpn)
}

#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // The usual check refuses certificates with an extension that it does not know.
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // The usual check refuses certificates with an extension that it does not know.
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
