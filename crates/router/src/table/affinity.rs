//! Sticky sessions: a cookie identifies the replica that answered a client before, by a hash that does not reveal
//! the replica's name. If that replica is gone, another one answers and the cookie changes.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use http::header::{self, HeaderMap, HeaderValue};

const COOKIE: &str = "deis-route";

/// The mark of a backend: the same in every router.
pub(crate) fn mark(backend_key: &str) -> String {
    let mut hasher = DefaultHasher::new();
    backend_key.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// The replica's hash in a client's cookie.
pub(crate) fn wanted(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, mark)| mark.to_owned())
}

/// The cookie for this backend.
pub(crate) fn cookie(mark: &str, is_https: bool) -> HeaderValue {
    let secure = if is_https { "; Secure" } else { "" };
    let text = format!("{COOKIE}={mark}; Path=/; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::try_from(text).expect("a mark is digits and letters")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_among_other_cookies() {
        let mut headers = HeaderMap::new();
        let text = format!("a=1; deis-route={}; b=2", mark("container"));
        headers.insert(header::COOKIE, HeaderValue::try_from(text).expect("a value"));

        assert_eq!(wanted(&headers), Some(mark("container")));
        assert_ne!(mark("container"), mark("other"));
        assert!(!mark("container").contains("container"));
    }
}
