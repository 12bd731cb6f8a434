//! Accounts: registering, logging in and out, passwords and tokens.

use api::auth::{PasswordChange, Registration};
use api::client::Client;
use clap::Arg;

use crate::command::{Command, Matches, flag, one, output, valued};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::profile::Profile;
use crate::prompt;
use crate::terminal::{self, sayln};

const SWITCH: [&str; 2] = ["true", "false"];

fn controller() -> Arg {
    one("controller", "the URL of the controller, such as `http://deis.example.com`")
}

fn username() -> Arg {
    valued(None, "username", "username", "the name of the account")
}

fn password() -> Arg {
    valued(None, "password", "password", "the password; asked for where not given")
}

fn ssl_verify() -> Arg {
    valued(None, "ssl-verify", "true|false", "`false` does not check the controller's certificate")
        .value_parser(SWITCH)
}

pub fn commands() -> Vec<Command> {
    vec![
        Command::new(
            "auth:register",
            "<controller> [options]",
            "Registers a new user with a controller.",
            register,
        )
        .about("The first user of a platform becomes its administrator.")
        .args([
            controller(),
            username(),
            password(),
            valued(None, "email", "email", "the mail address of the account"),
            valued(None, "login", "true|false", "`false` does not log in to the new account")
                .value_parser(SWITCH),
            ssl_verify(),
        ])
        .examples(&["deis register http://deis.example.com"]),
        Command::new("auth:login", "<controller> [options]", "Logs in to a controller.", login)
            .args([controller(), username(), password(), ssl_verify()])
            .examples(&[
                "deis login http://deis.example.com",
                "deis login http://deis.example.com --username=bob",
            ]),
        Command::new("auth:logout", "", "Logs out from the controller.", logout)
            .about("Ends the token and forgets the profile.")
            .examples(&["deis logout"]),
        Command::new("auth:passwd", "[options]", "Changes the password of an account.", passwd)
            .about("Ends the account's other tokens, sessions and followed logs.")
            .args([
                valued(None, "username", "username", "another account; needs administrator rights"),
                valued(None, "password", "password", "the current password"),
                valued(None, "new-password", "new-password", "the new password"),
            ])
            .examples(&["deis passwd", "deis passwd --username=bob"]),
        Command::new("auth:whoami", "[options]", "Displays the user that is logged in.", whoami)
            .args([flag(None, "all", "ask the controller for all about the account"), output()])
            .examples(&["deis whoami", "deis whoami --all"]),
        Command::new("auth:cancel", "[options]", "Cancels an account.", cancel)
            .about("Without a user name it is the own account, and the password is asked for again.")
            .args([username(), password(), flag(None, "yes", "do not ask")])
            .examples(&["deis auth:cancel", "deis auth:cancel --username=bob --yes"]),
        Command::new("auth:regenerate", "[options]", "Replaces the token of an account.", regenerate)
            .args([
                valued(Some('u'), "username", "username", "another account; needs administrator rights"),
                flag(None, "all", "every account; needs administrator rights"),
            ])
            .examples(&["deis auth:regenerate", "deis auth:regenerate --username=bob"]),
    ]
}

fn register(context: &Context, matches: &Matches) -> CommandResult {
    let wanted = wanted_profile(context, matches)?;
    // An administrator who is logged in to this controller registers others where registration is not open.
    let known = Profile::find(&context.profile_path()?)?;
    let token = known.filter(|known| known.controller == wanted.controller).map(|known| known.token);
    let client = context.client(&Profile { token: token.unwrap_or_default(), ..wanted.clone() })?;
    probe(&client)?;
    let registration = Registration {
        username: prompt::given_or_word(matches.value("username"), "username: ")?,
        password: new_account_password(matches)?,
        email: prompt::given_or_word(matches.value("email"), "email: ")?,
        ..Registration::default()
    };
    let refused = |error| Failure::from(error).led_by("Registration failed: ");
    client.register(&registration).map_err(refused)?;
    sayln!("Registered {}", registration.username);
    if matches.value("login") == Some("false") {
        return Ok(());
    }
    let Registration { username, password, .. } = registration;
    log_in(context, wanted, Some(&username), Some(&password))
}

fn new_account_password(matches: &Matches) -> CommandResult<String> {
    match matches.value("password") {
        Some(password) if !password.is_empty() => Ok(password.to_owned()),
        _ => confirmed("password", "--password", "Password mismatch, aborting registration."),
    }
}

/// Asks for a new password twice.
fn confirmed(name: &str, option: &str, mismatch: &str) -> CommandResult<String> {
    let password = prompt::password(&format!("{name}: "), option)?;
    if prompt::password(&format!("{name} (confirm): "), option)? == password {
        Ok(password)
    } else {
        Err(Failure::new(mismatch))
    }
}

fn login(context: &Context, matches: &Matches) -> CommandResult {
    let wanted = wanted_profile(context, matches)?;
    log_in(context, wanted, matches.value("username"), matches.value("password"))
}

/// Logs in to the profile's controller and writes the profile.
fn log_in(
    context: &Context,
    wanted: Profile,
    username: Option<&str>,
    password: Option<&str>,
) -> CommandResult {
    let client = context.client(&wanted)?;
    probe(&client)?;
    let username = prompt::given_or_word(username, "username: ")?;
    let password = match password {
        Some(password) if !password.is_empty() => password.to_owned(),
        _ => prompt::password("password: ", "--password")?,
    };
    let token = client.login(&username, &password)?.token;
    let path = context.profile_path()?;
    Profile { username: username.clone(), token, ..wanted }.save(&path)?;
    sayln!("Logged in as {username}");
    sayln!("Configuration file written to {}", path.display());
    Ok(())
}

/// The profile of a login, still without user and token. What else a profile of that name holds is kept.
fn wanted_profile(context: &Context, matches: &Matches) -> CommandResult<Profile> {
    let controller = controller_url(matches.word(0));
    if controller.split_once("://").is_some_and(|(_, rest)| rest.contains('/')) {
        return Err(not_valid(&controller, "a controller is a scheme, a host and a port, without a path"));
    }
    let known = Profile::find(&context.profile_path()?).ok().flatten().unwrap_or_default();
    Ok(Profile {
        username: String::new(),
        ssl_verify: matches.value("ssl-verify") != Some("false"),
        controller,
        token: String::new(),
        response_limit: known.response_limit,
    })
}

/// Adds a scheme where none is given and lowers scheme and host; a path stays.
fn controller_url(text: &str) -> String {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path == "/" { "" } else { path };
    format!("{}://{}{path}", scheme.to_lowercase(), host.to_lowercase())
}

fn probe(client: &Client) -> CommandResult {
    use api::client::ClientError::{Redirected, Status, Transport};
    let why = match client.probe() {
        Ok(()) => return Ok(()),
        Err(error @ Redirected { .. }) => return Err(error.into()),
        Err(Status { status, .. }) => format!("it answered {status} where a controller asks for credentials"),
        Err(error @ Transport { .. }) => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    Err(not_valid(&client.address().to_string(), &why))
}

fn not_valid(url: &str, why: &str) -> Failure {
    Failure::new(format!(
        "{url} does not appear to be a valid Deis controller.\n\
         Check that the URL is right, that the platform is up, and that it speaks version {} of the API\n\
         ({why})",
        api::API_VERSION,
    ))
}

fn logout(context: &Context, _: &Matches) -> CommandResult {
    if let Ok(Some(profile)) = Profile::find(&context.profile_path()?)
        && !profile.token.is_empty()
        && let Err(failure) = end_token(context, &profile)
    {
        // The user wants to be out of here in any case.
        terminal::complain(&format!("!    The token could not be ended, it stays good: {failure}\n"));
    }
    forget(context)?;
    sayln!("Logged out");
    Ok(())
}

fn end_token(context: &Context, profile: &Profile) -> CommandResult {
    match context.client(profile)?.end_token() {
        // It has ended before.
        Ok(()) | Err(api::client::ClientError::Status { status: 401, .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn forget(context: &Context) -> CommandResult {
    let path = context.profile_path()?;
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::new(format!("remove {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

fn passwd(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.session()?;
    let given = |option: &str| matches.value(option).filter(|value| !value.is_empty()).map(str::to_owned);
    let (username, mut password) = (given("username"), given("password"));
    if username.is_none() && password.is_none() {
        password = Some(prompt::password("current password: ", "--password")?);
    }
    let new_password = match given("new-password") {
        Some(new_password) => new_password,
        None => confirmed("new password", "--new-password", "Password mismatch, not changing.")?,
    };
    let change = PasswordChange { username, password, new_password };
    let refused = |error| Failure::from(error).led_by("Password change failed: ");
    session.client.change_password(&change).map_err(refused)?;
    sayln!("Password change succeeded.");
    Ok(())
}

fn whoami(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.session()?;
    if matches.has("all") {
        return whoami_all(&session.client, matches);
    }
    let Profile { username, controller, .. } = session.profile;
    if matches.wants_json() {
        return listing::json(&serde_json::json!({ "username": username, "controller": controller }));
    }
    sayln!("You are {username} at {controller}");
    Ok(())
}

fn whoami_all(client: &Client, matches: &Matches) -> CommandResult {
    let user = client.whoami()?;
    if matches.wants_json() {
        return listing::json(&user);
    }
    // Users have no id any more; scripts expect the line.
    sayln!("ID: 0");
    sayln!("Username: {}", user.username);
    sayln!("Email: {}", user.email);
    sayln!("First Name: {}", user.first_name);
    sayln!("Last Name: {}", user.last_name);
    sayln!("Last Login: {}", user.last_login.unwrap_or_default());
    sayln!("Is Superuser: {}", user.is_superuser);
    sayln!("Is Staff: {}", user.is_staff);
    sayln!("Is Active: {}", user.is_active);
    sayln!("Date Joined: {}", user.date_joined);
    Ok(())
}

fn cancel(context: &Context, matches: &Matches) -> CommandResult {
    let mut session = context.session()?;
    let username = matches.value("username").filter(|name| !name.is_empty());
    if username.is_none() || matches.has("password") {
        sayln!("Please log in again in order to cancel this account");
        let again = Profile { token: String::new(), ..session.profile };
        log_in(context, again, username, matches.value("password"))?;
        session = context.session()?;
    }
    let target = username.unwrap_or(&session.profile.username).to_owned();
    let question = format!("cancel account {target} at {}? (y/N): ", session.profile.controller);
    if !matches.has("yes") && !prompt::yes(&question)? {
        terminal::complain("Account not changed\n");
        return Ok(());
    }
    session.client.cancel(username)?;
    if target == session.profile.username {
        forget(context)?;
    }
    sayln!("Account cancelled");
    Ok(())
}

fn regenerate(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.session()?;
    if matches.has("all") {
        session.client.regenerate_all_tokens()?;
    } else if let Some(username) = matches.value("username").filter(|name| !name.is_empty()) {
        session.client.regenerate_token_of(username)?;
    } else {
        let token = session.client.regenerate_token()?.token;
        let response_limit = session.profile.limit();
        Profile { token, response_limit, ..session.profile }.save(&context.profile_path()?)?;
    }
    sayln!("Token Regenerated");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_gets_a_scheme_and_loses_its_capitals() {
        assert_eq!(controller_url("Deis.Example.com"), "http://deis.example.com");
        assert_eq!(controller_url("HTTPS://Deis.Example.com:8443/"), "https://deis.example.com:8443");
        assert_eq!(controller_url("http://x.com/Foo"), "http://x.com/Foo");
    }
}
