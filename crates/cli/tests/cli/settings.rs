//! Domains and what changes routing or scaling without a release.

use crate::world::World;

pub const DOMAINS: &str = r#"{"count":2,"next":null,"previous":null,"results":[{"owner":"bob","created":"","updated":"","app":"foo","domain":"foo"},{"owner":"bob","created":"","updated":"","app":"foo","domain":"x.com"}]}"#;
const WRITE: &str = "POST /v2/apps/foo/settings/";

/// The settings of an app with these fields.
pub fn settings(fields: &str) -> String {
    format!(r#"{{"uuid":"s","app":"foo","owner":"bob",{fields},"created":"","updated":""}}"#)
}

fn with(fields: &str) -> World {
    let world = World::logged_in();
    world.answer("GET /v2/apps/foo/settings/", 200, &settings(fields)).answer(WRITE, 201, &settings(fields));
    world
}

#[test]
fn domains_are_listed_added_and_removed() {
    let world = World::logged_in();
    world
        .answer("GET /v2/apps/foo/domains/?limit=100", 200, DOMAINS)
        .answer("POST /v2/apps/foo/domains/", 201, "{}")
        .answer("DELETE /v2/apps/foo/domains/*.x.com", 204, "");
    world.deis("domains -a foo").says("=== foo Domains\nfoo\nx.com\n");
    world.deis("domains:add x.com -a foo").says("Adding x.com to foo... done\n");
    world.deis("domains:remove *.x.com -a foo").says("Removing *.x.com from foo... done\n");
    assert_eq!(
        world.requests(),
        [
            "GET /v2/apps/foo/domains/?limit=100",
            r#"POST /v2/apps/foo/domains/ {"domain":"x.com"}"#,
            "DELETE /v2/apps/foo/domains/*.x.com",
        ]
    );
}

#[test]
fn a_domain_of_another_app_is_refused() {
    let world = World::logged_in();
    let body = r#"{"domain":["Domain is already in use by another application"]}"#;
    world.answer("POST /v2/apps/foo/domains/", 400, body);
    let run = world.deis("domains:add x.com -a foo");
    assert_eq!(run.out, "Adding x.com to foo... ");
    run.fails_with("Error: Domain is already in use by another application\n");
}

#[test]
fn labels_are_listed_set_and_unset() {
    let world = with(r#""label":{"team":"bi"}"#);
    world.deis("labels -a foo").says("=== foo Label\nteam:      bi\n");
    world.deis("labels:set a=b -a foo").says("Applying labels on foo... done\n");
    world.deis("labels:unset a -a foo").says("Removing labels on foo... done\n");
    assert_eq!(
        world.requests()[1..],
        [format!(r#"{WRITE} {{"label":{{"a":"b"}}}}"#), format!(r#"{WRITE} {{"label":{{"a":null}}}}"#)]
    );
    let wrong = world.deis("labels:set only -a foo");
    assert!(wrong.err.starts_with("Error: only is invalid, Must be in format key=value\nExamples:"));
    with(r#""label":{}"#).deis("labels -a foo").says("=== foo Label\nNo labels found.\n");
}

#[test]
fn maintenance_is_shown_and_switched() {
    let world = with(r#""maintenance":true"#);
    world.deis("maintenance -a foo").says("Maintenance mode is on.\n");
    world.deis("maintenance:on -a foo").says("Enabling maintenance mode for foo... done\n");
    world.deis("maintenance:off -a foo").says("Disabling maintenance mode for foo... done\n");
    assert_eq!(
        world.requests()[1..],
        [format!(r#"{WRITE} {{"maintenance":true}}"#), format!(r#"{WRITE} {{"maintenance":false}}"#)]
    );
    with(r#""label":{}"#).deis("maintenance -a foo").says("Maintenance mode is off.\n");
}

#[test]
fn the_access_log_is_shown_and_switched() {
    let world = with(r#""access_log":true"#);
    world.deis("access-log -a foo").says("The access log is on.\n");
    world.deis("access-log:on -a foo").says("Turning on the access log of foo... done\n");
    world.deis("access-log:off -a foo").says("Turning off the access log of foo... done\n");
    assert_eq!(
        world.requests()[1..],
        [format!(r#"{WRITE} {{"access_log":true}}"#), format!(r#"{WRITE} {{"access_log":false}}"#)]
    );
    with(r#""label":{}"#).deis("access-log -a foo").says("The access log is off.\n");
}

#[test]
fn routing_is_shown_and_switched() {
    let world = with(r#""routable":false"#);
    world.deis("routing -a foo").says("Routing is disabled.\n");
    world.deis("routing:enable -a foo").says("Enabling routing for foo... done\n");
    world.deis("routing:disable -a foo").says("Disabling routing for foo... done\n");
    assert_eq!(
        world.requests()[1..],
        [format!(r#"{WRITE} {{"routable":true}}"#), format!(r#"{WRITE} {{"routable":false}}"#)]
    );
    with(r#""routable":null"#).deis("routing -a foo").says("Routing is enabled.\n");
}

#[test]
fn autoscale_rules_are_listed_set_and_unset() {
    let world = with(r#""autoscale":{"web":{"min":3,"max":8,"cpu_percent":75}}"#);
    world
        .deis("autoscale -a foo")
        .says("=== foo Autoscale\n\n--- web:\nMin Replicas: 3\nMax Replicas: 8\nCPU: 75%\n");
    world
        .deis("autoscale:set web --min=1 --max 3 --cpu-percent=50 -a foo")
        .says("Applying autoscale settings for process type web on foo... done\n");
    world.deis("autoscale:unset web -a foo").says("Removing autoscale for process type web on foo... done\n");
    assert_eq!(
        world.requests()[1..],
        [
            format!(r#"{WRITE} {{"autoscale":{{"web":{{"min":1,"max":3,"cpu_percent":50}}}}}}"#),
            format!(r#"{WRITE} {{"autoscale":{{"web":null}}}}"#),
        ]
    );
    assert!(
        world
            .deis("autoscale:set web --min=x --max=1 --cpu-percent=1")
            .err
            .contains("could not convert x to int")
    );
    assert!(
        world
            .deis("autoscale:set web --min=1 --max=1")
            .err
            .contains("Usage: deis autoscale:set <process-type> --min=<min>")
    );
    with(r#""autoscale":{}"#)
        .deis("autoscale -a foo")
        .says("=== foo Autoscale\n\nNo autoscale rules found.\n");
}

#[test]
fn tls_is_shown_and_switched() {
    let world = World::logged_in();
    let tls = r#"{"uuid":"t","app":"foo","owner":"bob","created":"","updated":"","https_enforced":null}"#;
    world.answer("GET /v2/apps/foo/tls/", 200, tls).answer("POST /v2/apps/foo/tls/", 201, tls);
    world.deis("tls -a foo").says("=== foo TLS\nHTTPS Enforced: not set\n");
    world.deis("tls:enable -a foo").says("Enabling https-only requests for foo... done\n");
    world.deis("tls:disable -a foo").says("Disabling https-only requests for foo... done\n");
    assert_eq!(
        world.requests()[1..],
        [
            r#"POST /v2/apps/foo/tls/ {"https_enforced":true}"#,
            r#"POST /v2/apps/foo/tls/ {"https_enforced":false}"#
        ]
    );
}

#[test]
fn whitelisted_addresses_are_listed_added_and_removed() {
    let world = World::logged_in();
    let path = "/v2/apps/foo/whitelist/";
    world
        .answer(&format!("GET {path}"), 200, r#"{"addresses":["1.2.3.4","10.0.0.0/8"]}"#)
        .answer(&format!("POST {path}"), 201, r#"{"addresses":[]}"#)
        .answer(&format!("DELETE {path}"), 204, "");
    world.deis("whitelist -a foo").says("=== foo Whitelisted Addresses\n1.2.3.4\n10.0.0.0/8\n");
    world.deis("whitelist:add a,b -a foo").says("Adding a,b to foo whitelist...\ndone\n");
    world.deis("whitelist:remove a,b -a foo").says("Removing a,b from foo whitelist...\ndone\n");
    assert_eq!(
        world.requests()[1..],
        [
            format!(r#"POST {path} {{"addresses":["a","b"]}}"#),
            format!(r#"DELETE {path} {{"addresses":["a","b"]}}"#)
        ]
    );
}

#[test]
fn services_are_listed_added_and_removed() {
    let world = World::logged_in();
    let path = "/v2/apps/foo/services/";
    let listed = r#"{"services":[{"procfile_type":"webhooks","path_pattern":"/hook"}]}"#;
    world.answer(&format!("GET {path}"), 200, listed).answer(&format!("POST {path}"), 201, "").answer(
        &format!("DELETE {path}"),
        204,
        "",
    );
    world.deis("services -a foo").says("=== foo Services\n--- webhooks:\n/hook\n");
    world
        .deis("services:add --type webhooks --route /hook -a foo")
        .says("Adding service webhooks to foo... done\n");
    world.deis("services:remove -t webhooks -a foo").says("Removing service webhooks from foo... done\n");
    assert_eq!(
        world.requests()[1..],
        [
            format!(r#"POST {path} {{"procfile_type":"webhooks","path_pattern":"/hook"}}"#),
            format!(r#"DELETE {path} {{"procfile_type":"webhooks"}}"#)
        ]
    );
    assert!(world.deis("services:add --type web").err.contains("--route is required"));
}
