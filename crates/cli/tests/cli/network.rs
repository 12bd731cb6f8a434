//! Headers, redirects, proxies and TLS, and servers that behave oddly.

use crate::apps::{APP, at_localhost};
use crate::world::World;

const NO_APPS: &str = r#"{"count":0,"next":null,"previous":null,"results":[]}"#;

#[test]
fn every_request_names_the_client_and_the_token() {
    let world = World::logged_in();
    world.answer("GET /v2/apps/?limit=100", 200, NO_APPS);
    world.deis("apps");
    let request = &world.controller.take_requests()[0];
    assert_eq!(request.headers["authorization"], "token t0ken");
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["user-agent"], concat!("Deis Client v", env!("CARGO_PKG_VERSION")));
    assert_eq!(request.headers["host"], "deis.example.com");
}

#[test]
fn an_older_server_is_a_warning_once_a_run() {
    let world = World::logged_in();
    world.controller.speak_api_version(Some("2.2"));
    world.answer("POST /v2/apps/foo/scale/", 204, "").answer(
        "GET /v2/apps/foo/pods/?limit=100",
        200,
        crate::processes::PODS,
    );
    let run = world.deis("scale web=1 -a foo");
    assert_eq!(
        run.err,
        "!    WARNING: Client and server API versions do not match. Please consider upgrading.\n\
         !    Client version: 2.3\n!    Server version: 2.2\n\
         !    The server is older: have it upgraded. What it does not know yet may fail.\n"
    );
    assert_eq!(run.code, 0);
    assert!(run.out.contains("foo-web-4084101150-c871y up (v2)"));
}

#[test]
fn a_newer_server_is_a_warning_that_asks_for_a_newer_client_and_the_command_goes_on() {
    let world = World::logged_in();
    world.controller.speak_api_version(Some("3.0"));
    world.answer("GET /v2/apps/?limit=100", 200, NO_APPS);
    let run = world.deis("apps");
    assert_eq!(
        run.err,
        "!    WARNING: Client and server API versions do not match. Please consider upgrading.\n\
         !    Client version: 2.3\n!    Server version: 3.0\n\
         !    The server is newer: upgrade this client.\n"
    );
    assert_eq!((run.out.as_str(), run.code), ("=== Apps\n", 0));
}

#[test]
fn a_newer_minor_version_is_fine_and_none_is_not() {
    let world = World::logged_in();
    world.answer("GET /v2/apps/?limit=100", 200, NO_APPS);
    world.controller.speak_api_version(Some("2.10"));
    world.deis("apps").says("=== Apps\n");
    world.controller.speak_api_version(None);
    let said = world.deis("apps").err;
    assert!(
        said.ends_with(
            "Server version: \n!    The server names no version that can be read. Is it a Deis controller?\n"
        ),
        "{said}"
    );
}

#[test]
fn names_under_localhost_are_this_machine_and_need_no_proxy() {
    let world = at_localhost(World::logged_in_at("http://deis.localhost:8000"));
    world.answer("GET /v2/apps/?limit=100", 200, NO_APPS);
    world.deis_in(&[("http_proxy", "http://127.0.0.1:1")], "apps").says("=== Apps\n");
}

#[test]
fn a_write_does_not_follow_a_redirect() {
    let world = World::logged_in();
    world.controller.answer_with(
        "POST /v2/apps/",
        301,
        "Location: https://deis.example.com/v2/apps/\r\n",
        "",
    );
    world.answer("GET /v2/apps/", 200, APP);
    let run = world.deis("create foo --no-remote");
    assert_eq!(world.requests().len(), 1);
    run.fails_with(
        "Error: the controller redirects to https://deis.example.com/v2/apps/; log in there: deis login https://deis.example.com\n",
    );
}

#[test]
fn a_controller_that_is_down_is_named() {
    let world = World::logged_in_at("http://127.0.0.1:1");
    let run = world.deis("apps");
    assert!(run.err.starts_with("Error: GET http://127.0.0.1:1/v2/apps/?limit=100: "), "{}", run.err);
    assert!(run.err.to_lowercase().contains("refused"), "{}", run.err);
    assert_eq!(run.code, 1);
}

#[test]
fn a_certificate_that_is_not_trusted_is_told_as_such_and_not_as_a_wrong_controller() {
    let address = tls_server();
    let world = World::new();
    let said = format!(
        "Error: {address} answers, but its certificate is not trusted: this machine knows nobody who signed it.\n\
         If you know that it is your platform's, log in with --ssl-verify=false, or have this machine trust the authority \
         that signed it\n"
    );

    world.deis(&format!("login https://{address} --username=bob --password=x")).fails_with(&said);
    let logged_in = World::logged_in_at(&format!("https://{address}"));
    logged_in.deis("apps").fails_with(&said);
    logged_in.deis("run -a foo -i x").fails_with(&format!("Running 'x'...\n{said}"));
    // A client that skips verification gets further, to a server that never answers.
    let trusting =
        world.deis(&format!("login https://{address} --username=bob --password=x --ssl-verify=false"));
    assert!(!trusting.err.contains("not trusted") && trusting.code == 1, "{}", trusting.err);
}

/// A server for `localhost` that shakes hands and says nothing.
fn tls_server() -> String {
    let key = rcgen::KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::new(rcgen::CertificateParams::default(), rcgen::KeyPair::generate().unwrap());
    let params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap().der().clone();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config =
        std::sync::Arc::new(config.with_no_client_auth().with_single_cert(vec![certificate], key).unwrap());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut connection = rustls::ServerConnection::new(config.clone()).unwrap();
            connection.complete_io(&mut stream.unwrap()).ok();
        }
    });
    address
}

#[test]
fn an_answer_that_is_no_json_is_an_error() {
    let world = World::logged_in();
    world.answer("GET /v2/apps/?limit=100", 200, "<html>");
    let run = world.deis("apps");
    assert!(run.err.starts_with("Error: the controller's answer cannot be read: "), "{}", run.err);
    assert_eq!(run.code, 1);
}

#[test]
fn a_name_from_the_user_cannot_change_the_path() {
    let world = World::logged_in();
    world.answer("GET /v2/apps/..%2F..%2Fusers%3Fx/", 404, "");
    world.deis("info -a ../../users?x").fails_with("Error: Not Found\n");
}

#[test]
fn a_reader_that_goes_away_ends_the_client_quietly() {
    let world = World::logged_in();
    let line = "x".repeat(1000) + "\n";
    world.answer("GET /v2/apps/foo/logs", 200, &line.repeat(1000));
    let run = world.on_terminal("sh -c 'deis logs -a foo | head -c 5'", "");
    assert_eq!(run.out, "xxxxx");
}
