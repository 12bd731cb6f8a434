//! Apps: making, showing, opening, running commands in, transferring, locking and destroying them.

mod info;
mod logs;

use std::process::Command as Process;

use api::run::{BASE64, RunResult};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::app::BuilderRemote;
use crate::command::{Command, Matches, app, flag, limit, many, one, optional, output, valued};
use crate::command_line;
use crate::commands::git::{REMOTE_DEFAULT, remove_all};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::git;
use crate::listing;
use crate::progress::Spinner;
use crate::prompt;
use crate::session::{self, Mode, TerminalTarget, interactive, tty};
use crate::terminal::{self, color, say, sayln};

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("apps:create", "[<id>] [options]", "Creates a new application.", create)
            .about("Without a name the platform makes one up. In a git repository a remote is added for it.")
            .args([
                optional("id", "the name of the app: a-z, 0-9 and hyphens"),
                flag(None, "no-remote", "add no git remote"),
                valued(Some('b'), "buildpack", "url", "the URL of a buildpack to build the app with"),
                valued(Some('r'), "remote", "name", "the name of the git remote; by default `deis`"),
            ])
            .examples(&["deis create", "deis create blog --remote=production", "deis create blog --no-remote"]),
        Command::new("apps:list", "[options]", "Lists the applications that you may use.", list)
            .args([limit(), output()])
            .examples(&["deis apps", "deis apps:list --output=json"]),
        Command::new("apps:info", "[options]", "Shows an application with its processes, domains and labels.", info::info)
            .args([app(), output()])
            .examples(&["deis info", "deis info -a blog"]),
        Command::new("apps:open", "[options]", "Opens an application in a browser.", open)
            .args([app()])
            .examples(&["deis open", "deis open -a blog"]),
        Command::new("apps:logs", "[options]", "Prints the last log lines of an application.", logs::logs)
            .about("With --follow it goes on with new lines as they come, until Ctrl-C.")
            .args([
                app(),
                valued(Some('n'), "lines", "lines", "how many lines to print; by default 100"),
                flag(Some('f'), "follow", "go on with new lines as they come"),
                color(),
            ])
            .examples(&["deis logs", "deis logs -n 20 -a blog", "deis logs -f", "deis logs --follow -n 5 -a blog"]),
        Command::new("apps:run", "[options] [--] <command>...", "Runs a command in a new container.", run)
            .about(
                "The container has the current release's image and config and is removed afterwards. The client \
                 ends with the command's exit code. A single word is a line of shell; several are a program and \
                 its arguments, which arrive as they are. Options of the command stand behind `--`. With -it the \
                 command has your terminal, with -i alone what is piped in.",
            )
            .args([many("command", "the command and its arguments"), app(), interactive(), tty(), color()])
            .examples(&[
                "deis run ls",
                "deis run -a blog -- ls -l /app",
                "deis run 'ls | wc -l'",
                "deis run -it bash",
                "deis run -i 'psql $DATABASE_URL' < dump.sql",
            ]),
        Command::new("apps:destroy", "[options]", "Destroys an application.", destroy)
            .args([app(), valued(None, "confirm", "app", "the app's name, so that it is not asked for")])
            .examples(&["deis destroy", "deis destroy -a blog --confirm=blog"]),
        Command::new("apps:transfer", "<username> [options]", "Transfers ownership of an application.", transfer)
            .args([one("username", "the name of the new owner"), app()])
            .examples(&["deis apps:transfer alice -a blog"]),
        Command::new("apps:lock", "[options]", "Locks an application against deploys, scaling and destruction.", lock)
            .about(
                "Pushes, pulls, changes of the config, rollbacks, scaling and apps:destroy are refused until \
                 apps:unlock. What runs goes on.",
            )
            .args([app(), valued(None, "reason", "text", "one line, which every refusal shows")])
            .examples(&["deis apps:lock -a blog --reason='audit until Friday'"]),
        Command::new("apps:unlock", "[options]", "Unlocks an application.", unlock)
            .args([app()])
            .examples(&["deis apps:unlock -a blog"]),
    ]
}

fn create(context: &Context, matches: &Matches) -> CommandResult {
    let client = context.session()?.client;
    let progress = Spinner::start(format_args!("Creating Application... "));
    let app = client.create_app(matches.words().first().map(String::as_str))?.id;
    if let Some(buildpack) = matches.value("buildpack").filter(|url| !url.is_empty()) {
        client.change_config(&app, &serde_json::json!({ "values": { "BUILDPACK_URL": buildpack } }))?;
    }
    progress.done(format_args!("done, created {app}"));
    if matches.has("no-remote") {
        sayln!("If you want to add a git remote for this app later, use `deis git:remote -a {app}`");
        return Ok(());
    }
    let remote = matches.value("remote").unwrap_or(REMOTE_DEFAULT);
    let url = BuilderRemote::beside(client.address()).remote_url(&app);
    git::add_remote(remote, &url).map_err(|failure| remote_taken(failure, remote, &app))?;
    sayln!("Git remote {remote} successfully created for app {app}.");
    Ok(())
}

/// Says how to overwrite a remote of the same name; every other failure stays as it is.
fn remote_taken(failure: Failure, remote: &str, app: &str) -> Failure {
    if !failure.to_string().contains(&format!("remote {remote} already exists")) {
        return failure;
    }
    Failure::new(format!(
        "A git remote with the name {remote} already exists. To overwrite this remote run:\n\
         deis git:remote --force --remote {remote} --app {app}"
    ))
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.session()?;
    let apps = session.client.apps(session.limit(matches)?)?;
    if matches.wants_json() {
        return listing::json(&apps.results);
    }
    say!("{}", listing::heading("Apps", apps.results.len(), apps.count));
    for app in &apps.results {
        sayln!("{}", app.id);
    }
    Ok(())
}

fn open(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let url = session.url()?;
    let url = if url.contains("://") { url } else { format!("http://{url}") };
    let (program, words): (&str, &[&str]) = match std::env::consts::OS {
        "macos" => ("open", &[]),
        "windows" => ("cmd", &["/c", "start"]),
        _ => ("xdg-open", &[]),
    };
    match Process::new(program).args(words).arg(&url).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("{program} could not open {url}: {status}"))),
        Err(error) => {
            Err(Failure::new(format!("{program} cannot be started ({error}); open {url} yourself")))
        }
    }
}

fn run(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let command = command_line::of(matches.words());
    let mode = Mode::of(matches);
    // Not on stdout, which is the command's.
    terminal::complain(&format!("Running '{command}'...\n"));
    if !mode.is_plain() {
        return session::run(&session.client, &TerminalTarget::OneOff { app: &session.app }, command, mode);
    }
    let result = session.client.run(&session.app, &command)?;
    let (exit_code, truncated) = (result.exit_code, result.truncated);
    let output = output_of(result)?;
    if exit_code == 0 {
        terminal::print_output(&output, terminal::color_of(matches));
    } else {
        terminal::complain_output(&output, terminal::color_of(matches));
    }
    if truncated {
        terminal::complain(
            "!    There was more output than is kept, the rest is lost: `deis run -i` passes on all of it.\n",
        );
    }
    if exit_code == 0 {
        return Ok(());
    }
    // A code that no exit code can hold still is a failure.
    Err(Failure::Exit(u8::try_from(exit_code).unwrap_or(1)))
}

/// The output byte by byte; older controllers have text alone.
fn output_of(result: RunResult) -> CommandResult<Vec<u8>> {
    if result.encoding.is_none() {
        return Ok(result.output.into_bytes());
    }
    let wrong = |error| {
        Failure::new(format!("the controller's answer cannot be read: its output is no {BASE64}: {error}"))
    };
    STANDARD.decode(result.output).map_err(wrong)
}

fn destroy(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let app = &session.app;
    let confirmed = match matches.value("confirm").filter(|name| !name.is_empty()) {
        Some(name) => name.to_owned(),
        None => prompt::word(&format!(
            " !    WARNING: Potentially Destructive Action\n \
             !    This command will destroy the application: {app}\n \
             !    To proceed, type \"{app}\" or re-run this command with --confirm={app}\n\n> "
        ))?,
    };
    if confirmed != *app {
        return Err(Failure::new(format!("App {app} does not match confirm {confirmed}, aborting.")));
    }
    sayln!("Destroying {app}...");
    let started = std::time::Instant::now();
    session.client.destroy_app(app)?;
    sayln!("done in {}s", started.elapsed().as_secs());
    if session.detected
        && let Err(failure) = remove_all(&session)
    {
        // The app is gone, which is what was asked for; a remote may never have been there.
        terminal::complain(&format!("Note: no git remote was removed. {failure}\n"));
    }
    Ok(())
}

fn transfer(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let owner = matches.word(0);
    say!("Transferring {} to {owner}... ", session.app);
    session.client.transfer_app(&session.app, owner)?;
    sayln!("done");
    Ok(())
}

fn lock(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    say!("Locking {}... ", session.app);
    session.client.lock_app(&session.app, matches.value("reason").filter(|reason| !reason.is_empty()))?;
    sayln!("done");
    Ok(())
}

fn unlock(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    say!("Unlocking {}... ", session.app);
    session.client.unlock_app(&session.app)?;
    sayln!("done");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_remote_is_recognised_in_old_and_new_words_of_git() {
        for words in ["fatal: remote deis already exists.", "error: remote deis already exists."] {
            let failure = remote_taken(Failure::new(words), "deis", "foo");
            assert!(failure.to_string().contains("--force --remote deis --app foo"), "{words}");
        }
        let other = Failure::new("fatal: not a git repository");
        assert_eq!(remote_taken(other, "deis", "foo"), Failure::new("fatal: not a git repository"));
    }
}
