//! Releases: the numbered versions of an app, and going back to one.

use api::releases::{DeployStep, Release};
use jiff::Timestamp;

use crate::command::{Command, Matches, app, limit, one, optional, output, valued};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::{say, sayln};

pub fn commands() -> Vec<Command> {
    vec![
        Command::new(
            "releases:list",
            "[options]",
            "Lists the releases of an application, the newest first.",
            list,
        )
        .args([app(), limit(), output()])
        .examples(&["deis releases", "deis releases --limit=5"]),
        Command::new("releases:info", "<version> [options]", "Shows one release.", info)
            .args([one("version", "the release, such as `v1`"), app(), output()])
            .examples(&["deis releases:info v3"]),
        Command::new(
            "releases:sbom",
            "[<version>] [options]",
            "Lists the packages of a release.",
            sbom,
        )
        .about(
            "Prints a CycloneDX document (JSON): packages of the image's base and those that the build installed. \
             By default of the newest release.",
        )
        .args([
            optional("version", "the release, such as `v1`"),
            app(),
            valued(Some('f'), "file", "file", "the file to write; by default standard output"),
        ])
        .examples(&["deis releases:sbom", "deis releases:sbom v3 -f sbom.json"]),
        Command::new(
            "releases:rollback",
            "[<version>] [options]",
            "Goes back to an earlier release.",
            rollback,
        )
        .about("Makes a new release with build and config of the old one, by default of the one before.")
        .args([optional("version", "the release to go back to, such as `v1`"), app()])
        .examples(&["deis rollback", "deis rollback v2"]),
        Command::new(
            "releases:rebase",
            "[options]",
            "Puts an application on the newest images of its stack.",
            rebase,
        )
        .about(
            "Makes a new release of the same build, without building it again: fixes in the stack reach the application \
             without a push. Where it has them already, nothing happens.",
        )
        .args([app()])
        .examples(&["deis releases:rebase -a blog"]),
    ]
}

fn list(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let releases = session.client.releases(&session.app, session.limit())?;
    if matches.wants_json() {
        return listing::json(&releases.results);
    }
    say!(
        "{}",
        listing::heading(&format!("{} Releases", session.app), releases.results.len(), releases.count)
    );
    let rows: Vec<_> = releases
        .results
        .iter()
        .map(|release| {
            vec![format!("v{}", release.version), release.created.clone(), release.summary.clone()]
        })
        .collect();
    say!("{}", listing::tabbed(&rows));
    Ok(())
}

fn info(context: &Context, matches: &Matches) -> CommandResult {
    let version = version(matches.word(0))?;
    let session = context.app_session(matches)?;
    let release = session.client.release(&session.app, version)?;
    if matches.wants_json() {
        return listing::json(&release);
    }
    sayln!("=== {} Release v{}", session.app, release.version);
    if let Some(build) = &release.build {
        sayln!("build:    {build}");
    }
    sayln!("config:   {}", release.config);
    sayln!("owner:    {}", release.owner);
    sayln!("created:  {}", release.created);
    sayln!("summary:  {}", release.summary);
    sayln!("updated:  {}", release.updated);
    sayln!("uuid:     {}", release.uuid);
    if let Some(steps) = release.steps.as_ref().filter(|steps| !steps.is_empty()) {
        let steps: Vec<_> = steps.iter().map(step).collect();
        sayln!("steps:    {}", steps.join(", "));
    }
    Ok(())
}

fn sbom(context: &Context, matches: &Matches) -> CommandResult {
    let asked = matches.words().first().map(|text| version(text)).transpose()?;
    let session = context.app_session(matches)?;
    let version = match asked {
        Some(version) => version,
        None => newest(&session.client.releases(&session.app, 1)?.results)?,
    };
    let document = session.client.sbom(&session.app, version)?;
    let Some(file) = matches.value("file") else { return listing::json(&document) };
    let text = serde_json::to_string_pretty(&document).map_err(|error| Failure::new(error.to_string()))?;
    std::fs::write(file, text + "\n")
        .map_err(|error| Failure::new(format!("could not write {file}: {error}")))
}

fn newest(releases: &[Release]) -> CommandResult<u64> {
    let newest = releases.first().ok_or_else(|| Failure::new("the application has no release"))?;
    Ok(newest.version)
}

/// A step of the deploy, such as `start 1.2 s` or `shift (under way)`.
fn step(DeployStep { name, began, ended, outcome }: &DeployStep) -> String {
    let time = |text: &String| text.parse::<Timestamp>().ok();
    let (Some(began), Some(ended)) = (time(began), ended.as_ref().and_then(time)) else {
        return format!("{name} (under way)");
    };
    let seconds = ended.duration_since(began).as_secs_f64();
    match outcome.as_deref() {
        Some("succeeded") | None => format!("{name} {seconds:.1} s"),
        Some(outcome) => format!("{name} {seconds:.1} s ({outcome})"),
    }
}

fn rollback(context: &Context, matches: &Matches) -> CommandResult {
    let version = matches.words().first().map(|text| version(text)).transpose()?;
    let session = context.app_session(matches)?;
    let progress = match version {
        Some(version) => Spinner::start(format_args!("Rolling back to v{version}... ")),
        None => Spinner::start(format_args!("Rolling back one release... ")),
    };
    let release = session.client.rollback(&session.app, version)?;
    progress.done(format_args!("done, v{}", release.version));
    Ok(())
}

fn rebase(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let progress = Spinner::start(format_args!("Rebasing {}... ", session.app));
    let rebased = session.client.rebase(&session.app)?;
    match rebased.version {
        Some(version) => progress.done(format_args!("done, v{version} on the newest {}", rebased.stack)),
        None => progress.done(format_args!("nothing to do, it is on the newest {}", rebased.stack)),
    }
    Ok(())
}

/// The number in `v12` or `12`.
fn version(text: &str) -> CommandResult<u64> {
    let number = text.strip_prefix('v').unwrap_or(text);
    number.parse().map_err(|_| Failure::new(format!("{text} is not in the form 'v#'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_a_v_or_not() {
        assert_eq!(version("v12").unwrap(), 12);
        assert_eq!(version("12").unwrap(), 12);
        for text in ["v", "", "x1", "v-1"] {
            assert!(version(text).is_err(), "{text}");
        }
    }
}
