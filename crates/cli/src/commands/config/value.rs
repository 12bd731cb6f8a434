//! `KEY=value` words, as users type them and files hold them.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::failure::{CommandResult, Failure};

/// The values that the words set; a word that begins with `#` is a comment.
pub fn parse_all(words: &[String]) -> CommandResult<BTreeMap<String, String>> {
    words.iter().filter(|word| !word.starts_with('#')).map(|word| parse(word)).collect()
}

fn parse(word: &str) -> CommandResult<(String, String)> {
    let wrong = || Failure::new(format!("'{word}' does not match the pattern 'key=var', ex: MODE=test\n"));
    let (key, value) = word.split_once('=').filter(|(key, _)| is_key(key)).ok_or_else(wrong)?;
    let value = if key == "SSH_KEY" { encoded_ssh_key(value)? } else { value.to_owned() };
    Ok((key.to_owned(), value))
}

pub fn is_key(text: &str) -> bool {
    let starts_well = text.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts_well && text.chars().all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
}

/// The base64 of a private key that is given as its text, as its base64, or as the path of its file.
fn encoded_ssh_key(value: &str) -> CommandResult<String> {
    if is_private_key(value) {
        return Ok(STANDARD.encode(value));
    }
    let decoded = STANDARD.decode(value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if decoded.is_some_and(|text| is_private_key(&text)) {
        return Ok(value.to_owned());
    }
    match std::fs::read_to_string(value) {
        Ok(text) if is_private_key(&text) => Ok(STANDARD.encode(text)),
        _ => Err(Failure::new(format!("Could not parse SSH private key:\n {value}"))),
    }
}

fn is_private_key(text: &str) -> bool {
    ["DSA", "RSA", "EC", "OPENSSH"]
        .iter()
        .any(|kind| text.contains(&format!("-----BEGIN {kind} PRIVATE KEY-----")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(word: &str) -> Option<(String, String)> {
        parse(word).ok()
    }

    #[test]
    fn a_value_may_be_anything() {
        for value in ["", "a=b", "two words", "line\nline", "ü", "-x"] {
            assert_eq!(parsed(&format!("KEY_1={value}")), Some(("KEY_1".to_owned(), value.to_owned())));
        }
    }

    #[test]
    fn a_key_is_a_name_of_a_variable() {
        for word in ["bad", "=x", "1A=x", "A-B=x", "A B=x", "[=x", "ü=x"] {
            assert_eq!(parsed(word), None, "{word}");
        }
        assert!(parsed("_a=x").is_some());
    }

    #[test]
    fn comments_are_skipped() {
        let words = ["#A=1".to_owned(), "B=2".to_owned()];
        assert_eq!(parse_all(&words).unwrap().into_keys().collect::<Vec<_>>(), ["B"]);
    }

    #[test]
    fn an_ssh_key_is_sent_as_base64_however_it_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("id");
        let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nx\n-----END OPENSSH PRIVATE KEY-----\n";
        std::fs::write(&file, key).unwrap();
        let encoded = STANDARD.encode(key);
        for value in [key, &encoded, file.to_str().unwrap()] {
            assert_eq!(encoded_ssh_key(value).unwrap(), encoded);
        }
        assert!(encoded_ssh_key("nonsense").is_err());
    }
}
