//! Failures of commands, in the words for users.

use std::fmt;

use api::client::ClientError;
use serde_json::Value;

pub type CommandResult<T = ()> = Result<T, Failure>;

/// End of a command that does not succeed.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    /// `Error: <text>` on stderr and exit code 1; `lead` comes right before.
    Message { lead: &'static str, text: String },
    /// The call itself is wrong, for this reason: the usage line follows.
    WrongCall(&'static str),
    /// All output is written; exit with this code.
    Exit(u8),
}

impl Failure {
    pub fn new(text: impl Into<String>) -> Self {
        Self::Message { lead: "", text: text.into() }
    }

    /// Puts words before `Error:`.
    pub fn led_by(self, lead: &'static str) -> Self {
        match self {
            Self::Message { text, .. } => Self::Message { lead, text },
            other => other,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Message { lead, text } => write!(f, "{lead}Error: {text}"),
            Self::WrongCall(reason) => f.write_str(reason),
            Self::Exit(code) => write!(f, "exit code {code}"),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::new(match error {
            ClientError::Status { status, body } => status_text(status, &body),
            ClientError::Redirected { location } => {
                let target = location.split("/v2").next().unwrap_or(&location);
                format!("the controller redirects to {location}; log in there: deis login {target}")
            }
            error @ ClientError::Untrusted { .. } => format!(
                "{error}.\nIf you know that it is your platform's, log in with --ssl-verify=false, or have this machine trust \
                 the authority that signed it"
            ),
            other => other.to_string(),
        })
    }
}

/// Message for an error response (docs/spec/cli.md 6).
fn status_text(status: u16, body: &str) -> String {
    match status {
        400 | 409 | 422 => refusal_text(status, body),
        401 => "Unauthorized: Missing or Invalid Token".to_owned(),
        403 => "You do not have permission to perform this action.".to_owned(),
        404 if body.is_empty() => "Not Found".to_owned(),
        // A bare JSON string stays as it comes: scripts look for its quotes.
        404 => detail(body).unwrap_or_else(|| body.to_owned()),
        405 => "Method Not Allowed".to_owned(),
        500 => "Internal Server Error".to_owned(),
        // The body has the reason and the fix.
        _ => serde_json::from_str(body)
            .ok()
            .and_then(|answer| sentences(&answer))
            .unwrap_or_else(|| unknown(status, body)),
    }
}

/// Message for responses whose body has the reason.
fn refusal_text(status: u16, body: &str) -> String {
    let answer: Value = match serde_json::from_str(body) {
        Ok(answer) => answer,
        Err(error) => return unknown(status, &format!("error decoding json response ({error}): {body}")),
    };
    let detail = answer.get("detail").and_then(Value::as_str);
    match (status, detail) {
        (400, _) => {
            let known = known_refusal(&answer).or_else(|| over_a_bound(&answer));
            known.or_else(|| sentences(&answer)).unwrap_or_else(|| unknown(status, body))
        }
        (409, Some(detail)) if detail.contains(STILL_OWNS) => {
            "Failed to delete user because the user still has applications assigned. Delete or transfer \
             ownership of them first"
                .to_owned()
        }
        (422, Some(detail)) => format!("Unable to process your request: {detail}"),
        _ => sentences(&answer).unwrap_or_else(|| unknown(status, body)),
    }
}

/// Fields within fields that are read.
const DEPTH_MAX: usize = 4;

/// The texts of a response, without the JSON around them; `None` if it contains anything but texts.
fn sentences(answer: &Value) -> Option<String> {
    let mut lines = Vec::new();
    add_sentences(answer, "", DEPTH_MAX, &mut lines)?;
    (!lines.is_empty()).then(|| lines.join("\n"))
}

/// Adds a line for each text, after the name of its field.
fn add_sentences(value: &Value, field: &str, depth: usize, lines: &mut Vec<String>) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    match value {
        Value::String(text) if field.is_empty() => lines.push(text.clone()),
        Value::String(text) => lines.push(format!("{field}: {text}")),
        Value::Array(entries) => {
            entries.iter().try_for_each(|entry| add_sentences(entry, field, depth, lines))?;
        }
        Value::Object(entries) => {
            for (name, entry) in entries {
                let is_whole = ["detail", "non_field_errors"].contains(&name.as_str());
                let name = match (is_whole, field) {
                    (true, _) => field.to_owned(),
                    (false, "") => name.clone(),
                    (false, field) => format!("{field}.{name}"),
                };
                add_sentences(entry, &name, depth, lines)?;
            }
        }
        _ => return None,
    }
    Some(())
}

/// The `detail` of a response.
fn detail(body: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(body).ok()?;
    answer.get("detail")?.as_str().map(str::to_owned)
}

fn unknown(status: u16, body: &str) -> String {
    format!("Unknown Error ({status}): {}", body.replace("\\n", "\n"))
}

fn known_refusal(answer: &Value) -> Option<String> {
    KNOWN.iter().find_map(|known| {
        let said = known.text_in(answer)?;
        Some(if known.is_shown { said } else { known.meaning.unwrap_or(known.text) }.to_owned())
    })
}

/// The text of a response about a field that is too large.
fn over_a_bound(answer: &Value) -> Option<String> {
    let fields = answer.as_object()?.values();
    let mut texts = fields.filter_map(Value::as_array).flatten().filter_map(Value::as_str);
    texts.find(|text| text.contains("(64 KiB) are kept")).map(str::to_owned)
}

/// A text of the controller's that has a meaning of its own.
struct TranslatedText {
    field: &'static str,
    text: &'static str,
    /// Message for the user; the text itself if absent.
    meaning: Option<&'static str>,
    /// Matches a part of an entry.
    partly: bool,
    /// Shows the whole entry, which contains the reason.
    is_shown: bool,
}

impl TranslatedText {
    /// The entry of the answer that is meant.
    fn text_in<'a>(&self, answer: &'a Value) -> Option<&'a str> {
        let fits = |entry: &&str| *entry == self.text || (self.partly && entry.contains(self.text));
        match answer.get(self.field)? {
            Value::Array(entries) => entries.iter().filter_map(Value::as_str).find(fits),
            Value::String(entry) if self.field == "detail" => Some(entry.as_str()).filter(fits),
            _ => None,
        }
    }
}

const STILL_OWNS: &str = "still has applications assigned. Delete or transfer ownership";
const BLANK: &str = "This field may not be blank.";
const USERNAME: &str =
    "Enter a valid username. This value may contain only letters, numbers and @/./+/-/_ characters.";
const USERNAME_WITH_COMMA: &str =
    "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters.";
const CERT_NAME: &str = "Can only contain a-z (lowercase), 0-9 and hyphens";
const CERT_TAKEN: &str = "certificate with this name already exists.";
const CERT_NAME_MEANING: &str = "Name can only contain a-z (lowercase), 0-9 and hyphens";

/// In the order in which they are tried.
const KNOWN: &[TranslatedText] = &[
    means("username", BLANK, USERNAME),
    same("username", USERNAME),
    means("username", USERNAME_WITH_COMMA, USERNAME),
    same("username", "A user with that username already exists."),
    means("password", BLANK, "A Password is required"),
    same("non_field_errors", "Unable to log in with provided credentials."),
    same("id", "App name can only contain a-z (lowercase), 0-9 and hyphens"),
    same("id", "Application with this id already exists."),
    means("key", BLANK, "A key is required"),
    same("key", "Public Key is already in use"),
    same("key", "Certificate and private key do not match!"),
    means("public", BLANK, "A key is required"),
    means("public", "Key contains invalid base64 chars", "A key is required"),
    partly("certificate", BLANK, "Could not load certificate"),
    shown("certificate", "Could not load certificate"),
    // Behind the certificate: where both are wrong, they are swapped or the first one is none at all.
    shown("key", "Could not load private key"),
    means("name", BLANK, CERT_NAME_MEANING),
    means("name", CERT_TAKEN, "A certificate with this name already exists."),
    means("name", CERT_NAME, CERT_NAME_MEANING),
    same("domain", "Hostname does not look valid."),
    same("domain", "Domain is already in use by another application"),
    means("image", BLANK, "The given image is invalid"),
    means("id", BLANK, "An id is required"),
    same("email", "Enter a valid email address."),
    partly("detail", "does not exist in application", "Pod not found in application"),
    partly("detail", "version cannot be below 0", "The given version is invalid"),
    partly("detail", "No nodes matched the provided labels", "No nodes matched the provided labels"),
];

const fn same(field: &'static str, text: &'static str) -> TranslatedText {
    TranslatedText { field, text, meaning: None, partly: false, is_shown: false }
}

const fn means(field: &'static str, text: &'static str, meaning: &'static str) -> TranslatedText {
    TranslatedText { field, text, meaning: Some(meaning), partly: false, is_shown: false }
}

const fn partly(field: &'static str, text: &'static str, meaning: &'static str) -> TranslatedText {
    TranslatedText { field, text, meaning: Some(meaning), partly: true, is_shown: false }
}

const fn shown(field: &'static str, text: &'static str) -> TranslatedText {
    TranslatedText { field, text, meaning: None, partly: true, is_shown: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_refusals_have_their_own_words() {
        for (body, text) in [
            (r#"{"username":["This field may not be blank."]}"#, USERNAME),
            (r#"{"password":["This field may not be blank."]}"#, "A Password is required"),
            (
                r#"{"key":["Certificate and private key do not match!"]}"#,
                "Certificate and private key do not match!",
            ),
            (r#"{"key":["Could not load private key: x"]}"#, "Could not load private key: x"),
            (
                r#"{"id":["Application with this id already exists."]}"#,
                "Application with this id already exists.",
            ),
            (r#"{"id":["This field may not be blank."]}"#, "An id is required"),
            (r#"{"public":["Key contains invalid base64 chars"]}"#, "A key is required"),
            (r#"{"certificate":["Could not load certificate: bad"]}"#, "Could not load certificate: bad"),
            (
                r#"{"key":["Could not load private key: x"],"certificate":["Could not load certificate: y"]}"#,
                "Could not load certificate: y",
            ),
            (r#"{"detail":"Container x does not exist in application"}"#, "Pod not found in application"),
            (r#"{"detail":"the version cannot be below 0"}"#, "The given version is invalid"),
        ] {
            assert_eq!(status_text(400, body), text, "{body}");
        }
    }

    #[test]
    fn entries_of_a_list_must_match_as_a_whole() {
        let body = r#"{"domain":["x Hostname does not look valid."]}"#;
        assert_eq!(status_text(400, body), "domain: x Hostname does not look valid.");
    }

    #[test]
    fn what_a_controller_says_is_shown_as_sentences_and_never_as_json() {
        for status in [400, 409, 413, 418, 503] {
            for (body, text) in [
                (r#"{"detail":"a\nb"}"#, "a\nb"),
                (
                    r#"{"name":["This field is required.","Too long."]}"#,
                    "name: This field is required.\nname: Too long.",
                ),
                (r#"{"non_field_errors":["No."],"key":["Bad."]}"#, "No.\nkey: Bad."),
                (r#"["One.","Two."]"#, "One.\nTwo."),
                (r#""Only this.""#, "Only this."),
                (r#"{"values":{"A":["Bad."]}}"#, "values.A: Bad."),
            ] {
                assert_eq!(status_text(status, body), text, "{status} {body}");
            }
        }
        assert_eq!(status_text(404, r#"{"detail":"No such page."}"#), "No such page.");
    }

    #[test]
    fn an_answer_without_sentences_is_shown_with_real_line_breaks() {
        for body in ["{}", "[]", "{\"a\":1}", "[[[[[\"deep\"]]]]]"] {
            assert_eq!(status_text(400, body), format!("Unknown Error (400): {body}"));
        }
        assert_eq!(status_text(502, "a\\nb"), "Unknown Error (502): a\nb");
        assert!(status_text(409, "<html>").starts_with("Unknown Error (409): error decoding json response"));
        assert_eq!(status_text(503, "busy"), "Unknown Error (503): busy");
    }

    #[test]
    fn a_missing_object_shows_the_bare_text_of_the_controller() {
        let body = r#""No App matches the given query.""#;
        assert_eq!(status_text(404, body), body);
        assert_eq!(status_text(404, ""), "Not Found");
    }

    #[test]
    fn statuses_without_a_body_of_use_have_fixed_words() {
        assert_eq!(status_text(401, "x"), "Unauthorized: Missing or Invalid Token");
        assert_eq!(status_text(403, "x"), "You do not have permission to perform this action.");
        assert_eq!(status_text(405, "x"), "Method Not Allowed");
        assert_eq!(status_text(429, r#"{"detail":"Too many failed logins"}"#), "Too many failed logins");
        assert_eq!(status_text(500, "x"), "Internal Server Error");
        assert_eq!(
            status_text(422, r#"{"detail":"A does not exist"}"#),
            "Unable to process your request: A does not exist"
        );
    }

    #[test]
    fn errors_of_the_platform_and_a_config_over_the_bound_are_shown_in_its_own_words() {
        for status in [413, 503, 507] {
            assert_eq!(status_text(status, r#"{"detail":"The disk is full."}"#), "The disk is full.");
        }
        let text = "The app's config would be 70000 bytes, but at most 65536 (64 KiB) are kept. Unset some";
        assert_eq!(status_text(400, &format!(r#"{{"values":["{text}"]}}"#)), text);
    }

    #[test]
    fn a_redirected_write_says_where_to_log_in() {
        let location = "https://deis.example.com/v2/apps/".to_owned();
        let failure = Failure::from(ClientError::Redirected { location });
        assert!(failure.to_string().ends_with("deis login https://deis.example.com"));
    }
}
