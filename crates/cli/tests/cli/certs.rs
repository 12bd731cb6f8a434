//! Certificates.

use crate::world::World;

const CERT: &str = r#"{"id":1,"owner":"admin","domains":["a.com"],"san":["a.com","b.com"],"created":"2016-06-09T00:00:00Z","updated":"2016-06-09T00:00:00Z","name":"test-example-com","common_name":"test.com","fingerprint":"AB:12:AB:12:AB:CD:EF","expires":"2014-01-01T00:00:00Z","starts":null,"issuer":"/C=US/CN=x","subject":"/C=US/CN=y"}"#;

#[test]
fn certificates_are_listed_in_a_table() {
    let world = World::logged_in();
    let body = format!(r#"{{"count":1,"next":null,"previous":null,"results":[{CERT}]}}"#);
    world.answer("GET /v2/certs/?limit=100", 200, &body);
    let run = world.deis("certs");
    assert!(run.out.contains(
        "\n  test-example-com | test.com    | a.com,b.com    | 1 Jan 2014 (expired) | AB:12[...]CD:EF | a.com   | 9 Jun 2016 | 9 Jun 2016  \n"
    ), "{}", run.out);
}

#[test]
fn no_certificates_are_no_table() {
    let world = World::logged_in();
    world.answer("GET /v2/certs/?limit=100", 200, r#"{"count":0,"next":null,"previous":null,"results":[]}"#);
    world.deis("certs:list").says("No certs\n");
}

#[test]
fn a_certificate_is_shown() {
    let world = World::logged_in();
    world.answer("GET /v2/certs/test-example-com", 200, CERT);
    world.deis("certs:info test-example-com").says(
        "=== test-example-com Certificate\n\
         Common Name(s):     test.com\n\
         Expires At:         1 Jan 2014\n\
         Starts At:          unknown\n\
         Fingerprint:        AB:12:AB:12:AB:CD:EF\n\
         Subject Alt Name:   a.com,b.com\n\
         Issuer:             /C=US/CN=x\n\
         Subject:            /C=US/CN=y\n\n\
         Connected Domains:  a.com\n\
         Owner:              admin\n\
         Created:            9 Jun 2016\n\
         Updated:            9 Jun 2016\n",
    );
}

#[test]
fn a_certificate_is_added_attached_detached_and_removed() {
    let world = World::logged_in();
    world.write("Blog/c.pem", "CERT");
    world.write("Blog/k.pem", "KEY");
    world
        .answer("POST /v2/certs/", 201, CERT)
        .answer("POST /v2/certs/n/domain/", 201, "")
        .answer("DELETE /v2/certs/n/domain/a.com", 204, "")
        .answer("DELETE /v2/certs/n", 204, "");
    world.deis("certs:add n c.pem k.pem").says("Adding SSL endpoint... done\n");
    world.deis("certs:attach n a.com").says("Attaching certificate n to domain a.com... done\n");
    world.deis("certs:detach n a.com").says("Detaching certificate n from domain a.com... done\n");
    world.deis("certs:remove n").says("Removing n... done\n");
    assert_eq!(
        world.requests(),
        [
            r#"POST /v2/certs/ {"certificate":"CERT","key":"KEY","name":"n"}"#,
            r#"POST /v2/certs/n/domain/ {"domain":"a.com"}"#,
            "DELETE /v2/certs/n/domain/a.com",
            "DELETE /v2/certs/n",
        ]
    );
    world.deis("certs:add n nope k.pem").fails_with("Error: open nope: no such file or directory\n");
    World::new().deis("certs:remove n -c x").err.starts_with("Error: Client configuration file not found");
}

#[test]
fn a_certificate_and_a_key_that_are_swapped_are_told_which_is_which_and_not_sent() {
    let world = World::logged_in();
    world.write("Blog/c.pem", "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
    world.write("Blog/k.pem", "-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n");

    world.deis("certs:add n k.pem c.pem").fails_with(
        "Error: k.pem is a private key and c.pem a certificate, they are swapped: deis certs:add n c.pem k.pem\n",
    );

    assert!(world.requests().is_empty());
}

#[test]
fn an_expired_certificate_is_added_by_force() {
    let world = World::logged_in();
    world.write("Blog/c.pem", "CERT");
    world.write("Blog/k.pem", "KEY");
    world.answer("POST /v2/certs/", 201, CERT);

    world.deis("certs:add --force n c.pem k.pem").says("Adding SSL endpoint... done\n");

    assert_eq!(
        world.requests(),
        [r#"POST /v2/certs/ {"certificate":"CERT","key":"KEY","name":"n","force":true}"#]
    );
}

#[test]
fn automatic_certificates_are_switched_and_told_by_domain() {
    let world = World::logged_in();
    let wildcard = r#"{"domain":"*.a.com","state":"wildcard","certificate":null,"expires":null,"error":null,"tried":null,"next_try":null}"#;
    let failed = r#"{"domain":"www.a.com","state":"failed","certificate":null,"expires":null,"error":"no answer","tried":null,"next_try":"2026-06-09T00:00:00Z"}"#;
    let issued = r#"{"domain":"a.com","state":"issued","certificate":"auto-a-com","expires":"2026-09-09T00:00:00Z","error":null,"tried":null,"next_try":null}"#;
    let left = issued.replace("issued", "off").replace("a.com", "b.com").replace("auto-a", "auto-b");
    let left = left.as_str();
    let domains = [wildcard, issued, failed, left].join(",");
    let body = format!(r#"{{"app":"blog","enabled":true,"offered":true,"domains":[{domains}]}}"#);
    world.answer("POST /v2/apps/blog/certs/auto/", 201, &body).answer(
        "GET /v2/apps/blog/certs/auto/",
        200,
        &body,
    );

    world.deis("certs:auto on -a blog").says("Enabling automatic certificates for blog... done\n");
    world.deis("certs:auto off -a blog").says("Disabling automatic certificates for blog... done\n");
    world.deis("certs:auto -a blog").says(
        "=== blog Automatic Certificates\n\
         On\n\
         *.a.com    none: a wildcard needs a challenge in DNS, which is not offered\n\
         a.com      auto-a-com, until 9 Sep 2026, then renewed\n\
         www.a.com  failed: no answer; next try at 2026-06-09T00:00:00Z\n\
         b.com      auto-b-com, until 9 Sep 2026, not renewed\n",
    );
    let json = world.deis("certs:auto -a blog -o json").out;
    assert!(json.contains("\"auto-a-com\""), "{json}");
    world.deis("certs:auto perhaps -a blog").fails_with("Error: `perhaps`: expected on or off\n");
    assert_eq!(
        world.requests()[..2],
        [
            r#"POST /v2/apps/blog/certs/auto/ {"enabled":true}"#,
            r#"POST /v2/apps/blog/certs/auto/ {"enabled":false}"#,
        ]
    );
}
