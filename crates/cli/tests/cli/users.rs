//! Users, collaborators and administrators.

use crate::world::World;

#[test]
fn users_are_listed_with_administrators_marked() {
    let world = World::logged_in();
    let user = |name: &str, admin: bool| {
        format!(
            r#"{{"email":"","username":"{name}","is_superuser":{admin},"is_staff":{admin},"last_login":null,"date_joined":"","is_active":true}}"#
        )
    };
    let body = format!(
        r#"{{"count":2,"next":null,"previous":null,"results":[{},{}]}}"#,
        user("al", true),
        user("bob", false)
    );
    world.answer("GET /v2/users/?limit=100", 200, &body);
    world.deis("users").says("=== Users (*=admin)\n*al\nbob\n");
}

#[test]
fn collaborators_are_listed_added_and_removed() {
    let world = World::logged_in();
    world
        .answer("GET /v2/apps/foo/perms/", 200, r#"{"users":["al"]}"#)
        .answer("POST /v2/apps/foo/perms/", 201, "")
        .answer("DELETE /v2/apps/foo/perms/al", 204, "");
    world.deis("sharing -a foo").says("=== foo's Users\nal\n");
    world.deis("sharing:add al -a foo").says("Adding al to foo collaborators... done\n");
    world.deis("sharing:remove al -a foo").says("Removing al from foo collaborators... done\n");
    assert_eq!(
        world.requests(),
        [
            "GET /v2/apps/foo/perms/",
            r#"POST /v2/apps/foo/perms/ {"username":"al"}"#,
            "DELETE /v2/apps/foo/perms/al"
        ]
    );
}

#[test]
fn administrators_are_listed_added_and_removed() {
    let world = World::logged_in();
    world
        .answer(
            "GET /v2/admin/perms/?limit=1",
            200,
            r#"{"count":2,"next":null,"previous":null,"results":[{"username":"al","is_superuser":true}]}"#,
        )
        .answer("POST /v2/admin/perms/", 201, "")
        .answer("DELETE /v2/admin/perms/al", 204, "");
    world.deis("perms:list --admin -l 1").says("=== Administrators (1 of 2)\nal\n");
    world.deis("perms:create al --admin").says("Adding al to system administrators... done\n");
    world.deis("perms:delete al --admin").says("Removing al from system administrators... done\n");
    assert_eq!(world.requests()[1], r#"POST /v2/admin/perms/ {"username":"al"}"#);
}

#[test]
fn without_rights_the_refusal_is_the_same_for_all() {
    let world = World::logged_in();
    world.answer("GET /v2/users/?limit=100", 403, r#"{"detail":"whatever"}"#);
    world.deis("users").fails_with("Error: You do not have permission to perform this action.\n");
}
