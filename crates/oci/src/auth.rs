//! Authentication at a registry: a token (Distribution's token specification) or a login.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{Method, header};

use super::transport::{Transport, empty};
use super::{Login, OciError};

const TOKEN_BYTES_MAX: usize = 64 << 10;

/// Authorization of each request.
pub enum Authorization {
    Bearer(String),
    Basic(String),
}

impl Authorization {
    pub fn header(&self) -> String {
        match self {
            Self::Bearer(token) => format!("Bearer {token}"),
            Self::Basic(login) => format!("Basic {login}"),
        }
    }
}

/// Answers a challenge of the registry at `base`.
pub async fn answer(
    transport: &Transport,
    base: &str,
    challenge: &str,
    login: Option<&Login>,
    scopes: &[String],
    what: &str,
) -> Result<Authorization, OciError> {
    let denied = || OciError::Denied { what: what.to_owned() };
    let (scheme, parameters) = challenge.split_once(' ').unwrap_or((challenge, ""));
    if scheme.eq_ignore_ascii_case("basic") {
        return login.map(|login| Authorization::Basic(encoded(login))).ok_or_else(denied);
    }
    let parameters = parse_parameters(parameters);
    let value_of =
        |name: &str| parameters.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let realm = value_of("realm").filter(|_| scheme.eq_ignore_ascii_case("bearer")).ok_or_else(denied)?;
    if base.starts_with("https:") && !realm.starts_with("https:") {
        let reason = "its tokens are to be had without HTTPS only".to_owned();
        return Err(OciError::Malformed { what: what.to_owned(), reason });
    }
    let url = token_url(realm, value_of("service"), scopes);
    let basic = login.map(|login| format!("Basic {}", encoded(login)));
    let answer = transport.send(
        &Method::GET,
        &url,
        &[(header::ACCEPT, "application/json")],
        basic.as_deref(),
        empty(),
    );
    let body = answer.await?.succeeded(what).await?.bytes(TOKEN_BYTES_MAX, "token").await?;
    token_of(&body).map(Authorization::Bearer).ok_or_else(denied)
}

fn token_of(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let token = ["token", "access_token"].into_iter().find_map(|name| body.get(name)?.as_str());
    token.filter(|token| !token.is_empty()).map(str::to_owned)
}

fn encoded(login: &Login) -> String {
    STANDARD.encode(format!("{}:{}", login.username, login.password))
}

fn token_url(realm: &str, service: Option<&str>, scopes: &[String]) -> String {
    let mut url = realm.to_owned();
    let mut joint = if realm.contains('?') { '&' } else { '?' };
    let service = service.map(|service| ("service", service));
    for (name, value) in service.into_iter().chain(scopes.iter().map(|scope| ("scope", scope.as_str()))) {
        url.push(joint);
        url.push_str(&format!("{name}={}", escaped(value)));
        joint = '&';
    }
    url
}

/// Percent-encodes all but what RFC 3986 reserves nothing for, and `:/,` that scopes are made of.
pub fn escaped(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/,".contains(&byte);
    text.bytes()
        .map(|byte| if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

/// `name="value",...` (RFC 9110, 11.2), names in lower case.
fn parse_parameters(text: &str) -> Vec<(String, String)> {
    let mut parameters = Vec::new();
    let mut rest = text.trim_start();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').map_or((after, ""), |(value, left)| (value.trim(), left)),
        };
        parameters.push((name.trim().to_ascii_lowercase(), value.to_owned()));
        rest = left.trim_start_matches([',', ' ']);
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_challenge_is_read_with_commas_inside_quotes() {
        let text =
            r#"realm="https://auth.example.com/token",service="x y", Scope="repository:a:pull,push",error=e"#;

        let parameters = parse_parameters(text);

        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            parameters,
            [
                pair("realm", "https://auth.example.com/token"),
                pair("service", "x y"),
                pair("scope", "repository:a:pull,push"),
                pair("error", "e"),
            ]
        );
    }

    #[test]
    fn the_token_is_asked_for_each_scope() {
        let scopes = ["repository:a:pull,push".to_owned(), "repository:b:pull".to_owned()];
        assert_eq!(
            token_url("http://r/token", Some("x y"), &scopes),
            "http://r/token?service=x%20y&scope=repository:a:pull,push&scope=repository:b:pull"
        );
    }
}
