//! Challenges of certificate authorities (RFC 8555), by which the holder of a host proves control of it. The
//! controller makes them; routers answer them from their table.

use serde::{Deserialize, Serialize};

/// Path prefix of HTTP-01 responses (RFC 8555 section 8.3).
pub const HTTP_PREFIX: &str = "/.well-known/acme-challenge/";
/// The protocol in which a host answers TLS-ALPN-01 (RFC 8737).
pub const ALPN: &[u8] = b"acme-tls/1";

/// A host's response to a challenge, of either kind. Nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Challenge {
    /// A full host name.
    pub host: String,
    /// The token, a dot, and the thumbprint of the account's key.
    pub key_authorization: String,
}

impl Challenge {
    /// The challenge, if both are what they should be.
    pub fn parse(host: &str, key_authorization: &str) -> Option<Self> {
        let (token, thumbprint) = key_authorization.split_once('.')?;
        let is_good = is_base64url(token) && is_base64url(thumbprint);
        is_good.then(|| Self { host: host.to_owned(), key_authorization: key_authorization.to_owned() })
    }

    /// The token that the authority requests.
    pub fn token(&self) -> &str {
        self.key_authorization.split('.').next().unwrap_or_default()
    }
}

/// The answer of a host to a request for this path; `None` leaves the path to the app.
pub fn answer<'a>(challenges: &'a [Challenge], host: &str, path: &str) -> Option<&'a str> {
    if challenges.is_empty() {
        return None;
    }
    let token = path.strip_prefix(HTTP_PREFIX)?;
    let meant = challenges.iter().find(|challenge| challenge.host == host && challenge.token() == token);
    meant.map(|challenge| challenge.key_authorization.as_str())
}

/// `host=key authorization` with commas between them.
pub fn text(challenges: &[Challenge]) -> String {
    let pairs =
        challenges.iter().map(|challenge| format!("{}={}", challenge.host, challenge.key_authorization));
    pairs.collect::<Vec<_>>().join(",")
}

/// Reads one piece of what [`text`] wrote.
pub fn read(pair: &str) -> Option<Challenge> {
    let (host, key_authorization) = pair.split_once('=')?;
    Challenge::parse(host, key_authorization)
}

fn is_base64url(text: &str) -> bool {
    let is_well = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    !text.is_empty() && text.bytes().all(is_well)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge() -> Challenge {
        Challenge::parse("www.foo.com", "to-k_en.thumb").expect("a good one")
    }

    #[test]
    fn a_host_answers_its_own_token_alone() {
        let ours = [challenge()];

        let asked = |host, path| answer(&ours, host, path);

        assert_eq!(asked("www.foo.com", "/.well-known/acme-challenge/to-k_en"), Some("to-k_en.thumb"));
        for (host, path) in [
            ("www.foo.com", "/.well-known/acme-challenge/other"),
            ("www.foo.com", "/.well-known/acme-challenge/"),
            ("www.foo.com", "/.well-known/acme-challenge/to-k_en.thumb"),
            ("www.foo.com", "/to-k_en"),
            ("foo.com", "/.well-known/acme-challenge/to-k_en"),
        ] {
            assert_eq!(asked(host, path), None, "{host}{path}");
        }
    }

    #[test]
    fn a_text_of_challenges_is_read_back() {
        let two = [challenge(), Challenge { host: "foo.com".to_owned(), ..challenge() }];

        let read: Option<Vec<_>> = text(&two).split(',').map(read).collect();

        assert_eq!(read.as_deref(), Some(&two[..]));
        for bad in ["www.foo.com", "www.foo.com=token", "www.foo.com=to ken.thumb", "www.foo.com=.thumb"] {
            assert_eq!(super::read(bad), None, "{bad}");
        }
    }
}
