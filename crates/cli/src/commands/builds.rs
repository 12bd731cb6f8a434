//! Builds: what was deployed, and deploying an existing image.

use std::collections::BTreeMap;
use std::fs;

use api::builds::NewBuild;

use crate::command::{Command, Matches, app, limit, one, output, valued};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::{say, sayln};

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("builds:list", "[options]", "Lists the builds of an application.", list)
            .args([app(), limit(), output()])
            .examples(&["deis builds:list", "deis builds -a blog"]),
        Command::new("builds:create", "<image> [options]", "Deploys an existing image.", create)
            .about(
                "Process types come from --procfile, else from a file `Procfile` in the current folder, \
             else the image's own command runs as `cmd`.",
            )
            .args([
                one("image", "a reference to an image, such as `registry.example.com/blog:1.0`"),
                app(),
                valued(
                    Some('p'),
                    "procfile",
                    "yaml",
                    "process types and their commands, such as `web: ./serve`",
                ),
            ])
            .examples(&["deis pull blog:1.0 -a blog", "deis pull blog:1.0 --procfile='web: ./serve'"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let builds = session.client.builds(&session.app, session.limit())?;
    if matches.wants_json() {
        return listing::json(&builds.results);
    }
    say!("{}", listing::heading(&format!("{} Builds", session.app), builds.results.len(), builds.count));
    for build in &builds.results {
        sayln!("{} {}", build.uuid, build.created);
    }
    Ok(())
}

fn create(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let procfile = match matches.value("procfile").filter(|text| !text.is_empty()) {
        Some(text) => process_types(text)?,
        None => process_types(&procfile_here()?)?,
    };
    let build = NewBuild { image: matches.word(0).to_owned(), procfile, ..NewBuild::default() };
    let progress = Spinner::start(format_args!("Creating build... "));
    session.client.create_build(&session.app, &build)?;
    progress.done(format_args!("done"));
    Ok(())
}

/// The text of a `Procfile` in the current folder; empty where there is none.
fn procfile_here() -> CommandResult<String> {
    match fs::read_to_string("Procfile") {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Failure::new(format!("open Procfile: {error}"))),
    }
}

fn process_types(text: &str) -> CommandResult<BTreeMap<String, String>> {
    let has_lines = text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with('#'));
    if !has_lines {
        return Ok(BTreeMap::new());
    }
    serde_saphyr::from_str(text).map_err(|error| {
        Failure::new(format!("could not parse the Procfile, whose lines are `<type>: <command>`: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_procfile_names_process_types_and_commands() {
        let types = process_types("# mine\nweb: ./serve --port $PORT\nworker: ./work\n").unwrap();
        assert_eq!(types["web"], "./serve --port $PORT");
        assert_eq!(types.len(), 2);
    }

    #[test]
    fn an_empty_procfile_names_none() {
        assert!(process_types("\n# nothing\n").unwrap().is_empty());
    }

    #[test]
    fn a_procfile_that_is_no_map_of_texts_is_refused() {
        for text in ["web", "- web", "web: [1, 2]", "web: {a: b}"] {
            assert!(process_types(text).is_err(), "{text}");
        }
    }
}
