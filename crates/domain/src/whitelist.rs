//! Whitelist: the addresses and networks that may reach an app (docs/spec/api.md 4.16 and 4.17).

use crate::networks::Network;

/// Longest entry, in characters.
const ADDRESS_LENGTH_MAX: usize = 50;
/// Most entries of one app; each request is compared with all of them.
pub const ADDRESSES_MAX: usize = 1000;

/// An entry or a list that was refused. The display text is the answer of the API.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhitelistError {
    #[error("The address {0} is not valid")]
    NotAnAddress(String),
    #[error("Ensure this field has no more than {ADDRESS_LENGTH_MAX} characters.")]
    TooLong,
    #[error("A whitelist can hold no more than {ADDRESSES_MAX} addresses.")]
    TooMany,
    #[error("addresses {{{}}} does not exist in whitelist", quoted(.0))]
    NotListed(Vec<String>),
}

/// Checks one entry: an address (`10.1.2.3`), a network or an address within one (`10.1.2.3/8`).
///
/// # Errors
///
/// [`WhitelistError::TooLong`] or [`WhitelistError::NotAnAddress`].
pub fn check_address(text: &str) -> Result<(), WhitelistError> {
    if text.chars().count() > ADDRESS_LENGTH_MAX {
        return Err(WhitelistError::TooLong);
    }
    Network::parse(text).map(drop).ok_or_else(|| WhitelistError::NotAnAddress(text.to_owned()))
}

/// A list without repetitions, in the order of first mention.
///
/// # Errors
///
/// [`WhitelistError::TooMany`] above [`ADDRESSES_MAX`].
pub fn distinct(addresses: impl IntoIterator<Item = String>) -> Result<Vec<String>, WhitelistError> {
    let mut list: Vec<String> = Vec::new();
    for address in addresses {
        if !list.contains(&address) {
            list.push(address);
        }
        if list.len() > ADDRESSES_MAX {
            return Err(WhitelistError::TooMany);
        }
    }
    Ok(list)
}

/// `list` without `gone`.
///
/// # Errors
///
/// [`WhitelistError::NotListed`] with those of `gone` that are not on the list.
pub fn without(list: &[String], gone: &[String]) -> Result<Vec<String>, WhitelistError> {
    let unknown: Vec<_> = gone.iter().filter(|address| !list.contains(address)).cloned().collect();
    if !unknown.is_empty() {
        return Err(WhitelistError::NotListed(unknown));
    }
    Ok(list.iter().filter(|address| !gone.contains(address)).cloned().collect())
}

fn quoted(addresses: &[String]) -> String {
    let quoted: Vec<_> = addresses.iter().map(|address| format!("'{address}'")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_an_address_or_a_network() {
        for good in ["10.1.2.3", "10.1.2.3/8", "0.0.0.0/0", "fd00::1", "fd00::/8", "::ffff:10.0.0.1/128"] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.4/33",
            "1.2.3.4/",
            "1.2.3.4/x",
            "1.2.3.4/+8",
            "host",
            " 1.2.3.4",
        ] {
            let wanted = format!("The address {bad} is not valid");
            assert_eq!(check_address(bad).map_err(|error| error.to_string()), Err(wanted));
        }
        assert_eq!(check_address(&"1".repeat(51)), Err(WhitelistError::TooLong));
    }

    #[test]
    fn a_list_holds_each_entry_once_and_not_too_many() {
        let list = ["b", "a", "b"].map(str::to_owned);
        assert_eq!(distinct(list), Ok(vec!["b".to_owned(), "a".to_owned()]));
        assert_eq!(distinct((0..2000).map(|number| number.to_string())), Err(WhitelistError::TooMany));
    }

    #[test]
    fn only_what_is_listed_can_be_taken_off() {
        let list = ["a", "b"].map(str::to_owned);

        assert_eq!(without(&list, &["b".to_owned()]), Ok(vec!["a".to_owned()]));
        let refused = without(&list, &["a".to_owned(), "9.9.9.9".to_owned()]).expect_err("not listed");
        assert_eq!(refused.to_string(), "addresses {'9.9.9.9'} does not exist in whitelist");
    }
}
