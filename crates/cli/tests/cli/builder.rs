//! The builder of an app.

use crate::world::World;

fn world(fields: &str) -> World {
    let world = World::logged_in();
    let settings = crate::settings::settings(fields);
    world.answer("GET /v2/apps/foo/settings/", 200, &settings);
    world.answer("POST /v2/apps/foo/settings/", 201, &settings);
    world
}

#[test]
fn the_builder_of_an_app_and_of_the_platform_are_printed() {
    let own = world(r#""builder":"builders/base:1","default_builder":"builders/full:1""#);
    own.deis("builder -a foo").says(
        "Pushes to foo are built with builders/base:1.\nThe builder of the platform is builders/full:1.\n",
    );
    own.deis("builder -a foo -o json")
        .says("{\n  \"builder\": \"builders/base:1\",\n  \"default_builder\": \"builders/full:1\"\n}\n");
    world(r#""builder":null"#).deis("builder -a foo").says(
        "No builder is chosen for foo; `deis builds:detect` shows how a push is built.\n\
         The platform has no builder of its own.\n",
    );
}

#[test]
fn a_builder_is_chosen_and_given_up() {
    let world = world(r#""builder":null"#);
    world
        .deis("builder:set builders/base:1 -a foo")
        .says("Setting the builder of foo to builders/base:1... done\n");
    world.deis("builder:set --default -a foo").says("Setting the builder of foo to default... done\n");
    world.deis("builder:unset -a foo").says("Giving up the builder of foo... done\n");
    let path = "POST /v2/apps/foo/settings/";
    let bodies = [r#"{"builder":"builders/base:1"}"#, r#"{"builder":"default"}"#, r#"{"builder":""}"#];
    assert_eq!(world.requests(), bodies.map(|body| format!("{path} {body}")));
}
