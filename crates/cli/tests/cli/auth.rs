//! Accounts: registering, logging in and out, passwords, tokens, and the profile.

use std::os::unix::fs::PermissionsExt;

use crate::world::{URL, World};

fn profile(token: &str, limit: u32) -> String {
    format!(
        r#"{{"username":"bob","ssl_verify":true,"controller":"{URL}","token":"{token}","response_limit":{limit}}}"#
    )
}

fn open_world(world: World) -> World {
    world
        .answer("GET /v2/", 401, r#"{"detail":"Authentication credentials were not provided."}"#)
        .answer("POST /v2/auth/register/", 201, "{}")
        .answer("POST /v2/auth/login/", 200, r#"{"token":"new"}"#);
    world
}

#[test]
fn registering_logs_in_and_writes_the_profile() {
    let world = open_world(World::new());

    let run =
        world.deis("register deis.Example.com --username=bob --password=s3cret --email=bob@example.com");

    let path = world.path(".deis/client.json");
    run.says(&format!(
        "Registered bob\nLogged in as bob\nConfiguration file written to {}\n",
        path.display()
    ));
    assert_eq!(
        world.requests(),
        [
            "GET /v2/",
            r#"POST /v2/auth/register/ {"username":"bob","password":"s3cret","email":"bob@example.com"}"#,
            "GET /v2/",
            r#"POST /v2/auth/login/ {"username":"bob","password":"s3cret"}"#,
        ]
    );
    assert_eq!(world.read(".deis/client.json"), profile("new", 0));
    let mode = |path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(path), mode(world.path(".deis"))), (0o600, 0o700));
}

#[test]
fn registering_without_login_writes_nothing() {
    let world = open_world(World::new());
    let line = format!(
        "register {URL} --username=bob --password=x --email=b@x.com --login=false --ssl-verify=false"
    );
    world.deis(&line).says("Registered bob\n");
    assert_eq!(world.requests().len(), 2);
    assert!(!world.path(".deis").exists());
}

#[test]
fn missing_values_are_asked_for() {
    let world = open_world(World::new());
    let run = world.deis_with(&["register", URL, "--password=x"], "bob\nbob@example.com\n");
    assert!(run.out.starts_with("username: email: Registered bob\n"), "{}", run.out);
    assert!(world.requests()[1].contains(r#""email":"bob@example.com""#));
}

#[test]
fn an_administrator_registers_others_with_the_own_token() {
    let world = open_world(World::logged_in());
    world.deis(&format!("register {URL} --username=al --password=x --email=a@x.com --login=false"));
    let requests = world.controller.take_requests();
    assert_eq!(requests[1].headers["authorization"], "token t0ken");
    assert!(!requests[0].headers.contains_key("authorization"));
}

#[test]
fn a_token_is_not_sent_to_another_controller() {
    let world = open_world(World::logged_in_at("http://deis.other.com"));
    world.deis(&format!("register {URL} --username=al --password=x --email=a@x.com"));
    let requests = world.controller.take_requests();
    assert!(requests.iter().all(|request| !request.headers.contains_key("authorization")));
}

#[test]
fn a_refused_registration_says_so() {
    let world = World::new();
    world.answer("GET /v2/", 401, "{}").answer("POST /v2/auth/register/", 403, "{}");
    world
        .deis(&format!("register {URL} --username=bob --password=x --email=b@x.com"))
        .fails_with("Registration failed: Error: You do not have permission to perform this action.\n");
}

#[test]
fn a_password_needs_a_terminal() {
    let world = open_world(World::new());
    let run = world.deis(&format!("login {URL} --username=bob"));
    assert_eq!(run.code, 1);
    assert!(run.err.contains("stdin is not a terminal; give it with --password"), "{}", run.err);
}

#[test]
fn logging_in_keeps_the_limit_of_the_profile() {
    let world = open_world(World::new());
    world.write(".deis/client.json", &profile("old", 7));
    world.deis(&format!("login {URL}/ --username=bob --password=x"));
    assert_eq!(world.read(".deis/client.json"), profile("new", 7));
}

#[test]
fn a_profile_is_chosen_by_option_or_environment() {
    let world = open_world(World::new());
    let login = format!("login {URL} --username=bob --password=x");
    let path = world.path("own.json").display().to_string();
    world.deis(&format!("{login} -c work"));
    world.deis(&format!("{login} --config={path}"));
    world.deis_in(&[("DEIS_PROFILE", "home")], &login);
    for file in [".deis/work.json", "own.json", ".deis/home.json"] {
        assert_eq!(world.read(file), profile("new", 0), "{file}");
    }
    world.deis("whoami -c work").says(&format!("You are bob at {URL}\n"));
    assert_eq!(world.deis("whoami").code, 1);
}

#[test]
fn what_is_no_controller_is_refused() {
    let world = World::new();
    world.answer("GET /v2/", 200, "hello");
    let run = world.deis(&format!("login {URL} --username=bob --password=x"));
    assert_eq!((run.out.as_str(), run.code), ("", 1));
    assert!(
        run.err.starts_with(&format!("Error: {URL} does not appear to be a valid Deis controller.\n")),
        "{}",
        run.err
    );
}

#[test]
fn a_controller_below_a_path_is_refused() {
    let world = open_world(World::new());
    let run = world.deis(&format!("login {URL}/foo --username=bob --password=x"));
    assert!(
        run.err.starts_with(&format!("Error: {URL}/foo does not appear to be a valid Deis controller.\n"))
    );
    assert!(world.requests().is_empty());
}

#[test]
fn wrong_credentials_write_no_profile() {
    let world = World::new();
    world.answer("GET /v2/", 401, "").answer(
        "POST /v2/auth/login/",
        400,
        r#"{"non_field_errors":["Unable to log in with provided credentials."]}"#,
    );
    world
        .deis(&format!("login {URL} --username=bob --password=x"))
        .fails_with("Error: Unable to log in with provided credentials.\n");
    assert!(!world.path(".deis").exists());
}

#[test]
fn a_profile_that_cannot_be_written_is_an_error() {
    let world = open_world(World::new());
    world.write(".deis", "a file in the way");
    let run = world.deis(&format!("login {URL} --username=bob --password=x -c /nowhere/x.json"));
    assert_eq!(run.code, 1);
    assert!(
        run.err.starts_with("Error: writing /nowhere/x.json: ") || run.err.starts_with("Error: open"),
        "{}",
        run.err
    );
}

#[test]
fn logging_out_removes_the_profile_and_works_twice() {
    let world = World::logged_in();
    world.answer("DELETE /v2/auth/tokens/", 204, "");
    world.deis("logout").says("Logged out\n");
    assert!(!world.path(".deis/client.json").exists());
    world.deis("logout").says("Logged out\n");
    assert_eq!(world.requests(), ["DELETE /v2/auth/tokens/"]);
}

#[test]
fn a_token_that_cannot_be_ended_is_told_and_the_profile_is_forgotten_all_the_same() {
    let world = World::logged_in();
    world.answer("DELETE /v2/auth/tokens/", 500, r#"{"detail":"Server Error"}"#);
    let run = world.deis("logout");
    assert_eq!((run.code, run.out.as_str()), (0, "Logged out\n"));
    assert!(run.err.contains("The token could not be ended, it stays good"), "{}", run.err);
    assert!(!world.path(".deis/client.json").exists());

    let world = World::logged_in();
    world.answer("DELETE /v2/auth/tokens/", 401, r#"{"detail":"Invalid token."}"#);
    world.deis("logout").says("Logged out\n");
}

#[test]
fn without_a_profile_commands_say_how_to_get_one() {
    let world = World::new();
    world.deis("apps").fails_with(&format!(
        "Error: Client configuration file not found at: {}\nAre you logged in? Use 'deis login' or 'deis register' to get started.\n",
        world.path(".deis/client.json").display()
    ));
}

#[test]
fn whoami_asks_only_for_all() {
    let world = World::logged_in();
    world.answer(
        "GET /v2/auth/whoami/",
        200,
        r#"{"email":"bob@example.com","username":"bob","first_name":"","last_name":null,"is_superuser":true,"is_staff":true,"groups":[],"user_permissions":[],"last_login":"2016-09-12T22:15:26Z","date_joined":"2015-09-12T22:15:26Z","is_active":true}"#,
    );
    world.deis("whoami").says(&format!("You are bob at {URL}\n"));
    assert!(world.requests().is_empty());
    world.deis("whoami --all").says(
        "ID: 0\nUsername: bob\nEmail: bob@example.com\nFirst Name: \nLast Name: \nLast Login: 2016-09-12T22:15:26Z\n\
         Is Superuser: true\nIs Staff: true\nIs Active: true\nDate Joined: 2015-09-12T22:15:26Z\n",
    );
}

#[test]
fn a_password_is_changed_with_the_current_one_or_by_an_administrator() {
    let world = World::logged_in();
    world.answer("POST /v2/auth/passwd/", 200, "{}");
    world.deis("passwd --password=old --new-password=new").says("Password change succeeded.\n");
    world.deis("passwd --username=al --new-password=new").says("Password change succeeded.\n");
    assert_eq!(
        world.requests(),
        [
            r#"POST /v2/auth/passwd/ {"password":"old","new_password":"new"}"#,
            r#"POST /v2/auth/passwd/ {"username":"al","new_password":"new"}"#,
        ]
    );
}

#[test]
fn a_refused_password_change_says_so() {
    let world = World::logged_in();
    world.answer("POST /v2/auth/passwd/", 401, "{}");
    world
        .deis("passwd --password=old --new-password=new")
        .fails_with("Password change failed: Error: Unauthorized: Missing or Invalid Token\n");
}

#[test]
fn a_new_token_is_kept() {
    let world = World::logged_in();
    world.answer("POST /v2/auth/tokens/", 200, r#"{"token":"fresh"}"#);
    world.deis("auth:regenerate").says("Token Regenerated\n");
    assert_eq!(world.read(".deis/client.json"), profile("fresh", 100));
    world.deis("auth:regenerate -u bob").says("Token Regenerated\n");
    world.deis("auth:regenerate --all").says("Token Regenerated\n");
    assert_eq!(world.read(".deis/client.json"), profile("fresh", 100));
    assert_eq!(
        world.requests(),
        [
            "POST /v2/auth/tokens/",
            r#"POST /v2/auth/tokens/ {"username":"bob"}"#,
            r#"POST /v2/auth/tokens/ {"all":true}"#,
        ]
    );
}

#[test]
fn cancelling_logs_in_again_and_forgets_the_profile() {
    let world = open_world(World::logged_in());
    world.answer("DELETE /v2/auth/cancel/", 204, "");
    let run = world.deis("auth:cancel --username=bob --password=x --yes");
    assert!(run.out.starts_with("Please log in again in order to cancel this account\nLogged in as bob\n"));
    assert!(run.out.ends_with("Account cancelled\n"));
    assert_eq!(world.requests().last().unwrap(), r#"DELETE /v2/auth/cancel/ {"username":"bob"}"#);
    assert!(!world.path(".deis/client.json").exists());
}

#[test]
fn cancelling_another_account_asks_first() {
    let world = World::logged_in();
    world.answer("DELETE /v2/auth/cancel/", 204, "");

    let declined = world.deis_with(&["auth:cancel", "--username=al"], "n\n");
    assert_eq!(declined.out, format!("cancel account al at {URL}? (y/N): "));
    assert_eq!((declined.err.as_str(), declined.code), ("Account not changed\n", 0));
    assert!(world.requests().is_empty());

    world.deis_with(&["auth:cancel", "--username=al"], "y\n");
    assert_eq!(world.requests(), [r#"DELETE /v2/auth/cancel/ {"username":"al"}"#]);
    assert!(world.path(".deis/client.json").exists());
}

#[test]
fn an_account_with_apps_is_not_cancelled() {
    let world = World::logged_in();
    let body = r#"{"detail":"al still has applications assigned. Delete or transfer ownership"}"#;
    world.answer("DELETE /v2/auth/cancel/", 409, body);
    let run = world.deis("auth:cancel --username=al --yes");
    assert!(
        run.err.starts_with("Error: Failed to delete user because the user still has applications assigned")
    );
}
