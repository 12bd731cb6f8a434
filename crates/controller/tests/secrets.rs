//! No secret reaches a log: everything that users and operators entrust to the platform is planted, and the
//! log of all that happens, down to the finest, is searched for it.
//!
//! A program of its own, since it listens to everything that this process logs.

#[path = "../../store/tests/database/mod.rs"]
mod database;
#[path = "api/platform.rs"]
#[allow(dead_code, reason = "the tests of the API use the rest")]
mod platform;
#[path = "api/slapd.rs"]
#[allow(dead_code, reason = "the tests of logins use the rest")]
mod slapd;

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::Method;
use controller::Secret;
use controller::directory::Directory;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use testkit::{WAIT_MAX, wait_until};
use tracing_subscriber::fmt::MakeWriter;

use platform::{BUILDER_KEY, TestPlatform, request};
use slapd::{LDAP_PASSWORD, ROOT_PASSWORD, Slapd};

const PASSWORD: &str = "planted-password";
const WRONG_PASSWORD: &str = "planted-wrong-password";
const VALUE: &str = "planted-config-value";
const REGISTRY_PASSWORD: &str = "planted-registry-password";
const HOOK_SECRET: &str = "planted-hook-secret";
const HOOK_TOKEN: &str = "planted-hook-token";
const PUSHED: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Captured log output.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// A user's life on the platform, good days and bad ones; returns the tokens and keys that it took.
async fn live(platform: &TestPlatform) -> Vec<String> {
    let user = json!({"username": "alice", "password": PASSWORD}).to_string();
    assert_eq!(platform.post("/v2/auth/register/", "", &user).await.status, 201);
    let wrong = json!({"username": "alice", "password": WRONG_PASSWORD}).to_string();
    assert_eq!(platform.post("/v2/auth/login/", "", &wrong).await.status, 400);
    for (password, status) in [(LDAP_PASSWORD, 200), (WRONG_PASSWORD, 400)] {
        let dora = json!({"username": "dora", "password": password}).to_string();
        assert_eq!(platform.post("/v2/auth/login/", "", &dora).await.status, status);
    }
    let login = platform.post("/v2/auth/login/", "", &user).await;
    let token = login.json()["token"].as_str().expect("a token").to_owned();
    assert_eq!(platform.post("/v2/apps/", &token, r#"{"id":"blog"}"#).await.status, 201);

    platform.add_image("example/web", &[8080]);
    let build = json!({"image": "example/web"}).to_string();
    assert_eq!(platform.post("/v2/apps/blog/builds/", &token, &build).await.status, 201);
    let config = json!({
        "values": {"SECRET": VALUE, "PORT": "8080"},
        "registry": {"username": "alice", "password": REGISTRY_PASSWORD},
    });
    assert_eq!(platform.post("/v2/apps/blog/config/", &token, &config.to_string()).await.status, 201);
    platform.engine.deny_image("example/denied");
    let denied = json!({"image": "example/denied"}).to_string();
    assert_eq!(platform.post("/v2/apps/blog/builds/", &token, &denied).await.status, 400);
    assert_eq!(platform.post("/v2/apps/blog/config/", &token, VALUE).await.status, 400);
    platform.fail_next_rollout("blog", "no luck");
    let again = json!({"values": {"OTHER": VALUE}}).to_string();
    assert_eq!(platform.post("/v2/apps/blog/config/", &token, &again).await.status, 400);
    let key = add_cert(platform, &token).await;
    push(platform).await;

    let passwd = json!({"password": PASSWORD, "new_password": WRONG_PASSWORD}).to_string();
    assert_eq!(platform.post("/v2/auth/passwd/", &token, &passwd).await.status, 200);
    vec![token, key]
}

async fn add_cert(platform: &TestPlatform, token: &str) -> String {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["www.foo.com".to_owned()]).expect("a host name");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    let key = key.serialize_pem();
    for name in ["foo", "foo", "Not Good"] {
        let cert = json!({"name": name, "certificate": certificate, "key": key}).to_string();
        platform.post("/v2/certs/", token, &cert).await;
    }
    key.lines().nth(1).expect("a line of the key").to_owned()
}

async fn push(platform: &TestPlatform) {
    let build = json!({
        "receive_user": "alice", "receive_repo": "blog", "sha": "1a2b3c4d", "image": PUSHED,
        "procfile": {"web": "serve"}, "dockerfile": "", "ports": [],
    });
    for key in [BUILDER_KEY, "planted-wrong-key"] {
        let mut told = request(Method::POST, "/v2/hooks/build/", "", &build.to_string());
        told.headers_mut().insert("x-deis-builder-auth", key.parse().expect("a value"));
        platform.send_hook(told).await;
    }
}

#[tokio::test]
async fn no_secret_reaches_the_log() {
    let log = Log::default();
    tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).init();
    let slapd = Slapd::start();
    let directory = Directory::new(slapd.settings()).expect("good settings");
    let platform = TestPlatform::with(|settings| {
        let hook = format!("http://user:{HOOK_TOKEN}@127.0.0.1:1/?token={HOOK_TOKEN}");
        settings.deploy_hook_urls = vec![Secret::new(hook)];
        settings.deploy_hook_secret = Some(Secret::new(HOOK_SECRET));
        settings.directory = Some(directory);
    });
    let platform = platform.await;
    tokio::spawn(controller::deployer::run(platform.controller.clone(), std::future::pending()));

    let taken = live(&platform).await;
    let hook_failed = |line: &String| line.starts_with("An error occurred while sending the deploy hook");
    let told = async || platform.said("blog").iter().any(hook_failed);
    wait_until("the failed hook is told", WAIT_MAX, told).await;
    platform.engine.set_reachable(false);
    platform.post("/v2/apps/blog/domains/", &taken[0], r#"{"domain":"www.foo.com"}"#).await;
    platform.controller.store.close().await;
    let down = platform.get("/v2/apps/blog/config/", &taken[0]).await;

    assert_eq!(down.status, 503, "{}", down.text());
    let text =
        log.text() + &platform.said("blog").join("\n") + &format!("{:?}", platform.controller.settings);
    assert!(text.contains("request failed"), "the log was heard");
    let planted = ["planted", BUILDER_KEY, LDAP_PASSWORD, ROOT_PASSWORD].map(str::to_owned);
    for secret in planted.iter().chain(&taken) {
        let found = text.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(found, None, "{secret}");
    }
}
