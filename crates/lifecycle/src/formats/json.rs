//! Metadata of buildpacks, which is TOML in files and JSON in labels.

use serde_json::{Map, Value};

/// A table as JSON; times become texts.
pub fn from_toml(value: toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::String(text),
        toml::Value::Integer(number) => number.into(),
        toml::Value::Float(number) => number.into(),
        toml::Value::Boolean(value) => value.into(),
        toml::Value::Datetime(time) => Value::String(time.to_string()),
        toml::Value::Array(list) => list.into_iter().map(from_toml).collect(),
        toml::Value::Table(table) => table.into_iter().map(|(key, value)| (key, from_toml(value))).collect(),
    }
}

/// JSON as TOML, `None` for what TOML has not: null, and numbers above 64 bits.
pub fn to_toml(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => (*value).into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64()?.into(),
        },
        Value::String(text) => text.clone().into(),
        Value::Array(list) => list.iter().filter_map(to_toml).collect::<Vec<_>>().into(),
        Value::Object(map) => table(map).into(),
    })
}

fn table(map: &Map<String, Value>) -> toml::Table {
    map.iter().filter_map(|(key, value)| Some((key.clone(), to_toml(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_survives_a_label() {
        let text = "a = 1\nb = 1.5\nc = [\"x\"]\n\n[d]\ne = true\n";
        let table: toml::Value = toml::from_str(text).expect("TOML");

        let back = to_toml(&from_toml(table.clone()));

        assert_eq!(back, Some(table));
    }
}
