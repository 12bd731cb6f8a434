//! The one connector for addresses that users can name: registries of images, what those redirect to, webhooks.
//!
//! The scheme is checked before anything is resolved, each resolved address at the moment of connecting, and the
//! connection goes to the very address that was checked: a name that resolves differently a moment later
//! (DNS rebinding) gains nothing. Redirects are requests of their own, so they come by here, too.

mod connector;
mod notify;

use std::sync::Arc;

pub use hyper_rustls::HttpsConnector;
use hyper_rustls::{ConfigBuilderExt as _, HttpsConnectorBuilder};

pub use connector::{Connector, OutboundError};
pub use domain::outbound::{OutboundException, OutboundPolicy};
pub use notify::{Notifier, NotifyError};

/// TLS around a connector. Trusts what the system trusts (`SSL_CERT_FILE` names another bundle).
pub fn https<C>(connector: C) -> HttpsConnector<C> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows TLS 1.2 and 1.3");
    let tls = match builder.clone().with_native_roots() {
        Ok(trusting) => trusting.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "no certificate authorities; others can be reached by HTTP only");
            builder.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
        }
    };
    HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector)
}
