//! Booleans as clients write them: JSON's own, numbers and words (docs/spec/api.md 1.6).

use serde_json::Value;

/// Reads a boolean that may be left open.
///
/// # Errors
///
/// The text that the API answers.
pub fn bool_or_null(value: &Value) -> Result<Option<bool>, String> {
    let word = match value {
        Value::Null => return Ok(None),
        Value::Bool(value) => return Ok(Some(*value)),
        Value::String(text) => text.trim().to_ascii_lowercase(),
        other => other.to_string(),
    };
    match word.as_str() {
        "true" | "t" | "1" | "yes" | "y" | "on" => Ok(Some(true)),
        "false" | "f" | "0" | "no" | "off" => Ok(Some(false)),
        "" | "null" | "n" => Ok(None),
        _ => Err(format!("\"{}\" is not a valid boolean.", value.as_str().unwrap_or(&word))),
    }
}

/// Reads a boolean from a variable's value (docs/spec/api.md 7).
pub(crate) fn bool_of_variable(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "t" | "1" | "yes" | "y" | "on" => Some(true),
        "false" | "f" | "0" | "no" | "n" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_boolean_comes_as_json_a_number_or_a_word() {
        for value in
            [json!(true), json!(1), json!("true"), json!("True"), json!("t"), json!("1"), json!("on")]
        {
            assert_eq!(bool_or_null(&value), Ok(Some(true)), "{value}");
        }
        for value in [json!(false), json!(0), json!("False"), json!("f"), json!("0"), json!("off")] {
            assert_eq!(bool_or_null(&value), Ok(Some(false)), "{value}");
        }
        for value in [json!(null), json!(""), json!("null"), json!("n")] {
            assert_eq!(bool_or_null(&value), Ok(None), "{value}");
        }
        assert_eq!(bool_or_null(&json!("maybe")), Err("\"maybe\" is not a valid boolean.".to_owned()));
        assert_eq!(bool_or_null(&json!(2)), Err("\"2\" is not a valid boolean.".to_owned()));
    }

    #[test]
    fn a_variable_is_true_false_or_no_boolean() {
        let read = ["True", "y", " ON ", "1", "no", "N", "off", "0", "", "maybe"].map(bool_of_variable);

        let (yes, no) = (Some(true), Some(false));
        assert_eq!(read, [yes, yes, yes, yes, no, no, no, no, None, None]);
    }
}
