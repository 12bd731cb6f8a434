//! A client that checks certificates.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

/// Returns true if the host is served with this chain: its leaf is shown, and valid for a client that trusts the
/// chain's end.
pub fn is_shown(address: SocketAddr, host: &str, chain: &str) -> bool {
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>().expect("PEM");
    let shown = shake_hands(address, host, chain.last().expect("a chain").clone());
    shown.is_some_and(|shown| shown == chain[0])
}

fn shake_hands(
    address: SocketAddr,
    host: &str,
    root: CertificateDer<'static>,
) -> Option<CertificateDer<'static>> {
    let mut roots = RootCertStore::empty();
    roots.add(root).expect("a certificate");
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let mut connection = ClientConnection::new(Arc::new(config), name).expect("a connection");
    let mut stream = TcpStream::connect(address).expect("the router listens");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a socket");
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).ok()?;
    }
    Some(connection.peer_certificates()?.first()?.clone().into_owned())
}
