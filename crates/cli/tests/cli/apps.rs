//! Apps: making, listing, showing, opening, logs, one-off commands, destroying, transferring.

use crate::world::World;

pub const APP: &str = r#"{"uuid":"c4aed81c","id":"foo","owner":"bob","structure":{},"created":"2016-08-22T17:40:16Z","updated":"2016-08-22T17:42:16Z"}"#;

fn with_repository(world: World) -> World {
    assert_eq!(world.git("init --quiet").code, 0);
    world
}

#[test]
fn creating_an_app_adds_a_git_remote() {
    let world = with_repository(World::logged_in());
    world.answer("POST /v2/apps/", 201, APP);

    world.deis("create foo").says(
        "Creating Application... done, created foo\nGit remote deis successfully created for app foo.\n",
    );

    assert_eq!(world.requests(), [r#"POST /v2/apps/ {"id":"foo"}"#]);
    assert_eq!(
        world.git("remote -v").out,
        "deis\tssh://git@deis-builder.example.com:2222/foo.git (fetch)\ndeis\tssh://git@deis-builder.example.com:2222/foo.git (push)\n"
    );
}

#[test]
fn the_platform_makes_up_a_name_and_a_buildpack_becomes_config() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/", 201, APP).answer("POST /v2/apps/foo/config/", 201, crate::config::CONFIG);
    world.deis("create --no-remote -b https://x.com/pack").says(
        "Creating Application... done, created foo\n\
         If you want to add a git remote for this app later, use `deis git:remote -a foo`\n",
    );
    assert_eq!(
        world.requests(),
        ["POST /v2/apps/", r#"POST /v2/apps/foo/config/ {"values":{"BUILDPACK_URL":"https://x.com/pack"}}"#]
    );
}

#[test]
fn a_taken_remote_says_how_to_overwrite_it() {
    let world = with_repository(World::logged_in());
    world.git("remote add deis /elsewhere");
    world.answer("POST /v2/apps/", 201, APP);
    world.deis("create foo").fails_with(
        "Error: A git remote with the name deis already exists. To overwrite this remote run:\n\
         deis git:remote --force --remote deis --app foo\n",
    );
}

#[test]
fn outside_a_repository_the_app_is_made_and_git_complains() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/", 201, APP);
    let run = world.deis("create foo");
    assert_eq!(run.out, "Creating Application... done, created foo\n");
    assert!(run.err.starts_with(
        "Error: Error when running 'git remote add deis ssh://git@deis-builder.example.com:2222/foo.git'\nfatal: not a git repository"
    ));
    assert_eq!(run.code, 1);
}

#[test]
fn a_refused_app_leaves_the_error_behind_the_progress() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/", 400, r#"{"id":["Application with this id already exists."]}"#);
    let run = world.deis("create foo");
    assert_eq!(run.out, "Creating Application... ");
    run.fails_with("Error: Application with this id already exists.\n");
}

#[test]
fn apps_are_listed_with_what_is_left_out() {
    let world = World::logged_in();
    let body = format!(r#"{{"count":5,"next":null,"previous":null,"results":[{APP}]}}"#);
    world.answer("GET /v2/apps/?limit=100", 200, &body).answer("GET /v2/apps/?limit=1", 200, &body);
    world.deis("apps").says("=== Apps (1 of 5)\nfoo\n");
    world.deis("apps:list -l 1").says("=== Apps (1 of 5)\nfoo\n");
    let json: serde_json::Value = serde_json::from_str(&world.deis("apps -o json").out).unwrap();
    assert_eq!(json[0]["id"], "foo");
}

#[test]
fn a_limit_that_is_no_number_asks_nothing() {
    let world = World::logged_in();
    let run = world.deis("apps --limit=x");
    assert!(run.err.starts_with("Error: ") && run.err.contains('x'));
    assert_eq!(run.code, 1);
    assert!(world.requests().is_empty());
}

#[test]
fn info_shows_app_processes_domains_and_labels() {
    let world = World::logged_in();
    world
        .answer("GET /v2/apps/foo/", 200, APP)
        .answer("GET /v2/apps/foo/domains/?limit=1", 200, r#"{"count":2,"next":null,"previous":null,"results":[{"owner":"bob","created":"","updated":"","app":"foo","domain":"foo"}]}"#)
        .answer("GET /v2/apps/foo/pods/?limit=100", 200, crate::processes::PODS)
        .answer("GET /v2/apps/foo/domains/?limit=100", 200, crate::settings::DOMAINS)
        .answer("GET /v2/apps/foo/settings/", 200, &crate::settings::settings(r#""label":{"team":"bi","service":"frontend"}"#));

    world.deis("info -a foo").says(
        "=== foo Application\n\
         updated:  2016-08-22T17:42:16Z\n\
         uuid:     c4aed81c\n\
         created:  2016-08-22T17:40:16Z\n\
         url:      foo.example.com\n\
         owner:    bob\n\
         id:       foo\n\n\
         === foo Processes\n\
         --- web:\n\
         foo-web-4084101150-a871y starting (v2)\n\
         foo-web-4084101150-c871y up (v2)\n\
         --- worker:\n\
         foo-worker-111-zzzzz up (v2)\n\n\
         === foo Domains\n\
         foo\n\
         x.com\n\n\
         === foo Label\n\
         service:      frontend\n\
         team:         bi\n\n",
    );

    assert_eq!(
        world.requests(),
        [
            "GET /v2/apps/foo/",
            "GET /v2/apps/foo/domains/?limit=1",
            "GET /v2/apps/foo/pods/?limit=100",
            "GET /v2/apps/foo/domains/?limit=100",
            "GET /v2/apps/foo/settings/",
        ]
    );
}

#[test]
fn a_missing_app_shows_the_quotes_of_the_controller() {
    let world = World::logged_in();
    world.answer("GET /v2/apps/ghost/", 404, r#""No App matches the given query.""#);
    world.deis("info -a ghost").fails_with("Error: \"No App matches the given query.\"\n");
}

#[test]
fn an_app_opens_in_the_browser() {
    let world = World::logged_in_at("http://deis.localhost:8000");
    world.write_program("xdg-open", &format!("echo \"$@\" > {}", world.path("opened").display()));
    let world = at_localhost(world);
    world.answer("GET /v2/apps/foo/domains/?limit=1", 200, crate::settings::DOMAINS);
    world.deis("open -a foo").says("");
    let port = world.controller.address.port();
    assert_eq!(world.read("opened"), format!("http://foo.localhost:{port}\n"));
}

/// Points the profile to the test's controller under a name that no system resolver needs to know.
pub fn at_localhost(world: World) -> World {
    let profile = world.read(".deis/client.json");
    let port = world.controller.address.port();
    world.write(".deis/client.json", &profile.replace(":8000", &format!(":{port}")));
    world
}

#[test]
fn an_app_without_a_domain_does_not_open() {
    let world = World::logged_in();
    let none = r#"{"count":0,"next":null,"previous":null,"results":[]}"#;
    world.answer("GET /v2/apps/foo/domains/?limit=1", 200, none);
    world.deis("open -a foo").fails_with("Error: No domain assigned to foo\n");
}

#[test]
fn logs_come_line_by_line_without_colours_in_a_pipe() {
    let world = World::logged_in();
    let text =
        "2016-08-22T17:40:16+00:00 foo[web-1]: one\n2016-08-22T17:40:17+00:00 deis[controller]: INFO two\n";
    world.answer("GET /v2/apps/foo/logs", 200, text).answer("GET /v2/apps/foo/logs?log_lines=5", 200, text);
    world.deis("logs -a foo").says(text);
    world.deis("logs -n 5 -a foo").says(text);
    world.deis("logs --lines=0 -a foo").says(text);
    assert_eq!(
        world.requests(),
        ["GET /v2/apps/foo/logs", "GET /v2/apps/foo/logs?log_lines=5", "GET /v2/apps/foo/logs"]
    );
}

#[test]
fn a_followed_log_goes_on_where_the_connection_broke() {
    let world = World::logged_in();
    let again = "GET /v2/apps/foo/logs/follow?after=7";
    world
        .answer(
            "GET /v2/apps/foo/logs/follow?log_lines=2",
            200,
            "{\"id\":6,\"line\":\"one\"}\n{\"id\":7,\"line\":\"two\"}\n{\"id\":8,\"line\":\"cut o",
        )
        .answer(again, 500, "Error accessing logs for foo")
        .answer(
            again,
            200,
            "{\"id\":8,\"line\":\"cut off\"}\n{\"dropped\":3}\n{\"id\":12,\"line\":\"last\"}\n{\"id\":12}\n",
        )
        .answer("GET /v2/apps/foo/logs/follow?after=12", 403, "");

    let run = world.deis("logs -f -n 2 -a foo");

    assert_eq!(run.out, "one\ntwo\ncut off\nlast\n");
    assert_eq!(
        run.err,
        "(no connection, trying again: Error: Internal Server Error)\n\
         (3 lines are missing here: too many came at once)\n\
         Error: You do not have permission to perform this action.\n"
    );
    assert_eq!(run.code, 1);
}

#[test]
fn an_older_platform_cannot_be_followed_and_an_app_that_is_not_there_neither() {
    let world = World::logged_in();
    world.answer("GET /v2/apps/foo/logs/follow", 404, "<h1>Not Found</h1>").answer(
        "GET /v2/apps/bar/logs/follow",
        404,
        "\"No App matches the given query.\"",
    );

    assert!(world.deis("logs --follow -a foo").err.contains("older than this client"));
    assert!(world.deis("logs --follow -a bar").err.contains("No App matches"));
}

#[test]
fn no_logs_say_what_to_check() {
    let world = World::logged_in();
    let start = "Error: There are currently no log messages. Please check the following things:\n1) ";
    for (status, body) in [
        (204, ""),
        (200, "\n"),
        (500, "Error accessing logs for foo"),
        (404, "\"No App matches the given query.\""),
    ] {
        let world = World::logged_in();
        world.answer("GET /v2/apps/foo/logs", status, body);
        let run = world.deis("logs -a foo");
        assert!(run.err.starts_with(start), "{status}: {}", run.err);
        assert_eq!(run.code, 1);
    }
    assert!(world.requests().is_empty());
}

#[test]
fn a_command_runs_and_its_output_is_printed() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/run", 200, r#"{"exit_code":0,"output":"hi there\n"}"#);
    world.deis("run -a foo echo hi there").prints("hi there\n", "Running 'echo hi there'...\n");
    assert_eq!(
        world.requests(),
        [r#"POST /v2/apps/foo/run {"command":"echo hi there","encoding":"base64"}"#]
    );
}

#[test]
fn a_failing_command_gives_its_exit_code_and_its_output_on_stderr() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/run", 200, r#"{"exit_code":3,"output":"No such file or directory"}"#);
    let run = world.deis("run -a foo -- bash -c ls -- -h");
    assert_eq!(
        (run.out.as_str(), run.err.as_str(), run.code),
        ("", "Running 'bash -c ls -- -h'...\nNo such file or directory", 3)
    );
    assert_eq!(
        world.requests(),
        [r#"POST /v2/apps/foo/run {"command":"bash -c ls -- -h","encoding":"base64"}"#]
    );
}

#[test]
fn several_words_are_arguments_and_a_single_one_is_a_line_of_shell() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/run", 200, r#"{"exit_code":0,"output":""}"#);

    world.deis_with(&["run", "-a", "foo", "--", "bash", "-c", "exit 53", "", "it's"], "");
    world.deis_with(&["run", "-a", "foo", "echo a   b; exit 7"], "");

    assert_eq!(
        world.requests(),
        [
            r#"POST /v2/apps/foo/run {"command":"bash -c 'exit 53' '' 'it'\\''s'","encoding":"base64"}"#,
            r#"POST /v2/apps/foo/run {"command":"echo a   b; exit 7","encoding":"base64"}"#,
        ]
    );
}

#[test]
fn output_that_is_no_text_reaches_a_file_byte_by_byte() {
    let world = World::logged_in();
    let body = r#"{"exit_code":0,"output":"//4AYWJj","encoding":"base64","truncated":true}"#;
    world.answer("POST /v2/apps/foo/run", 200, body);

    assert_eq!(world.output_of("run -a foo dump"), b"\xff\xfe\0abc");
    let shown = world.on_terminal("deis run -a foo dump", "").out;
    assert!(shown.contains("\u{fffd}\u{fffd}\\x00abc"), "{shown}");
    assert!(shown.contains("There was more output than is kept"), "{shown}");
}

#[cfg(target_os = "linux")]
#[test]
fn an_argument_that_is_no_text_is_refused_and_not_changed() {
    use std::os::unix::ffi::OsStrExt as _;
    let world = World::logged_in();

    let run = world.deis_raw(&["run", "-a", "foo", "rm"], std::ffi::OsStr::from_bytes(b"\xff.txt"));

    run.fails_with("Error: the argument '\u{fffd}.txt' is not UTF-8\n");
    assert!(world.requests().is_empty());
}

#[test]
fn destroying_asks_for_the_name() {
    let world = World::logged_in();
    world.answer("DELETE /v2/apps/foo/", 204, "");

    let wrong = world.deis_with(&["destroy", "-a", "foo"], "bar\n");
    assert_eq!(
        wrong.out,
        " !    WARNING: Potentially Destructive Action\n !    This command will destroy the application: foo\n \
         !    To proceed, type \"foo\" or re-run this command with --confirm=foo\n\n> "
    );
    wrong.fails_with("Error: App foo does not match confirm bar, aborting.\n");
    assert!(world.requests().is_empty());

    let right = world.deis_with(&["destroy", "-a", "foo"], "foo\n");
    assert!(right.out.ends_with("> Destroying foo...\ndone in 0s\n"));
    assert_eq!((world.requests(), right.code), (vec!["DELETE /v2/apps/foo/".to_owned()], 0));
}

#[test]
fn destroying_the_app_of_a_repository_removes_its_remotes() {
    let world = with_repository(World::logged_in());
    world.git("remote add deis ssh://git@deis-builder.example.com:2222/foo.git");
    world.git("remote add other ssh://git@deis-builder.example.com:2222/other.git");
    world.answer("DELETE /v2/apps/foo/", 204, "");
    world
        .deis("destroy --confirm=foo")
        .says("Destroying foo...\ndone in 0s\nGit remotes for app foo removed.\n");
    assert_eq!(world.git("remote").out, "other\n");
}

#[test]
fn destroying_by_the_folders_name_succeeds_without_a_remote() {
    let world = World::logged_in();
    world.answer("DELETE /v2/apps/blog/", 204, "");
    let run = world.deis("destroy --confirm=blog");
    assert_eq!((run.out.as_str(), run.code), ("Destroying blog...\ndone in 0s\n", 0));
    assert!(run.err.starts_with("Note: no git remote was removed."));
}

#[test]
fn an_app_is_locked_with_a_reason_and_unlocked() {
    let world = World::logged_in();
    let lock = r#"{"user":"bob","since":"2026-01-02T03:04:05Z","reason":"audit"}"#;
    world.answer("POST /v2/apps/foo/lock/", 201, lock).answer("DELETE /v2/apps/foo/lock/", 204, "");

    world.deis("apps:lock -a foo --reason=audit").says("Locking foo... done\n");
    world.deis("apps:lock -a foo").says("Locking foo... done\n");
    world.deis("apps:unlock -a foo").says("Unlocking foo... done\n");

    assert_eq!(
        world.requests(),
        [
            r#"POST /v2/apps/foo/lock/ {"reason":"audit"}"#,
            "POST /v2/apps/foo/lock/ {}",
            "DELETE /v2/apps/foo/lock/",
        ]
    );
}

#[test]
fn a_refusal_of_a_locked_app_is_shown_as_it_comes() {
    let world = World::logged_in();
    let sentence =
        r#"foo is locked by bob since 2026-01-02T03:04:05Z: \"audit\"; unlock it with deis apps:unlock"#;
    world.answer("DELETE /v2/apps/foo/", 409, &format!(r#"{{"detail":"{sentence}"}}"#));

    let run = world.deis("destroy -a foo --confirm=foo");

    assert_eq!(run.err, format!("Error: {}\n", sentence.replace('\\', "")));
    assert_eq!(run.code, 1);
}

#[test]
fn info_shows_the_lock_of_an_app() {
    let world = World::logged_in();
    let page = r#"{"count":0,"next":null,"previous":null,"results":[]}"#;
    let locked =
        APP.replacen('{', r#"{"lock":{"user":"bob","since":"2026-01-02T03:04:05Z","reason":"audit"},"#, 1);
    world
        .answer("GET /v2/apps/foo/", 200, &locked)
        .answer("GET /v2/apps/foo/domains/?limit=1", 200, page)
        .answer("GET /v2/apps/foo/pods/?limit=100", 200, r#"{"count":0,"results":[]}"#)
        .answer("GET /v2/apps/foo/domains/?limit=100", 200, page)
        .answer("GET /v2/apps/foo/settings/", 200, &crate::settings::settings(r#""label":{}"#));

    let run = world.deis("info -a foo");

    assert!(run.out.contains("\nlocked:   by bob since 2026-01-02T03:04:05Z: \"audit\"\n"), "{}", run.out);
}

#[test]
fn an_app_is_transferred() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/", 200, "");
    world.deis("apps:transfer al -a foo").says("Transferring foo to al... done\n");
    assert_eq!(world.requests(), [r#"POST /v2/apps/foo/ {"owner":"al"}"#]);
}
