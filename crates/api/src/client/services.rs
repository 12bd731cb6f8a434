//! Services of an app.

use super::{Client, ClientError, folder};
use crate::services::{SERVICES_PATH, Service, ServiceName, Services};

impl Client {
    /// Lists the services of an app, newest first.
    pub fn services(&self, app: &str) -> Result<Services, ClientError> {
        self.get(&folder(SERVICES_PATH, [app]))
    }

    /// Adds the service of a process type, or replaces its patterns.
    pub fn set_service(&self, app: &str, service: &Service) -> Result<(), ClientError> {
        self.tell(&folder(SERVICES_PATH, [app]), service)
    }

    /// Removes the service of a process type.
    pub fn remove_service(&self, app: &str, procfile_type: &str) -> Result<(), ClientError> {
        let name = ServiceName { procfile_type: procfile_type.to_owned() };
        self.delete_with(&folder(SERVICES_PATH, [app]), &name)
    }
}
