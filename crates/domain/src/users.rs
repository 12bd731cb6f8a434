//! Users: valid names and addresses, and the rules of registration.

use std::str::FromStr;

/// Longest username, in characters.
pub const USERNAME_LENGTH_MAX: usize = 150;
/// Longest password, in characters.
pub const PASSWORD_LENGTH_MAX: usize = 128;
/// Longest email address, in characters.
pub const EMAIL_LENGTH_MAX: usize = 254;
/// Longest first or last name, in characters.
pub const REAL_NAME_LENGTH_MAX: usize = 30;

/// An invalid username or address. The display text is the answer of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    #[error(
        "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters."
    )]
    Username,
    #[error("Enter a valid email address.")]
    Email,
}

/// Checks a username: letters and digits of any script, and `@ . + - _`.
pub fn check_username(username: &str) -> Result<(), UserError> {
    let is_fine = |char: char| char.is_alphanumeric() || "@.+-_".contains(char);
    if !username.is_empty() && username.chars().all(is_fine) { Ok(()) } else { Err(UserError::Username) }
}

/// Checks an email address: an unquoted local part, and a domain with a dot or `localhost`.
pub fn check_email(email: &str) -> Result<(), UserError> {
    let Some((local, domain)) = email.rsplit_once('@') else { return Err(UserError::Email) };
    let is_fine = |char: char| char.is_alphanumeric() || "!#$%&'*+/=?^_`{}|~-".contains(char);
    let local_is_fine = local.split('.').all(|atom| !atom.is_empty() && atom.chars().all(is_fine));
    let domain_is_fine = domain == "localhost" || (domain.contains('.') && domain.split('.').all(is_label));
    if local_is_fine && domain_is_fine { Ok(()) } else { Err(UserError::Email) }
}

fn is_label(label: &str) -> bool {
    let characters = label.chars().all(|char| char.is_alphanumeric() || char == '-');
    (1..=63).contains(&label.len()) && characters && !label.starts_with('-') && !label.ends_with('-')
}

/// Users that may register (docs/spec/api.md 4.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegistrationMode {
    /// Anyone.
    Enabled,
    /// Anyone while there is no administrator, then administrators only.
    #[default]
    AdminOnly,
    /// Nobody.
    Disabled,
}

impl FromStr for RegistrationMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "enabled" => Ok(Self::Enabled),
            "admin_only" => Ok(Self::AdminOnly),
            "disabled" => Ok(Self::Disabled),
            other => Err(format!(
                "registration mode `{other}` is unknown, use `enabled`, `admin_only` or `disabled`"
            )),
        }
    }
}

/// On what condition a user is added. It holds in the very write that adds the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddCondition {
    /// In any case.
    Anyhow,
    /// Only while nobody is an administrator.
    OnlyAsFirst,
}

/// A registration that was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    #[error("Registration is disabled")]
    Disabled,
    #[error("Authentication credentials were not provided.")]
    Anonymous,
    #[error("You do not have permission to perform this action.")]
    NoAdmin,
}

/// The caller of a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registrar {
    Anonymous,
    User,
    Admin,
}

/// Decides whether a registration may be tried; `has_admin` is true if there is an administrator.
///
/// # Errors
///
/// [`RegistrationError::Disabled`], or in mode [`RegistrationMode::AdminOnly`] [`RegistrationError::Anonymous`]
/// and [`RegistrationError::NoAdmin`].
pub fn registration(
    mode: RegistrationMode,
    registrar: Registrar,
    has_admin: bool,
) -> Result<AddCondition, RegistrationError> {
    match (mode, registrar) {
        (RegistrationMode::Disabled, _) => Err(RegistrationError::Disabled),
        (RegistrationMode::Enabled, _) | (RegistrationMode::AdminOnly, Registrar::Admin) => {
            Ok(AddCondition::Anyhow)
        }
        (RegistrationMode::AdminOnly, _) if !has_admin => Ok(AddCondition::OnlyAsFirst),
        (RegistrationMode::AdminOnly, Registrar::Anonymous) => Err(RegistrationError::Anonymous),
        (RegistrationMode::AdminOnly, Registrar::User) => Err(RegistrationError::NoAdmin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_username_has_letters_of_any_script_digits_and_five_signs() {
        for good in ["alice", "a.b@c+d-e_f", "jürgen", "42"] {
            assert_eq!(check_username(good), Ok(()), "{good:?}");
        }
        for bad in ["", "a b", "a/b", "a\nb", "a:b", "<a>"] {
            assert_eq!(check_username(bad), Err(UserError::Username), "{bad:?}");
        }
    }

    #[test]
    fn an_email_address_has_a_local_part_and_a_domain() {
        for good in ["a@x.io", "a.b+c@sub.example.com", "root@localhost", "ä@bücher.de"] {
            assert_eq!(check_email(good), Ok(()), "{good:?}");
        }
        for bad in ["", "a", "@x.io", "a@", "a@x", "a@@x.io", "a b@x.io", "a@-x.io", "a..b@x.io", "a@x..io"] {
            assert_eq!(check_email(bad), Err(UserError::Email), "{bad:?}");
        }
    }

    #[test]
    fn registration_follows_the_mode_and_lets_the_first_user_in() {
        use Registrar::{Admin, Anonymous, User};
        use RegistrationMode::{AdminOnly, Disabled, Enabled};

        for registrar in [Anonymous, User, Admin] {
            assert_eq!(registration(Enabled, registrar, true), Ok(AddCondition::Anyhow));
            for has_admin in [false, true] {
                assert_eq!(registration(Disabled, registrar, has_admin), Err(RegistrationError::Disabled));
            }
        }
        assert_eq!(registration(AdminOnly, Anonymous, false), Ok(AddCondition::OnlyAsFirst));
        assert_eq!(registration(AdminOnly, User, false), Ok(AddCondition::OnlyAsFirst));
        assert_eq!(registration(AdminOnly, Admin, true), Ok(AddCondition::Anyhow));
        assert_eq!(registration(AdminOnly, Anonymous, true), Err(RegistrationError::Anonymous));
        assert_eq!(registration(AdminOnly, User, true), Err(RegistrationError::NoAdmin));
    }

    #[test]
    fn a_registration_mode_that_is_unknown_is_refused_by_name() {
        assert_eq!("admin_only".parse(), Ok(RegistrationMode::AdminOnly));
        let refused = "open".parse::<RegistrationMode>().expect_err("there is no such mode");
        assert!(refused.contains("`open`") && refused.contains("admin_only"), "{refused}");
    }
}
