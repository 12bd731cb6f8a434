//! Responses and statuses for the errors of `domain`.

use axum::http::StatusCode;
use domain::config::ConfigError;
use domain::release::ReleaseError;
use domain::settings::SettingsError;
use domain::structure::ScaleError;
use domain::tls::TlsError;
use domain::whitelist::WhitelistError;
use serde_json::{Map, Value};
use store::ChangeError;

use super::error::ApiError;

impl From<ChangeError> for ApiError {
    fn from(refused: ChangeError) -> Self {
        match refused {
            ChangeError::Store(error) => error.into(),
            ChangeError::Release(refused) => refused.into(),
            ChangeError::Scale(refused) => refused.into(),
            ChangeError::Settings(refused) => refused.into(),
            ChangeError::Tls(refused) => refused.into(),
        }
    }
}

impl From<ReleaseError> for ApiError {
    fn from(refused: ReleaseError) -> Self {
        let detail = refused.to_string();
        match refused {
            ReleaseError::Config(refused) => refused.into(),
            ReleaseError::Unchanged { .. }
            | ReleaseError::ProcfileMissing
            | ReleaseError::NotCurrent { .. } => Self::conflict(detail),
            ReleaseError::RollbackBelowFirst
            | ReleaseError::RollbackToInitial
            | ReleaseError::RollbackToFailed
            | ReleaseError::NoSuchRelease => Self::bad_request(detail),
        }
    }
}

impl From<ConfigError> for ApiError {
    fn from(refused: ConfigError) -> Self {
        let detail = refused.to_string();
        match refused {
            ConfigError::Invalid(faults) => Self::fields(by_field(faults)),
            ConfigError::NotSet { .. } => Self::unprocessable(detail),
            ConfigError::RegistryWithoutPort => Self::bad_request(detail),
        }
    }
}

impl From<ScaleError> for ApiError {
    fn from(refused: ScaleError) -> Self {
        let detail = refused.to_string();
        match refused {
            ScaleError::NoSuchType(_) => Self::detail(StatusCode::NOT_FOUND, detail),
            ScaleError::NoBuild | ScaleError::TooMany(..) => Self::bad_request(detail),
        }
    }
}

impl From<SettingsError> for ApiError {
    fn from(refused: SettingsError) -> Self {
        let detail = refused.to_string();
        match refused {
            SettingsError::Invalid(faults) => Self::fields(by_field(faults)),
            SettingsError::NotSet { .. } | SettingsError::Whitelist(WhitelistError::NotListed(_)) => {
                Self::unprocessable(detail)
            }
            SettingsError::MinTooLow | SettingsError::MaxBelowMin | SettingsError::Whitelist(_) => {
                Self::bad_request(detail)
            }
            SettingsError::Unchanged { .. } => Self::conflict(detail),
        }
    }
}

impl From<TlsError> for ApiError {
    fn from(refused: TlsError) -> Self {
        match refused {
            TlsError::Invalid(fault) => Self::field("https_enforced", fault),
            TlsError::Unchanged { .. } => Self::conflict(refused.to_string()),
        }
    }
}

fn by_field(faults: Vec<(&'static str, String)>) -> Map<String, Value> {
    let mut fields = Map::new();
    for (field, message) in faults {
        let messages = fields.entry(field).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(messages) = messages {
            messages.push(Value::String(message));
        }
    }
    fields
}
