//! Dispatch of command lines, help, usage errors, plugins.

use crate::world::World;

const NO_MATCH: &str = "Found no matching command, try 'deis help'\nUsage: deis <command> [<args>...]\n";

#[test]
fn no_command_or_an_option_first_prints_the_usage() {
    let world = World::new();
    for line in ["", "-c x whoami", "--config=x whoami", "--debug foo"] {
        let run = world.deis(line);
        assert_eq!(run.out, "", "{line}");
        run.fails_with("Usage: deis <command> [<args>...]\n");
    }
}

#[test]
fn unknown_commands_are_not_found() {
    let world = World::new();
    for line in ["bogus", "apps:frobnicate", "apps frobnicate", "help bogus", "apps:"] {
        world.deis(line).fails_with(NO_MATCH);
    }
}

#[test]
fn a_command_that_is_almost_one_is_named() {
    let world = World::new();
    for (line, meant) in [
        ("apps:bogus", "apps:logs"),
        ("conifg:set A=1", "config:set"),
        ("config sett A=1", "config:set"),
        ("sclae web=2", "scale"),
        ("release -a foo", "releases"),
    ] {
        let (first, usage) = NO_MATCH.split_once('\n').unwrap();
        world.deis(line).fails_with(&format!("{first}\nDid you mean 'deis {meant}'?\n{usage}"));
    }
}

#[test]
fn an_action_is_a_word_of_its_own_as_well() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/foo/perms/", 201, "");
    let said = "Adding u to foo collaborators... done\n";
    for line in [
        "perms:create u -a foo",
        "perms create u -a foo",
        "sharing add u -a foo",
        "perms -c client create u -a foo",
    ] {
        world.deis(line).says(said);
    }
    assert_eq!(world.deis("help perms create").out, world.deis("perms:create --help").out);
}

#[test]
fn help_wins_over_every_mistake_before_the_dashes() {
    let world = World::new();
    let help = world.deis("help run").out;
    for line in ["run --bogus -h", "run --app=x --app=y --help", "run -o --he", "run --hel"] {
        world.deis(line).says(&help);
    }
    assert!(world.deis("ps:list one two --he").out.contains("Usage: deis ps:list"));
}

#[test]
fn help_has_three_forms_and_the_contract_texts() {
    let world = World::new();
    for (name, text) in CONTRACT {
        for line in [format!("help {name}"), format!("{name} -h"), format!("{name} --help")] {
            let run = world.deis(&line);
            assert_eq!((run.code, run.err.as_str()), (0, ""), "{line}");
            assert!(run.out.contains(text), "{line} prints {}", run.out);
        }
    }
}

const CONTRACT: &[(&str, &str)] = &[
    ("config", "Valid commands for config:"),
    ("healthchecks", "Valid commands for healthchecks:"),
    ("labels", "Valid commands for labels:"),
    ("registry", "Valid commands for registry:"),
    ("routing", "Valid commands for routing:"),
    ("tags", "Valid commands for tags:"),
    ("config:list", "Lists environment variables for an application."),
    ("config:set", "Sets environment variables for an application."),
    ("config:unset", "Unsets an environment variable for an application."),
    ("config:pull", "Extract all environment variables from an application for local use."),
    ("config:push", "Sets environment variables for an application."),
    ("healthchecks:list", "Lists healthchecks for an application."),
    ("healthchecks:set", "Sets healthchecks for an application."),
    ("healthchecks:unset", "Unsets healthchecks for an application."),
    ("labels:list", "Prints a list of labels of the application."),
    ("labels:set", "Sets labels for an application."),
    ("labels:unset", "Unsets labels for an application."),
    ("registry:list", "Lists registry information for an application."),
    ("registry:set", "Sets registry information for an application."),
    ("registry:unset", "Unsets registry information for an application."),
    ("routing:info", "Prints info about the current application's routability."),
    ("routing:enable", "Enables routability for an app."),
    ("routing:disable", "Disables routability for an app."),
    ("tags:list", "Lists tags for an application."),
    ("tags:set", "Sets tags for an application."),
    ("tags:unset", "Unsets tags for an application."),
];

#[test]
fn the_overview_names_shortcuts_groups_and_the_push() {
    let run = World::new().deis("help");
    for text in ["register", "whoami", "healthchecks", "scale", "git push deis master"] {
        assert!(run.out.contains(text), "{text}");
    }
    assert_eq!(World::new().deis("--help").out, run.out);
}

#[test]
fn groups_without_a_default_print_their_help() {
    let world = World::new();
    for group in ["auth", "git"] {
        let run = world.deis(group);
        assert_eq!(run.code, 0);
        assert!(run.out.starts_with(&format!("Valid commands for {group}:\n\n{group}:")));
        assert!(run.out.ends_with("\n\n'deis help [command]' shows more about one of them.\n"));
    }
}

#[test]
fn command_help_shows_usage_arguments_options_and_examples() {
    let run = World::new().deis("run -a foo ls -h");
    assert_eq!(run.code, 0);
    for text in [
        "Usage: deis apps:run [options] [--] <command>...\n",
        "Arguments:\n  <command>...\n",
        "-a, --app=<app>\n",
        "Examples:\n  $ deis run ls\n",
    ] {
        assert!(run.out.contains(text), "{text} is missing in {}", run.out);
    }
}

#[test]
fn a_wrong_call_prints_the_usage_line_and_asks_nothing() {
    let world = World::logged_in();
    for (line, err) in [
        ("apps:create one two", "Usage: deis apps:create [<id>] [options]\n"),
        ("config:set", "Usage: deis config:set <var>=<value> [<var>=<value>...] [options]\n"),
        ("config:unset -a foo", "Usage: deis config:unset <key>... [options]\n"),
        ("keys:remove", "Usage: deis keys:remove <key>\n"),
        ("ps --limit=3", "deis ps:list has no option --limit\nUsage: deis ps:list [options]\n"),
        ("apps --bogus", "deis apps:list has no option --bogus\nUsage: deis apps:list [options]\n"),
        (
            "apps --outptu=json",
            "deis apps:list has no option --outptu; did you mean --output?\nUsage: deis apps:list [options]\n",
        ),
        (
            "auth:regenerate --all=true",
            "--all must not have an argument\nUsage: deis auth:regenerate [options]\n",
        ),
        ("register --login", "--login requires argument\nUsage: deis auth:register <controller> [options]\n"),
        (
            "register http://x --login=no",
            "--login must be true or false\nUsage: deis auth:register <controller> [options]\n",
        ),
        (
            "perms:list -a foo --admin",
            "--app and --admin exclude each other\nUsage: deis perms:list [-a --app=<app>|--admin|--admin --limit=<num>]\n",
        ),
        (
            "perms:list -l 3",
            "--limit needs --admin\nUsage: deis perms:list [-a --app=<app>|--admin|--admin --limit=<num>]\n",
        ),
    ] {
        let run = world.deis(line);
        assert_eq!(run.out, "", "{line}");
        run.fails_with(err);
    }
    assert!(world.requests().is_empty());
}

#[test]
fn shortcuts_are_listed_sorted() {
    let run = World::new().deis("shortcuts");
    assert!(run.out.starts_with("create -> apps:create\ndestroy -> apps:destroy\n"));
    assert!(run.out.ends_with("whoami -> auth:whoami\n\n"));
    assert!(World::new().deis("shortcuts -o json").out.contains("\"sharing:add\": \"perms:create\""));
}

#[test]
fn a_plugin_takes_over_with_its_arguments_and_its_exit_code() {
    let world = World::new();
    world.write_program("deis-accounts", r#"echo "$@"; exit 7"#);
    for (line, out) in [
        ("accounts:list --debug", "list --debug\n"),
        ("accounts:list:more", "list:more\n"),
        ("accounts", "\n"),
        ("help accounts", "--help\n"),
        ("accounts -c foo x --config=bar", "x\n"),
    ] {
        let run = world.deis(line);
        assert_eq!((run.out.as_str(), run.code), (out, 7), "{line}");
    }
}

#[test]
fn a_file_that_is_no_program_is_no_plugin() {
    let world = World::new();
    world.write("bin/deis-plain", "text");
    world.deis("plain").fails_with(NO_MATCH);
}

#[test]
fn the_version_is_printed_bare() {
    let world = World::new();
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    for line in ["version", "--version", "-v"] {
        world.deis(line).says(&format!("{version}\n"));
    }
}

#[test]
fn all_versions_come_with_the_controllers_and_without_a_warning() {
    let world = World::logged_in();
    world.controller.speak_api_version(Some("2.2"));
    world.answer("GET /healthz", 200, "");
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    world.deis("version --all").says(&format!(
        "Workflow CLI Version:            {version}\nWorkflow CLI API Version:        2.3\nWorkflow Controller API Version: 2.2\n"
    ));
    assert!(!world.controller.take_requests()[0].headers.contains_key("authorization"));
}

#[test]
fn versions_come_in_json_too() {
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    let shown = format!("{{\n  \"client\": \"{version}\",\n  \"client_api\": \"2.3\"\n}}\n");
    World::new().deis("version -o json").says(&shown);
}

#[test]
fn all_versions_without_a_profile_are_those_of_the_client() {
    let run = World::new().deis("version -a");
    assert_eq!(run.out.lines().count(), 2);
    assert!(run.err.starts_with("Error: Client configuration file not found at: "));
    assert_eq!(run.code, 1);
}

#[test]
fn completions_are_scripts_that_their_shell_can_read() {
    let world = World::new();
    let script = world.deis("completions bash");
    assert_eq!(script.code, 0);
    world.write("completion.bash", &script.out);
    let checked =
        std::process::Command::new("bash").arg("-n").arg(world.path("completion.bash")).status().unwrap();
    assert!(checked.success());
    assert!(world.deis("completions zsh").out.starts_with("#compdef deis\n"));
    assert!(world.deis("completions fish").out.contains("complete -c deis"));
    world.deis("completions csh").fails_with("Error: csh is no shell with completions: bash, zsh or fish\n");
}

#[test]
fn bash_completes_a_command_with_a_colon_and_its_options() {
    let world = World::new();
    world.write("completion.bash", &world.deis("completions bash").out);
    // As bash splits a line: a colon is a word, unless the user said otherwise.
    let complete = |words: &str| {
        let script = format!(
            "source '{}'; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
             _deis deis \"${{COMP_WORDS[-1]}}\" \"${{COMP_WORDS[-2]}}\"; echo \"${{COMPREPLY[@]}}\"",
            world.path("completion.bash").display()
        );
        let output = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(complete("deis config : pu"), "pull push\n");
    assert_eq!(complete("deis config pu"), "pull push\n");
    assert_eq!(complete("deis config:pu"), "config:pull config:push\n");
    assert_eq!(complete("deis sharing : a"), "add\n");
    for command in ["scale", "config : set", "config set", "config:set"] {
        assert_eq!(complete(&format!("deis {command} --a")), "--app\n");
    }
}
