//! Builds: what was deployed, and deploying an existing image.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use api::builds::NewBuild;
use serde_json::json;
use source::build_plan::{BuildChoices, BuildKind, BuildPlan, BuildSettings, ChoiceError};
use source::heroku_yml::{self, Manifest};
use source::packs::{self, Detected, SourceListing};
use source::project_toml::{self, ProjectDescriptor};

use crate::command::{Command, Matches, app, flag, limit, one, optional, output, valued};
use crate::context::Context;
use crate::failure::{CommandResult, Failure};
use crate::git;
use crate::listing;
use crate::progress::Spinner;
use crate::terminal::{say, sayln};

pub fn commands() -> Vec<Command> {
    vec![
        Command::new("builds:list", "[options]", "Lists the builds of an application.", list)
            .args([app(), limit(), output()])
            .examples(&["deis builds:list", "deis builds -a blog"]),
        Command::new("builds:info", "[<build>] [options]", "Shows one build: how it was built, and why.", info)
            .args([
                optional("build", "the id of a build, as `builds:list` prints it; the newest by default"),
                app(),
                output(),
            ])
            .examples(&["deis builds:info -a blog"]),
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
        Command::new("builds:kind", "[<kind>] [options]", "Prints or chooses how an application is built.", kind)
            .about(
                "`buildpack`, `dockerfile` and `cnb` (Cloud Native Buildpacks) hold for each push; `auto` lets each push \
                 decide: by `deis builder:set`, by DOCKERFILE_PATH or BUILDPACK_URL of the config, else a heroku.yml, a \
                 project.toml and a Dockerfile count before buildpacks.",
            )
            .args([
                optional("kind", "`buildpack`, `dockerfile`, `cnb` or `auto`; without it the kind is printed")
                    .value_parser(["auto", "buildpack", "cnb", "dockerfile"]),
                app(),
                output(),
            ])
            .examples(&["deis builds:kind -a blog", "deis builds:kind buildpack -a blog"]),
        Command::new("builds:detect", "[<commit>] [options]", "Shows how a push would be built.", detect)
            .about("Nothing is pushed. With an app, its config and its `builds:kind` count.")
            .args([
                optional("commit", "the commit to look at; HEAD by default"),
                app(),
                flag(None, "no-app", "look at the source alone"),
                output(),
            ])
            .examples(&["deis builds:detect", "deis builds:detect main -a blog", "deis builds:detect --no-app"]),
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

fn info(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let build = match matches.words().first() {
        Some(uuid) => session.client.build(&session.app, uuid)?,
        None => {
            let newest = session.client.builds(&session.app, 1)?.results.into_iter().next();
            newest.ok_or_else(|| Failure::new(format!("{} has no build yet: push first", session.app)))?
        }
    };
    if matches.wants_json() {
        return listing::json(&build);
    }
    sayln!("=== {} Build {}", session.app, build.uuid);
    let reason = if build.reason.is_empty() { String::new() } else { format!(", as {}", build.reason) };
    sayln!("built as: {}{reason}", build.kind.as_deref().unwrap_or("an existing image"));
    for (name, value) in [("commit", &build.sha), ("stack", build.stack.as_ref().unwrap_or(&String::new()))] {
        if !value.is_empty() {
            sayln!("{:<9} {value}", format!("{name}:"));
        }
    }
    sayln!("image:    {}", build.image);
    sayln!("owner:    {}", build.owner);
    sayln!("created:  {}", build.created);
    for (process, command) in &build.procfile {
        let command = if command.is_empty() { "the image's own command" } else { command };
        sayln!("{process}: {command}");
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

fn kind(context: &Context, matches: &Matches) -> CommandResult {
    let session = context.app_session(matches)?;
    let app = &session.app;
    let Some(chosen) = matches.words().first() else {
        let kind = session.client.settings(app)?.build_kind;
        if matches.wants_json() {
            return listing::json(&json!({ "build_kind": kind }));
        }
        match kind {
            Some(kind) => sayln!("Pushes to {app} are built as {kind}."),
            None => sayln!("Each push to {app} decides how it is built; `deis builds:detect` shows it."),
        }
        return Ok(());
    };
    let progress = Spinner::start(format_args!("Setting the kind of builds of {app} to {chosen}... "));
    session.client.change_settings(app, &json!({ "build_kind": chosen }))?;
    progress.done(format_args!("done"));
    Ok(())
}

fn detect(context: &Context, matches: &Matches) -> CommandResult {
    let commit = matches.words().first().map_or("HEAD", String::as_str);
    let choices = choices(context, matches)?;
    let files: BTreeSet<String> = git::files(commit)?.into_iter().collect();
    let project = &choices.project;
    let is_there = |path: &&str| files.contains(&project.join(path));
    let mut found = SourceListing::new(packs::candidates().filter(is_there).map(str::to_owned));
    for path in found.wanted_texts().collect::<Vec<_>>() {
        found.add_text(path, git::text(commit, &project.join(path))?);
    }
    let has_dockerfile = is_there(&choices.dockerfile.path.as_str());
    let refused = |error: ChoiceError| Failure::new(error.to_string());
    let plan = match manifest(commit, &choices, is_there(&heroku_yml::FILE))? {
        Some(manifest) => choices.plan_of_manifest(manifest, |path| files.contains(path)).map_err(refused)?,
        None => {
            let descriptor = descriptor(commit, &choices, is_there(&project_toml::FILE))?;
            choices.plan(has_dockerfile, descriptor, &found).map_err(refused)?
        }
    };
    show_plan(&plan, matches.wants_json())
}

/// The heroku.yml of a commit, if it decides.
fn manifest(commit: &str, choices: &BuildChoices, is_there: bool) -> CommandResult<Option<Manifest>> {
    if !is_there || !choices.reads_manifest() {
        return Ok(None);
    }
    let text = git::text(commit, &choices.project.join(heroku_yml::FILE))?;
    heroku_yml::parse(&text, choices.dockerfile.build_args).map_err(|error| Failure::new(error.to_string()))
}

/// The project.toml of a commit, if it has a say.
fn descriptor(
    commit: &str,
    choices: &BuildChoices,
    is_there: bool,
) -> CommandResult<Option<ProjectDescriptor>> {
    if !is_there || !choices.reads_descriptor() {
        return Ok(None);
    }
    let text = git::text(commit, &choices.project.join(project_toml::FILE))?;
    project_toml::parse(&text).map_err(|error| Failure::new(error.to_string()))
}

/// Choices of the app that is given or that the current folder pushes to; those of no app otherwise.
fn choices(context: &Context, matches: &Matches) -> CommandResult<BuildChoices> {
    let refused = |error: ChoiceError| Failure::new(error.to_string());
    if matches.has("no-app") {
        return BuildChoices::read(BuildSettings::default(), &BTreeMap::new()).map_err(refused);
    }
    let session = context.app_session(matches)?;
    let settings = session.client.settings(&session.app)?;
    let default_builder = settings.default_builder;
    let settings = BuildSettings {
        kind: settings.build_kind.as_deref().and_then(BuildKind::parse),
        builder: match settings.builder.as_deref() {
            Some("default") => default_builder.clone(),
            own => own.map(str::to_owned),
        },
        default_builder,
    };
    let config = session.client.config(&session.app)?.values;
    let config = config.iter().map(|(name, value)| (name.clone(), listing::plain(value))).collect();
    BuildChoices::read(settings, &config).map_err(refused)
}

fn show_plan(plan: &BuildPlan, is_json: bool) -> CommandResult {
    let BuildPlan { kind, reason, packs, manifest, cnb, .. } = plan;
    let builder = cnb.as_ref().map(|cnb| &cnb.builder);
    let fitting: Vec<_> = packs
        .iter()
        .map(|detected| json!({ "pack": detected.pack.name, "language": detected.pack.language, "file": detected.file }))
        .collect();
    let images = manifest.iter().flat_map(|manifest| &manifest.images).map(|image| image.path.as_str());
    let images: Vec<_> = images.collect();
    if is_json {
        return listing::json(
            &json!({ "kind": kind, "reason": reason, "packs": fitting, "dockerfiles": images, "builder": builder }),
        );
    }
    sayln!("It is built as {}: {reason}.", kind.as_str());
    if let Some(builder) = builder {
        sayln!("The builder is {builder}.");
    }
    for path in images {
        sayln!("An image is built from {path}.");
    }
    let by_pack = *kind == BuildKind::Buildpack;
    for (place, Detected { pack, file }) in packs.iter().enumerate() {
        let is_first = by_pack && place == 0;
        let role = if is_first { "builds it" } else { "fits too" };
        sayln!("The pack {} ({}) {role}: {file} is there.", pack.name, pack.language);
    }
    match plan.has_builder() {
        true => Ok(()),
        false => Err(Failure::new(
            "no pack of the platform fits the source: add a Procfile, a Dockerfile, or set BUILDPACK_URL",
        )),
    }
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
