//! Issues tokens: from an account and its request to the granted access, signed and valid for a few minutes.
//!
//! Follows Distribution's token specification (GET with Basic) and its OAuth 2 form (POST), which containerd tries
//! first. A caller without a credential gets a token too, for public content.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::registry_access::{AccessKey, SCOPES_MAX, Scope, granted};
use serde::Serialize;
use serde_json::{Value, json};

use crate::signer::Signer;

/// The realm's path, and the names that tokens and Distribution's config agree on.
pub const PATH: &str = "/token";
pub const ISSUER: &str = "deis-registry-token";
pub const SERVICE: &str = "deis-registry";
/// A transfer that has begun continues after its token expires.
const TOKEN_SECONDS: i64 = 600;
/// Longest form and longest header with a credential.
pub const FORM_BYTES_MAX: usize = 8 * 1024;

/// Issues tokens for the holders of credentials that come from a key.
pub struct TokenService {
    key: AccessKey,
    signer: Signer,
}

/// A token request; its values are not checked yet.
#[derive(Default)]
pub struct TokenRequest {
    pub scopes: Vec<String>,
    pub service: Option<String>,
    /// User name and password.
    pub credential: Option<(String, String)>,
}

/// A refused token request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenError {
    /// The credential is wrong or has ended.
    Unauthorized,
    /// The token is asked for another service than this, or for too much.
    Malformed,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
    nbf: i64,
    iat: i64,
    access: Vec<AccessClaim>,
}

#[derive(Serialize)]
struct AccessClaim {
    #[serde(rename = "type")]
    kind: &'static str,
    name: String,
    actions: Vec<&'static str>,
}

impl TokenService {
    pub fn new(key: AccessKey) -> Self {
        let signer = Signer::new(&key);
        Self { key, signer }
    }

    /// The answer's body.
    pub fn answer(&self, request: &TokenRequest, now: i64) -> Result<Value, TokenError> {
        if request.service.as_deref().is_some_and(|service| service != SERVICE) {
            return Err(TokenError::Malformed);
        }
        let account = match &request.credential {
            None => None,
            Some((username, password)) => {
                Some(self.key.identify(username, password, now).ok_or(TokenError::Unauthorized)?)
            }
        };
        let scopes: Vec<Scope> = request.scopes.iter().flat_map(|scope| Scope::parse_all(scope)).collect();
        if scopes.len() > SCOPES_MAX {
            return Err(TokenError::Malformed);
        }
        let access = scopes.into_iter().filter_map(|scope| {
            let actions: Vec<_> = granted(account.as_ref(), &scope)
                .into_iter()
                .map(domain::registry_access::Action::as_str)
                .collect();
            (!actions.is_empty()).then_some(AccessClaim {
                kind: "repository",
                name: scope.repository,
                actions,
            })
        });
        let subject = request.credential.as_ref().map_or("", |(username, _)| username);
        let claims = Claims {
            iss: ISSUER,
            sub: subject,
            aud: SERVICE,
            exp: now + TOKEN_SECONDS,
            nbf: now,
            iat: now,
            access: access.collect(),
        };
        let token = self.signer.sign(&claims);
        Ok(json!({ "token": token, "access_token": token, "expires_in": TOKEN_SECONDS }))
    }
}

impl TokenRequest {
    /// From the query of a GET and its `Authorization` header.
    pub fn of_query(query: &str, authorization: Option<&str>) -> Result<Self, TokenError> {
        let credential = authorization.map(basic).transpose()?;
        let mut request = Self { credential, ..Self::default() };
        for (name, value) in pairs(query) {
            match name.as_str() {
                "scope" => request.scopes.push(value),
                "service" => request.service = Some(value),
                _ => {}
            }
        }
        Ok(request)
    }

    /// From the form of a POST.
    pub fn of_form(form: &str, authorization: Option<&str>) -> Result<Self, TokenError> {
        let mut request = Self::of_query(form, authorization)?;
        let value_of = |wanted: &str| pairs(form).find(|(name, _)| name == wanted).map(|(_, value)| value);
        if let (Some(username), Some(password)) = (value_of("username"), value_of("password")) {
            request.credential = Some((username, password));
        }
        Ok(request)
    }
}

/// The credential of a header `Basic <base64 of name:password>`.
fn basic(header: &str) -> Result<(String, String), TokenError> {
    let (scheme, text) = header.split_once(' ').ok_or(TokenError::Unauthorized)?;
    if !scheme.eq_ignore_ascii_case("basic") || text.len() > FORM_BYTES_MAX {
        return Err(TokenError::Unauthorized);
    }
    let text = STANDARD.decode(text.trim()).map_err(|_| TokenError::Unauthorized)?;
    let text = String::from_utf8(text).map_err(|_| TokenError::Unauthorized)?;
    let (username, password) = text.split_once(':').ok_or(TokenError::Unauthorized)?;
    Ok((username.to_owned(), password.to_owned()))
}

/// Names and values of a form (WHATWG URL, `application/x-www-form-urlencoded`).
fn pairs(form: &str) -> impl Iterator<Item = (String, String)> {
    form.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decoded(name), decoded(value))
    })
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let mut ahead = rest.clone();
                let digits =
                    [ahead.next(), ahead.next()].map(|digit| char::from(digit.unwrap_or(0)).to_digit(16));
                if let [Some(high), Some(low)] = digits {
                    bytes.push((high * 16 + low) as u8);
                    rest = ahead;
                } else {
                    bytes.push(byte);
                }
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use domain::AppName;

    use super::*;

    const NOW: i64 = 1_000_000;

    fn service() -> TokenService {
        TokenService::new(AccessKey::new("secret"))
    }

    fn header(username: &str, password: &str) -> String {
        format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
    }

    fn claims(answer: &Value) -> Value {
        let token = answer["token"].as_str().expect("a text");
        let claims = token.split('.').nth(1).expect("three parts");
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).expect("base64")).expect("JSON")
    }

    #[test]
    fn a_token_names_what_its_holder_may_and_no_more() {
        let blog = AccessKey::new("secret").for_app(&AppName::parse("blog").expect("a name"));
        let query =
            "service=deis-registry&scope=repository%3Ablog%3Apull%2Cpush&scope=repository:shop:pull&x";
        let request =
            TokenRequest::of_query(query, Some(&header(&blog.username, &blog.password))).expect("good");

        let answer = service().answer(&request, NOW).expect("the credential is right");

        let claims = claims(&answer);
        assert_eq!(claims["access"], json!([{ "type": "repository", "name": "blog", "actions": ["pull"] }]));
        assert_eq!((&claims["sub"], &claims["aud"]), (&json!("app-blog"), &json!(SERVICE)));
        assert_eq!(claims["exp"], NOW + TOKEN_SECONDS);
        assert_eq!(answer["access_token"], answer["token"]);
    }

    #[test]
    fn a_form_is_as_good_as_a_query() {
        let blog = AccessKey::new("secret").for_app(&AppName::parse("blog").expect("a name"));
        let form = format!(
            "grant_type=password&service=deis-registry&scope=repository%3Ablog%3Apull&username={}&password={}",
            blog.username, blog.password
        );

        let answer =
            service().answer(&TokenRequest::of_form(&form, None).expect("good"), NOW).expect("right");

        assert_eq!(claims(&answer)["access"][0]["name"], "blog");
    }

    #[test]
    fn wrong_credentials_and_foreign_services_are_refused_and_strangers_get_what_is_public() {
        let wrong = TokenRequest::of_query("", Some(&header("app-blog", "00"))).expect("well-formed");
        assert_eq!(service().answer(&wrong, NOW), Err(TokenError::Unauthorized));
        assert_eq!(TokenRequest::of_query("", Some("Basic !")).err(), Some(TokenError::Unauthorized));
        assert_eq!(TokenRequest::of_query("", Some("Bearer x")).err(), Some(TokenError::Unauthorized));
        let foreign = TokenRequest::of_query("service=other", None).expect("well-formed");
        assert_eq!(service().answer(&foreign, NOW), Err(TokenError::Malformed));

        let stranger = "scope=repository:deis/stack:pull,push&scope=repository:blog:pull";
        let answer = service().answer(&TokenRequest::of_query(stranger, None).expect("well-formed"), NOW);
        let answer = answer.expect("strangers may come");
        assert_eq!(
            claims(&answer)["access"],
            json!([{ "type": "repository", "name": "deis/stack", "actions": ["pull"] }])
        );
    }

    #[test]
    fn too_many_scopes_are_refused() {
        let scopes = "scope=repository:a:pull&".repeat(SCOPES_MAX + 1);
        let request = TokenRequest::of_query(&scopes, None).expect("well-formed");
        assert_eq!(service().answer(&request, NOW), Err(TokenError::Malformed));
    }

    #[test]
    fn percent_signs_that_begin_nothing_stay() {
        assert_eq!(decoded("a%3Ab+c%zz%4"), "a:b c%zz%4");
    }
}
