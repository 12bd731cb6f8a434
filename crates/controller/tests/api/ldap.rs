//! Logins by a directory: a real OpenLDAP server, asked over TLS.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use controller::directory::{Directory, DirectorySettings};
use serde_json::{Value, json};

use crate::platform::{Answer, PASSWORD, TestPlatform};
use crate::slapd::{LDAP_PASSWORD, Slapd};

const NO_LOGIN: (u16, &str) =
    (400, r#"{"non_field_errors":["Unable to log in with provided credentials."]}"#);

async fn platform(settings: DirectorySettings) -> TestPlatform {
    let directory = Directory::new(settings).expect("good settings");
    TestPlatform::with(|settings| settings.directory = Some(directory)).await
}

async fn login(platform: &TestPlatform, username: &str, password: &str) -> Answer {
    let body = json!({"username": username, "password": password});
    platform.post("/v2/auth/login/", "", &body.to_string()).await
}

async fn whoami(platform: &TestPlatform, login: &Answer) -> Value {
    let token = login.json()["token"].as_str().unwrap_or_else(|| panic!("{}", login.text())).to_owned();
    platform.get("/v2/auth/whoami/", &token).await.json()
}

/// Somebody of the platform's own may log in, and who is only in the directory is told why not.
async fn only_locals_log_in(settings: DirectorySettings) {
    let platform = platform(settings).await;
    platform.user("bob").await;

    assert_eq!(login(&platform, "bob", PASSWORD).await.status, 200);
    let dora = login(&platform, "dora", LDAP_PASSWORD).await;
    assert_eq!(dora.status, 503, "{}", dora.text());
    assert!(dora.text().contains("The directory that knows passwords does not answer"), "{}", dora.text());
}

#[tokio::test]
async fn a_user_of_the_directory_logs_in_and_is_never_superuser_by_being_first() {
    let slapd = Slapd::start();
    for settings in [slapd.settings(), slapd.over_tls()] {
        let platform = platform(settings).await;

        // The directory does not care how a name is written, and knows how it is.
        for typed in ["dora", "DORA"] {
            let dora = whoami(&platform, &login(&platform, typed, LDAP_PASSWORD).await).await;
            let known = json!(["dora", "dora@example.com", "Dora", "Dent", false, false]);
            let fields = ["username", "email", "first_name", "last_name", "is_superuser", "is_staff"];
            assert_eq!(Value::from_iter(fields.map(|field| dora[field].clone())), known);
        }

        let register = json!({"username": "alice", "password": PASSWORD, "email": "a@x.io"}).to_string();
        let first = platform.post("/v2/auth/register/", "", &register).await;
        assert_eq!((first.status, &first.json()["is_superuser"]), (201, &json!(true)));
    }
}

#[tokio::test]
async fn who_is_not_the_one_is_not_let_in() {
    let slapd = Slapd::start();
    let platform = platform(slapd.settings()).await;

    for (username, password) in [
        ("dora", "wrong"),
        ("nobody", LDAP_PASSWORD),
        // Filters are not for those who log in.
        ("*", LDAP_PASSWORD),
        ("dor*", LDAP_PASSWORD),
        ("dora)(uid=*", LDAP_PASSWORD),
        // Two entries have this name.
        ("twin", LDAP_PASSWORD),
    ] {
        assert_eq!(login(&platform, username, password).await.both(), NO_LOGIN, "{username}");
    }
    // The server itself would let in a name without a password.
    assert_eq!(login(&platform, "dora", "").await.status, 400);
    let directory = Directory::new(slapd.settings()).expect("good settings");
    assert_eq!(directory.who("dora", "").await.expect("not even asked"), None);
}

#[tokio::test]
async fn passwords_of_the_platform_still_count_and_only_they_are_changed() {
    let slapd = Slapd::start();
    let platform = platform(slapd.settings()).await;
    let admin = platform.user("admin").await;
    platform.user("bob").await;

    assert_eq!(login(&platform, "bob", PASSWORD).await.status, 200);
    // The same name is the same user, with the rights that it has here.
    for password in [PASSWORD, LDAP_PASSWORD] {
        let admin = whoami(&platform, &login(&platform, "admin", password).await).await;
        assert_eq!((&admin["username"], &admin["is_superuser"]), (&json!("admin"), &json!(true)));
    }

    assert_eq!(login(&platform, "dora", LDAP_PASSWORD).await.status, 200);
    assert_eq!(login(&platform, "dora", "local horse staple").await.both(), NO_LOGIN);
    let change = json!({"username": "dora", "new_password": "local horse staple"}).to_string();
    assert_eq!(platform.post("/v2/auth/passwd/", &admin, &change).await.status, 200);
    for password in ["local horse staple", LDAP_PASSWORD] {
        assert_eq!(login(&platform, "dora", password).await.status, 200, "{password}");
    }
}

#[tokio::test]
async fn a_server_whose_certificate_is_not_the_right_one_hears_no_password() {
    let (slapd, other) = (Slapd::start(), Slapd::start());
    let stranger = DirectorySettings { ca_bundle: other.settings().ca_bundle, ..slapd.settings() };
    let endpoint = slapd.over_tls().endpoint.replace("localhost", "127.0.0.1");
    let other_name = DirectorySettings { endpoint, ..slapd.over_tls() };

    only_locals_log_in(stranger).await;
    only_locals_log_in(other_name).await;
}

#[tokio::test]
async fn while_the_directory_is_away_those_with_a_password_here_log_in() {
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = silent.local_addr().expect("it has one").port();
    let slapd = Slapd::start();
    let silent = DirectorySettings {
        endpoint: format!("ldap://localhost:{port}"),
        timeout: Duration::from_millis(200),
        ..slapd.settings()
    };
    let refused = Some(("cn=root,dc=example,dc=com".to_owned(), controller::Secret::new("wrong")));
    let not_let_in = DirectorySettings { searcher: refused, ..slapd.settings() };
    let ended = slapd.settings();
    only_locals_log_in(not_let_in).await;
    drop(slapd);

    only_locals_log_in(silent).await;
    only_locals_log_in(ended).await;
}

#[tokio::test]
async fn a_directory_that_sends_us_elsewhere_is_not_followed() {
    let slapd = Slapd::start();
    let users_below = "ou=elsewhere,dc=example,dc=com".to_owned();
    let platform = platform(DirectorySettings { users_below, ..slapd.settings() }).await;

    assert_eq!(login(&platform, "dora", LDAP_PASSWORD).await.both(), NO_LOGIN);
}
