//! Processes: listing, scaling, restarting, and running commands inside.

use std::collections::BTreeMap;
use std::fmt::Write;

use api::pods::Pod;

use crate::command::{APP, Command, Group, OUTPUT, many, one, optional};
use crate::context::{AppSession, Context};
use crate::failure::{Failure, Outcome};
use crate::grammar::Matches;
use crate::listing;
use crate::progress::Progress;
use crate::session::{self, INTERACTIVE, Mode, Place, TTY};
use crate::terminal::{say, sayln};

/// Pods that a list shows at most.
const PODS_LISTED_MAX: i64 = 1000;

pub const GROUP: Group = Group {
    name: "ps",
    default: Some("ps:list"),
    commands: &[
        Command::new("ps:list", "[options]", "Lists the processes of an application.", list)
            .options(&[APP, OUTPUT])
            .examples(&["deis ps", "deis ps:list -a blog"]),
        Command::new(
            "ps:exec",
            "<pod> [options] [--] <command>...",
            "Runs a command inside a process that runs.",
            exec,
        )
        .about(
            "The command runs beside the process, in its container and with its environment. The client ends with \
             the command's exit code. Options of the command stand behind `--`. With -it the command has your \
             terminal, with -i alone what is piped in.",
        )
        .arguments(&[
            one("pod", "the name of a process as `deis ps` shows it, or its end as in the log"),
            many("command", "the command and its arguments"),
        ])
        .options(&[APP, INTERACTIVE, TTY])
        .takes_dashes()
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
        .arguments(&[optional("type", "a process type such as `web`, or the name of one process")])
        .options(&[APP])
        .examples(&["deis ps:restart", "deis ps:restart web"]),
        Command::new(
            "ps:scale",
            "<type>=<num>... [options]",
            "Changes how many processes of a type run.",
            scale,
        )
        .arguments(&[many("type>=<num", "the process type and how many of it are to run, such as `web=2`")])
        .options(&[APP])
        .examples(&["deis scale web=4 worker=2", "deis scale web=0"]),
    ],
};

fn list(context: &Context, matches: &Matches) -> Outcome {
    let session = context.app_session(matches)?;
    let pods = session.client.pods(&session.app, PODS_LISTED_MAX)?.results;
    if matches.wants_json() {
        return listing::json(&pods);
    }
    say!("{}", processes(&session.app, pods));
    Ok(())
}

fn exec(context: &Context, matches: &Matches) -> Outcome {
    let session = context.app_session(matches)?;
    let pod = matches.word(0);
    let command = matches.words()[1..].join(" ");
    // The name alone decides; the type is there for the URL's sake.
    let process_type = type_in_name(&session.app, pod).unwrap_or_else(|| "any".to_owned());
    let place = Place::Pod { app: &session.app, process_type: &process_type, pod };
    session::run(&session.client, &place, command, Mode::of(matches))
}

/// The processes by type, types and names sorted.
pub fn processes(app: &str, mut pods: Vec<Pod>) -> String {
    pods.sort_by(|one, other| (&one.process_type, &one.name).cmp(&(&other.process_type, &other.name)));
    let mut text = format!("=== {app} Processes\n");
    for of_type in pods.chunk_by(|one, other| one.process_type == other.process_type) {
        writeln!(text, "--- {}:", of_type[0].process_type).expect("a String takes any text");
        for Pod { name, state, release, .. } in of_type {
            writeln!(text, "{name} {state} ({release})").expect("a String takes any text");
        }
    }
    text
}

fn scale(context: &Context, matches: &Matches) -> Outcome {
    let replicas =
        matches.words().iter().map(|word| replicas_of(word)).collect::<Outcome<BTreeMap<_, _>>>()?;
    let session = context.app_session(matches)?;
    sayln!("Scaling processes... but first, {}!", drink());
    let progress = Progress::start(format_args!(""));
    session.client.scale(&session.app, &replicas)?;
    progress.done_in_seconds();
    let pods = session.client.pods(&session.app, session.limit())?.results;
    say!("{}", processes(&session.app, pods));
    Ok(())
}

fn replicas_of(word: &str) -> Outcome<(String, u32)> {
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

fn restart(context: &Context, matches: &Matches) -> Outcome {
    let session = context.app_session(matches)?;
    let (process_type, pod) = restarted(&session, matches.word(0))?;
    sayln!("Restarting processes... but first, {}!", drink());
    let progress = Progress::start(format_args!(""));
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

fn unknown_type(app: &str, process_type: Option<&str>, error: api::client::ClientError) -> Failure {
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
fn restarted(session: &AppSession, word: &str) -> Outcome<(Option<String>, Option<String>)> {
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
