//! Credentials for the private registry that an app's image comes from.

use serde_json::{Map, Value, json};

use crate::command::{Command, Matches, app, many, output};
use crate::context::{AppSession, Context};
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::{say, sayln};

/// Blanks between the longest key and the values.
const PAD: usize = 5;

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("registry:list", "[options]", "Lists registry information for an application.", list)
            .about("The password is shown.")
            .args([app(), output()])
            .examples(&["deis registry -a blog"]),
        Command::new(
            "registry:set",
            "[options] <key>=<value>...",
            "Sets registry information for an application.",
            set,
        )
        .args([many("key>=<value", "`username` or `password` and its value"), app()])
        .examples(&["deis registry:set username=bob password=s3cret -a blog"]),
        Command::new(
            "registry:unset",
            "[options] <key>...",
            "Unsets registry information for an application.",
            unset,
        )
        .args([many("key", "`username` or `password`"), app()])
        .examples(&["deis registry:unset username password -a blog"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let registry = session.client.config(&session.app)?.registry;
    if matches.wants_json() {
        return listing::json(&registry);
    }
    show(&session.app, &registry);
    Ok(())
}

fn show(app: &str, registry: &Map<String, Value>) {
    say!("=== {app} Registry\n{}", listing::padded(registry, PAD));
}

fn set(context: &Context, matches: &Matches) -> CommandResult {
    let credentials = matches.words().iter().map(|word| credential(word)).collect::<CommandResult<_>>()?;
    apply(&context.app_session(matches)?, &credentials)
}

/// A password may hold `=`.
fn credential(word: &str) -> CommandResult<(String, Value)> {
    match word.split_once('=') {
        Some((key @ ("username" | "password"), value)) => Ok((key.to_owned(), Value::from(value))),
        Some((key, _)) => {
            Err(Failure::new(format!("{key} is invalid. Valid keys are \"username\" or \"password\"")))
        }
        None => Err(Failure::new(format!("{word} is invalid. Must be in format key=value"))),
    }
}

fn unset(context: &Context, matches: &Matches) -> CommandResult {
    apply(&context.app_session(matches)?, &listing::nulls(matches.words()))
}

fn apply(session: &AppSession, registry: &Map<String, Value>) -> CommandResult {
    let progress = Spinner::start(format_args!("Applying registry information... "));
    session.client.change_config(&session.app, &json!({ "registry": registry }))?;
    progress.done(format_args!("done"));
    let registry = session.client.config(&session.app)?.registry;
    sayln!();
    show(&session.app, &registry);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_hold_an_equals_sign() {
        assert_eq!(credential("password=a=b").unwrap(), ("password".to_owned(), Value::from("a=b")));
        assert!(credential("token=x").unwrap_err().to_string().contains("token is invalid. Valid keys"));
        assert!(credential("username").unwrap_err().to_string().contains("Must be in format key=value"));
    }
}
