//! Behavior on a terminal: the spinner, colors, passwords.

use crate::world::{URL, World};

#[test]
fn a_spinner_runs_behind_the_text_and_is_erased() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/builds/", 201, "{}");
    let run = world.on_terminal("deis pull img -a foo", "");
    assert_eq!(run.out, "Creating build... ...\u{8}\u{8}\u{8}done\r\n");
}

#[test]
fn a_failure_follows_the_erased_spinner() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/config/", 422, r#"{"detail":"A does not exist"}"#);
    let run = world.on_terminal("deis config:unset A -a foo", "");
    assert_eq!(
        run.out,
        "Removing config... ...\u{8}\u{8}\u{8}Error: Unable to process your request: A does not exist\r\n"
    );
    assert_eq!(run.code, 1);
}

#[test]
fn each_log_line_has_a_colour_unless_the_user_wants_none() {
    let world = World::logged_in();
    world.answer("GET /v2/apps/foo/logs", 200, "INFO -- one\nINFO -- two\n");
    let run = world.on_terminal("deis logs -a foo", "");
    assert_eq!(run.out, "\u{1b}[35mINFO -- one\u{1b}[0m\r\n\u{1b}[35mINFO -- two\u{1b}[0m\r\n");
    let plain = world.on_terminal("NO_COLOR=1 deis logs -a foo", "");
    assert_eq!(plain.out, "INFO -- one\r\nINFO -- two\r\n");
}

#[test]
fn a_password_is_asked_for_and_not_shown() {
    let world = World::new();
    world.answer("GET /v2/", 401, "").answer("POST /v2/auth/login/", 200, r#"{"token":"t"}"#);
    let run = world.on_silent_terminal(&format!("deis login {URL} --username=bob"), &["s3cret"]);
    assert!(run.out.starts_with("password: \r\nLogged in as bob\r\n"), "{}", run.out);
    assert!(!run.out.contains("s3cret"), "{}", run.out);
    assert!(world.requests()[1].ends_with(r#"{"username":"bob","password":"s3cret"}"#));
}

#[test]
fn a_new_password_is_asked_for_twice() {
    let world = World::new();
    world.answer("GET /v2/", 401, "");
    let line = format!("deis register {URL} --username=bob --email=b@x.com");
    let run = world.on_silent_terminal(&line, &["one", "two"]);
    assert_eq!(
        run.out,
        "password: \r\npassword (confirm): \r\nError: Password mismatch, aborting registration.\r\n"
    );
    assert_eq!((world.requests().len(), run.code), (1, 1));
}

#[test]
fn an_app_does_not_control_the_terminal_that_shows_its_log() {
    let world = World::logged_in();
    let log = "a -- \u{1b}[2J\u{1b}[31mred\u{202e}\u{9b}H\u{7}\rover\n";
    world.answer("GET /v2/apps/foo/logs", 200, log);

    let plain = world.on_terminal("NO_COLOR=1 deis logs -a foo", "");
    assert_eq!(plain.out, "a -- \\x1b[2Jred\\u{202e}\\u{9b}H\\x07\\rover\r\n");
    let red = "a -- \\x1b[2J\u{1b}[31mred\\u{202e}\\u{9b}H\\x07\\rover\u{1b}[0m\r\n";
    assert_eq!(world.on_terminal("NO_COLOR=1 deis logs -a foo --color", "").out, red);
    assert_eq!(world.on_terminal("NO_COLOR=1 CLICOLOR_FORCE=1 deis logs -a foo", "").out, red);
    // A file gets what the app wrote.
    world.deis("logs -a foo").says(log);
}

#[test]
fn neither_output_nor_listings_nor_errors_control_a_terminal() {
    let world = World::logged_in();
    let title = "\u{1b}]0;gotcha\u{7}";
    world
        .answer("POST /v2/apps/foo/run", 200, &serde_json::json!({"exit_code": 0, "output": title}).to_string())
        .answer(
            "GET /v2/apps/foo/config/",
            200,
            &serde_json::json!({"uuid": "c", "app": "foo", "owner": "bob", "values": {"TITLE": title}, "created": "", "updated": ""})
                .to_string(),
        )
        .answer("POST /v2/apps/foo/domains/", 422, &serde_json::json!({"detail": title}).to_string());

    for line in ["deis run -a foo x", "deis config -a foo", "deis domains:add x.com -a foo"] {
        let run = world.on_terminal(line, "");
        assert!(run.out.contains("\\x1b]0;gotcha\\x07"), "{line}: {:?}", run.out);
        assert!(!run.out.contains('\u{1b}') && !run.out.contains('\u{7}'), "{line}: {:?}", run.out);
    }
    world.deis("run -a foo x").prints(title, "Running 'x'...\n");
}
