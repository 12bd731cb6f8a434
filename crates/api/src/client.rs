//! A typed, blocking client of the API; `deis` and the builder use it.
//!
//! Each request has its own connection. Connecting is bounded in time, waiting for an answer is not:
//! a deploy answers when it has succeeded or failed. What an error means to a user is the caller's business.

mod apps;
mod auth;
mod builds;
mod certs;
mod config;
mod domains;
mod error;
mod hooks;
mod keys;
mod lines;
mod network;
mod perms;
mod pods;
mod releases;
mod services;
mod settings;
mod stacks;
#[cfg(feature = "terminal")]
mod terminal;
mod users;

use std::fmt;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::http::request::Builder;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, AsSendBody, Body};

use crate::ROOT_PATH;
use crate::hooks::BUILDER_AUTH_HEADER;

pub use error::ClientError;
pub use lines::LineStream;
pub use network::{Address, CONNECT_TIMEOUT};
#[cfg(feature = "terminal")]
pub use terminal::{Terminal, TerminalReceiver, TerminalSender};

/// Longest answer that is read.
const ANSWER_SIZE_BYTES_MAX: u64 = 256 * 1024 * 1024;

type VersionHook = Box<dyn Fn(&str) + Send + Sync>;

/// Client of one controller, with one set of credentials.
///
/// # Errors
///
/// Requests return [`ClientError::Status`] for a status outside 200 to 399, [`ClientError::Redirected`] for a
/// write that is redirected (reads follow redirects), [`ClientError::Untrusted`] for a certificate that is not
/// trusted, [`ClientError::Transport`] where no whole answer came, and [`ClientError::Decode`] for an answer of
/// another shape. [`ClientError::may_pass`] says whether a retry may help.
pub struct Client {
    agent: Agent,
    address: Address,
    #[cfg_attr(not(feature = "terminal"), expect(dead_code, reason = "the agent knows it too"))]
    ssl_verify: bool,
    credentials: Credentials,
    user_agent: String,
    on_api_version: Option<VersionHook>,
}

/// Credentials of the caller. `Debug` never shows them.
enum Credentials {
    None,
    Token(String),
    BuilderKey(String),
}

/// Redirect policy: only reads follow one, as following would turn a write into a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Follow {
    Yes,
    No,
}

/// A status and the whole body.
struct ResponseText {
    status: u16,
    body: String,
}

impl Client {
    /// A client of the controller at `address`; certificates are checked unless `ssl_verify` is false.
    pub fn new(address: Address, ssl_verify: bool) -> Self {
        Self {
            agent: network::agent(&address, ssl_verify),
            address,
            ssl_verify,
            credentials: Credentials::None,
            user_agent: format!("Deis Rust SDK v{}", env!("CARGO_PKG_VERSION")),
            on_api_version: None,
        }
    }

    /// Sends a user's token with each request.
    #[must_use]
    pub fn with_token(mut self, token: impl Into<String>) -> Self {
        self.credentials = Credentials::Token(token.into());
        self
    }

    /// Sends the builder's key with each request, for the hooks.
    #[must_use]
    pub fn with_builder_key(mut self, key: impl Into<String>) -> Self {
        self.credentials = Credentials::BuilderKey(key.into());
        self
    }

    /// Replaces the `User-Agent` that is sent with each request.
    #[must_use]
    pub fn with_user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Calls `hook` with the API version of each answer; empty where the answer names none.
    #[must_use]
    pub fn on_api_version(mut self, hook: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.on_api_version = Some(Box::new(hook));
        self
    }

    /// Address of the controller.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Checks that a controller answers here: it must ask for credentials when none are sent.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] for any status but 401: another server answers here.
    pub fn probe(&self) -> Result<(), ClientError> {
        let answer = self.exchange(self.anonymous(ROOT_PATH).body(()), Follow::No)?;
        match answer.status {
            401 => Ok(()),
            status => Err(ClientError::Status { status, body: answer.body }),
        }
    }

    /// Checks that the platform is up, without credentials.
    ///
    /// # Errors
    ///
    /// [`ClientError::Status`] with the body of `/healthz` where it is not.
    pub fn healthz(&self) -> Result<(), ClientError> {
        accepted(self.exchange(self.anonymous("/healthz").body(()), Follow::Yes)?).map(drop)
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        decode(&self.get_text(path)?)
    }

    fn get_text(&self, path: &str) -> Result<String, ClientError> {
        let request = self.request(Method::GET, path).body(());
        accepted(self.exchange(request, Follow::Yes)?)
    }

    /// An answer without an end, line by line.
    fn get_lines(&self, path: &str) -> Result<LineStream, ClientError> {
        let request = self.request(Method::GET, path).body(());
        let (what, response) = self.send(request, Follow::Yes)?;
        match response.status().as_u16() {
            200..=299 => Ok(LineStream::new(what, response.into_body())),
            status => {
                let body = read(response).map_err(|source| transport(&what, source))?;
                Err(ClientError::Status { status, body })
            }
        }
    }

    /// Posts `body` and reads the answer.
    fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        decode(&self.write(Method::POST, path, encode(body)?)?)
    }

    /// Posts nothing and reads the answer.
    fn post_empty<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        decode(&self.write(Method::POST, path, Vec::new())?)
    }

    /// Posts `body`; the answer does not matter.
    fn tell(&self, path: &str, body: &impl Serialize) -> Result<(), ClientError> {
        self.write(Method::POST, path, encode(body)?).map(drop)
    }

    fn delete(&self, path: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, path).body(());
        accepted(self.exchange(request, Follow::No)?).map(drop)
    }

    /// The same for what must not keep the caller waiting.
    fn delete_within(&self, path: &str, time: Duration) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, path).body(());
        let request = request.map_err(|source| ClientError::Request { source })?;
        let request = self.agent.configure_request(request).timeout_global(Some(time)).build();
        accepted(self.exchange(Ok(request), Follow::No)?).map(drop)
    }

    fn delete_with(&self, path: &str, body: &impl Serialize) -> Result<(), ClientError> {
        self.write(Method::DELETE, path, encode(body)?).map(drop)
    }

    fn write(&self, method: Method, path: &str, body: Vec<u8>) -> Result<String, ClientError> {
        accepted(self.exchange(self.request(method, path).body(body), Follow::No)?)
    }

    fn anonymous(&self, path: &str) -> Builder {
        let url = format!("{}{path}", self.address);
        Request::get(url).header("User-Agent", &self.user_agent).header("Connection", "close")
    }

    fn request(&self, method: Method, path: &str) -> Builder {
        let request = self.anonymous(path).method(method).header("Content-Type", "application/json");
        match &self.credentials {
            Credentials::None => request,
            Credentials::Token(token) => request.header("Authorization", format!("token {token}")),
            Credentials::BuilderKey(key) => request.header(BUILDER_AUTH_HEADER, key),
        }
    }

    /// Sends a request and reads the whole answer.
    fn exchange<B: AsSendBody>(
        &self,
        request: Result<Request<B>, ureq::http::Error>,
        follow: Follow,
    ) -> Result<ResponseText, ClientError> {
        let (what, response) = self.send(request, follow)?;
        let status = response.status().as_u16();
        let body = read(response).map_err(|source| transport(&what, source))?;
        Ok(ResponseText { status, body })
    }

    /// Sends a request; gives what was asked and the answer, whose body is yet to be read.
    fn send<B: AsSendBody>(
        &self,
        request: Result<Request<B>, ureq::http::Error>,
        follow: Follow,
    ) -> Result<(String, Response<Body>), ClientError> {
        let mut request = request.map_err(|source| ClientError::Request { source })?;
        let what = format!("{} {}", request.method(), request.uri());
        if follow == Follow::No {
            request = self.agent.configure_request(request).max_redirects(0).build();
        }
        let response = self.agent.run(request).map_err(|source| self.unreached(&what, source))?;
        self.note_api_version(&response);
        if let (Follow::No, Some(location)) = (follow, redirect_target(&response)) {
            return Err(ClientError::Redirected { location });
        }
        Ok((what, response))
    }

    fn unreached(&self, what: &str, source: ureq::Error) -> ClientError {
        let reason = match &source {
            ureq::Error::Io(error) => error::distrust(error),
            ureq::Error::Rustls(error) => error::distrust(error),
            _ => None,
        };
        match reason {
            Some(reason) => ClientError::Untrusted { host: self.address.authority(), reason },
            None => transport(what, source),
        }
    }

    fn note_api_version(&self, response: &Response<Body>) {
        if let Some(hook) = &self.on_api_version {
            let version = response.headers().get("DEIS_API_VERSION");
            hook(version.and_then(|value| value.to_str().ok()).unwrap_or(""));
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("address", &self.address).finish_non_exhaustive()
    }
}

fn transport(request: &str, source: ureq::Error) -> ClientError {
    ClientError::Transport { request: request.to_owned(), source: Box::new(source) }
}

fn read(mut response: Response<Body>) -> Result<String, ureq::Error> {
    let body = response.body_mut().with_config().limit(ANSWER_SIZE_BYTES_MAX);
    Ok(String::from_utf8_lossy(&body.read_to_vec()?).into_owned())
}

fn redirect_target(response: &Response<Body>) -> Option<String> {
    let location = response.headers().get("Location").filter(|_| response.status().is_redirection())?;
    Some(location.to_str().ok()?.to_owned())
}

fn accepted(answer: ResponseText) -> Result<String, ClientError> {
    match answer.status {
        200..=399 => Ok(answer.body),
        status => Err(ClientError::Status { status, body: answer.body }),
    }
}

fn encode(body: &impl Serialize) -> Result<Vec<u8>, ClientError> {
    serde_json::to_vec(body).map_err(|source| ClientError::Encode { source })
}

fn decode<T: DeserializeOwned>(body: &str) -> Result<T, ClientError> {
    serde_json::from_str(body).map_err(|source| ClientError::Decode { source })
}

/// The path `template` with `names` in the place of its braces, in order; what could end a part is escaped.
fn path<const N: usize>(template: &str, names: [&str; N]) -> String {
    let mut names = names.into_iter();
    let mut name = || names.next().expect("each brace of a path has a name");
    let filled = template.split('/').map(|word| match word.as_bytes() {
        [b'{', b'*', ..] => parts(name()),
        [b'{', ..] => part(name()),
        _ => word.to_owned(),
    });
    filled.collect::<Vec<_>>().join("/")
}

/// The same with a slash at the end, as clients have always written the paths of lists and actions.
fn folder<const N: usize>(template: &str, names: [&str; N]) -> String {
    path(template, names) + "/"
}

/// Writes a name as one part of a path; what could end the part is escaped.
fn part(name: &str) -> String {
    escaped(name, b"-._~*@:!$&'()+,;=")
}

/// Like [`part`] for names that may hold slashes, such as ids of SSH keys.
fn parts(name: &str) -> String {
    escaped(name, b"-._~*@:!$&'()+,;=/")
}

fn escaped(name: &str, kept: &[u8]) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_part_of_the_path() {
        assert_eq!(part("*.foo.com"), "*.foo.com");
        assert_eq!(part("../x?y#z"), "..%2Fx%3Fy%23z");
        assert_eq!(part("ümlaut.com"), "%C3%BCmlaut.com");
    }

    #[test]
    fn names_take_the_place_of_braces_in_order() {
        assert_eq!(path("/v2/apps/{app}/domains/{domain}", ["blog", "a/b"]), "/v2/apps/blog/domains/a%2Fb");
        assert_eq!(path("/v2/keys/{*id}", ["bob@host/a b"]), "/v2/keys/bob@host/a%20b");
        assert_eq!(folder("/v2/apps", []), "/v2/apps/");
    }

    #[test]
    fn a_key_id_keeps_its_slashes() {
        assert_eq!(parts("bob@host/a b"), "bob@host/a%20b");
    }

    #[test]
    fn credentials_never_show_in_debug_output() {
        let address = Address::parse("http://deis.example.com").unwrap();
        let client = Client::new(address, true).with_token("secret");
        assert!(!format!("{client:?}").contains("secret"));
    }
}
