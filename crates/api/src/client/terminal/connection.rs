//! A connection to a controller for more than one request: names, proxies and TLS as for requests.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use ureq::{Proxy, ProxyProtocol};

use crate::client::network::{Address, is_localhost, proxy_of};

/// Longest answer of a proxy.
const PROXY_ANSWER_BYTES_MAX: usize = 8 << 10;

/// A connection in both directions, over TLS or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A connection to a controller.
pub type Connection = Box<dyn Stream>;

/// Connects through the proxy of the environment, where it names one, and with TLS for https.
pub async fn connect(address: &Address, ssl_verify: bool) -> io::Result<Connection> {
    let is_tls = address.scheme() == "https";
    let port = address.port().unwrap_or(if is_tls { 443 } else { 80 });
    let stream = match proxy_of(address) {
        Some(proxy) => through(&proxy, address.host(), port).await?,
        None => direct(address.host(), port).await?,
    };
    // Keystrokes must not wait for the acknowledgement of earlier ones.
    stream.set_nodelay(true)?;
    if !is_tls {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(address.host().trim_matches(['[', ']']).to_owned());
    let connector = TlsConnector::from(Arc::new(tls(ssl_verify).map_err(io::Error::other)?));
    Ok(Box::new(connector.connect(name.map_err(io::Error::other)?, stream).await?))
}

async fn direct(host: &str, port: u16) -> io::Result<TcpStream> {
    if is_localhost(host) {
        let addresses =
            [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv6Addr::LOCALHOST, port))];
        return TcpStream::connect(&addresses[..]).await;
    }
    TcpStream::connect((host.trim_matches(['[', ']']), port)).await
}

/// Has a proxy connect.
async fn through(proxy: &Proxy, host: &str, port: u16) -> io::Result<TcpStream> {
    if proxy.protocol() != ProxyProtocol::Http {
        return Err(io::Error::other(format!("sessions go through http proxies only, not {}", proxy.uri())));
    }
    let mut stream = direct(proxy.host(), proxy.port()).await?;
    let mut request = format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n");
    if let Some(credentials) = credentials(proxy) {
        request.push_str(&format!("Proxy-Authorization: Basic {credentials}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let head = read_head(&mut stream).await?;
    match head.split_whitespace().nth(1) {
        Some(status) if status.starts_with('2') => Ok(stream),
        _ => Err(io::Error::other(format!("the proxy answered {}", head.lines().next().unwrap_or_default()))),
    }
}

fn credentials(proxy: &Proxy) -> Option<String> {
    use base64::Engine as _;
    let username = proxy.username()?;
    let text = format!("{username}:{}", proxy.password().unwrap_or_default());
    Some(base64::engine::general_purpose::STANDARD.encode(text))
}

/// Reads up to the empty line and not a byte more: the rest is the controller's.
async fn read_head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == PROXY_ANSWER_BYTES_MAX {
            return Err(io::Error::other("the proxy's answer is too long"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

fn tls(ssl_verify: bool) -> Result<ClientConfig, rustls::Error> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match ssl_verify {
        true => builder.with_platform_verifier()?,
        false => builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerification(provider))),
    };
    Ok(builder.with_no_client_auth())
}

/// Takes every certificate, as the profile asks for; the connection is still one with its owner.
#[derive(Debug)]
struct NoVerification(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerification {
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
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
