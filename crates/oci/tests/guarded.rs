//! A registry that a user names gets an answer from the platform, and nothing else.

use domain::Digest;
use domain::outbound::OutboundPolicy;
use futures_util::FutureExt as _;
use oci::{Access, OciError, Repository, Transport};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

/// Answers each request with what `answer` makes of its path.
async fn registry(answer: impl Fn(&str) -> String + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let host = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut path = None;
            let mut line = String::new();
            while stream.read_line(&mut line).await.is_ok_and(|bytes| bytes > 2) {
                path.get_or_insert_with(|| line.split(' ').nth(1).unwrap_or_default().to_owned());
                line.clear();
            }
            let answer = format!("HTTP/1.1 {}", answer(&path.unwrap_or_default()));
            stream.write_all(answer.as_bytes()).await.ok();
        }
    });
    host
}

fn answer(status: &str, header: &str, body: &str) -> String {
    format!("{status}\r\n{header}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// The repository of a user's registry, which the operator has listed and nothing else.
fn listed(host: &str) -> Repository {
    let policy = OutboundPolicy::new([host.parse().expect("a host")]);
    Repository::new(&Transport::guarded(policy), &format!("http://{host}"), "team/shop", None, Access::Pull)
}

#[tokio::test]
async fn a_registry_sends_the_platform_to_no_service_that_only_its_machine_reaches() {
    let inner = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = inner.local_addr().expect("an address").port();
    for target in [
        format!("http://127.0.0.1:{port}/"),
        format!("http://localhost:{port}/"),
        format!("https://127.0.0.1:{port}/"),
        format!("https://localhost:{port}/"),
        format!("https://[::ffff:127.0.0.1]:{port}/"),
        format!("https://0.0.0.0:{port}/"),
        "https://169.254.169.254/latest/meta-data/".to_owned(),
        format!("file:///etc/passwd#{port}"),
    ] {
        let sent = target.clone();
        let host = registry(move |path| match path {
            path if path.contains("/manifests/") => {
                answer("401 Unauthorized", &format!("WWW-Authenticate: Bearer realm=\"{sent}\""), "")
            }
            _ => answer("307 Temporary Redirect", &format!("Location: {sent}"), ""),
        })
        .await;
        let repository = listed(&host);

        let token = repository.manifest("v1").await.expect_err("its tokens are elsewhere");
        let blob = repository.blob(&Digest::of(b"x"), 1 << 10).await.expect_err("its blobs are elsewhere");

        for error in [token, blob] {
            let is_closed = matches!(error, OciError::Closed(_) | OciError::Malformed { .. });
            assert!(is_closed || target.starts_with("file:"), "{target}: {error:?}");
        }
        assert!(inner.accept().now_or_never().is_none(), "{target} was connected to");
    }
}

#[tokio::test]
async fn nothing_that_a_registry_says_is_told() {
    for status in ["500 Secret", "418 Secret", "404 Secret", "403 Secret", "429 Secret", "200 Secret"] {
        let host = registry(move |_| {
            answer(
                status,
                "X-Secret: secret",
                r#"{"errors":[{"code":"secret","message":"secret"}],"mediaType":"secret"}"#,
            )
        })
        .await;

        let error = listed(&host).manifest("v1").await.expect_err("it is no manifest").to_string();

        assert!(!error.to_lowercase().contains("secret"), "{status}: {error}");
    }
}

#[tokio::test]
async fn a_registry_in_a_private_place_is_refused_with_what_an_operator_can_do() {
    let transport = Transport::guarded(OutboundPolicy::default());
    for base in ["https://127.0.0.1:1", "https://localhost:1", "https://10.0.0.1", "https://[fd00::1]:5000"] {
        let repository = Repository::new(&transport, base, "team/shop", None, Access::Pull);
        let error = repository.manifest("v1").await.expect_err(base);
        assert!(matches!(error, OciError::Closed(_)), "{base}: {error:?}");
        assert!(error.to_string().contains("--allow-outbound"), "{error}");
    }
}
