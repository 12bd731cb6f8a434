//! Cases of apps behind the edge: HTTPS, clients that disconnect, responses that cannot be passed on.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::{Platform, User, wait_until_blocking};

use crate::is_logged;

#[test]
fn apps_behind_the_edge_see_and_are_seen_as_they_should_be() {
    let platform = Platform::start();
    let admin = platform.admin();

    a_python_server_behind_https(&platform, &admin);
    let folder = clients_that_disconnect(&platform, &admin);
    malformed_responses(&platform, &admin, &folder);
}

/// A request with curl, which trusts any certificate. More of its options may follow.
fn curl(platform: &Platform, scheme: &str, app: &str, path: &str) -> Command {
    let port = if scheme == "https" { platform.https_port } else { platform.http_port };
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--insecure", "--noproxy", "*", "--max-time", "60"])
        .args(["--resolve", &format!("{app}.localhost:{port}:127.0.0.1")])
        .arg(format!("{scheme}://{app}.localhost:{port}{path}"));
    curl
}

/// Cases 11, 12 and a part of 30, which share an app.
fn a_python_server_behind_https(platform: &Platform, user: &User<'_>) {
    let folder = user.app_from_case("schemes", "11-python-server-behind-https");
    user.add_case(&folder, "12-slugignore-and-packages");
    user.change(&folder, &[(".python-version", "\u{feff}3.13\r\n")]);

    let pushed = user.push(&folder).ok().all();

    assert!(pushed.contains("using Python 3.13."), "{pushed}");
    platform.wait_for_answer("schemes", "scheme=http\n");
    let secure = curl(platform, "https", "schemes", "/").output().expect("curl runs");
    assert_eq!(String::from_utf8_lossy(&secure.stdout), "scheme=https\n", "{secure:?}");
    let files = user.deis_in(&folder, &["run", "ls"]).ok().stdout;
    assert_eq!(files, "Procfile\nREADME.md\napp.py\nrequirements.txt\n");
}

/// Case 18, on the router's fast path and on its slow path, which requests with an access log take.
fn clients_that_disconnect(platform: &Platform, user: &User<'_>) -> PathBuf {
    let folder = user.app_from_case("raw", "18-client-that-disconnects");
    user.push(&folder).ok();
    platform.wait_for_answer("raw", "ready");
    let ways = [("http", "--http1.1"), ("https", "--http1.1"), ("https", "--http2")];

    for (scheme, version) in ways {
        disconnect(platform, user, &folder, (scheme, version), &format!("/wait/{scheme}{version}"));
    }
    log_requests(platform, user, &folder);
    for (scheme, version) in ways {
        let path = format!("/wait/{scheme}{version}/logged");
        disconnect(platform, user, &folder, (scheme, version), &path);
        is_logged(user, &folder, &[&format!("path=\"{path}\""), " status=499 "]);
    }
    folder
}

/// Ends a client once the app has its request, and waits until the app knows.
fn disconnect(platform: &Platform, user: &User<'_>, folder: &Path, way: (&str, &str), path: &str) {
    let (scheme, version) = way;
    let mut curl = curl(platform, scheme, "raw", path);
    let mut client = curl.arg(version).stdout(Stdio::null()).spawn().expect("curl runs");
    is_logged(user, folder, &[&format!("{path} waits")]);
    client.kill().expect("our child");
    client.wait().expect("our child");

    is_logged(user, folder, &[&format!("{path} disconnected")]);
}

/// Turns the access log on: the router adopts a setting within a moment.
fn log_requests(platform: &Platform, user: &User<'_>, folder: &Path) {
    user.deis_in(folder, &["access-log:on"]).ok();
    wait_until_blocking("requests are logged", Duration::from_secs(30), || {
        platform.wait_for_answer("raw", "ready");
        let log = user.deis_in(folder, &["logs", "-n", "500"]).ok().stdout;
        log.contains("deis[router]: at=info").then_some(())
    });
}

/// Case 38, with an app whose requests are logged, and then without.
fn malformed_responses(platform: &Platform, user: &User<'_>, folder: &Path) {
    user.replace_with_case(folder, "38-malformed-response");
    user.push(folder).ok();
    let causes = [
        ("/folded", "a header that is malformed or folded over several lines"),
        ("/many", "more than 100 headers"),
    ];
    let fails = |path: &str, cause: &str| {
        let response = platform.get("raw", path).expect("a response");
        assert!(response.status == 502 && response.body.contains(cause), "{response:?}");
    };

    for (path, cause) in causes {
        fails(path, cause);
        is_logged(user, folder, &[&format!("path=\"{path}\""), cause, " status=502 "]);
    }
    user.deis_in(folder, &["access-log:off"]).ok();
    for (path, cause) in causes {
        fails(path, cause);
    }
}
