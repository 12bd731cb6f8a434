//! Validation of JSON values that users send, with the messages of a JSON schema validator (docs/spec/api.md 4.7).

use serde_json::{Map, Value};

pub(crate) fn each(
    object: &Map<String, Value>,
    name: &str,
    check: impl Fn(&Value) -> Result<(), String>,
) -> Result<(), String> {
    object.get(name).map_or(Ok(()), check)
}

pub(crate) fn required<'a>(object: &'a Map<String, Value>, name: &str) -> Result<&'a Value, String> {
    object.get(name).ok_or_else(|| format!("'{name}' is a required property"))
}

pub(crate) fn object(value: &Value) -> Result<&Map<String, Value>, String> {
    value.as_object().ok_or_else(|| not_of_type(value, "object"))
}

pub(crate) fn array(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| not_of_type(value, "array"))
}

pub(crate) fn texts(value: &Value) -> Result<(), String> {
    match array(value)?.as_slice() {
        [] => Err("[] is too short".to_owned()),
        items => items.iter().try_for_each(text),
    }
}

pub(crate) fn text(value: &Value) -> Result<(), String> {
    value.as_str().map(drop).ok_or_else(|| not_of_type(value, "string"))
}

pub(crate) fn integer(value: &Value, maximum: i64) -> Result<(), String> {
    let number = value.as_i64().ok_or_else(|| not_of_type(value, "integer"))?;
    match number {
        ..0 => Err(format!("{number} is less than the minimum of 0")),
        _ if number > maximum => Err(format!("{number} is greater than the maximum of {maximum}")),
        _ => Ok(()),
    }
}

fn not_of_type(value: &Value, wanted: &str) -> String {
    match value {
        Value::String(text) => format!("'{text}' is not of type '{wanted}'"),
        other => format!("{other} is not of type '{wanted}'"),
    }
}
