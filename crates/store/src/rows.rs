//! Encoding of values in columns: times, booleans, counts.

use domain::AppName;
use jiff::Timestamp;
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _};

use crate::StoreError;

/// RFC 3339 in UTC with six decimals always, so that the order of texts is the order of times.
pub(crate) fn time_text(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// The time as it will be read again: columns keep microseconds.
pub(crate) fn kept(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

/// Reads a time column.
pub(crate) fn time(row: &AnyRow, column: &str) -> Result<Timestamp, StoreError> {
    parse_time(column, &row.try_get::<String, _>(column)?)
}

/// Reads a time column that may be empty.
pub(crate) fn time_or_none(row: &AnyRow, column: &str) -> Result<Option<Timestamp>, StoreError> {
    let text: Option<String> = row.try_get(column)?;
    text.map(|text| parse_time(column, &text)).transpose()
}

fn parse_time(column: &str, text: &str) -> Result<Timestamp, StoreError> {
    text.parse().map_err(|error: jiff::Error| StoreError::damaged(format!("column {column}"), error))
}

/// Reads a column that holds 0 or 1.
pub(crate) fn bool(row: &AnyRow, column: &str) -> Result<bool, StoreError> {
    Ok(row.try_get::<i64, _>(column)? != 0)
}

/// Reads the single number that a `SELECT COUNT(*)` answers.
pub(crate) fn count(row: &AnyRow) -> Result<u64, StoreError> {
    let count: i64 = row.try_get(0)?;
    u64::try_from(count).map_err(|error| StoreError::damaged("a count", error))
}

/// A row of our own from each row of the database.
pub(crate) fn each<T>(
    rows: &[AnyRow],
    read: impl Fn(&AnyRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    rows.iter().map(read).collect()
}

/// Returns true if a query finds a row.
pub(crate) async fn any(
    query: sqlx::query::Query<'_, Any, sqlx::any::AnyArguments>,
    connection: &mut sqlx::AnyConnection,
) -> Result<bool, StoreError> {
    Ok(query.fetch_optional(connection).await?.is_some())
}

/// A new identity for a row: lower-case, hyphenated, version 4.
pub(crate) fn new_uuid() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// Reads a column that holds an app's name.
pub(crate) fn app_name(row: &AnyRow, column: &str) -> Result<AppName, StoreError> {
    let text: String = row.try_get(column)?;
    AppName::parse(&text).map_err(|error| StoreError::damaged(format!("column {column}"), error))
}

/// Reads a number that is never negative.
pub(crate) fn number(row: &AnyRow, column: &str) -> Result<u64, StoreError> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|error| StoreError::damaged(format!("column {column}"), error))
}

/// Writes a number into a column; versions and the like stay far below its bound.
pub(crate) fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Writes a value as JSON text.
pub(crate) fn json_text(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("values of the domain have text keys, which JSON can hold")
}

/// Reads a value from JSON text.
pub(crate) fn from_json<T: serde::de::DeserializeOwned>(what: &str, text: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(text).map_err(|error| StoreError::damaged(what, error))
}
