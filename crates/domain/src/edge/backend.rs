//! Protocol between router and app.

use serde::{Deserialize, Serialize};

use crate::annotations::AnnotationReader;

/// Protocol of an app's port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Protocol {
    #[default]
    Http1,
    /// HTTP/2 without TLS, from the first byte on.
    H2c,
}

/// Version of the PROXY protocol header with the client's address, sent at the start of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProxyHeader {
    V1,
    V2,
}

impl Protocol {
    /// The names of Kubernetes and our own; others say nothing that matters here.
    pub fn named(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "http" | "http1" => Some(Self::Http1),
            "h2c" | "grpc" | "kubernetes.io/h2c" => Some(Self::H2c),
            _ => None,
        }
    }

    pub(super) fn read(reader: &mut AnnotationReader<'_>) -> Option<Self> {
        reader.read("appProtocol", "http, h2c or grpc", Self::named)
    }
}

impl ProxyHeader {
    /// `Some(None)` sends none.
    pub(super) fn read(reader: &mut AnnotationReader<'_>) -> Option<Option<Self>> {
        reader.read("sendProxyProtocol", "v1, v2 or off", |text| match text.to_ascii_lowercase().as_str() {
            "v1" => Some(Some(Self::V1)),
            "v2" => Some(Some(Self::V2)),
            "off" | "false" => Some(None),
            _ => None,
        })
    }
}
