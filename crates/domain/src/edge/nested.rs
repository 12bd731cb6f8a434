//! Keeps `Some(None)` apart from `None` where rules are stored: JSON has one null for both.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes `None` as null, and `Some` as a list of one value, which may be null.
#[allow(clippy::ref_option, clippy::option_option, reason = "serde gives a reference to the field as it is")]
pub fn serialize<T: Serialize, S: Serializer>(
    value: &Option<Option<T>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.as_ref().map(|inner| [inner]).serialize(serializer)
}

/// Reads the form of [`serialize`].
#[allow(clippy::option_option, reason = "it is the field's type")]
pub fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Ok(Option::<[Option<T>; 1]>::deserialize(deserializer)?.map(|[inner]| inner))
}
