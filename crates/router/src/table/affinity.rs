//! Sticky sessions: a cookie identifies the replica that answered a client before, by a hash that does not reveal
//! the replica's name. If that replica is gone, another one answers and the cookie changes.

use http::header::{self, HeaderMap, HeaderValue};

const COOKIE: &str = "deis-route";

/// The mark of a backend: the same in every router and every release of it.
pub(crate) fn mark(backend_key: &str) -> String {
    format!("{:016x}", fnv_1a(backend_key.as_bytes()))
}

/// FNV-1a of 64 bits (draft-eastlake-fnv). The hasher of the standard library may change with the compiler.
fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
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
    #[test]
    fn marks_are_the_same_in_all_releases_of_the_router() {
        // Test vectors of FNV-1a.
        assert_eq!([fnv_1a(b""), fnv_1a(b"foobar")], [0xcbf2_9ce4_8422_2325, 0x8594_4171_f739_67e8]);

        assert_eq!(mark("a"), "af63dc4c8601ec8c");
        assert_eq!(mark("0f1e2d3c@2"), "a730e902b3a2129f");
    }
}
