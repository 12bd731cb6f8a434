//! Examples of the client's contract (docs/spec/cli.md 9), text for text, where other tests have other names or values
//! in them.

use crate::world::{URL, World};

fn page(count: usize, results: &[&str]) -> String {
    format!(r#"{{"count":{count},"next":null,"previous":null,"results":[{}]}}"#, results.join(","))
}

fn app(id: &str) -> String {
    format!(
        r#"{{"uuid":"c4aed81c-d1ca-4ff1-ab89-d2151264e1a3","id":"{id}","owner":"bob","structure":{{}},"created":"2016-08-22T17:40:16Z","updated":"2016-08-22T17:42:16Z"}}"#
    )
}

fn config(groups: &str) -> String {
    format!(
        r#"{{"uuid":"c","app":"foo","owner":"bob","values":{{}},{groups},"created":"2016-08-22T17:40:16Z","updated":"2016-08-22T17:40:16Z"}}"#
    )
}

/// 9.1: what a terminal shows, where passwords are typed and not shown.
#[test]
fn registering_asks_for_all_that_is_missing() {
    let world = World::new();
    world.answer("GET /v2/", 401, "").answer("POST /v2/auth/register/", 201, "{}").answer(
        "POST /v2/auth/login/",
        200,
        r#"{"token":"t"}"#,
    );
    let line = format!("deis register {URL} --username=bob --email=bob@example.com");
    let run = world.on_silent_terminal(&line, &["s3cret", "s3cret"]);
    let written = world.path(".deis/client.json");
    assert_eq!(
        run.out,
        format!(
            "password: \r\npassword (confirm): \r\nRegistered bob\r\nLogged in as bob\r\n\
             Configuration file written to {}\r\n",
            written.display()
        )
    );
}

/// 9.1
#[test]
fn who_one_is_needs_no_request() {
    let world = World::logged_in();
    world.deis("whoami").says("You are bob at http://deis.example.com\n");
    assert!(world.requests().is_empty());
}

/// 9.1: a new password is typed twice.
#[test]
fn a_password_that_is_changed_is_asked_for() {
    let world = World::logged_in();
    world.answer("POST /v2/auth/passwd/", 200, "{}");
    let asked = "current password: \r\nnew password: \r\nnew password (confirm): \r\n";
    let run = world.on_silent_terminal("deis passwd", &["old", "new", "new"]);
    assert_eq!(run.out, format!("{asked}Password change succeeded.\r\n"));
    assert!(world.requests()[0].ends_with(r#"{"password":"old","new_password":"new"}"#));
    let run = world.on_silent_terminal("deis passwd", &["old", "new", "other"]);
    assert_eq!(run.out, format!("{asked}Error: Password mismatch, not changing.\r\n"));
    assert_eq!((run.code, world.requests().len()), (1, 0));
}

/// 9.2
#[test]
fn an_app_with_a_name_that_was_made_up() {
    let world = World::logged_in();
    world.git("init");
    world.answer("POST /v2/apps/", 201, &app("proper-barbecue"));
    world.deis("create").says(
        "Creating Application... done, created proper-barbecue\n\
         Git remote deis successfully created for app proper-barbecue.\n",
    );
    world.deis("create").fails_with(
        "Error: A git remote with the name deis already exists. To overwrite this remote run:\n\
         deis git:remote --force --remote deis --app proper-barbecue\n",
    );
    world.deis("create --no-remote").says(
        "Creating Application... done, created proper-barbecue\n\
         If you want to add a git remote for this app later, use `deis git:remote -a proper-barbecue`\n",
    );
}

/// 9.2
#[test]
fn a_part_of_the_apps() {
    let world = World::logged_in();
    world.answer("GET /v2/apps/?limit=2", 200, &page(5, &[&app("foo"), &app("bar")]));
    world.deis("apps:list -l 2").says("=== Apps (2 of 5)\nfoo\nbar\n");
}

/// 9.5; the year is far away, so that the number of years has two digits for long.
#[test]
fn certificates_in_a_table() {
    let cert = |name: &str, san: &str, expires: &str, fingerprint: &str, domains: &str| {
        format!(
            r#"{{"id":1,"owner":"admin","domains":[{domains}],"san":[{san}],"created":"2016-06-09T00:00:00Z","updated":"2016-06-09T00:00:00Z","name":"{name}","common_name":"test.com","fingerprint":"{fingerprint}","expires":"{expires}","starts":null,"issuer":"","subject":""}}"#
        )
    };
    let new = cert(
        "test-example-com",
        r#""a.com","b.com""#,
        "2099-11-10T00:00:00Z",
        "AB:12:AB:12:AB:CD:EF",
        r#""a.com""#,
    );
    let old = cert("old", "", "2014-01-01T00:00:00Z", "", "");
    let world = World::logged_in();
    world.answer("GET /v2/certs/?limit=100", 200, &page(2, &[&new, &old]));

    let run = world.deis("certs:list");

    let years = run.out.split("(in ").nth(1).and_then(|rest| rest.split(' ').next()).expect("years");
    assert!(years.parse::<u32>().is_ok_and(|years| (10..=73).contains(&years)), "{}", run.out);
    let shown = run.out.replace(&format!("2099 (in {years} years)"), "2040 (in 14 years)");
    assert_eq!(
        shown,
        "        Name       | Common Name | SubjectAltName |          Expires          |   Fingerprint   | Domains |  Updated   |  Created    \n\
         +------------------+-------------+----------------+---------------------------+-----------------+---------+------------+------------+\n  \
         test-example-com | test.com    | a.com,b.com    | 10 Nov 2040 (in 14 years) | AB:12[...]CD:EF | a.com   | 9 Jun 2016 | 9 Jun 2016  \n  \
         old              | test.com    |                | 1 Jan 2014 (expired)      |                 |         | 9 Jun 2016 | 9 Jun 2016  \n"
    );
}

/// 9.5
#[test]
fn a_certificate_with_both_dates_and_one_with_nothing() {
    let world = World::logged_in();
    let cert = r#"{"id":1,"owner":"admin","domains":["a.com"],"san":["a.com","b.com"],"created":"2016-06-09T00:00:00Z","updated":"2016-06-09T00:00:00Z","name":"test-example-com","common_name":"test.com","fingerprint":"AB:12:AB:12:AB:CD:EF","expires":"2040-11-10T00:00:00Z","starts":"2016-06-09T00:00:00Z","issuer":"/C=US/CN=x","subject":"/C=US/CN=x"}"#;
    let bare = r#"{"id":2,"owner":"admin","domains":[],"san":[],"created":"2016-06-09T00:00:00Z","updated":"2016-06-09T00:00:00Z","name":"bare","common_name":null,"fingerprint":"","expires":null,"starts":null,"issuer":"","subject":""}"#;
    world.answer("GET /v2/certs/test-example-com", 200, cert).answer("GET /v2/certs/bare", 200, bare);
    world.deis("certs:info test-example-com").says(
        "=== test-example-com Certificate\n\
         Common Name(s):     test.com\n\
         Expires At:         10 Nov 2040\n\
         Starts At:          9 Jun 2016\n\
         Fingerprint:        AB:12:AB:12:AB:CD:EF\n\
         Subject Alt Name:   a.com,b.com\n\
         Issuer:             /C=US/CN=x\n\
         Subject:            /C=US/CN=x\n\n\
         Connected Domains:  a.com\n\
         Owner:              admin\n\
         Created:            9 Jun 2016\n\
         Updated:            9 Jun 2016\n",
    );
    let shown = world.deis("certs:info bare").out;
    for line in [
        "Subject Alt Name:   N/A\n",
        "Connected Domains:  No connected domains\n",
        "Expires At:         unknown\n",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
}

/// 9.7
#[test]
fn a_domain_is_removed() {
    let world = World::logged_in();
    world.answer("DELETE /v2/apps/foo/domains/x.com", 204, "");
    world.deis("domains:remove x.com -a foo").says("Removing x.com from foo... done\n");
}

/// 9.9
#[test]
fn health_checks_in_all_their_forms() {
    let world = World::logged_in();
    let numbers = r#""initialDelaySeconds":50,"timeoutSeconds":50,"periodSeconds":10,"successThreshold":1,"failureThreshold":3"#;
    let http = format!(
        r#"{{{numbers},"httpGet":{{"path":"/","port":80,"httpHeaders":[{{"name":"X-A","value":"1"}},{{"name":"Host","value":"x"}}]}}}}"#
    );
    let exec = format!(r#"{{{numbers},"exec":{{"command":["/bin/true","-n"]}}}}"#);
    let tcp = format!(r#"{{{numbers},"tcpSocket":{{"port":1500}}}}"#);
    let body = config(&format!(
        r#""healthcheck":{{"web/cmd":{{"livenessProbe":{http}}},"worker":{{"livenessProbe":{exec},"readinessProbe":{tcp}}}}}"#
    ));
    world.answer("GET /v2/apps/foo/config/", 200, &body);
    let told = "Initial Delay (seconds): 50\nTimeout (seconds): 50\nPeriod (seconds): 10\nSuccess Threshold: 1\nFailure Threshold: 3\n";
    let first = format!(
        "=== foo Healthchecks\n\nweb/cmd:\n--- Liveness\n{told}Exec Probe: N/A\n\
         HTTP GET Probe: Path=\"/\" Port=80 HTTPHeaders=[X-A=1 Host=x]\nTCP Socket Probe: N/A\n\n\
         --- Readiness\nNo readiness probe configured.\n"
    );
    world.deis("healthchecks:list --type=web/cmd -a foo").says(&first);
    let all = world.deis("healthchecks -a foo").out;
    for text in [
        format!(
            "worker:\n--- Liveness\n{told}Exec Probe: Command=[/bin/true -n]\nHTTP GET Probe: N/A\nTCP Socket Probe: N/A\n"
        ),
        format!("--- Readiness\n{told}Exec Probe: N/A\nHTTP GET Probe: N/A\nTCP Socket Probe: Port=1500\n"),
    ] {
        assert!(all.starts_with(&first) && all.contains(&text), "{all}");
    }
    let run = world.deis("healthchecks:set liveness httpGet http -a foo");
    assert!(run.err.starts_with("Error: could not parse port: ") && run.code == 1, "{}", run.err);
}

/// 9.10
#[test]
fn an_ssh_key_is_removed() {
    let world = World::logged_in();
    world.answer("DELETE /v2/keys/bob@host", 204, "");
    world.deis("keys:remove bob@host").says("Removing bob@host SSH Key... done\n");
}

/// 9.12
#[test]
fn limits_of_both_kinds_and_of_none() {
    let world = World::logged_in();
    let limits = r#""memory":{"web":"1G","worker":"500M/1G"},"cpu":{"web":"500m"}"#;
    world.answer("GET /v2/apps/foo/config/", 200, &config(limits));
    world
        .deis("limits -a foo")
        .says("=== foo Limits\n\n--- Memory\nweb        1G\nworker     500M/1G\n\n--- CPU\nweb     500m\n");
    let world = World::logged_in();
    world.answer("GET /v2/apps/foo/config/", 200, &config(r#""memory":{},"cpu":{}"#));
    world.deis("limits:list -a foo").says("=== foo Limits\n\n--- Memory\nUnlimited\n\n--- CPU\nUnlimited\n");
}

/// 9.14
#[test]
fn collaborators_and_administrators_by_name() {
    let world = World::logged_in();
    world
        .answer("POST /v2/apps/foo/perms/", 201, "")
        .answer("DELETE /v2/apps/foo/perms/u", 204, "")
        .answer("POST /v2/admin/perms/", 201, "")
        .answer("DELETE /v2/admin/perms/u", 204, "");
    world.deis("perms:create u -a foo").says("Adding u to foo collaborators... done\n");
    world.deis("perms:delete u -a foo").says("Removing u from foo collaborators... done\n");
    world.deis("perms:create u --admin").says("Adding u to system administrators... done\n");
    world.deis("perms:delete u --admin").says("Removing u from system administrators... done\n");
    assert_eq!(
        world.requests(),
        [
            r#"POST /v2/apps/foo/perms/ {"username":"u"}"#,
            "DELETE /v2/apps/foo/perms/u",
            r#"POST /v2/admin/perms/ {"username":"u"}"#,
            "DELETE /v2/admin/perms/u"
        ]
    );
}

/// 9.20
#[test]
fn https_is_enforced_or_not() {
    for (value, shown) in [("true", "true"), ("false", "false"), ("null", "not set")] {
        let tls = format!(
            r#"{{"uuid":"t","app":"foo","owner":"bob","created":"","updated":"","https_enforced":{value}}}"#
        );
        let world = World::logged_in();
        world.answer("GET /v2/apps/foo/tls/", 200, &tls);
        world.deis("tls:info -a foo").says(&format!("=== foo TLS\nHTTPS Enforced: {shown}\n"));
    }
}
