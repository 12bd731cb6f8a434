//! Config values, and the groups that are config too: limits, tags, registry, health checks.

use serde_json::{Map, Value, json};

use crate::world::World;

pub const CONFIG: &str = r#"{"uuid":"c","app":"foo","owner":"bob","values":{},"memory":{},"cpu":{},"tags":{},"registry":{},"healthcheck":{},"created":"","updated":""}"#;
const PATH: &str = "GET /v2/apps/foo/config/";
const WRITE: &str = "POST /v2/apps/foo/config/";

/// A world whose app has this config, before and after each change.
fn with(group: &str, content: Value) -> World {
    let mut config: Map<String, Value> = serde_json::from_str(CONFIG).unwrap();
    config.insert(group.to_owned(), content);
    let body = Value::from(config).to_string();
    let world = World::logged_in();
    world.answer(PATH, 200, &body).answer(WRITE, 201, &body);
    world
}

fn values() -> World {
    with("values", json!({"LONGER_KEY": "a b", "FOO": "bar", "N": 3}))
}

#[test]
fn values_are_listed_in_four_forms() {
    let world = values();
    world
        .deis("config -a foo")
        .says("=== foo Config\nFOO             bar\nLONGER_KEY      a b\nN               3\n");
    world.deis("config --oneline -a foo").says("FOO=bar LONGER_KEY=a b N=3\n");
    world.deis("config:list --diff -a foo").says("FOO=bar\nLONGER_KEY=a b\nN=3\n");
    world.deis("config --oneline --diff -a foo").says("FOO=bar LONGER_KEY=a b N=3\n");
    let printed: Value = serde_json::from_str(&world.deis("config -o json -a foo").out).unwrap();
    assert_eq!(printed["FOO"], "bar");
    with("values", json!({})).deis("config --oneline -a foo").says("");
}

#[test]
fn setting_values_shows_them() {
    let world = with("values", json!({"A": "1", "B": "x y"}));
    world
        .deis_with(&["config:set", "B=x y", "A=1", "#C=3", "-a", "foo"], "")
        .says("Creating config... done\n\n=== foo Config\nA      1\nB      x y\n");
    assert_eq!(world.requests(), [&format!(r#"{WRITE} {{"values":{{"A":"1","B":"x y"}}}}"#), PATH]);
}

#[test]
fn the_release_is_named_where_the_controller_names_it() {
    let world = with("values", json!({"WORKFLOW_RELEASE": "v4"}));
    assert!(world.deis("config:set A=1 -a foo").out.starts_with("Creating config... done, v4\n"));
}

#[test]
fn what_is_no_variable_is_refused_before_anything_is_asked() {
    let world = values();
    let run = world.deis("config:set bad -a foo");
    assert_eq!(run.out, "");
    run.fails_with("Error: 'bad' does not match the pattern 'key=var', ex: MODE=test\n\n");
    world
        .deis("config:set SSH_KEY=nonsense -a foo")
        .fails_with("Error: Could not parse SSH private key:\n nonsense\n");
    assert!(world.requests().is_empty());
}

#[test]
fn an_old_health_check_variable_is_set_with_a_notice() {
    let run = values().deis("config:set HEALTHCHECK_URL=/ -a foo");
    assert_eq!(run.out.lines().position(|line| line == "Creating config... done"), Some(3));
    assert!(run.out.contains("deis healthchecks"));
}

#[test]
fn unsetting_sends_null_and_a_refusal_shows_the_reason() {
    let world = with("values", json!({}));
    world.deis("config:unset A B -a foo").says("Removing config... done\n\n=== foo Config\n");
    assert_eq!(world.requests()[0], format!(r#"{WRITE} {{"values":{{"A":null,"B":null}}}}"#));

    let world = World::logged_in();
    world.answer(WRITE, 422, r#"{"detail":"A does not exist under values"}"#);
    let run = world.deis("config:unset A -a foo");
    assert_eq!(run.out, "Removing config... ");
    run.fails_with("Error: Unable to process your request: A does not exist under values\n");
}

#[test]
fn pulling_into_a_pipe_prints_lines() {
    values().deis("config:pull -a foo").says("FOO=bar\nLONGER_KEY=a b\nN=3\n");
}

#[test]
fn pulling_on_a_terminal_writes_a_private_file_once() {
    use std::os::unix::fs::PermissionsExt;
    let world = values();
    let run = world.on_terminal("deis config:pull -a foo", "");
    assert_eq!((run.out.as_str(), run.code), ("", 0));
    assert_eq!(world.read("Blog/.env"), "FOO=bar\nLONGER_KEY=a b\nN=3\n");
    assert_eq!(std::fs::metadata(world.path("Blog/.env")).unwrap().permissions().mode() & 0o777, 0o600);

    let again = world.on_terminal("deis config:pull -a foo", "");
    assert_eq!(again.out, "Error: .env already exists, pass -o to overwrite\r\n");
    assert_eq!(again.code, 1);
}

#[test]
fn pulling_interactively_asks_for_what_differs() {
    let world = values();
    world.write("Blog/.env", "FOO=zzz\n\nLOCAL=1\nN=9\n");
    let run = world.on_terminal("deis config:pull -i -o -a foo", "y\nn\n");
    assert!(run.out.contains("FOO: overwrite zzz with bar? (y/N) "), "{}", run.out);
    assert_eq!(world.read("Blog/.env"), "FOO=bar\nLOCAL=1\nLONGER_KEY=a b\nN=9\n");
}

#[test]
fn pushing_reads_the_file_when_stdin_is_the_null_device() {
    let world = values();
    world.write("Blog/.env", "# a comment\r\nA=1\r\n\nB=x y\n");
    world.write("Blog/other.env", "C=3\n");
    assert!(world.deis("config:push -a foo").out.starts_with("Creating config... done\n\n=== foo Config\n"));
    world.deis("config:push -a foo --path=other.env");
    let requests = world.requests();
    assert_eq!(requests[0], format!(r#"{WRITE} {{"values":{{"A":"1","B":"x y"}}}}"#));
    assert_eq!(requests[2], format!(r#"{WRITE} {{"values":{{"C":"3"}}}}"#));
}

#[test]
fn pushing_reads_a_pipe() {
    let world = values();
    world.deis_with(&["config:push", "-a", "foo"], "A=1\n");
    assert_eq!(world.requests()[0], format!(r#"{WRITE} {{"values":{{"A":"1"}}}}"#));
}

#[test]
fn pushing_a_missing_file_names_it() {
    values().deis("config:push -a foo").fails_with("Error: open .env: no such file or directory\n");
}

#[test]
fn limits_are_listed_set_and_unset() {
    let world = with("memory", json!({"worker": "500M/1G", "web": "1G"}));
    let listed = "=== foo Limits\n\n--- Memory\nweb        1G\nworker     500M/1G\n\n--- CPU\nUnlimited\n";
    world.deis("limits -a foo").says(listed);
    let applied = format!("Applying limits... done\n\n{listed}");
    world.deis("limits:set web=1G -a foo").says(&applied);
    world.deis("limits:set --cpu web=500m -a foo").says(&applied);
    world.deis("limits:unset -m web -a foo").says(&applied);
    let requests = world.requests();
    let writes: Vec<_> = requests.iter().filter_map(|request| request.strip_prefix(WRITE)).collect();
    assert_eq!(
        writes,
        [r#" {"memory":{"web":"1G"}}"#, r#" {"cpu":{"web":"500m"}}"#, r#" {"memory":{"web":null}}"#]
    );
    let wrong = world.deis("limits:set web=1X -a foo");
    assert!(
        wrong.err.starts_with("Error: web=1X doesn't fit format type=#unit or type=# or type=#/#\nExamples:")
    );
}

#[test]
fn tags_are_listed_set_and_unset() {
    let world = with("tags", json!({"rack": "1", "environ": "prod"}));
    let listed = "=== foo Tags\nenviron     prod\nrack        1\n";
    world.deis("tags -a foo").says(listed);
    world.deis("tags:set environ=prod -a foo").says(&format!("Applying tags... done\n\n{listed}"));
    world.deis("tags:unset rack -a foo").says(&format!("Applying tags... done\n\n{listed}"));
    assert_eq!(world.requests()[1], format!(r#"{WRITE} {{"tags":{{"environ":"prod"}}}}"#));
    let wrong = world.deis("tags:set a -a foo");
    assert!(wrong.err.starts_with("Error: a is invalid, Must be in format key=value\nExamples:"));
}

#[test]
fn registry_credentials_are_listed_set_and_unset() {
    let world = with("registry", json!({"username": "a", "password": "b=c"}));
    let listed = "=== foo Registry\npassword     b=c\nusername     a\n";
    world.deis("registry -a foo").says(listed);
    let applied = format!("Applying registry information... done\n\n{listed}");
    world.deis("registry:set username=a password=b=c -a foo").says(&applied);
    world.deis("registry:unset username -a foo").says(&applied);
    assert_eq!(world.requests()[1], format!(r#"{WRITE} {{"registry":{{"username":"a","password":"b=c"}}}}"#));
    world
        .deis("registry:set token=x -a foo")
        .fails_with("Error: token is invalid. Valid keys are \"username\" or \"password\"\n");
}

#[test]
fn health_checks_are_listed_set_and_unset() {
    let world = with("healthcheck", json!({}));
    world.deis("healthchecks -a foo").says("=== foo Healthchecks\n\nNo health checks configured.\n");
    let none = "=== foo Healthchecks\n\nweb/cmd:\n--- Liveness\nNo liveness probe configured.\n\n--- Readiness\nNo readiness probe configured.\n";
    world.deis("healthchecks --type web/cmd -a foo").says(none);
    let set = world.deis("healthchecks:set liveness httpGet -a foo 80 --headers X-A:1");
    set.says(&format!("Applying livenessProbe healthcheck... done\n\n{none}"));
    world.deis("healthchecks:set readiness exec --type web -a foo -- /bin/echo -n --type cmd");
    world
        .deis("healthchecks:unset liveness -a foo")
        .says(&format!("Removing healthchecks... done\n\n{none}"));
    let numbers = r#""initialDelaySeconds":50,"timeoutSeconds":50,"periodSeconds":10,"successThreshold":1,"failureThreshold":3"#;
    let requests = world.requests();
    let writes: Vec<_> = requests.iter().filter_map(|request| request.strip_prefix(WRITE)).collect();
    assert_eq!(
        writes,
        [
            format!(
                r#" {{"healthcheck":{{"web/cmd":{{"livenessProbe":{{{numbers},"httpGet":{{"path":"/","port":80,"httpHeaders":[{{"name":"X-A","value":"1"}}]}}}}}}}}}}"#
            ),
            format!(
                r#" {{"healthcheck":{{"web":{{"readinessProbe":{{{numbers},"exec":{{"command":["/bin/echo","-n","--type","cmd"]}}}}}}}}}}"#
            ),
            r#" {"healthcheck":{"web/cmd":{"livenessProbe":null}}}"#.to_owned(),
        ]
    );
}

#[test]
fn a_wrong_health_check_asks_nothing() {
    let world = with("healthcheck", json!({}));
    for (line, err) in [
        ("foo httpGet 80", "Error: probe type foo is invalid. Must be one of [liveness readiness]\n"),
        (
            "liveness bogus 80",
            "Error: Invalid probe type. Must be one of: \"httpGet\", \"exec\", \"tcpSocket\"\n",
        ),
        (
            "liveness httpGet 80 --headers bad",
            "Error: could not parse headers: could not find separator in header (bad)\n",
        ),
    ] {
        world.deis(&format!("healthchecks:set {line} -a foo")).fails_with(err);
    }
    assert!(
        world
            .deis("healthchecks:set liveness tcpSocket x -a foo")
            .err
            .starts_with("Error: could not parse port: ")
    );
    assert!(
        world
            .deis("healthchecks:set liveness tcpSocket 1 -a foo --timeout-seconds=x")
            .err
            .contains("could not convert x to int")
    );
    assert!(world.requests().is_empty());
}

#[test]
fn timeouts_are_listed_set_and_unset() {
    let world = with("termination_grace_period", json!({"worker": "120", "web": "10"}));
    let listed = "=== foo Timeouts\n\nweb        10\nworker     120\n";
    world.deis("timeouts -a foo").says(listed);
    world.deis("timeouts:set web=10 -a foo").says(&format!("Applying timeouts... done\n\n{listed}"));
    world.deis("timeouts:unset web -a foo").says(&format!("Applying timeouts... done\n\n{listed}"));
    let requests = world.requests();
    let writes: Vec<_> = requests.iter().filter_map(|request| request.strip_prefix(WRITE)).collect();
    assert_eq!(
        writes,
        [r#" {"termination_grace_period":{"web":"10"}}"#, r#" {"termination_grace_period":{"web":null}}"#]
    );
    let wrong = world.deis("timeouts:set web=soon -a foo");
    assert!(wrong.err.starts_with("Error: web=soon doesn't fit format type=#\nExamples:"));
}
