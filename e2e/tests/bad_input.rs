//! Bad input: one clear message, the right status, and no change to what ran before.

use e2e::{Platform, User};
use std::path::PathBuf;

const SERVER: &str = "web: exec python3 -m http.server $PORT\n";

/// A running app, which failures must not change.
fn running_app(user: &User<'_>, platform: &Platform, name: &str) -> PathBuf {
    let folder = user.app_from_files(name, &[("Procfile", SERVER), ("index.html", "the old release\n")]);
    user.push(&folder).ok();
    platform.wait_for_answer(name, "the old release");
    folder
}

#[test]
fn a_bad_push_leaves_the_running_release() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = running_app(&admin, &platform, "blog");
    let before = platform.containers("blog");
    let [broken, nonsense] = ["RUN echo broken && exit 9", "NONSENSE"]
        .map(|line| format!("FROM {}\n{line}\n", platform.stack_image()));

    for (files, text) in [
        (&[("Procfile", "this is no procfile\n")][..], "Procfile"),
        (&[("Procfile", "Web_1: run\n")], "Procfile"),
        (&[("Procfile", SERVER), ("bin/pre-compile", "#!/bin/sh\necho no; exit 7\n")], "exited with code"),
        (&[("Procfile", SERVER), ("Dockerfile", broken.as_str())], "stopping build"),
        (&[("Dockerfile", nonsense.as_str())], "stopping build"),
    ] {
        admin.change(&folder, files);
        let refused = admin.push(&folder);
        assert_eq!(refused.code, Some(1), "{}", refused.all());
        assert!(refused.stderr.contains(text), "{text:?} is missing in:\n{}", refused.stderr);
        assert!(refused.stderr.contains("pre-receive hook declined"), "{}", refused.stderr);
        admin.git(&folder, &["rm", "-rq", "--cached", "."]).ok();
        admin.git(&folder, &["clean", "-fdxq"]).ok();
        admin.git(&folder, &["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    }
    assert_eq!(platform.containers("blog"), before, "the old replicas must not be touched");
    platform.wait_for_answer("blog", "the old release");
    let releases = admin.deis_in(&folder, &["releases"]).ok().stdout;
    assert!(!releases.contains("v3"), "a failed build makes no release:\n{releases}");
}

#[test]
fn a_push_that_makes_no_sense_says_why() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = admin.app_from_files("blog", &[("Procfile", SERVER)]);
    admin.git(&folder, &["remote", "add", "other", "ssh://git@localhost:2222/missing.git"]).ok();

    let missing = admin.git(&folder, &["push", "other", "master"]);
    assert!(missing.code != Some(0) && missing.all().contains("missing"), "{}", missing.all());
    let wrong_branch = admin.git(&folder, &["push", "deis", "nosuch"]);
    assert!(wrong_branch.code != Some(0) && wrong_branch.all().contains("nosuch"), "{}", wrong_branch.all());
    for url in [
        "ssh://git@localhost:2222/../etc.git",
        "ssh://git@localhost:2222/Blog.git",
        "ssh://git@localhost:2222/a;b.git",
    ] {
        let odd = admin.git(&folder, &["push", url, "master"]);
        assert!(odd.code != Some(0), "{url}: {}", odd.all());
    }
    let tag = admin.git(&folder, &["tag", "v1.0"]);
    assert_eq!(tag.code, Some(0));
    admin.push(&folder).ok();
    let deletion = admin.git(&folder, &["push", "deis", ":master"]);
    assert!(deletion.code != Some(0) && deletion.all().contains("delet"), "{}", deletion.all());
    platform.wait_for_answer("blog", "");
}

#[test]
fn an_app_that_never_gets_ready_leaves_the_old_release() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = running_app(&admin, &platform, "blog");
    let before = platform.containers("blog");
    admin.deis_in(&folder, &["config:set", "DEIS_DEPLOY_TIMEOUT=4"]).ok();
    let after_config = platform.settled_containers("blog", 1);
    assert_ne!(before, after_config);

    for (procfile, text) in
        [("web: sleep 1000\n", "ready"), ("web: echo cannot start; exit 5\n", "cannot start")]
    {
        admin.change(&folder, &[("Procfile", procfile), ("index.html", "the new release\n")]);
        let refused = admin.push(&folder);
        assert_eq!(refused.code, Some(1), "{}", refused.all());
        assert!(refused.stderr.contains(text), "{text:?} is missing in:\n{}", refused.stderr);
        platform.wait_for_answer("blog", "the old release");
    }
    assert_eq!(platform.settled_containers("blog", 1), after_config, "the old replicas must not be touched");
    let releases = admin.deis_in(&folder, &["releases"]).ok().stdout;
    assert!(releases.contains("which failed"), "{releases}");

    admin.change(&folder, &[("Procfile", SERVER), ("index.html", "mended\n")]);
    admin.push(&folder).ok();
    platform.wait_for_answer("blog", "mended");
}

#[test]
fn an_app_that_ignores_term_is_killed_after_its_grace() {
    let platform = Platform::start();
    let admin = platform.admin();
    let stubborn = "import http.server, os, signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                    http.server.HTTPServer(('', int(os.environ['PORT'])), http.server.SimpleHTTPRequestHandler).serve_forever()\n";
    let files = [
        ("Procfile", "web: exec python3 server.py\n"),
        ("server.py", stubborn),
        ("index.html", "stubborn\n"),
    ];
    let folder = admin.app_from_files("mule", &files);
    admin.deis_in(&folder, &["config:set", "KUBERNETES_POD_TERMINATION_GRACE_PERIOD_SECONDS=2"]).ok();
    admin.push(&folder).ok();
    platform.wait_for_answer("mule", "stubborn");

    let begun = std::time::Instant::now();
    admin.deis_in(&folder, &["config:set", "A=1"]).ok();

    assert!(begun.elapsed() < std::time::Duration::from_secs(30), "{:?}", begun.elapsed());
    platform.settled_containers("mule", 1);
}
