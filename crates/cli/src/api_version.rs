//! Warns, once a run, when client and controller speak different versions of the API.
//!
//! A mismatch is never more than a warning.

use std::sync::atomic::{AtomicBool, Ordering};

use api::API_VERSION;

use crate::terminal;

/// Compares the version that an answer names with ours and warns about the first mismatch.
pub fn check(server: &str, warned: &AtomicBool) {
    let Some(advice) = advice(API_VERSION, server) else { return };
    if !warned.swap(true, Ordering::Relaxed) {
        terminal::complain(&format!(
            "!    WARNING: Client and server API versions do not match. Please consider upgrading.\n\
             !    Client version: {API_VERSION}\n\
             !    Server version: {server}\n\
             !    {advice}\n"
        ));
    }
}

/// Advice for the server's version; `None` for a compatible one: the same major version and at least the client's
/// minor version, both compared as numbers.
fn advice(client: &str, server: &str) -> Option<&'static str> {
    let (Some((client_major, client_minor)), Some((major, minor))) = (numbers(client), numbers(server))
    else {
        return Some("The server names no version that can be read. Is it a Deis controller?");
    };
    if major > client_major {
        return Some("The server is newer: upgrade this client.");
    }
    let is_older = major < client_major || minor < client_minor;
    is_older.then_some("The server is older: have it upgraded. What it does not know yet may fail.")
}

fn numbers(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_newer_minor_version_is_good_also_with_two_digits() {
        for server in ["2.3", "2.4", "2.10", "2.3.1"] {
            assert_eq!(advice("2.3", server), None, "{server}");
        }
    }

    #[test]
    fn advice_says_which_side_to_upgrade() {
        for (server, word) in [
            ("2.2", "older"),
            ("1.9", "older"),
            ("3.0", "newer"),
            ("10.0", "newer"),
            ("", "names no version"),
            ("2", "names no version"),
            ("x.y", "names no version"),
        ] {
            let advice = advice("2.3", server).expect(server);
            assert!(advice.contains(word), "{server}: {advice}");
        }
    }
}
