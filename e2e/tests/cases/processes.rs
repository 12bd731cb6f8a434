//! Cases of processes: types that come and go, commands, crashes.

use std::path::Path;

use e2e::{Platform, User};

use crate::{is_logged, read_case};

#[test]
fn processes_come_back_and_their_ends_are_told() {
    let platform = Platform::start();
    let admin = platform.admin();

    a_type_that_one_push_lacks(&platform, &admin);
    a_page_that_was_a_worker_for_one_push(&platform, &admin);
    a_server_that_crashes(&platform, &admin);
}

fn a_type_that_one_push_lacks(platform: &Platform, user: &User<'_>) {
    let folder = user.app_from_case("typo", "01-type-missing-from-one-push");
    let push = |procfile: &str| {
        user.change(&folder, &[("Procfile", procfile)]);
        user.push(&folder).ok().all()
    };
    let webs = || user.deis_in(&folder, &["ps"]).ok().stdout.matches("typo-web-").count();
    let served = push("web: exec python3 server.py # first\n");
    assert!(!served.contains("WARNING"), "{served}");
    user.deis_in(&folder, &["scale", "web=2"]).ok();

    let unserved = push("veb: exec python3 server.py\n");
    let warning = "nothing serves this app: its Procfile has no `web`, only veb";
    assert!(unserved.contains("WARNING") && unserved.contains(warning), "{unserved}");
    is_logged(user, &folder, &[warning]);

    let served = push("web: exec python3 server.py\n");
    assert!(!served.contains("WARNING"), "{served}");
    platform.wait_for_answer("typo", "served by web");
    assert_eq!(webs(), 2);
    a_hash_within_quotes(platform, user, &folder);
}

/// Case 14, with an app that exists already.
fn a_hash_within_quotes(platform: &Platform, user: &User<'_>, folder: &Path) {
    user.replace_with_case(folder, "14-hash-in-procfile-quotes");

    user.push(folder).ok();

    platform.wait_for_answer("typo", r#"["issue #7", "--title=a #b"]"#);
}

/// Cases 01 and 37.
fn a_page_that_was_a_worker_for_one_push(platform: &Platform, user: &User<'_>) {
    let case = "37-messages-of-builds";
    let folder = user.app_from_case("page", case);
    let push_with = |procfile: &str| {
        user.change(&folder, &[("Procfile", &read_case(case, procfile))]);
        user.push(&folder).ok().all()
    };
    let default = "Default process types for Static -> web";
    let pushed = user.push(&folder).ok().all();
    assert!(pushed.contains("serving . (4 files)"), "{pushed}");
    platform.wait_for_answer("page", "a page");

    let pushed = push_with("Procfile.comments");
    assert!(pushed.contains(default) && !pushed.contains("no process types"), "{pushed}");
    let unserved = push_with("Procfile.worker");
    assert!(unserved.contains("its Procfile has no `web`, only worker"), "{unserved}");
    assert!(!unserved.contains(default), "{unserved}");
    user.git(&folder, &["rm", "--quiet", "Procfile"]).ok();
    user.change(&folder, &[("index.html", "a page again\n")]);
    user.push(&folder).ok();

    platform.wait_for_answer("page", "a page again");
}

fn a_server_that_crashes(platform: &Platform, user: &User<'_>) {
    let folder = user.app_from_case("crasher", "20-server-that-crashes");
    user.push(&folder).ok();
    platform.wait_for_answer("crasher", "still here");

    for (path, cause) in [("/exit", "exit code 3"), ("/signal", "exit code 139, signal 11 (SIGSEGV)")] {
        let answer = platform.get("crasher", path);
        assert!(!answer.as_ref().is_ok_and(|answer| answer.status == 200), "{answer:?}");
        is_logged(user, &folder, &[cause, "it is started again"]);
        platform.wait_for_answer("crasher", "still here");
    }
    let listed = user.deis_in(&folder, &["ps"]).ok().stdout;
    assert!(
        listed.contains("up (v2) crashed (exit code 139, signal 11 (SIGSEGV), 2 times since 20"),
        "{listed}"
    );
    let listed = user.deis_in(&folder, &["ps", "-o", "json"]).ok().stdout;
    assert!(listed.contains("\"exit_code\": 139") && listed.contains("\"times\": 2"), "{listed}");

    user.deis_in(&folder, &["limits:set", "web=64M"]).ok();
    platform.wait_for_answer("crasher", "still here");
    let listed = user.deis_in(&folder, &["ps"]).ok().stdout;
    assert!(!listed.contains("crashed"), "{listed}");
    let answer = platform.get("crasher", "/memory");
    assert!(!answer.as_ref().is_ok_and(|answer| answer.status == 200), "{answer:?}");
    is_logged(user, &folder, &["needed more than its memory limit of 64 MB"]);
    platform.wait_for_answer("crasher", "still here");
    let listed = user.deis_in(&folder, &["ps"]).ok().stdout;
    assert!(listed.contains("crashed (out of memory, once, at 20"), "{listed}");
}
