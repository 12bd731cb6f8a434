//! Whole numbers in request bodies, which clients send as numbers or as texts.

use serde_json::Value;

/// Reads a whole number; a fraction is dropped. The error is the text of the API (docs/spec/api.md 4.9, 4.10).
pub(super) fn whole_number(value: &Value) -> Result<i64, String> {
    match value {
        Value::String(text) => text.trim().parse().map_err(|_| not_a_number(text)),
        Value::Bool(value) => Ok(i64::from(*value)),
        Value::Number(number) => number
            .as_i64()
            .or_else(|| number.as_f64().filter(|float| float.abs() < 1e15).map(|float| float as i64))
            .ok_or_else(|| not_a_number(&number.to_string())),
        Value::Null => Err(wrong_type("NoneType")),
        Value::Array(_) => Err(wrong_type("list")),
        Value::Object(_) => Err(wrong_type("dict")),
    }
}

fn not_a_number(text: &str) -> String {
    format!("invalid literal for int() with base 10: '{text}'")
}

fn wrong_type(name: &str) -> String {
    format!("int() argument must be a string, a bytes-like object or a number, not '{name}'")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_and_numeric_texts_are_whole_numbers() {
        for (value, number) in [
            (json!(2), 2),
            (json!("1"), 1),
            (json!(" 3 "), 3),
            (json!(1.5), 1),
            (json!(-1), -1),
            (json!(true), 1),
        ] {
            assert_eq!(whole_number(&value), Ok(number), "{value}");
        }
    }

    #[test]
    fn anything_else_is_refused_in_the_words_of_the_api() {
        for (value, text) in [
            (json!("x"), "invalid literal for int() with base 10: 'x'"),
            (json!(""), "invalid literal for int() with base 10: ''"),
            (json!(1e300), "invalid literal for int() with base 10: '1e+300'"),
            (Value::Null, "int() argument must be a string, a bytes-like object or a number, not 'NoneType'"),
            (json!([]), "int() argument must be a string, a bytes-like object or a number, not 'list'"),
        ] {
            assert_eq!(whole_number(&value), Err(text.to_owned()), "{value}");
        }
    }
}
