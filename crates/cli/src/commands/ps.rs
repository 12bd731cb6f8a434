//! Processes: listing, scaling, restarting, and running commands inside.

use std::collections::BTreeMap;
use std::fmt::Write;

use api::client::ClientError;
use api::pods::{Crashes, Pod};

use crate::command::{Command, Matches, app, many, one, optional, output};
use crate::command_line;
use crate::context::{AppSession, Context};
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::progress::Spinner;
use crate::session::{self, Mode, TerminalTarget, interactive, tty};
use crate::terminal::{color, say, sayln};

/// Pods that a list shows at most.
const PODS_LISTED_MAX: i64 = 1000;

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("ps:list", "[options]", "Lists the processes of an application.", list)
            .args([app(), output()])
            .examples(&["deis ps", "deis ps:list -a blog"]),
        Command::new(
            "ps:exec",
            "<pod> [options] [--] <command>...",
            "Runs a command inside a process that runs.",
            exec,
        )
        .about(
            "The command runs beside the process, in its container and with its environment. The client ends with \
             the command's exit code. A single word is a line of shell; several are a program and its arguments, \
             which arrive as they are. Options of the command stand behind `--`. With -it the command has your \
             terminal, with -i alone what is piped in.",
        )
        .args([
            one("pod", "the name of a process as `deis ps` shows it, or its end as in the log"),
            many("command", "the command and its arguments"),
            app(),
            interactive(),
            tty(),
            color(),
        ])
        .examples(&[
            "deis ps:exec -it blog-web-5d4f8c7b9f-x2x4z bash",
            "deis ps:exec web-5d4f8c7b9f-x2x4z -- ls -l /tmp",
        ]),
        Command::new(
            "ps:restart",
            "[<type>] [options]",
            "Restarts all or some processes of an application.",
            restart,
        )
        .args([optional("type", "a process type such as `web`, or the name of one process"), app()])
        .examples(&["deis ps:restart", "deis ps:restart web"]),
        Command::new(
            "ps:scale",
            "<type>=<num>... [options]",
            "Changes how many processes of a type run.",
            scale,
        )
        .args([many("type>=<num", "the process type and how many of it are to run, such as `web=2`"), app()])
        .examples(&["deis scale web=4 worker=2", "deis scale web=0"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let pods = session.client.pods(&session.app, PODS_LISTED_MAX)?.results;
    if matches.wants_json() {
        return listing::json(&pods);
    }
    say!("{}", processes(&session.app, pods));
    Ok(())
}

fn exec(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let pod = matches.word(0);
    let command = command_line::of(&matches.words()[1..]);
    // The name alone decides; the type is there for the URL's sake.
    let process_type = type_in_name(&session.app, pod).unwrap_or_else(|| "any".to_owned());
    let place = TerminalTarget::Pod { app: &session.app, process_type: &process_type, pod };
    session::run(&session.client, &place, command, Mode::of(matches))
}

/// The processes by type, types and names sorted.
pub fn processes(app: &str, mut pods: Vec<Pod>) -> String {
    pods.sort_by(|one, other| (&one.process_type, &one.name).cmp(&(&other.process_type, &other.name)));
    let mut text = format!("=== {app} Processes\n");
    for of_type in pods.chunk_by(|one, other| one.process_type == other.process_type) {
        writeln!(text, "--- {}:", of_type[0].process_type).expect("a String takes any text");
        for Pod { name, state, release, crashes, .. } in of_type {
            let crashes = crashes.as_ref().map(crashed).unwrap_or_default();
            writeln!(text, "{name} {state} ({release}){crashes}").expect("a String takes any text");
        }
    }
    text
}

/// Crash details behind the state of a pod.
fn crashed(crashes: &Crashes) -> String {
    let Crashes { reason, times, since, .. } = crashes;
    match times {
        1 => format!(" crashed ({reason}, once, at {since})"),
        _ => format!(" crashed ({reason}, {times} times since {since})"),
    }
}

fn scale(context: &Context, matches: &Matches) -> CommandResult {
    let replicas =
        matches.words().iter().map(|word| replicas_of(word)).collect::<CommandResult<BTreeMap<_, _>>>()?;
    let session = context.app_session(matches)?;
    sayln!("Scaling processes... but first, {}!", drink());
    let progress = Spinner::start(format_args!(""));
    session.client.scale(&session.app, &replicas).map_err(|error| no_such_type(&session, error))?;
    progress.done_in_seconds();
    let pods = session.client.pods(&session.app, session.limit())?.results;
    say!("{}", processes(&session.app, pods));
    Ok(())
}

/// Names the types that there are where the controller knows one of those asked for not.
fn no_such_type(session: &AppSession, error: ClientError) -> Failure {
    let detail = error.detail().unwrap_or_default();
    let unknown = detail.strip_prefix("Container type ").and_then(|rest| rest.split_once(" does not exist"));
    match (error.status(), unknown) {
        (Some(400), Some((unknown, _))) => {
            let known = types(session).map(|known| format!("; there are: {known}")).unwrap_or_default();
            Failure::new(format!("process type {unknown} does not exist{known}"))
        }
        _ => error.into(),
    }
}

/// The process types of the newest build, else those that run by default; `None` if they are unknown.
fn types(session: &AppSession) -> Option<String> {
    let build = session.client.builds(&session.app, 1).ok()?.results.into_iter().next()?;
    let mut types: Vec<_> = build.procfile.into_keys().collect();
    if types.is_empty() {
        types = session.client.app(&session.app).ok()?.structure.into_keys().collect();
    }
    (!types.is_empty()).then(|| types.join(", "))
}

fn replicas_of(word: &str) -> CommandResult<(String, u32)> {
    let wrong = || Failure::new(format!("'{word}' does not match the pattern 'type=num', ex: web=2\n"));
    let (process_type, number) = word.split_once('=').ok_or_else(wrong)?;
    let is_type = process_type.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if process_type.is_empty() || !is_type || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(wrong());
    }
    Ok((process_type.to_owned(), number.parse().map_err(|_| wrong())?))
}

fn drink() -> String {
    std::env::var("DEIS_DRINK_OF_CHOICE")
        .ok()
        .filter(|drink| !drink.is_empty())
        .unwrap_or("coffee".to_owned())
}

fn restart(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let (process_type, pod) = restarted(&session, matches.word(0))?;
    sayln!("Restarting processes... but first, {}!", drink());
    let progress = Spinner::start(format_args!(""));
    let pods = session.client.restart(&session.app, process_type.as_deref(), pod.as_deref());
    let pods = pods.map_err(|error| unknown_type(&session.app, process_type.as_deref(), error))?;
    if pods.is_empty() {
        progress.done(format_args!("Could not find any processes to restart"));
        return Ok(());
    }
    progress.done_in_seconds();
    say!("{}", processes(&session.app, pods));
    Ok(())
}

fn unknown_type(app: &str, process_type: Option<&str>, error: ClientError) -> Failure {
    let detail = error.detail().unwrap_or_default();
    match process_type {
        Some(process_type)
            if error.status() == Some(400) && detail.contains("does not exist in application") =>
        {
            Failure::new(format!("Could not find process type {process_type} in app {app}"))
        }
        _ => error.into(),
    }
}

/// The type and the pod that a word means: nothing, a type, or the name of a pod.
fn restarted(session: &AppSession, word: &str) -> CommandResult<(Option<String>, Option<String>)> {
    if word.is_empty() {
        return Ok((None, None));
    }
    if !word.contains('-') {
        return Ok((Some(word.to_owned()), None));
    }
    if let Some(process_type) = type_in_name(&session.app, word) {
        return Ok((Some(process_type), Some(word.to_owned())));
    }
    let pods = session.client.pods(&session.app, PODS_LISTED_MAX)?.results;
    Ok(among(&pods, &session.app, word))
}

/// The type in a pod's full name, `<app>-<type>-<8 to 10 of a-z0-9>-<5 of a-z0-9>`.
fn type_in_name(app: &str, name: &str) -> Option<String> {
    let rest = name.strip_prefix(app)?.strip_prefix('-')?;
    let mut parts = rest.rsplitn(3, '-');
    let (id, hash, process_type) = (parts.next()?, parts.next()?, parts.next()?);
    let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let fits = id.len() == 5 && (8..=10).contains(&hash.len()) && is_word(id) && is_word(hash);
    fits.then(|| process_type.to_owned())
}

/// Looks a word with a hyphen up among the pods: it may be a short name, or a type that has a hyphen itself.
fn among(pods: &[Pod], app: &str, word: &str) -> (Option<String>, Option<String>) {
    let full = format!("{app}-{word}");
    if let Some(pod) = pods.iter().find(|pod| pod.name == word || pod.name == full) {
        return (Some(pod.process_type.clone()), Some(pod.name.clone()));
    }
    if pods.iter().any(|pod| pod.process_type == word) {
        return (Some(word.to_owned()), None);
    }
    let rest = word.strip_prefix(app).and_then(|rest| rest.strip_prefix('-')).unwrap_or(word);
    let parts: Vec<_> = rest.split('-').collect();
    let process_type = if parts.len() == 2 { parts[0] } else { parts.get(1).copied().unwrap_or(rest) };
    (Some(process_type.to_owned()), Some(word.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(process_type: &str, name: &str) -> Pod {
        Pod {
            name: name.to_owned(),
            state: "up".to_owned(),
            release: "v2".to_owned(),
            process_type: process_type.to_owned(),
            started: String::new(),
            crashes: None,
        }
    }

    #[test]
    fn processes_are_grouped_by_type_and_sorted() {
        let pods = vec![pod("worker", "foo-worker-1"), pod("web", "foo-web-2"), pod("web", "foo-web-1")];
        assert_eq!(
            processes("foo", pods),
            "=== foo Processes\n--- web:\nfoo-web-1 up (v2)\nfoo-web-2 up (v2)\n--- worker:\nfoo-worker-1 up (v2)\n"
        );
    }

    #[test]
    fn a_process_that_crashed_shows_why_how_often_and_since_when_behind_its_state() {
        let crashes = Crashes {
            reason: "exit code 3".to_owned(),
            exit_code: 3,
            out_of_memory: false,
            times: 4,
            since: "2026-01-02T03:04:05Z".to_owned(),
            last: "2026-01-02T03:09:05Z".to_owned(),
        };
        let once = Crashes { times: 1, ..crashes.clone() };
        let pods = vec![
            Pod { state: "error".to_owned(), crashes: Some(crashes), ..pod("web", "foo-web-1") },
            Pod { crashes: Some(once), ..pod("web", "foo-web-2") },
        ];
        assert_eq!(
            processes("foo", pods),
            "=== foo Processes\n--- web:\n\
             foo-web-1 error (v2) crashed (exit code 3, 4 times since 2026-01-02T03:04:05Z)\n\
             foo-web-2 up (v2) crashed (exit code 3, once, at 2026-01-02T03:04:05Z)\n"
        );
    }

    #[test]
    fn replicas_are_a_type_and_digits() {
        assert_eq!(replicas_of("web=2").unwrap(), ("web".to_owned(), 2));
        for word in ["web", "web=", "=2", "web=x", "web=-1", "web=1.5", "we b=1"] {
            assert!(replicas_of(word).is_err(), "{word}");
        }
    }

    #[test]
    fn the_type_is_read_from_a_full_name_also_with_letters_and_hyphens() {
        let found = |name| type_in_name("my-app", name);
        assert_eq!(found("my-app-web-4084101150-c871y").as_deref(), Some("web"));
        assert_eq!(found("my-app-web-5d4f8c7b9f-x2x4z").as_deref(), Some("web"));
        assert_eq!(found("my-app-my-worker-5d4f8c7b9f-x2x4z").as_deref(), Some("my-worker"));
        assert_eq!(found("my-worker"), None);
        assert_eq!(found("my-app-v2-web-abcde"), None);
    }

    #[test]
    fn other_words_with_hyphens_are_looked_up() {
        let pods = [pod("web", "foo-web-abcde"), pod("my-worker", "foo-my-worker-1")];
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(among(&pods, "foo", "web-abcde"), (some("web"), some("foo-web-abcde")));
        assert_eq!(among(&pods, "foo", "my-worker"), (some("my-worker"), None));
        assert_eq!(among(&pods, "foo", "foo-v2-web-abcde"), (some("web"), some("foo-v2-web-abcde")));
        assert_eq!(among(&pods, "foo", "ghost-abcde"), (some("ghost"), some("ghost-abcde")));
    }
}
