//! Connecting to backends: TCP, and first of all who asks, where the app wants the PROXY protocol.

use std::io;
use std::net::SocketAddr;

use domain::edge::ProxyHeader;
use domain::routing::Backend;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::RouterSettings;
use crate::proxy_protocol;
use crate::site::Site;

/// Opens a connection to the backend on behalf of `source`.
pub(crate) async fn open(
    settings: &RouterSettings,
    site: &Site,
    backend: &Backend,
    source: SocketAddr,
) -> io::Result<TcpStream> {
    let patience = site.rules.connect_timeout.unwrap_or(settings.connect_timeout);
    timeout(patience, connect(site.rules.proxy_header, backend, source)).await?
}

async fn connect(
    header: Option<ProxyHeader>,
    backend: &Backend,
    source: SocketAddr,
) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(backend.address).await?;
    stream.set_nodelay(true)?;
    if let Some(version) = header {
        stream.write_all(&proxy_protocol::header(version, source, backend.address)).await?;
    }
    Ok(stream)
}
