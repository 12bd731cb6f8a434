//! Warns, once a run, when client and controller speak different versions of the API.
//!
//! A mismatch is never more than a warning.

use std::sync::atomic::{AtomicBool, Ordering};

use api::API_VERSION;

use crate::terminal;

/// Compares the version that an answer names with ours and warns about the first mismatch.
pub fn check(server: &str, warned: &AtomicBool) {
    if !is_compatible(API_VERSION, server) && !warned.swap(true, Ordering::Relaxed) {
        terminal::complain(&format!(
            "!    WARNING: Client and server API versions do not match. Please consider upgrading.\n\
             !    Client version: {API_VERSION}\n\
             !    Server version: {server}\n"
        ));
    }
}

/// Same major version and at least our minor one, both as numbers.
fn is_compatible(client: &str, server: &str) -> bool {
    match (numbers(client), numbers(server)) {
        (Some((client_major, client_minor)), Some((major, minor))) => {
            major == client_major && minor >= client_minor
        }
        _ => false,
    }
}

fn numbers(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_minor_version_is_compatible_also_with_two_digits() {
        assert!(is_compatible("2.3", "2.3"));
        assert!(is_compatible("2.3", "2.10"));
    }

    #[test]
    fn an_older_another_or_an_unreadable_version_is_not() {
        for server in ["2.2", "3.3", "1.9", "", "2", "x.y"] {
            assert!(!is_compatible("2.3", server), "{server}");
        }
    }
}
