//! Rules for new passwords. Existing passwords stay valid.

use std::str::FromStr;

use zxcvbn::{Score, zxcvbn};

/// Shortest password, in characters: NIST SP 800-63B, 5.1.1.2.
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Guesses are counted over this many characters: estimating takes longer the longer the password is, and one this
/// long is not found by guessing.
const ESTIMATED_CHARS_MAX: usize = 64;

/// The operator's rule for new passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PasswordPolicy {
    /// At least [`PASSWORD_CHARS_MIN`] characters, not the user's name or address, none of those tried first.
    #[default]
    On,
    /// Any, as the original platform takes them.
    Off,
}

impl FromStr for PasswordPolicy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            other => Err(format!("password policy `{other}` is unknown, use `on` or `off`")),
        }
    }
}

/// A password that was refused. The display text is the answer of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WeakPassword {
    #[error("This password is too short. It must contain at least {PASSWORD_CHARS_MIN} characters.")]
    Short,
    #[error("The password is too similar to the username or email address.")]
    Own,
    #[error("This password is too common: it is among the first that are tried. Choose a longer one.")]
    Common,
}

impl PasswordPolicy {
    /// Checks a new password of a user with this name and address.
    pub(crate) fn check(self, password: &str, username: &str, email: &str) -> Result<(), WeakPassword> {
        match self {
            Self::Off => Ok(()),
            Self::On => check(password, username, email),
        }
    }
}

fn check(password: &str, username: &str, email: &str) -> Result<(), WeakPassword> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(WeakPassword::Short);
    }
    let local = email.split('@').next().unwrap_or_default();
    let own = [username, email, local];
    let lowered = password.trim().to_lowercase();
    if own.iter().any(|own| is_own(&lowered, &own.to_lowercase())) {
        return Err(WeakPassword::Own);
    }
    // Words that an attacker of this platform tries too.
    let estimated: String = password.chars().take(ESTIMATED_CHARS_MAX).collect();
    let known = [username, email, local, "deis", "workflow", "hephy"];
    if zxcvbn(&estimated, &known).score() < Score::Two {
        return Err(WeakPassword::Common);
    }
    Ok(())
}

/// The name itself, forwards, backwards or several times.
fn is_own(password: &str, own: &str) -> bool {
    if own.is_empty() {
        return false;
    }
    let backwards: String = own.chars().rev().collect();
    [own, &backwards].iter().any(|own| password.replace(own, "").is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_is_short_own_or_common_is_refused_with_its_reason() {
        use WeakPassword::{Common, Own, Short};
        for (password, reason) in [
            ("s3cret", Short),
            ("äöüßäöü", Short),
            ("alice.liddell", Own),
            ("ALICE.Liddell", Own),
            ("lleddil.ecila", Own),
            ("alice.liddellalice.liddell", Own),
            ("white.rabbit", Own),
            ("password", Common),
            ("Password1", Common),
            ("p@ssw0rd", Common),
            ("12345678", Common),
            ("qwertyuiop", Common),
            ("aaaaaaaaaaaa", Common),
            ("letmein1", Common),
            ("iloveyou", Common),
            ("abcdefgh", Common),
            ("alice.liddell1", Common),
            ("deisdeis", Common),
        ] {
            let checked = check(password, "alice.liddell", "white.rabbit@example.com");
            assert_eq!(checked, Err(reason), "{password}");
        }
    }

    #[test]
    fn a_password_of_words_or_of_chance_is_fine() {
        for password in [
            "correct horse",
            "battery staple",
            "9f8e7d6c5b4a",
            "Tr0ub4dour&3xyz",
            "pelican-toaster",
            "ein gutes Wort",
        ] {
            assert_eq!(check(password, "alice", ""), Ok(()), "{password}");
        }
        assert_eq!(check(&"x9$ Qp".repeat(30), "alice", ""), Ok(()));
    }

    #[test]
    fn a_policy_that_is_off_takes_anything() {
        assert_eq!(PasswordPolicy::Off.check("x", "x", ""), Ok(()));
        assert!("maybe".parse::<PasswordPolicy>().expect_err("unknown").contains("`on` or `off`"));
    }
}
