//! Changes without loss: a WebSocket of one app survives deploys of another.

use std::time::Duration;

use e2e::{ECHO_APP, Platform, Visitors, WebSocket, wait_until_blocking};

/// Deploys of the other app; `WORKFLOW_E2E_DEPLOYS` sets another number, such as 100.
const DEPLOYS: usize = 20;

const SERVER: &str = "web: exec python3 -m http.server $PORT\n";

#[test]
fn a_websocket_stays_open_through_deploys_of_another_app() {
    let deploys =
        std::env::var("WORKFLOW_E2E_DEPLOYS").map_or(DEPLOYS, |text| text.parse().expect("a number"));
    let platform = Platform::start();
    let admin = platform.admin();
    let echo =
        admin.app_from_files("echo", &[("Procfile", "web: exec python3 echo.py\n"), ("echo.py", ECHO_APP)]);
    admin.push(&echo).ok();
    let other = admin.app_from_files("blog", &[("Procfile", SERVER), ("index.html", "hello\n")]);
    admin.push(&other).ok();
    platform.wait_for_answer("blog", "hello");
    let mut socket = wait_until_blocking("the app takes a WebSocket", Duration::from_secs(30), || {
        WebSocket::open(platform.http_port, "echo.localhost").ok()
    });
    let visitors = Visitors::of(&platform, "blog");

    for deploy in 1..=deploys {
        admin.deis_in(&other, &["config:set", &format!("DEPLOY={deploy}")]).ok();
        let word = format!("after deploy {deploy}");
        assert_eq!(socket.ask(&word).as_deref(), Ok(word.as_str()));
    }

    let (asked, lost) = visitors.leave();
    assert!(asked > deploys && lost.is_empty(), "{asked} asked, lost: {lost:?}");
    let page = platform.get("echo", "/").expect("the app still answers");
    assert_eq!(page.body, "1 taken\n", "one WebSocket, and the same process");
}
