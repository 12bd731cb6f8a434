//! Certificates.

use super::{Client, ClientError, part};
use crate::Page;
use crate::auto_certs::{AutoCerts, AutoCertsChange};
use crate::certs::{Cert, NewCert};
use crate::domains::NewDomain;

impl Client {
    /// Lists the caller's certificates by name, at most `limit`.
    pub fn certs(&self, limit: i64) -> Result<Page<Cert>, ClientError> {
        self.get(&format!("/v2/certs/?limit={limit}"))
    }

    /// Fetches the state of automatic certificates of an app.
    pub fn auto_certs(&self, app: &str) -> Result<AutoCerts, ClientError> {
        self.get(&format!("/v2/apps/{}/certs/auto/", part(app)))
    }

    /// Turns automatic certificates of an app on or off.
    pub fn want_auto_certs(&self, app: &str, enabled: bool) -> Result<(), ClientError> {
        self.tell(&format!("/v2/apps/{}/certs/auto/", part(app)), &AutoCertsChange { enabled })
    }

    /// Fetches a certificate of the caller.
    pub fn cert(&self, name: &str) -> Result<Cert, ClientError> {
        self.get(&format!("/v2/certs/{}", part(name)))
    }

    /// Adds a certificate.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 400 for a taken name, texts that are not PEM, a key of another certificate, or
    /// an expired one without `force`.
    pub fn add_cert(&self, cert: &NewCert) -> Result<(), ClientError> {
        self.tell("/v2/certs/", cert)
    }

    /// Removes a certificate, also from all domains.
    pub fn remove_cert(&self, name: &str) -> Result<(), ClientError> {
        self.delete(&format!("/v2/certs/{}", part(name)))
    }

    /// Serves a domain with a certificate.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 409 for a domain that has a certificate of a user.
    pub fn attach_cert(&self, name: &str, domain: &str) -> Result<(), ClientError> {
        let new = NewDomain { domain: domain.to_owned() };
        self.tell(&format!("/v2/certs/{}/domain/", part(name)), &new)
    }

    /// Takes a certificate from a domain.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 404 unless it is attached there.
    pub fn detach_cert(&self, name: &str, domain: &str) -> Result<(), ClientError> {
        self.delete(&format!("/v2/certs/{}/domain/{}", part(name), part(domain)))
    }
}
