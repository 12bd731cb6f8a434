//! Truth as clients write it: JSON's own, numbers and words (api.md 1.6).

use serde_json::Value;

/// Reads a truth that may be left open; the error is the text that the API answers.
pub(crate) fn truth_or_null(value: &Value) -> Result<Option<bool>, String> {
    let word = match value {
        Value::Null => return Ok(None),
        Value::Bool(truth) => return Ok(Some(*truth)),
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

/// Reads a truth from a variable's value (api.md 7).
pub(crate) fn truth_of_variable(text: &str) -> Option<bool> {
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
    fn truth_comes_as_a_boolean_a_number_or_a_word() {
        for value in
            [json!(true), json!(1), json!("true"), json!("True"), json!("t"), json!("1"), json!("on")]
        {
            assert_eq!(truth_or_null(&value), Ok(Some(true)), "{value}");
        }
        for value in [json!(false), json!(0), json!("False"), json!("f"), json!("0"), json!("off")] {
            assert_eq!(truth_or_null(&value), Ok(Some(false)), "{value}");
        }
        for value in [json!(null), json!(""), json!("null"), json!("n")] {
            assert_eq!(truth_or_null(&value), Ok(None), "{value}");
        }
        assert_eq!(truth_or_null(&json!("maybe")), Err("\"maybe\" is not a valid boolean.".to_owned()));
        assert_eq!(truth_or_null(&json!(2)), Err("\"2\" is not a valid boolean.".to_owned()));
    }

    #[test]
    fn a_variable_is_true_false_or_no_truth() {
        let read = ["True", "y", " ON ", "1", "no", "N", "off", "0", "", "maybe"].map(truth_of_variable);

        let (yes, no) = (Some(true), Some(false));
        assert_eq!(read, [yes, yes, yes, yes, no, no, no, no, None, None]);
    }
}
