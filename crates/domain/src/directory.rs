//! Users of a directory (LDAP): the search for one, and the stored part of the entry (docs/spec/api.md 4.2).

use std::collections::BTreeMap;

use crate::users::{
    EMAIL_LENGTH_MAX, REAL_NAME_LENGTH_MAX, USERNAME_LENGTH_MAX, check_email, check_username,
};

/// Stored in place of a password hash, and matching no password: the directory has the password.
pub const NO_PASSWORD: &str = "!";

/// Attributes that are read besides the one with the name.
pub const ATTRIBUTES: [&str; 3] = ["givenName", "sn", "mail"];

/// A user's entry in the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    pub username: String,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
}

/// A directory entry that cannot become a user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PersonError {
    #[error("the name that was typed is not in its attribute `{attribute}` as it was typed")]
    Nameless { attribute: String },
    #[error("`{name}` is no username here: it may hold only letters, numbers and @/./+/-/_, at most 150")]
    Name { name: String },
}

/// Returns true for a valid attribute name (RFC 4512, without options).
pub fn is_attribute(name: &str) -> bool {
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic());
    starts_well && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The filter that finds the user. What was typed is a value and nothing else (RFC 4515).
pub fn user_filter(attribute: &str, username: &str) -> String {
    let mut value = String::new();
    for char in username.chars() {
        match char {
            '\\' | '*' | '(' | ')' | '\0' => value.push_str(&format!("\\{:02x}", char as u32)),
            _ => value.push(char),
        }
    }
    format!("({attribute}={value})")
}

/// Reads the entry that was found for `typed`. The name is spelled as in the directory. Only the case of letters
/// may differ, though directories match more than that: guesses are counted by the typed name. Values that do not
/// fit the platform's records are shortened or left out.
///
/// # Errors
///
/// [`PersonError::Nameless`] where the attribute does not have the typed name, [`PersonError::Name`] where that
/// cannot be a username.
pub fn person(
    attribute: &str,
    typed: &str,
    attributes: &BTreeMap<String, Vec<String>>,
) -> Result<Person, PersonError> {
    let values = |name: &str| {
        let found = attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map_or(&[][..], |(_, values)| values.as_slice())
    };
    let first = |name: &str| values(name).first().map(|value| value.trim()).unwrap_or_default();
    let typed = typed.to_lowercase();
    let name = values(attribute).iter().find(|value| value.to_lowercase() == typed);
    let name = name.ok_or_else(|| PersonError::Nameless { attribute: attribute.to_owned() })?;
    if check_username(name).is_err() || name.chars().count() > USERNAME_LENGTH_MAX {
        return Err(PersonError::Name { name: name.chars().take(USERNAME_LENGTH_MAX).collect() });
    }
    let email = Some(first("mail"))
        .filter(|mail| check_email(mail).is_ok() && mail.chars().count() <= EMAIL_LENGTH_MAX);
    Ok(Person {
        username: name.clone(),
        first_name: real_name(first("givenName")),
        last_name: real_name(first("sn")),
        email: email.unwrap_or_default().to_owned(),
    })
}

fn real_name(text: &str) -> String {
    text.chars().filter(|char| !char.is_control()).take(REAL_NAME_LENGTH_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(attributes: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
        let owned = |values: &&[&str]| values.iter().map(|value| (*value).to_owned()).collect();
        attributes.iter().map(|(name, values)| ((*name).to_owned(), owned(values))).collect()
    }

    fn named(attributes: &[(&str, &[&str])], typed: &str) -> Result<String, PersonError> {
        person("uid", typed, &entry(attributes)).map(|person| person.username)
    }

    #[test]
    fn what_is_typed_stays_a_value_of_the_filter() {
        assert_eq!(user_filter("uid", "alice"), "(uid=alice)");
        assert_eq!(user_filter("uid", "jürgen"), "(uid=jürgen)");
        assert_eq!(user_filter("uid", "*"), r"(uid=\2a)");
        assert_eq!(user_filter("uid", r"a)(|(uid=*\"), r"(uid=a\29\28|\28uid=\2a\5c)");
        assert_eq!(user_filter("uid", "a\0b"), r"(uid=a\00b)");
    }

    #[test]
    fn an_attribute_is_a_name_and_no_part_of_a_filter() {
        for good in ["uid", "sAMAccountName", "x-login"] {
            assert!(is_attribute(good), "{good}");
        }
        for bad in ["", "1", "uid=", "(uid", "uid;x", "u id", "1.2.3"] {
            assert!(!is_attribute(bad), "{bad}");
        }
    }

    #[test]
    fn an_entry_gives_name_address_and_real_name() {
        let found = entry(&[
            ("UID", &["Alice"]),
            ("givenname", &["Alice"]),
            ("sn", &["An Overlong Family Name of Many Letters"]),
            ("mail", &["alice@example.com", "a@example.com"]),
        ]);

        let person = person("uid", "alice", &found).expect("a user");

        assert_eq!((person.username.as_str(), person.first_name.as_str()), ("Alice", "Alice"));
        assert_eq!(person.last_name, "An Overlong Family Name of Man");
        assert_eq!(person.email, "alice@example.com");
    }

    #[test]
    fn a_name_must_be_one_and_fit_the_platform() {
        assert_eq!(named(&[("uid", &["root", "alice"])], "ALICE"), Ok("alice".to_owned()));
        for (values, typed) in [(&["root", "alice"][..], "bob"), (&[], "bob"), (&["bob"], "ｂob")] {
            assert!(matches!(named(&[("uid", values)], typed), Err(PersonError::Nameless { .. })));
        }
        assert!(matches!(named(&[("uid", &["a b"])], "a b"), Err(PersonError::Name { .. })));
        let long = "x".repeat(151);
        assert!(matches!(named(&[("uid", &[&long])], &long), Err(PersonError::Name { .. })));
    }

    #[test]
    fn what_is_no_address_is_left_out() {
        let found = entry(&[("uid", &["alice"]), ("mail", &["not an address"])]);

        assert_eq!(person("uid", "alice", &found).map(|person| person.email), Ok(String::new()));
    }
}
