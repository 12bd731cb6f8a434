//! Processes: listing, scaling, restarting.

use crate::world::World;

pub const PODS: &str = r#"{"results":[{"name":"foo-worker-111-zzzzz","state":"up","release":"v2","type":"worker","started":"2016-02-13T00:47:52Z"},{"name":"foo-web-4084101150-c871y","state":"up","release":"v2","type":"web","started":"2016-02-13T00:47:52Z"},{"name":"foo-web-4084101150-a871y","state":"starting","release":"v2","type":"web","started":"2016-02-13T00:47:52Z"}],"count":3}"#;
const LISTED: &str = "=== foo Processes\n--- web:\nfoo-web-4084101150-a871y starting (v2)\nfoo-web-4084101150-c871y up (v2)\n--- worker:\nfoo-worker-111-zzzzz up (v2)\n";
const ONE: &str =
    r#"[{"name":"foo-web-4084101150-yd87g","state":"up","release":"v2","type":"web","started":""}]"#;
const RESTARTED: &str = "Restarting processes... but first, coffee!\ndone in 0s\n=== foo Processes\n--- web:\nfoo-web-4084101150-yd87g up (v2)\n";

#[test]
fn processes_are_listed_by_type() {
    let world = World::logged_in();
    world.answer("GET /v2/apps/foo/pods/?limit=1000", 200, PODS);
    world.deis("ps -a foo").says(LISTED);
    let json: serde_json::Value = serde_json::from_str(&world.deis("ps -o json -a foo").out).unwrap();
    assert_eq!(json[0]["type"], "worker");
}

#[test]
fn scaling_sends_numbers_and_lists_the_processes() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/scale/", 204, "").answer("GET /v2/apps/foo/pods/?limit=100", 200, PODS);
    world
        .deis("scale web=2 worker=1 -a foo")
        .says(&format!("Scaling processes... but first, coffee!\ndone in 0s\n{LISTED}"));
    assert_eq!(
        world.requests(),
        [r#"POST /v2/apps/foo/scale/ {"web":2,"worker":1}"#, "GET /v2/apps/foo/pods/?limit=100"]
    );
}

#[test]
fn scaling_a_type_that_is_not_there_names_those_that_are() {
    let build = |procfile: &str| {
        format!(
            r#"{{"count":1,"next":null,"previous":null,"results":[{{"owner":"bob","app":"foo","image":"i","sha":"","procfile":{procfile},"dockerfile":"","created":"","updated":"","uuid":"u"}}]}}"#
        )
    };
    let app = crate::apps::APP.replace(r#""structure":{}"#, r#""structure":{"web":1}"#);
    let refusal = r#"{"detail":"Container type wbe does not exist in application"}"#;
    for (status, builds, told) in [
        (200, build(r#"{"worker":"w","web":"s"}"#), "; there are: web, worker"),
        (200, build("{}"), "; there are: web"),
        // The refusal is what matters, whatever becomes of the question.
        (500, String::new(), ""),
    ] {
        let world = World::logged_in();
        world.answer("POST /v2/apps/foo/scale/", 400, refusal);
        world.answer("GET /v2/apps/foo/builds/?limit=1", status, &builds).answer(
            "GET /v2/apps/foo/",
            200,
            &app,
        );

        let run = world.deis("scale wbe=2 -a foo");

        assert_eq!(run.out, "Scaling processes... but first, coffee!\n");
        run.fails_with(&format!("Error: process type wbe does not exist{told}\n"));
    }
}

#[test]
fn a_wrong_number_is_refused() {
    let world = World::logged_in();
    world
        .deis("ps:scale web -a foo")
        .fails_with("Error: 'web' does not match the pattern 'type=num', ex: web=2\n\n");
    assert!(world.requests().is_empty());
}

#[test]
fn the_drink_is_a_matter_of_taste() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/pods/restart/", 200, ONE);
    let run = world.deis_in(&[("DEIS_DRINK_OF_CHOICE", "tea")], "ps:restart -a foo");
    assert!(run.out.starts_with("Restarting processes... but first, tea!\n"));
}

#[test]
fn all_of_a_type_and_one_process_are_restarted() {
    let world = World::logged_in();
    world
        .answer("POST /v2/apps/foo/pods/restart/", 200, ONE)
        .answer("POST /v2/apps/foo/pods/web/restart/", 200, ONE)
        .answer("POST /v2/apps/foo/pods/web/foo-web-5d4f8c7b9f-x2x4z/restart/", 200, ONE);
    for line in ["ps:restart", "ps:restart web", "ps:restart foo-web-5d4f8c7b9f-x2x4z"] {
        world.deis(&format!("{line} -a foo")).says(RESTARTED);
    }
    assert_eq!(world.requests().len(), 3);
}

#[test]
fn a_short_name_is_looked_up() {
    let world = World::logged_in();
    world.answer("GET /v2/apps/foo/pods/?limit=1000", 200, PODS).answer(
        "POST /v2/apps/foo/pods/worker/foo-worker-111-zzzzz/restart/",
        200,
        ONE,
    );
    world.deis("ps:restart worker-111-zzzzz -a foo").says(RESTARTED);
}

#[test]
fn nothing_to_restart_is_no_failure() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/pods/web/restart/", 200, "[]");
    world
        .deis("ps:restart web -a foo")
        .says("Restarting processes... but first, coffee!\nCould not find any processes to restart\n");
}

#[test]
fn an_unknown_type_is_named() {
    let world = World::logged_in();
    let body = r#"{"detail":"Container type ghost does not exist in application"}"#;
    world.answer("POST /v2/apps/foo/pods/ghost/restart/", 400, body);
    world.deis("ps:restart ghost -a foo").fails_with("Error: Could not find process type ghost in app foo\n");
}
