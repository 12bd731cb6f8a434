//! Settings that make no release, as clients of an app see them: docs/spec/journeys.md A7, A8, A12-A14 and A18.

use std::path::Path;
use std::time::Duration;

use e2e::{Platform, Response, User, wait_until_blocking};

const SERVER: &str = "web: exec python3 -m http.server $PORT\n";

fn releases(user: &User<'_>, folder: &Path) -> usize {
    user.deis_in(folder, &["releases"]).ok().stdout.lines().filter(|line| line.starts_with('v')).count()
}

const WITH_HOOKS: [(&str, &str); 4] = [
    (
        "Procfile",
        "web: exec python3 -m http.server $PORT\nhooks: cd hooks && exec python3 -m http.server $PORT\n",
    ),
    ("index.html", "hello\n"),
    ("hook/index.html", "by web\n"),
    ("hooks/hook/index.html", "by hooks\n"),
];

/// Waits until clients get this status: the router adopts a new table within a moment.
fn seen(platform: &Platform, status: u16) -> Response {
    wait_until_blocking(&format!("visitors get {status}"), Duration::from_secs(10), || {
        platform.get("blog", "/").ok().filter(|answer| answer.status == status)
    })
}

#[test]
fn settings_act_on_visitors_and_make_no_release() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = admin.app_from_files("blog", &[("Procfile", SERVER), ("index.html", "hello\n")]);
    admin.push(&folder).ok();
    platform.wait_for_answer("blog", "hello");
    let deis = |words: &[&str]| admin.deis_in(&folder, words);

    deis(&["maintenance:on"]).ok();
    seen(&platform, 503);
    deis(&["maintenance:off"]).ok();
    seen(&platform, 200);

    deis(&["whitelist:add", "192.0.2.1"]).ok();
    seen(&platform, 403);
    deis(&["whitelist:add", "0.0.0.0/0"]).ok();
    seen(&platform, 200);
    deis(&["whitelist:remove", "9.9.9.9"]).fails(1, "does not exist in whitelist");
    deis(&["whitelist:remove", "192.0.2.1,0.0.0.0/0"]).ok();

    deis(&["tls:enable"]).ok();
    let redirected = seen(&platform, 301);
    assert!(redirected.head.contains("location: https://blog.localhost"), "{}", redirected.head);
    deis(&["tls:disable"]).ok();
    deis(&["tls:disable"]).fails(1, "admin changed nothing");

    deis(&["access-log:on"]).ok();
    wait_until_blocking("a request is told in the app's log", Duration::from_secs(10), || {
        seen(&platform, 200);
        let log = deis(&["logs"]).ok().stdout;
        log.contains("deis[router]: at=info method=GET path=\"/\" host=blog.").then_some(())
    });
    deis(&["access-log:off"]).ok();

    deis(&["routing:disable"]).ok();
    seen(&platform, 404);
    deis(&["routing:enable"]).ok();
    seen(&platform, 200);
    assert_eq!(releases(&admin, &folder), 2);
}

#[test]
fn an_autoscale_rule_takes_over_from_the_number_and_gives_it_back() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = admin.app_from_files("blog", &[("Procfile", SERVER), ("index.html", "hello\n")]);
    admin.push(&folder).ok();
    let deis = |words: &[&str]| admin.deis_in(&folder, words);

    deis(&["autoscale:set", "web", "--min=2", "--max=3", "--cpu-percent=80"]).ok();
    assert_eq!(platform.settled_containers("blog", 2).len(), 2);
    let rules = deis(&["autoscale"]).ok().stdout;
    assert!(rules.contains("Min Replicas: 2\nMax Replicas: 3\nCPU: 80%"), "{rules}");
    deis(&["autoscale:set", "web", "--min=4", "--max=3", "--cpu-percent=80"])
        .fails(1, "max replicas can not be smaller than min replicas");

    deis(&["autoscale:unset", "web"]).ok();
    assert_eq!(platform.settled_containers("blog", 1).len(), 1);
    platform.wait_for_answer("blog", "hello");
    assert_eq!(releases(&admin, &folder), 2);
}

#[test]
fn paths_of_a_service_go_to_its_process_type_and_back() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = admin.app_from_files("blog", &WITH_HOOKS);
    admin.push(&folder).ok();
    let deis = |words: &[&str]| admin.deis_in(&folder, words).ok();
    let answered = |path: &str, body: &str| {
        wait_until_blocking(&format!("{path} is answered {body}"), Duration::from_secs(10), || {
            platform
                .get("blog", path)
                .ok()
                .filter(|answer| answer.status == 200 && answer.body.trim() == body)
        })
    };
    deis(&["scale", "hooks=2"]);
    answered("/hook/", "by web");

    deis(&["services:add", "--type", "hooks", "--route", "/hook,~ ^/x/"]);
    answered("/hook/", "by hooks");
    answered("/", "hello");
    admin.change(&folder, &[("hooks/hook/index.html", "by newer hooks\n")]);
    admin.push(&folder).ok();
    answered("/hook/", "by newer hooks");
    deis(&["services:add", "--type", "hooks", "--route", "/other"]);
    answered("/hook/", "by web");
    deis(&["services:add", "--type", "hooks", "--route", "/hook"]);
    answered("/hook/", "by newer hooks");

    deis(&["services:remove", "--type", "hooks"]);
    answered("/hook/", "by web");
    assert_eq!(platform.settled_containers("blog", 3).len(), 3);
    assert_eq!(releases(&admin, &folder), 3);
}
