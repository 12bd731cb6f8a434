//! The stacks of the platform, and that of an app.

use crate::world::World;

const STACKS: &str = r#"{"stacks":[{"name":"bookworm","default":false,"toolchains":["ruby"]},
    {"name":"trixie","default":true,"toolchains":["java","ruby"]}]}"#;

fn world() -> World {
    let world = World::logged_in();
    let settings = crate::settings::settings(r#""stack":"bookworm""#);
    world.answer("GET /v2/stacks/", 200, STACKS);
    world.answer("GET /v2/apps/foo/settings/", 200, &settings);
    world.answer("POST /v2/apps/foo/settings/", 201, &settings);
    world
}

#[test]
fn stacks_are_listed_with_a_star_at_that_of_the_app() {
    let world = world();
    world.deis("stacks").says("=== Stacks\nbookworm  ruby\ntrixie (default)  java ruby\n");
    world.deis("stacks -a foo").says("=== Stacks\n*bookworm  ruby\ntrixie (default)  java ruby\n");
    let json = world.deis("stacks -a foo -o json").out;
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!((&json["app_stack"], &json["stacks"][1]["name"]), (&"bookworm".into(), &"trixie".into()));
}

#[test]
fn a_stack_is_chosen_for_the_next_push() {
    let world = world();
    world
        .deis("stacks:set trixie -a foo")
        .says("Setting the stack of foo to trixie... done\nThe next push of foo is built on trixie.\n");
    assert_eq!(world.requests(), [r#"POST /v2/apps/foo/settings/ {"stack":"trixie"}"#]);
}
