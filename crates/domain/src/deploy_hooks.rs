//! Deploy hooks: requests to the operator's URLs about each new release (docs/spec/api.md 5.9).

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

/// Facts about a release for hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFacts {
    pub app: String,
    pub version: u64,
    pub summary: String,
    /// Of the build; empty without one.
    pub sha: String,
    pub user: String,
}

impl ReleaseFacts {
    /// The URL to post to: that of the hook, with the facts as parameters in the order of their names.
    pub fn url(&self, hook: &str) -> String {
        let Self { app, version, summary, sha, user } = self;
        let release = format!("v{version}");
        let parameters =
            [("app", app), ("release", &release), ("release_summary", summary), ("sha", sha), ("user", user)];
        let parameters: Vec<_> =
            parameters.iter().map(|(name, value)| format!("{name}={}", form_encoded(value))).collect();
        let (hook, fragment) = hook.split_once('#').map_or((hook, ""), |(hook, rest)| (hook, rest));
        let joint = if hook.contains('?') { '&' } else { '?' };
        let fragment = if fragment.is_empty() { String::new() } else { format!("#{fragment}") };
        format!("{hook}{joint}{}{fragment}", parameters.join("&"))
    }
}

/// Proves to the receiver that the platform asks: HMAC-SHA1 of the whole URL, in hex.
pub fn signature(url: &str, secret: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length");
    mac.update(url.as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

/// Scheme, host and path of a hook: what else is in its URL may be a secret.
pub fn shown(hook: &str) -> String {
    let end = hook.find(['?', '#']).unwrap_or(hook.len());
    crate::urls::without_credentials(&hook[..end])
}

fn form_encoded(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> ReleaseFacts {
        ReleaseFacts {
            app: "foo".to_owned(),
            version: 4,
            summary: "alice deployed 1a2b3c4 & more".to_owned(),
            sha: "1a2b3c4d".to_owned(),
            user: "alice".to_owned(),
        }
    }

    #[test]
    fn the_facts_are_parameters_in_order() {
        assert_eq!(
            facts().url("http://example.com/hook"),
            "http://example.com/hook?app=foo&release=v4&release_summary=alice+deployed+1a2b3c4+%26+more\
             &sha=1a2b3c4d&user=alice"
        );
        let url = ReleaseFacts { sha: String::new(), ..facts() }.url("http://example.com/?key=x#top");
        assert!(
            url.starts_with("http://example.com/?key=x&app=foo&") && url.ends_with("&sha=&user=alice#top")
        );
    }

    #[test]
    fn the_signature_is_that_of_the_whole_url() {
        // RFC 2202, test case 2.
        assert_eq!(
            signature("what do ya want for nothing?", "Jefe"),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
    }

    #[test]
    fn what_is_shown_of_a_hook_holds_no_secret() {
        for (hook, seen) in [
            ("https://user:pass@example.com/a/b?token=x#y", "https://example.com/a/b"),
            ("http://example.com", "http://example.com"),
            ("http://example.com?token=x", "http://example.com"),
            ("nonsense?x", "nonsense"),
        ] {
            assert_eq!(shown(hook), seen);
        }
    }
}
