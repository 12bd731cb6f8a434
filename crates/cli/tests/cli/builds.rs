//! How pushes are built: the choice of an app, and what a push would do.

use crate::world::World;

fn world(fields: &str, values: &str) -> World {
    let world = World::logged_in();
    let answer = crate::settings::settings(fields);
    world.answer("GET /v2/apps/foo/settings/", 200, &answer);
    world.answer("POST /v2/apps/foo/settings/", 201, &answer);
    let config = format!(
        r#"{{"uuid":"u","app":"foo","owner":"o","values":{values},"memory":{{}},"cpu":{{}},"tags":{{}},"registry":{{}},
            "healthcheck":{{}},"created":"c","updated":"u"}}"#
    );
    world.answer("GET /v2/apps/foo/config/", 200, &config);
    world
}

fn commit(world: &World, files: &[(&str, &str)]) {
    assert_eq!(world.git("init --quiet").code, 0);
    for (name, text) in files {
        world.write(&format!("Blog/{name}"), text);
    }
    world.git("add --all");
    let commit = world.git("-c user.name=a -c user.email=a@b.example commit --quiet --message x");
    assert_eq!(commit.code, 0, "{commit:?}");
}

#[test]
fn the_kind_of_builds_is_shown_and_chosen() {
    let world = world(r#""build_kind":"dockerfile""#, "{}");
    world.deis("builds:kind -a foo").says("Pushes to foo are built as dockerfile.\n");
    world.deis("builds:kind -a foo -o json").says("{\n  \"build_kind\": \"dockerfile\"\n}\n");
    world.deis("builds:kind auto -a foo").says("Setting the kind of builds of foo to auto... done\n");
    assert_eq!(world.requests()[2..], [r#"POST /v2/apps/foo/settings/ {"build_kind":"auto"}"#]);
    assert_eq!(world.deis("builds:kind docker -a foo").code, 1);
}

#[test]
fn a_push_is_looked_at_before_it_happens() {
    let files =
        [("requirements.txt", "flask\n"), ("api/Dockerfile", "FROM scratch\n"), ("package.json", "{}\n")];
    let world = world(r#""build_kind":null"#, r#"{"PROJECT_PATH":"api"}"#);
    commit(&world, &files);

    world.deis("builds:detect --no-app").says(
        "It is built as buildpack: there is no Dockerfile.\n\
         The pack nodejs (Node.js) builds it: package.json is there.\n\
         The pack python (Python) fits too: requirements.txt is there.\n",
    );
    assert!(world.requests().is_empty());
    world.deis("builds:detect -a foo").says("It is built as dockerfile: there is a Dockerfile in api.\n");
    let json: serde_json::Value =
        serde_json::from_str(&world.deis("builds:detect -a foo -o json").out).expect("JSON");
    assert_eq!(json["kind"], "dockerfile");
    let unknown = world.deis("builds:detect nothing --no-app");
    assert_eq!(unknown.code, 1);
    assert!(unknown.err.contains("nothing"), "{unknown:?}");
}

#[test]
fn a_build_says_how_it_was_built_and_why() {
    let world = World::logged_in();
    let build = r#"{"owner":"bob","app":"foo","image":"foo@sha256:ab","sha":"1a2b3c4d","procfile":{"web":"serve","worker":""},"dockerfile":"","stack":"trixie","kind":"buildpack","reason":"there is no Dockerfile","created":"2016-08-22T17:40:16Z","updated":"","uuid":"b-uuid"}"#;
    let page = |rows: &str| format!(r#"{{"count":1,"next":null,"previous":null,"results":[{rows}]}}"#);
    world.answer("GET /v2/apps/foo/builds/?limit=1", 200, &page(build));
    world.answer("GET /v2/apps/foo/builds/b-uuid/", 200, build);
    let shown = "=== foo Build b-uuid\nbuilt as: buildpack, as there is no Dockerfile\ncommit:   1a2b3c4d\nstack:    trixie\n\
        image:    foo@sha256:ab\nowner:    bob\ncreated:  2016-08-22T17:40:16Z\nweb: serve\nworker: the image's own command\n";
    world.deis("builds:info -a foo").says(shown);
    world.deis("builds:info b-uuid -a foo").says(shown);

    let world = World::logged_in();
    world.answer("GET /v2/apps/foo/builds/?limit=1", 200, &page(""));
    world.deis("builds:info -a foo").fails_with("Error: foo has no build yet: push first\n");
}
