//! Certificates.

use super::{Client, ClientError, folder, path};
use crate::Page;
use crate::auto_certs::{AUTO_CERTS_PATH, AutoCerts, AutoCertsChange};
use crate::certs::{CERT_DOMAIN_PATH, CERT_DOMAINS_PATH, CERT_PATH, CERTS_PATH, Cert, NewCert};
use crate::domains::NewDomain;

impl Client {
    /// Lists the caller's certificates by name, at most `limit`.
    pub fn certs(&self, limit: i64) -> Result<Page<Cert>, ClientError> {
        self.get(&format!("{}?limit={limit}", folder(CERTS_PATH, [])))
    }

    /// Fetches the state of automatic certificates of an app.
    pub fn auto_certs(&self, app: &str) -> Result<AutoCerts, ClientError> {
        self.get(&folder(AUTO_CERTS_PATH, [app]))
    }

    /// Turns automatic certificates of an app on or off.
    pub fn want_auto_certs(&self, app: &str, enabled: bool) -> Result<(), ClientError> {
        self.tell(&folder(AUTO_CERTS_PATH, [app]), &AutoCertsChange { enabled })
    }

    /// Fetches a certificate of the caller.
    pub fn cert(&self, name: &str) -> Result<Cert, ClientError> {
        self.get(&path(CERT_PATH, [name]))
    }

    /// Adds a certificate.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 400 for a taken name, texts that are not PEM, a key of another certificate, or
    /// an expired one without `force`.
    pub fn add_cert(&self, cert: &NewCert) -> Result<(), ClientError> {
        self.tell(&folder(CERTS_PATH, []), cert)
    }

    /// Removes a certificate, also from all domains.
    pub fn remove_cert(&self, name: &str) -> Result<(), ClientError> {
        self.delete(&path(CERT_PATH, [name]))
    }

    /// Serves a domain with a certificate.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 409 for a domain that has a certificate of a user.
    pub fn attach_cert(&self, name: &str, domain: &str) -> Result<(), ClientError> {
        let new = NewDomain { domain: domain.to_owned() };
        self.tell(&folder(CERT_DOMAINS_PATH, [name]), &new)
    }

    /// Takes a certificate from a domain.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 404 unless it is attached there.
    pub fn detach_cert(&self, name: &str, domain: &str) -> Result<(), ClientError> {
        self.delete(&path(CERT_DOMAIN_PATH, [name, domain]))
    }
}
