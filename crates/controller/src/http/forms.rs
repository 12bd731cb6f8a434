//! Form bodies in the two encodings of browsers. Every value is a text; files are ignored.

use std::convert::Infallible;

use axum::extract::Query;
use axum::http::Uri;
use bytes::Bytes;
use futures_util::{FutureExt as _, stream};
use multer::Multipart;
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
pub(crate) fn multipart(content_type: &str, bytes: &Bytes) -> Result<Map<String, Value>, ApiError> {
    std::str::from_utf8(bytes).map_err(|_| malformed())?;
    let boundary = multer::parse_boundary(content_type).map_err(|_| malformed())?;
    let whole = stream::iter([Ok::<_, Infallible>(bytes.clone())]);
    // The whole body is there, so that nothing is waited for.
    let fields = fields(Multipart::new(whole, boundary)).now_or_never();
    fields.and_then(Result::ok).ok_or_else(malformed)
}

async fn fields(mut form: Multipart<'_>) -> multer::Result<Map<String, Value>> {
    let mut values = Map::new();
    while let Some(field) = form.next_field().await? {
        if field.file_name().is_none()
            && let Some(name) = field.name().map(str::to_owned)
        {
            values.insert(name, field.text().await?.into());
        }
    }
    Ok(values)
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

        let values = multipart(TYPE, &body.into()).expect("a form");

        assert_eq!(Value::Object(values), json!({"id": "lap\r\ntop"}));
    }

    #[test]
    fn what_is_no_form_is_refused() {
        assert!(multipart("multipart/form-data", &"--x".into()).is_err());
        assert!(multipart(TYPE, &"--x-y\r\nno end of the head".into()).is_err());
        let cut = "--x-y\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\nlap\r\n";
        assert!(multipart(TYPE, &cut.into()).is_err(), "the last boundary is missing");
        let value = b"--x-y\r\nContent-Disposition: form-data; name=\"id\"\r\n\r\n\xff\r\n--x-y--\r\n";
        assert!(multipart(TYPE, &Bytes::from_static(value)).is_err());
        assert!(multipart(TYPE, &Bytes::from_static(b"\xff")).is_err());
        assert!(urlencoded(b"\xff").is_err());
    }
}
