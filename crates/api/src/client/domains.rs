//! Domains.

use super::{Client, ClientError, folder, path};
use crate::Page;
use crate::domains::{DOMAIN_PATH, DOMAINS_PATH, Domain, NewDomain};

impl Client {
    /// Lists domains of an app, ordered by text, at most `limit`.
    pub fn domains(&self, app: &str, limit: i64) -> Result<Page<Domain>, ClientError> {
        self.get(&format!("{}?limit={limit}", folder(DOMAINS_PATH, [app])))
    }

    /// Adds a domain to an app.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with 400 for a name that is malformed, taken or not for users (docs/spec/api.md
    /// 4.14).
    pub fn add_domain(&self, app: &str, domain: &str) -> Result<(), ClientError> {
        let new = NewDomain { domain: domain.to_owned() };
        self.tell(&folder(DOMAINS_PATH, [app]), &new)
    }

    /// Takes a domain from an app.
    pub fn remove_domain(&self, app: &str, domain: &str) -> Result<(), ClientError> {
        self.delete(&path(DOMAIN_PATH, [app, domain]))
    }
}
