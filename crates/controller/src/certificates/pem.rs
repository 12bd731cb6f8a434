//! PEM as it is found in files: joined without line breaks, with byte order marks, indented, on one line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";
const LINE_CHARS: usize = 64;

/// Content between a BEGIN and its END.
pub(super) struct Section<'a> {
    pub(super) label: &'a str,
    body: &'a str,
}

/// A text that is not PEM. Nothing of the content is part of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum PemError {
    #[error("a line `-----BEGIN ...-----` is not whole")]
    Begin,
    #[error("a section has no line `-----END ...-----`: is the file whole?")]
    End,
    #[error("what stands between BEGIN and END is not base64")]
    Base64,
}

/// All sections in order; text around them is ignored.
pub(super) fn sections(text: &str) -> Result<Vec<Section<'_>>, PemError> {
    let mut sections = Vec::new();
    let mut rest = text;
    while let Some((_, begun)) = rest.split_once(BEGIN) {
        let (label, begun) = begun.split_once(DASHES).ok_or(PemError::Begin)?;
        if label.is_empty() || !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b' ') {
            return Err(PemError::Begin);
        }
        let (body, behind) = begun.split_once(&format!("-----END {label}-----")).ok_or(PemError::End)?;
        if body.contains(BEGIN) {
            return Err(PemError::End);
        }
        sections.push(Section { label, body });
        rest = behind;
    }
    Ok(sections)
}

impl Section<'_> {
    /// Returns true if the label or the first lines say that it is encrypted with a passphrase.
    pub(super) fn is_encrypted(&self) -> bool {
        self.label.starts_with("ENCRYPTED ") || self.body.contains("ENCRYPTED")
    }

    pub(super) fn der(&self) -> Result<Vec<u8>, PemError> {
        // Line breaks also as `\n`, which variables and YAML turn them into.
        let body: String = self.body.replace("\\n", "").replace("\\r", "");
        let body: String = body.chars().filter(|char| !char.is_whitespace() && *char != '\u{feff}').collect();
        STANDARD.decode(body).map_err(|_| PemError::Base64)
    }
}

/// A section as everybody reads it.
pub(super) fn written(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines = body.as_bytes().chunks(LINE_CHARS).map(|line| String::from_utf8_lossy(line) + "\n");
    format!("-----BEGIN {label}-----\n{}-----END {label}-----\n", lines.collect::<String>())
}
