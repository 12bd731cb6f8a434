//! The journey of docs/spec/journeys.md A1, A2, A5, A7, A12, A15-A17, A19 and B1-B4 on one machine and on a cluster.

use e2e::Platform;

#[test]
fn the_first_user_becomes_administrator_and_then_only_administrators_register_others() {
    let platform = Platform::start();
    let admin = platform.newcomer("admin");
    let said = admin.register(&[]).ok();
    assert!(said.stdout.contains("Registered admin\nLogged in as admin\n"), "{}", said.stdout);
    let whoami = admin.deis(&["whoami", "--all"]).ok().stdout;
    assert!(whoami.contains("Is Superuser: true") && whoami.contains("ID: 0"), "{whoami}");

    let bob = platform.newcomer("bob");
    bob.register(&[]).fails(1, "You do not have permission to perform this action.");
    let url = platform.url();
    let invited =
        ["register", &url, "--username=bob", "--password=correct horse", "--email=", "--login=false"];
    admin.deis(&invited).ok();
    bob.login().ok();
    bob.deis(&["users"]).fails(1, "You do not have permission to perform this action.");

    bob.deis(&["auth:passwd", "--password=wrong", "--new-password=x"]).fails(1, "Password change failed");
    bob.deis(&["passwd", "--password=correct horse", "--new-password=battery staple"]).ok();
    bob.login().fails(1, "Unable to log in with provided credentials.");
    bob.deis(&["logout"]).ok();
    bob.deis(&["apps"]).fails(1, "Client configuration file not found");
}

#[test]
fn an_app_lives_from_push_to_destroy() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = admin.app_from_example("blog", "static");
    let remotes = admin.git(&folder, &["remote", "-v"]).ok().stdout;
    assert!(remotes.contains("ssh://git@localhost:2222/blog.git"), "{remotes}");

    let pushed = admin.push(&folder).ok().stderr;
    for text in
        ["Starting build... but first, coffee!", "app detected", "Compiled slug size is", "blog:v2 deployed"]
    {
        assert!(pushed.contains(text), "{text:?} is missing in:\n{pushed}");
    }
    platform.wait_for_answer("blog", "");
    assert!(admin.push(&folder).ok().stderr.contains("Everything up-to-date"));

    let listed = admin.deis_in(&folder, &["scale", "web=2"]).ok().stdout;
    assert_eq!(listed.matches(" up (v2)").count(), 2, "{listed}");
    let config = admin.deis_in(&folder, &["config:set", "COLOR=teal", "WORD=two words"]).ok().stdout;
    assert!(config.contains("COLOR      teal"), "{config}");
    let run = admin.deis_in(&folder, &["run", "echo $COLOR; exit 3"]);
    assert_eq!(run.code, Some(3), "{}", run.all());
    assert!(run.all().contains("teal"), "{}", run.all());
    admin.deis_in(&folder, &["config:unset", "NOPE"]).fails(1, "NOPE does not exist under values");

    let rolled_back = admin.deis_in(&folder, &["rollback", "v2"]).ok().stdout;
    assert!(rolled_back.contains("done, v4"), "{rolled_back}");
    let releases = admin.deis_in(&folder, &["releases"]).ok().stdout;
    for text in ["v4", "admin rolled back to v2", "admin added COLOR, WORD", "admin created initial release"]
    {
        assert!(releases.contains(text), "{text:?} is missing in:\n{releases}");
    }
    admin.deis_in(&folder, &["run", "test -z \"$COLOR\""]).ok();
    let sbom = admin.deis_in(&folder, &["releases:sbom", "v4"]).ok().stdout;
    assert!(sbom.contains("pkg:deb/debian/libc6@"), "the stack's packages are in it: {sbom}");

    let logs = admin.deis_in(&folder, &["logs", "-n", "1000"]).ok().stdout;
    for text in ["blog[web.v2.", "deis[controller]: INFO admin rolled back to v2", "deis[builder]: INFO"] {
        assert!(logs.contains(text), "{text:?} is missing in:\n{logs}");
    }
    admin.deis_in(&folder, &["ps:restart", "web"]).ok();

    let gone = admin.deis_in(&folder, &["destroy", "--confirm=blog"]).ok().stdout;
    assert!(gone.contains("Git remotes for app blog removed."), "{gone}");
    assert_eq!(platform.get("blog", "/").expect("an answer").status, 404);
    assert_eq!(platform.left_of("blog"), Vec::<String>::new());
}

#[test]
fn an_image_runs_as_it_is_and_with_a_procfile() {
    let platform = Platform::start();
    let admin = platform.admin();
    admin.deis(&["create", "--no-remote", "shop"]).ok();

    admin.deis(&["pull", "no.such/image:1", "--app=shop"]).fails(1, "no.such/image:1");
    let releases = admin.deis(&["releases", "--app=shop"]).ok().stdout;
    assert!(!releases.contains("v2"), "an image that is not there makes no release: {releases}");

    admin.deis(&["config:set", "PORT=5000", "--app=shop"]).ok();
    let web = "--procfile=web: cd /usr/share/common-licenses && exec python3 -m http.server $PORT";
    admin.deis(&["pull", &platform.stack_image(), web, "--app=shop"]).ok();
    platform.wait_for_answer("shop", "GPL-3");
    let pods = admin.deis(&["ps", "--app=shop"]).ok().stdout;
    assert!(pods.contains("--- web:") && !pods.contains("--- cmd:"), "{pods}");
    admin
        .deis(&["scale", "nope=1", "--app=shop"])
        .fails(1, "Container type nope does not exist in application");
}

#[test]
fn only_who_may_touch_an_app_does() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = admin.app_from_example("blog", "static");
    let url = platform.url();
    for name in ["bob", "eve"] {
        let name = format!("--username={name}");
        admin.deis(&["register", &url, &name, "--password=correct horse", "--email=", "--login=false"]).ok();
    }
    let (bob, eve) = (platform.newcomer("bob"), platform.newcomer("eve"));
    bob.login().ok();
    bob.add_key();
    eve.login().ok();

    eve.deis(&["info", "--app=blog"]).fails(1, "You do not have permission to perform this action.");
    eve.deis(&["info", "--app=none"]).fails(1, "\"No App matches the given query.\"");
    let foreign = eve.git(&folder, &["push", "ssh://git@localhost:2222/blog.git", "master"]);
    assert!(
        foreign.code != Some(0) && foreign.all().to_lowercase().contains("permission denied"),
        "{}",
        foreign.all()
    );
    let uninvited = bob.git(&folder, &["push", "ssh://git@localhost:2222/blog.git", "master"]);
    assert!(
        uninvited.code != Some(0) && uninvited.all().contains("may not use the app `blog`"),
        "{}",
        uninvited.all()
    );
    assert_ne!(bob.run("git", &["clone", "ssh://git@localhost:2222/blog.git", "stolen"]).code, Some(0));

    admin.deis(&["perms:create", "bob", "--app=blog"]).ok();
    bob.git(&folder, &["push", "ssh://git@localhost:2222/blog.git", "master"]).ok();
    platform.wait_for_answer("blog", "");
    bob.run("git", &["clone", "--quiet", "ssh://git@localhost:2222/blog.git", "shared"]).ok();
    bob.deis(&["destroy", "--app=blog", "--confirm=blog"]).fails(1, "You do not have permission");
}

#[test]
fn hosts_of_the_platform_and_of_other_apps_cannot_be_claimed() {
    let platform = Platform::start();
    let admin = platform.admin();
    let folder = admin.app_from_example("blog", "static");
    admin.push(&folder).ok();
    admin.deis(&["create", "--no-remote", "evil"]).ok();

    for host in [
        "deis.localhost",
        "blog.localhost",
        "blog",
        "deis",
        "*.localhost",
        "x.localhost",
        "localhost",
        "*.blog.localhost",
    ] {
        let refused = admin.deis(&["domains:add", host, "--app=evil"]);
        assert_eq!(refused.code, Some(1), "{host} was accepted: {}", refused.all());
    }
    admin.deis(&["domains:add", "www.example.com", "--app=blog"]).ok();
    admin
        .deis(&["domains:add", "www.example.com", "--app=evil"])
        .fails(1, "Domain is already in use by another application");
    let answer = e2e::get(platform.http_port, "www.example.com", "/").expect("an answer");
    assert_eq!(answer.status, 200);
    admin.deis(&["domains:remove", "www.example.com", "--app=blog"]).ok();
    e2e::wait_until_blocking("the domain is gone", std::time::Duration::from_secs(5), || {
        e2e::get(platform.http_port, "www.example.com", "/").ok().filter(|answer| answer.status == 404)
    });
}
