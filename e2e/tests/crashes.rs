//! Nothing is lost: the platform is killed during builds and deploys, and continues by itself.

use std::time::{Duration, Instant};

use e2e::{Daemon, Platform};

/// Longest time from the restart of the platform to the first response of the router.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

const SERVER: &str = "web: exec python3 -m http.server $PORT\n";

#[test]
fn killed_in_a_push_a_deploy_and_a_scale_it_carries_on() {
    let mut platform = Platform::start();
    let (folder, before) = {
        let admin = platform.admin();
        let folder = admin.app_from_files("blog", &[("Procfile", SERVER), ("index.html", "first\n")]);
        admin.push(&folder).ok();
        platform.wait_for_answer("blog", "first");
        (folder, platform.containers("blog"))
    };

    // In the middle of a build.
    let mut push = {
        let admin = platform.newcomer_again("admin");
        admin.change(
            &folder,
            &[("index.html", "second\n"), ("bin/pre-compile", "#!/bin/sh\necho at work; sleep 60\n")],
        );
        admin.push_until(&folder, "at work")
    };
    platform.kill();
    assert!(!push.wait().expect("our child").success());
    let missing = |platform: &Platform| before.iter().any(|line| !platform.containers("blog").contains(line));
    assert!(!missing(&platform), "containers must not notice");
    answers_soon_after_a_start(&mut platform);
    // Checked before the next kill: the last lines before one may not be on the disk yet.
    let admin = platform.newcomer_again("admin");
    e2e::wait_until_blocking("a build that was cut off is reported", Duration::from_secs(30), || {
        let logs = admin.deis(&["logs", "-n", "1000", "--app=blog"]).stdout;
        logs.contains("failed: the platform stopped").then_some(())
    });
    // The build's containers are removed; the replicas are the same as before.
    assert_eq!(platform.settled_containers("blog", 1), before);

    // In the middle of a deploy, and of a scale.
    for arguments in [&["config:set", "WORD=third", "--app=blog"][..], &["scale", "web=3", "--app=blog"]] {
        let mut client = platform.newcomer_again("admin").deis_in_background(arguments);
        wait_until_work_has_begun(&platform, &before);
        platform.kill();
        client.wait().expect("our child");
        answers_soon_after_a_start(&mut platform);
    }
    let admin = platform.newcomer_again("admin");
    e2e::wait_until_blocking("three replicas of the newest release", Duration::from_secs(60), || {
        let pods = admin.deis(&["ps", "--app=blog"]).stdout;
        (pods.matches(" up (v3)").count() == 3).then_some(())
    });
    admin.deis(&["run", "test \"$WORD\" = third", "--app=blog"]).ok();

    // And the next push works.
    admin.change(&folder, &[("index.html", "fourth\n"), ("bin/pre-compile", "#!/bin/sh\n")]);
    admin.push(&folder).ok();
    platform.wait_for_answer("blog", "fourth");
}

fn answers_soon_after_a_start(platform: &mut Platform) {
    let begun = Instant::now();
    platform.launch();
    e2e::wait_until_blocking("the app answers again", Duration::from_secs(30), || {
        platform.get("blog", "/").ok().filter(|answer| answer.status == 200)
    });
    assert!(begun.elapsed() < ANSWER_LIMIT, "it took {:?}", begun.elapsed());
    platform.wait_for_api();
}

/// Waits until there is a container that was not there before.
fn wait_until_work_has_begun(platform: &Platform, before: &[String]) {
    e2e::wait_until_blocking("a new replica", Duration::from_secs(30), || {
        platform.containers("blog").iter().any(|line| !before.contains(line)).then_some(())
    });
}

#[test]
fn after_a_reboot_everything_comes_back() {
    let mut daemon = Daemon::start();
    let mut platform = Platform::start_on_daemon(&daemon);
    {
        let admin = platform.admin();
        let folder = admin.app_from_files("blog", &[("Procfile", SERVER), ("index.html", "still here\n")]);
        admin.push(&folder).ok();
        platform.wait_for_answer("blog", "still here");
    }

    // Like a reboot: platform, Docker and containers die at once.
    platform.kill();
    daemon.kill_with_all_containers();
    platform.launch();
    daemon.launch();

    platform.wait_for_api();
    platform.wait_for_answer("blog", "still here");
    let admin = platform.newcomer_again("admin");
    let logs = admin.deis(&["logs", "--app=blog"]).ok().stdout;
    assert!(logs.contains("admin created initial release"), "{logs}");
    admin.deis(&["scale", "web=2", "--app=blog"]).ok();
}

#[test]
fn asked_to_stop_it_drains_and_ends_in_time_while_apps_run_on() {
    let mut platform = Platform::start();
    let before = {
        let admin = platform.admin();
        let folder = admin.app_from_files("blog", &[("Procfile", SERVER), ("index.html", "up\n")]);
        admin.push(&folder).ok();
        platform.wait_for_answer("blog", "up");
        platform.containers("blog")
    };

    let begun = Instant::now();
    let code = platform.stop();

    assert_eq!(code, Some(0));
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    assert_eq!(platform.containers("blog"), before);
}
