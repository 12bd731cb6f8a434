//! Builds and releases.

use crate::world::World;

const RELEASE: &str = r#"{"uuid":"r-uuid","app":"foo","owner":"bob","created":"2016-08-22T17:40:16Z","updated":"2016-08-22T17:40:16Z","version":12,"summary":"bob deployed d3ccc05","failed":false,"config":"c-uuid","build":"b-uuid"}"#;

fn first_release() -> String {
    RELEASE
        .replace(":12,", ":1,")
        .replace("bob deployed d3ccc05", "bob created initial release")
        .replace("\"b-uuid\"", "null")
}

#[test]
fn an_image_is_deployed_with_the_procfile_of_the_folder() {
    let world = World::logged_in();
    world.write("Blog/Procfile", "web: run it\n");
    world.answer("POST /v2/apps/foo/builds/", 201, "{}");
    world.deis("pull img:tag -a foo").says("Creating build... done\n");
    world
        .deis_with(&["builds:create", "img:tag", "-a", "foo", "-p", "worker: work"], "")
        .says("Creating build... done\n");
    assert_eq!(
        world.requests(),
        [
            r#"POST /v2/apps/foo/builds/ {"image":"img:tag","procfile":{"web":"run it"}}"#,
            r#"POST /v2/apps/foo/builds/ {"image":"img:tag","procfile":{"worker":"work"}}"#,
        ]
    );
}

#[test]
fn an_image_alone_names_no_process_types() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/builds/", 201, "{}");
    world.deis("pull img:tag -a foo").says("Creating build... done\n");
    assert_eq!(world.requests(), [r#"POST /v2/apps/foo/builds/ {"image":"img:tag"}"#]);
}

#[test]
fn a_broken_procfile_asks_nothing() {
    let world = World::logged_in();
    world.write("Blog/Procfile", "nonsense\n");
    let run = world.deis("pull img:tag -a foo");
    assert!(run.err.starts_with("Error: could not parse the Procfile"), "{}", run.err);
    assert_eq!((run.out.as_str(), run.code), ("", 1));
    assert!(world.requests().is_empty());
}

#[test]
fn a_failed_deploy_shows_what_the_controller_says() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/builds/", 400, r#"{"detail":"first line\nsecond"}"#);
    let run = world.deis("pull img:tag -a foo");
    assert_eq!(run.out, "Creating build... ");
    run.fails_with("Error: first line\nsecond\n");
}

#[test]
fn builds_are_listed() {
    let world = World::logged_in();
    let build = r#"{"owner":"bob","app":"foo","image":"i","sha":"","procfile":null,"dockerfile":"","created":"2016-08-22T17:40:16Z","updated":"","uuid":"b-uuid"}"#;
    let body = format!(r#"{{"count":1,"next":null,"previous":null,"results":[{build}]}}"#);
    world.answer("GET /v2/apps/foo/builds/?limit=100", 200, &body);
    world.deis("builds -a foo").says("=== foo Builds\nb-uuid 2016-08-22T17:40:16Z\n");
}

#[test]
fn releases_are_listed_in_columns() {
    let world = World::logged_in();
    let body =
        format!(r#"{{"count":2,"next":null,"previous":null,"results":[{RELEASE},{}]}}"#, first_release());
    world.answer("GET /v2/apps/foo/releases/?limit=100", 200, &body);
    world.deis("releases -a foo").says(
        "=== foo Releases\nv12\t2016-08-22T17:40:16Z\tbob deployed d3ccc05\nv1\t2016-08-22T17:40:16Z\tbob created initial release\n",
    );
}

#[test]
fn a_release_is_shown_with_its_build_if_it_has_one() {
    let world = World::logged_in();
    world.answer("GET /v2/apps/foo/releases/v12/", 200, RELEASE).answer(
        "GET /v2/apps/foo/releases/v1/",
        200,
        &first_release(),
    );
    world.deis("releases:info v12 -a foo").says(
        "=== foo Release v12\nbuild:    b-uuid\nconfig:   c-uuid\nowner:    bob\ncreated:  2016-08-22T17:40:16Z\n\
         summary:  bob deployed d3ccc05\nupdated:  2016-08-22T17:40:16Z\nuuid:     r-uuid\n",
    );
    assert!(world.deis("releases:info 1 -a foo").out.starts_with("=== foo Release v1\nconfig:   c-uuid\n"));
    let steps = serde_json::json!([
        {"name": "start", "began": "2016-08-22T17:40:16.100Z", "ended": "2016-08-22T17:40:18.350Z", "outcome": "failed"},
        {"name": "go_back", "began": "2016-08-22T17:40:18.350Z", "ended": null, "outcome": null},
    ]);
    let mut release: serde_json::Value = serde_json::from_str(&first_release()).expect("JSON");
    release["steps"] = steps;
    world.answer("GET /v2/apps/foo/releases/v2/", 200, &release.to_string());
    let told = world.deis("releases:info v2 -a foo").out;
    assert!(
        told.ends_with("uuid:     r-uuid\nsteps:    start 2.2 s (failed), go_back (under way)\n"),
        "{told}"
    );
    world.deis("releases:info v -a foo").fails_with("Error: v is not in the form 'v#'\n");
}

#[test]
fn rolling_back_goes_one_back_or_to_a_release() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/releases/rollback/", 201, r#"{"version":13}"#);
    world.deis("rollback -a foo").says("Rolling back one release... done, v13\n");
    world.deis("rollback v3 -a foo").says("Rolling back to v3... done, v13\n");
    assert_eq!(
        world.requests(),
        ["POST /v2/apps/foo/releases/rollback/", r#"POST /v2/apps/foo/releases/rollback/ {"version":3}"#]
    );
}

#[test]
fn a_bill_of_materials_is_printed_or_written_to_a_file() {
    let world = World::logged_in();
    let document = r#"{"bomFormat":"CycloneDX"}"#;
    let list = format!(r#"{{"count":12,"next":null,"previous":null,"results":[{RELEASE}]}}"#);
    world
        .answer("GET /v2/apps/foo/releases/?limit=1", 200, &list)
        .answer("GET /v2/apps/foo/releases/v12/sbom/", 200, document)
        .answer("GET /v2/apps/foo/releases/v1/sbom/", 404, r#"{"detail":"v1 has no build"}"#);
    let printed = "{\n  \"bomFormat\": \"CycloneDX\"\n}\n";
    world.deis("releases:sbom -a foo").says(printed);
    world.deis("releases:sbom v12 -a foo -f sbom.json").says("");
    assert_eq!(world.read("Blog/sbom.json"), printed);
    assert!(world.deis("releases:sbom v1 -a foo").err.contains("v1 has no build"));
    assert!(world.deis("releases:sbom v12 -a foo -f none/x").err.contains("could not write none/x"));
}

#[test]
fn a_rebase_says_the_release_or_that_there_is_nothing_to_do() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/releases/rebase/", 200, r#"{"stack":"trixie","version":13}"#);
    world.deis("releases:rebase -a foo").says("Rebasing foo... done, v13 on the newest trixie\n");

    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/releases/rebase/", 200, r#"{"stack":"trixie","version":null}"#);
    world.deis("releases:rebase -a foo").says("Rebasing foo... nothing to do, it is on the newest trixie\n");
}
