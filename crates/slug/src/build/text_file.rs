//! Small text files of the source, as editors of any system write them.

use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::path::Path;

use crate::failure::{OrFailure, SlugError};

/// Longest of these files, in bytes.
const BYTES_MAX: u64 = 256 * 1024;

/// Reads a file at the root of the source, without a byte order mark; `None` where there is none.
///
/// # Errors
///
/// The file is too long, or no UTF-8: UTF-16 above all, which some editors of Windows write.
pub fn read(folder: &Path, name: &str) -> Result<Option<String>, SlugError> {
    let mut bytes = Vec::new();
    match File::open(folder.join(name)) {
        Ok(file) => file.take(BYTES_MAX + 1).read_to_end(&mut bytes).or_fail(format!("read {name}"))?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).or_fail(format!("read {name}")),
    };
    if bytes.len() as u64 > BYTES_MAX {
        return Err(SlugError::data(format!("{name} is longer than {} KB", BYTES_MAX / 1024)));
    }
    decoded(name, bytes).map(Some)
}

/// The text of a file, without a byte order mark.
pub fn decoded(name: &str, bytes: Vec<u8>) -> Result<String, SlugError> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(SlugError::data(format!("{name} is UTF-16: save it as plain text in UTF-8")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| SlugError::data(format!("{name} is not UTF-8: save it as plain text in UTF-8")))?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        assert_eq!(decoded("x", b"\xef\xbb\xbfa\r\n".to_vec()), Ok("a\r\n".to_owned()));
    }

    #[test]
    fn other_encodings_are_refused_by_name() {
        for bytes in [&b"\xff\xfea\0"[..], b"\xfe\xff\0a", b"\xe4"] {
            let failure = decoded(".buildpacks", bytes.to_vec()).expect_err("it is no UTF-8");
            assert!(failure.message.starts_with(".buildpacks is "), "{}", failure.message);
        }
    }
}
