//! The edge, as seen by clients: docs/spec/journeys.md A13, A14, A18, C4 and C8, with `curl` as the client.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use e2e::{Platform, wait_until_blocking};

const SERVER: &str = "web: exec python3 -m http.server $PORT\n";

/// A folder with self-signed certificates.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    /// Makes `<name>.crt` and `<name>.key` for these hosts.
    fn make(&self, name: &str, hosts: &[&str]) -> (PathBuf, PathBuf) {
        let (certificate, key) = (self.file(name, "crt"), self.file(name, "key"));
        let hosts: Vec<_> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(hosts).expect("names");
        std::fs::write(&certificate, made.cert.pem()).expect("a writable folder");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("a writable folder");
        (certificate, key)
    }

    fn file(&self, name: &str, ending: &str) -> PathBuf {
        self.0.path().join(format!("{name}.{ending}"))
    }
}

/// Response for a client that trusts only one certificate: status and the whole response, or the reason of the
/// failure.
fn visit(platform: &Platform, host: &str, trusted: &Path, more: &[&str]) -> Result<String, String> {
    let port = platform.https_port;
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "20", "--noproxy", "*"])
        .args(["--resolve", &format!("{host}:{port}:127.0.0.1")])
        .arg("--cacert")
        .arg(trusted)
        .args(more)
        .arg(format!("https://{host}:{port}/"))
        .output()
        .expect("curl runs");
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// Waits until a client that trusts this certificate gets the app's text.
fn served(platform: &Platform, host: &str, trusted: &Path) -> String {
    let what = format!("{host} is served with {}", trusted.display());
    wait_until_blocking(&what, Duration::from_secs(30), || {
        visit(platform, host, trusted, &[])
            .and_then(|text| if text.contains("hello") { Ok(text) } else { Err(text) })
    })
}

#[test]
fn edge_serves_an_app_over_https_with_the_certificates_of_its_domains() {
    let mut platform = Platform::start();
    let admin = platform.admin();
    let folder = admin.app_from_files("blog", &[("Procfile", SERVER), ("index.html", "hello\n")]);
    admin.push(&folder).ok();
    platform.wait_for_answer("blog", "hello");
    let deis = |words: &[&str]| admin.deis_in(&folder, words);
    let certificates = Certificates::new();
    let (first, first_key) = certificates.make("first", &["www.foo.com"]);
    let (second, second_key) = certificates.make("second", &["www.foo.com"]);
    let (wildcard, wildcard_key) = certificates.make("wildcard", &["*.bar.com"]);
    let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();

    deis(&["domains:add", "www.foo.com"]).ok();
    deis(&["domains:add", "*.bar.com"]).ok();
    deis(&["certs:add", "foo-com", &text(&first), &text(&first_key)]).ok();
    deis(&["certs:add", "foo-new", &text(&second), &text(&second_key)]).ok();
    deis(&["certs:add", "bar-com", &text(&wildcard), &text(&wildcard_key)]).ok();
    let refused = visit(&platform, "www.foo.com", &first, &[]).expect_err("nothing is attached yet");
    assert!(refused.contains("certificate"), "{refused}");

    deis(&["certs:attach", "foo-com", "www.foo.com"]).ok();
    deis(&["certs:attach", "bar-com", "*.bar.com"]).ok();
    let answer = served(&platform, "www.foo.com", &first);
    assert!(answer.starts_with("HTTP/2 200"), "{answer}");
    served(&platform, "shop.bar.com", &wildcard);
    let old = visit(&platform, "www.foo.com", &first, &["--http1.1"]).expect("HTTP/1.1 too");
    assert!(old.starts_with("HTTP/1.1 200"), "{old}");

    // The swap of docs/spec/journeys.md A13.
    deis(&["certs:detach", "foo-com", "www.foo.com"]).ok();
    deis(&["certs:attach", "foo-new", "www.foo.com"]).ok();
    served(&platform, "www.foo.com", &second);
    deis(&["certs:remove", "foo-com"]).ok();
    deis(&["certs:remove", "foo-new"]).ok();
    wait_until_blocking("the removed certificate is no longer served", Duration::from_secs(10), || {
        visit(&platform, "www.foo.com", &second, &[]).err()
    });
    drop(admin);

    let (own, own_key) = certificates.make("platform", &["blog.localhost", "deis.localhost"]);
    platform.set_platform_certificate(&own, &own_key);
    served(&platform, "blog.localhost", &own);
    served(&platform, "shop.bar.com", &wildcard);
    let api = visit(&platform, "deis.localhost", &own, &[]).expect("the API speaks TLS too");
    assert!(api.starts_with("HTTP/2 "), "{api}");
}

#[test]
fn edge_sends_visitors_to_https_and_turns_them_away_as_the_app_says() {
    let mut platform = Platform::start();
    let admin = platform.admin();
    let folder = admin.app_from_files("blog", &[("Procfile", SERVER), ("index.html", "hello\n")]);
    admin.push(&folder).ok();
    let certificates = Certificates::new();
    let (own, own_key) = certificates.make("platform", &["blog.localhost"]);
    drop(admin);
    platform.set_platform_certificate(&own, &own_key);
    served(&platform, "blog.localhost", &own);
    let admin = platform.newcomer_again("admin");
    let deis = |words: &[&str]| admin.deis_in(&folder, words);
    let becomes = |status: &str| {
        wait_until_blocking(&format!("HTTPS gives {status}"), Duration::from_secs(10), || {
            let answer = visit(&platform, "blog.localhost", &own, &[]).ok()?;
            answer.starts_with(&format!("HTTP/2 {status}")).then_some(answer)
        })
    };

    deis(&["tls:enable"]).ok();
    let redirected = wait_until_blocking("plain HTTP is redirected", Duration::from_secs(10), || {
        platform.get("blog", "/a?b=c").ok().filter(|answer| answer.status == 301)
    });
    assert!(redirected.head.contains("location: https://blog.localhost"), "{}", redirected.head);
    becomes("200");

    deis(&["maintenance:on"]).ok();
    assert!(becomes("503").contains("Site Maintenance"));
    deis(&["maintenance:off"]).ok();
    deis(&["whitelist:add", "192.0.2.1"]).ok();
    becomes("403");
    deis(&["whitelist:remove", "192.0.2.1"]).ok();
    becomes("200");
    deis(&["tls:disable"]).ok();
    platform.wait_for_answer("blog", "hello");
    drop(admin);

    // The operator's setting for all apps.
    platform.set_router_rule("requestIDs", "true");
    let answer = wait_until_blocking("answers have an id", Duration::from_secs(10), || {
        platform.get("blog", "/").ok().filter(|answer| answer.head.contains("x-request-id: "))
    });
    assert_eq!(answer.status, 200);
}

/// Status of a POST with ten bytes to the app, over plain HTTP.
#[cfg(feature = "cluster")]
fn posted(platform: &Platform) -> String {
    let port = platform.http_port;
    let output = Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--max-time", "20"])
        .args(["--noproxy", "*", "--resolve", &format!("blog.localhost:{port}:127.0.0.1")])
        .args(["--data", "0123456789", &format!("http://blog.localhost:{port}/")])
        .output()
        .expect("curl runs");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `http.server` answers a POST with 501.
#[cfg(feature = "cluster")]
#[test]
fn edge_takes_annotations_of_a_service_over_and_a_wrong_one_harms_nothing() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = admin.app_from_files("blog", &[("Procfile", SERVER), ("index.html", "hello\n")]);
    admin.push(&folder).ok();
    platform.wait_for_answer("blog", "hello");
    assert_eq!(posted(&platform), "501");
    let namespace = format!("--namespace={}", platform.namespace_of("blog"));
    let annotate = |settings: &[&str]| {
        let words = ["annotate", "--overwrite", "service", "blog", &namespace];
        let said = platform.kubectl(&[&words[..], settings].concat());
        assert!(said.contains("annotated"), "{said}");
    };

    annotate(&["router.deis.io/bodySize=3", "router.deis.io/tcpTimeout=never"]);
    wait_until_blocking("the body is too large", Duration::from_secs(10), || {
        Some(posted(&platform)).filter(|status| status == "413")
    });
    let told = ["get", "events", &namespace, "--field-selector=reason=SettingIgnored", "--output=yaml"];
    wait_until_blocking("the Service tells of the wrong one", Duration::from_secs(10), || {
        platform.kubectl(&told).contains("router.deis.io/tcpTimeout").then_some(())
    });

    // Settings of the platform leave it unchanged.
    admin.deis_in(&folder, &["whitelist:add", "0.0.0.0/0"]).ok();
    assert_eq!(posted(&platform), "413");
    annotate(&["router.deis.io/bodySize-"]);
    wait_until_blocking("the body is let through again", Duration::from_secs(10), || {
        Some(posted(&platform)).filter(|status| status == "501")
    });
    platform.wait_for_answer("blog", "hello");
}
