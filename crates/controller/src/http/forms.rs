//! Form bodies in the two encodings of browsers. Every value is a text; files are ignored.

use axum::extract::Query;
use axum::http::Uri;
use serde_json::{Map, Value};

use super::error::ApiError;

/// `a=1&b=2`, which is read as a query is.
pub(crate) fn urlencoded(bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let text = std::str::from_utf8(bytes).map_err(|_| malformed())?;
    let uri: Uri = format!("/?{}", text.trim()).parse().map_err(|_| malformed())?;
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(&uri).map_err(|_| malformed())?;
    Ok(pairs.into_iter().map(|(name, value)| (name, Value::String(value))).collect())
}

/// Parts between lines with a boundary (RFC 7578).
pub(crate) fn multipart(content_type: &str, bytes: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let boundary = parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty());
    let boundary = format!("\r\n--{}", boundary.ok_or_else(malformed)?);
    let text = format!("\r\n{}", std::str::from_utf8(bytes).map_err(|_| malformed())?);
    let mut values = Map::new();
    for part in text.split(boundary.as_str()).skip(1).take_while(|part| !part.starts_with("--")) {
        let (head, value) = part.split_once("\r\n\r\n").ok_or_else(malformed)?;
        if let Some(name) = field_name(head) {
            values.insert(name.to_owned(), Value::String(value.to_owned()));
        }
    }
    Ok(values)
}

/// The field that a part is about, unless it is a file.
fn field_name(head: &str) -> Option<&str> {
    let is_disposition = |line: &&str| line.to_ascii_lowercase().starts_with("content-disposition:");
    let disposition = head.lines().find(is_disposition)?;
    if parameter(disposition, "filename").is_some() { None } else { parameter(disposition, "name") }
}

/// The value of `; name=value` or `; name="value"`.
fn parameter<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    let parameters = header.split(';').skip(1).filter_map(|parameter| parameter.split_once('='));
    let mut values = parameters.filter(|(key, _)| key.trim().eq_ignore_ascii_case(name));
    values.next().map(|(_, value)| value.trim().trim_matches('"'))
}

fn malformed() -> ApiError {
    ApiError::bad_request("Malformed request.")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=\"x-y\"";

    #[test]
    fn parts_are_fields_and_files_are_left_out() {
        let body = "--x-y\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\nlap\r\ntop\r\n--x-y\r\n\
                    content-disposition: form-data; name=\"f\"; filename=\"f.txt\"\r\n\r\nhello\r\n--x-y--\r\n";

        let values = multipart(TYPE, body.as_bytes()).expect("a form");

        assert_eq!(Value::Object(values), json!({"id": "lap\r\ntop"}));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        assert!(multipart("multipart/form-data", b"--x").is_err());
        assert!(multipart(TYPE, b"--x-y\r\nno end of the head").is_err());
        assert!(multipart(TYPE, b"\xff").is_err());
        assert!(urlencoded(b"\xff").is_err());
    }
}
