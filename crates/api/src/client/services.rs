//! Services of an app.

use super::{Client, ClientError, part};
use crate::services::{Service, ServiceName, Services};

impl Client {
    /// Lists the services of an app, newest first.
    pub fn services(&self, app: &str) -> Result<Services, ClientError> {
        self.get(&format!("/v2/apps/{}/services/", part(app)))
    }

    /// Adds the service of a process type, or replaces its patterns.
    pub fn set_service(&self, app: &str, service: &Service) -> Result<(), ClientError> {
        self.tell(&format!("/v2/apps/{}/services/", part(app)), service)
    }

    /// Removes the service of a process type.
    pub fn remove_service(&self, app: &str, procfile_type: &str) -> Result<(), ClientError> {
        let name = ServiceName { procfile_type: procfile_type.to_owned() };
        self.delete_with(&format!("/v2/apps/{}/services/", part(app)), &name)
    }
}
