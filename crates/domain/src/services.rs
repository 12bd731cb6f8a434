//! Services: paths of an app that go to another process type than the rest (api.md 4.19).

use regex_lite::Regex;

use crate::names::{NameError, ProcessType};

/// Longest text of all patterns of a service, in characters.
pub const PATTERN_LENGTH_MAX: usize = 4096;
/// What may stand before a pattern, apart by a blank, as in a `location` of nginx.
const MODIFIERS: [&str; 4] = ["=", "~", "~*", "^~"];

/// Why a service is refused. The display text is what the API answers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    #[error(transparent)]
    Type(#[from] NameError),
    #[error("Service value should be valid regex (or set of regex split by comma)")]
    Pattern,
}

/// Reads the process type of a service and checks its patterns, which are joined by commas.
pub fn parse(procfile_type: &str, path_pattern: &str) -> Result<ProcessType, ServiceError> {
    let process = ProcessType::parse(procfile_type)?;
    let is_well = path_pattern.chars().count() <= PATTERN_LENGTH_MAX
        && path_pattern.split(',').all(|pattern| is_pattern(pattern.trim()));
    if is_well { Ok(process) } else { Err(ServiceError::Pattern) }
}

fn is_pattern(text: &str) -> bool {
    let pattern = match text.split_once(char::is_whitespace) {
        Some((modifier, rest)) if MODIFIERS.contains(&modifier) => rest.trim_start(),
        _ if MODIFIERS.contains(&text) => "",
        _ => text,
    };
    !pattern.is_empty() && !pattern.contains(char::is_control) && Regex::new(pattern).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_an_expression_or_several_with_nginx_modifiers() {
        for good in ["/hook", "/a,/b/.*", "~ ^/x/", "~* \\.png$", "^~ /static, = /exact", "/v[12]/(a|b)"] {
            assert!(parse("webhooks", good).is_ok(), "{good}");
        }
        for bad in ["", " ", "/a,", ",/a", "/a(", "~ ", "/a\n}", &"x".repeat(PATTERN_LENGTH_MAX + 1)] {
            assert_eq!(parse("webhooks", bad), Err(ServiceError::Pattern), "{bad}");
        }
        assert_eq!(parse("Web Hooks", "/a"), Err(ServiceError::Type(NameError::ProcessType)));
    }
}
