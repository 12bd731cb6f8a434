//! Storage of Distribution: its own drivers, with their own names of settings.

use serde_json::{Map, Value};

/// Drivers of Distribution 3 that may be chosen.
const DRIVERS: &[&str] = &["filesystem", "s3", "gcs", "azure", "inmemory"];

/// One driver and its parameters, passed on as they are.
#[derive(Clone, PartialEq)]
pub struct Storage {
    driver: String,
    parameters: Map<String, Value>,
}

/// Parameters hold secrets: only their names are shown.
impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Storage({}: {:?})", self.driver, self.parameters.keys().collect::<Vec<_>>())
    }
}

/// An unusable storage setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    #[error("registry storage `{0}` is not known; use filesystem, s3, gcs or azure")]
    Driver(String),
    #[error("registry storage {driver}: parameters must be a JSON object, as in Distribution's config")]
    Parameters { driver: String },
}

impl Storage {
    /// `parameters` is the JSON object below `storage.<driver>` of Distribution's config, such as
    /// `{"bucket": "images", "region": "eu-west-1"}`; empty means none.
    pub fn parse(driver: &str, parameters: &str) -> Result<Self, StorageError> {
        if !DRIVERS.contains(&driver) {
            return Err(StorageError::Driver(driver.to_owned()));
        }
        let parameters = match parameters.trim() {
            "" => Map::new(),
            text => serde_json::from_str(text)
                .map_err(|_| StorageError::Parameters { driver: driver.to_owned() })?,
        };
        Ok(Self { driver: driver.to_owned(), parameters })
    }

    /// A folder of this machine.
    pub fn folder(path: &str) -> Self {
        let parameters = Map::from_iter([("rootdirectory".to_owned(), Value::from(path))]);
        Self { driver: "filesystem".to_owned(), parameters }
    }

    pub fn driver(&self) -> &str {
        &self.driver
    }

    pub fn parameters(&self) -> &Map<String, Value> {
        &self.parameters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storage_is_a_known_driver_with_an_object_of_parameters_and_shows_no_value() {
        let s3 = Storage::parse("s3", r#"{"bucket":"images","secretkey":"hidden"}"#).expect("good");
        assert_eq!(s3.parameters()["bucket"], "images");
        assert!(!format!("{s3:?}").contains("hidden"));

        assert_eq!(Storage::parse("swift", ""), Err(StorageError::Driver("swift".to_owned())));
        assert!(matches!(Storage::parse("gcs", "[1]"), Err(StorageError::Parameters { .. })));
        assert!(Storage::parse("azure", " ").expect("good").parameters().is_empty());
    }
}
