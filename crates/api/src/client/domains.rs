//! Domains.

use super::{Client, ClientError, part};
use crate::Page;
use crate::domains::{Domain, NewDomain};

impl Client {
    pub fn domains(&self, app: &str, limit: i64) -> Result<Page<Domain>, ClientError> {
        self.get(&format!("/v2/apps/{}/domains/?limit={limit}", part(app)))
    }

    pub fn add_domain(&self, app: &str, domain: &str) -> Result<(), ClientError> {
        let new = NewDomain { domain: domain.to_owned() };
        self.tell(&format!("/v2/apps/{}/domains/", part(app)), &new)
    }

    pub fn remove_domain(&self, app: &str, domain: &str) -> Result<(), ClientError> {
        self.delete(&format!("/v2/apps/{}/domains/{}", part(app), part(domain)))
    }
}
