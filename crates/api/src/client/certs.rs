//! Certificates.

use super::{Client, ClientError, part};
use crate::Page;
use crate::auto_certs::{AutoCerts, AutoCertsWish};
use crate::certs::{Cert, NewCert};
use crate::domains::NewDomain;

impl Client {
    pub fn certs(&self, limit: i64) -> Result<Page<Cert>, ClientError> {
        self.get(&format!("/v2/certs/?limit={limit}"))
    }

    pub fn auto_certs(&self, app: &str) -> Result<AutoCerts, ClientError> {
        self.get(&format!("/v2/apps/{}/certs/auto/", part(app)))
    }

    pub fn want_auto_certs(&self, app: &str, enabled: bool) -> Result<(), ClientError> {
        self.tell(&format!("/v2/apps/{}/certs/auto/", part(app)), &AutoCertsWish { enabled })
    }

    pub fn cert(&self, name: &str) -> Result<Cert, ClientError> {
        self.get(&format!("/v2/certs/{}", part(name)))
    }

    pub fn add_cert(&self, cert: &NewCert) -> Result<(), ClientError> {
        self.tell("/v2/certs/", cert)
    }

    pub fn remove_cert(&self, name: &str) -> Result<(), ClientError> {
        self.delete(&format!("/v2/certs/{}", part(name)))
    }

    pub fn attach_cert(&self, name: &str, domain: &str) -> Result<(), ClientError> {
        let new = NewDomain { domain: domain.to_owned() };
        self.tell(&format!("/v2/certs/{}/domain/", part(name)), &new)
    }

    pub fn detach_cert(&self, name: &str, domain: &str) -> Result<(), ClientError> {
        self.delete(&format!("/v2/certs/{}/domain/{}", part(name), part(domain)))
    }
}
