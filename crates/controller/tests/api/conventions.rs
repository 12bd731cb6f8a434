//! Conventions of all URLs (docs/spec/api.md 1).

use axum::body::Body;
use axum::http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use axum::http::{Method, Request};

use crate::platform::{Answer, TestPlatform, request};

const NO_CREDENTIALS: &str = r#"{"detail":"Authentication credentials were not provided."}"#;

async fn with_header(platform: &TestPlatform, token: &str, name: &str, value: &str) -> Answer {
    let mut request = request(Method::GET, "/v2/", token, "");
    request
        .headers_mut()
        .insert(axum::http::HeaderName::try_from(name).expect("a name"), value.parse().expect("a value"));
    platform.send(request).await
}

#[tokio::test]
async fn every_answer_carries_the_versions_and_the_security_headers() {
    let platform = TestPlatform::new().await;
    let token = platform.user("alice").await;
    let answers = [
        (200, platform.get("/v2/", &token).await),
        (401, platform.get("/v2/", "").await),
        (404, platform.get("/nowhere", "").await),
        (405, platform.post("/v2/", &token, "").await),
        (400, platform.post("/v2/keys/", &token, "nonsense").await),
    ];

    for (status, answer) in answers {
        assert_eq!(answer.status, status);
        let headers = [
            ("deis_api_version", "2.3"),
            ("deis_platform_version", "2.3.0"),
            ("x-frame-options", "DENY"),
            ("x-content-type-options", "nosniff"),
            ("x-xss-protection", "1; mode=block"),
        ];
        for (name, value) in headers {
            assert_eq!(answer.header(name), Some(value), "{status} {name}");
        }
        assert_eq!(answer.header("www-authenticate"), (status == 401).then_some("Token"));
        assert_eq!(answer.header("location"), None);
    }
}

#[tokio::test]
async fn allow_names_the_methods_of_the_url() {
    let platform = TestPlatform::new().await;
    let token = platform.user("alice").await;

    let list = platform.get("/v2/keys/", &token).await;
    let refused = platform.send(request(Method::PUT, "/v2/keys", &token, "")).await;
    let login = platform.get("/v2/auth/login/", "").await;
    let anonymous = platform.send(request(Method::PUT, "/v2/keys", "", "")).await;
    let head = platform.send(request(Method::HEAD, "/v2/keys/", &token, "")).await;

    assert_eq!(list.header("allow"), Some("GET, POST, HEAD, OPTIONS"));
    assert_eq!(refused.both(), (405, r#"{"detail":"Method \"PUT\" not allowed."}"#));
    assert_eq!(refused.header("allow"), Some("GET, POST, HEAD, OPTIONS"));
    assert_eq!(login.both(), (405, r#"{"detail":"Method \"GET\" not allowed."}"#));
    assert_eq!(login.header("allow"), Some("POST, OPTIONS"));
    assert_eq!(anonymous.both(), (401, NO_CREDENTIALS));
    assert_eq!(head.both(), (200, ""));
}

#[tokio::test]
async fn credentials_are_judged_in_these_words() {
    let platform = TestPlatform::new().await;
    let token = platform.user("alice").await;
    let cases = [
        (String::new(), NO_CREDENTIALS),
        (format!("Bearer {token}"), NO_CREDENTIALS),
        ("token 0123456789".to_owned(), r#"{"detail":"Invalid token."}"#),
        ("Token".to_owned(), r#"{"detail":"Invalid token header. No credentials provided."}"#),
        (
            format!("token {token} {token}"),
            r#"{"detail":"Invalid token header. Token string should not contain spaces."}"#,
        ),
    ];

    for (header, body) in cases {
        let answer = with_header(&platform, "", AUTHORIZATION.as_str(), &header).await;
        assert_eq!(answer.both(), (401, body), "{header}");
    }
    for scheme in ["token", "Token", "TOKEN"] {
        let header = format!("{scheme} {token}");
        assert_eq!(with_header(&platform, "", AUTHORIZATION.as_str(), &header).await.both(), (200, "{}"));
    }
}

#[tokio::test]
async fn slashes_at_the_end_matter_only_where_they_did() {
    let platform = TestPlatform::new().await;
    let token = platform.user("alice").await;

    for path in ["/v2/keys", "/v2/keys/", "/v2/users", "/v2/users/", "/v2/auth/whoami", "/v2/auth/whoami/"] {
        assert_eq!(platform.get(path, &token).await.status, 200, "{path}");
    }
    for path in [
        "/v2",
        "/v2/auth/login",
        "/v2/auth/tokens",
        "/v2/apps/Blog/perms/",
        "/v2/hooks/build/",
        "/v2/keys/%ff",
        "/v2/keys/a%00",
    ] {
        let answer = platform.post(path, &token, "").await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(answer.text().starts_with("<h1>Not Found</h1>"), "{path}");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    }
}

#[tokio::test]
async fn bodies_are_objects_in_json_or_a_form() {
    let platform = TestPlatform::new().await;
    let token = platform.user("alice").await;
    let send = async |content_type: &str, body: &str| {
        let mut request = request(Method::POST, "/v2/admin/perms/", &token, body);
        request.headers_mut().insert(CONTENT_TYPE, content_type.parse().expect("a type"));
        platform.send(request).await
    };
    let required = r#"{"username":["This field is required."]}"#;

    assert_eq!(send("application/json", "").await.both(), (400, required));
    assert_eq!(send("text/plain", "").await.both(), (400, required));
    assert_eq!(send("application/json; charset=utf-8", r#"{"username":"alice","x":1}"#).await.status, 201);
    assert_eq!(send("application/x-www-form-urlencoded", "username=al%69ce&x=1").await.status, 201);
    let multipart = "--b\r\nContent-Disposition: form-data; name=\"username\"\r\n\r\nalice\r\n--b--\r\n";
    assert_eq!(send("multipart/form-data; boundary=b", multipart).await.status, 201);
    assert_eq!(
        send("text/plain", "{}").await.both(),
        (415, r#"{"detail":"Unsupported media type \"text/plain\" in request."}"#)
    );
    for body in ["[]", "\"x\"", "1", "{", "\u{1}", "null"] {
        let answer = send("application/json", body).await;
        assert_eq!(answer.status, 400, "{body:?}");
        let detail = answer.json()["detail"].as_str().map(str::to_owned).unwrap_or_default();
        assert!(detail.starts_with("JSON parse error - "), "{detail}");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let platform = TestPlatform::new().await;
    let token = platform.user("alice").await;

    let answer = platform.post("/v2/keys/", &token, &" ".repeat(2 * 1024 * 1024 + 1)).await;

    assert_eq!(answer.both(), (413, r#"{"detail":"Request body is larger than 2097152 bytes."}"#));
}

#[tokio::test]
async fn pages_have_defaults_for_numbers_that_make_no_sense() {
    let platform = TestPlatform::new().await;
    let token = platform.user("alice").await;

    for query in
        ["", "?limit=0", "?limit=-1", "?limit=x", "?offset=-5", "?offset=x", "?limit=9223372036854775807"]
    {
        let page = platform.get(&format!("/v2/users/{query}"), &token).await.json();
        assert_eq!(page["results"].as_array().map(Vec::len), Some(1), "{query}");
    }
    let past = platform.get("/v2/users/?offset=7", &token).await;
    assert_eq!(
        past.both(),
        (
            200,
            r#"{"count":1,"next":null,"previous":"http://deis.example.com/v2/users/?limit=100","results":[]}"#
        )
    );
    let mut secure = request(Method::GET, "/v2/users/?offset=9&limit=3&a=b%20c", &token, "");
    secure.headers_mut().insert("x-forwarded-proto", "https".parse().expect("a value"));
    assert_eq!(
        platform.send(secure).await.json()["previous"],
        "https://deis.example.com/v2/users/?a=b%20c&limit=3&offset=6"
    );
}

#[tokio::test]
async fn an_accept_header_without_json_is_refused() {
    let platform = TestPlatform::new().await;
    let token = platform.user("alice").await;

    for fine in ["*/*", "application/json", "text/html, application/*;q=0.8"] {
        assert_eq!(with_header(&platform, &token, ACCEPT.as_str(), fine).await.status, 200, "{fine}");
    }
    assert_eq!(
        with_header(&platform, &token, ACCEPT.as_str(), "text/html").await.both(),
        (406, r#"{"detail":"Could not satisfy the request Accept header."}"#)
    );
}

#[tokio::test]
async fn other_origins_may_ask_first_and_read_the_versions() {
    let platform = TestPlatform::new().await;
    let preflight = Request::builder()
        .method(Method::OPTIONS)
        .uri("/v2/keys/")
        .header("origin", "https://dashboard.example.com")
        .header("access-control-request-method", "POST");

    let asked = platform.send(preflight.body(Body::empty()).expect("a request")).await;
    let done = with_header(&platform, "", "origin", "https://dashboard.example.com").await;

    assert_eq!(asked.both(), (200, ""));
    assert_eq!(asked.header("access-control-allow-methods"), Some("GET, POST, PUT, PATCH, DELETE, OPTIONS"));
    assert_eq!(asked.header("access-control-max-age"), Some("86400"));
    assert_eq!(done.status, 401);
    assert_eq!(done.header("access-control-allow-origin"), Some("*"));
    assert_eq!(done.header("access-control-expose-headers"), Some("DEIS_API_VERSION, DEIS_PLATFORM_VERSION"));
}

#[tokio::test]
async fn over_a_connection_empty_answers_say_their_length() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let platform = TestPlatform::new().await;
    let token = platform.user("alice").await;
    let address = platform.serve().await;
    let body = r#"{"username":"alice"}"#;
    let request = format!(
        "POST /v2/admin/perms/ HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: token {token}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );

    let mut connection = tokio::net::TcpStream::connect(address).await.expect("a connection");
    connection.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("an answer");

    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    assert!(answer.contains("\r\ncontent-length: 0\r\n"), "{answer}");
}
