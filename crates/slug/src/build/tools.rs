//! Programs that a source needs and neither the stack nor a pack has: reported before the release, instead of by a
//! crash after it.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use source::packs::SourceListing;

use super::packs;
use super::step::{self, StepEnvironment};
use crate::failure::SlugError;
use crate::process_types::ProcessTypes;

/// Words before a program that start it.
const STARTERS: &[&str] = &["exec", "env", "nohup", "time"];
/// Bytes of a script that are read for its interpreter.
const SCRIPT_HEAD_BYTES: u64 = 256;
/// Asks the shell that will run the line: it has builtins of its own. The name is an argument, not part of the
/// script.
const KNOWN: &str = r#"type -- "$1" >/dev/null 2>&1"#;

/// Refuses process types whose program will not be there. Scripts of the app's that are sourced before may bring any
/// program, so nothing is known where there are some.
pub fn check(
    types: &ProcessTypes,
    surroundings: &StepEnvironment,
    listing: &SourceListing,
) -> Result<(), SlugError> {
    let build_dir = &surroundings.build_dir;
    if has_scripts(build_dir) {
        return Ok(());
    }
    let missing = types.iter().find_map(|(name, command)| {
        let missing = programs(command).into_iter().find_map(|program| missing(program, surroundings))?;
        Some(format!("process type {name} starts {missing}"))
    });
    let Some(missing) = missing else { return Ok(()) };
    let language = packs::language(listing);
    Err(SlugError::step(format!(
        "{missing}. No pack of the stack fits the source{language}: set BUILDPACK_URL to the buildpack of its language, or \
         push a Dockerfile"
    )))
}

fn has_scripts(build_dir: &Path) -> bool {
    // The folder itself is there for the packs.
    let mut scripts = std::fs::read_dir(build_dir.join(".profile.d")).into_iter().flatten().flatten();
    build_dir.join(".profile").exists()
        || scripts.any(|script| script.path().extension().is_some_and(|extension| extension == "sh"))
}

/// The programs that a command line certainly starts; none where only a shell could tell.
fn programs(command: &str) -> Vec<&str> {
    if command.contains(['\'', '"', '`', '\\', '(', '{', '|', ';']) {
        return first_program(command).into_iter().collect();
    }
    let mut programs = Vec::new();
    for part in command.split("&&") {
        let Some(program) = first_program(part) else { break };
        // From there on paths mean something else.
        let moves = ["cd", "pushd"].contains(&program);
        programs.push(program);
        if moves {
            programs
                .extend(command.split("&&").skip(programs.len()).filter_map(first_program).filter(is_name));
            break;
        }
    }
    programs
}

fn is_name(program: &&str) -> bool {
    !program.contains('/')
}

fn first_program(command: &str) -> Option<&str> {
    let is_plain =
        |word: &str| word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./+@".contains(&byte));
    let mut words = command.split_ascii_whitespace();
    loop {
        let word = words.next()?;
        if STARTERS.contains(&word) {
            continue;
        }
        match word.split_once('=') {
            // A quoted value may continue after a blank.
            Some((_, value)) if value.contains(['\'', '"', '`', '\\', '(']) => return None,
            Some((name, _)) if is_plain(name) => {}
            Some(_) => return None,
            None => return Some(word).filter(|word| is_plain(word) && !word.starts_with('-')),
        }
    }
}

/// Names a missing program or interpreter; `None` if the program can be started.
fn missing(program: &str, surroundings: &StepEnvironment) -> Option<String> {
    if is_name(&program) {
        return (!is_known(program, surroundings))
            .then(|| format!("`{program}`, which the stack does not have"));
    }
    let path = place(program, surroundings);
    if !path.exists() {
        return Some(format!("`{program}`, which is not there"));
    }
    let interpreter = interpreter(&path)?;
    let is_there = match interpreter.strip_prefix('/') {
        Some(_) => Path::new(&interpreter).exists(),
        None => is_known(&interpreter, surroundings),
    };
    (!is_there).then(|| format!("`{program}`, a script for `{interpreter}`, which the stack does not have"))
}

/// Path at build time of a path of the running app.
fn place(program: &str, surroundings: &StepEnvironment) -> PathBuf {
    let path = Path::new(program);
    surroundings.build_dir.join(path.strip_prefix(&surroundings.app_dir).unwrap_or(path))
}

/// The program that reads a script: its path, or its name where `env` looks for it.
fn interpreter(script: &Path) -> Option<String> {
    let mut head = Vec::new();
    File::open(script).ok()?.take(SCRIPT_HEAD_BYTES).read_to_end(&mut head).ok()?;
    let head = String::from_utf8_lossy(&head);
    let mut words = head.lines().next()?.strip_prefix("#!")?.split_ascii_whitespace();
    match words.next()? {
        "/usr/bin/env" => words.find(|word| !word.starts_with('-') && !word.contains('=')).map(str::to_owned),
        path => Some(path.to_owned()),
    }
}

fn is_known(name: &str, surroundings: &StepEnvironment) -> bool {
    let words = ["-c", KNOWN, "type", name].map(Path::new);
    let asked = step::catch(surroundings.command_with_config(Path::new("bash"), words), 0, false);
    // A program that cannot be checked is no reason to refuse.
    asked.map_or(true, |(status, _)| status.success())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn programs_are_found_where_they_are_certain() {
        for (command, expected) in [
            ("bundle exec puma -C config/puma.rb", &["bundle"][..]),
            ("RAILS_ENV=production exec bin/rails server", &["bin/rails"]),
            ("env PORT=$PORT node_modules/.bin/next start", &["node_modules/.bin/next"]),
            ("python3 migrate.py && exec gunicorn app:app", &["python3", "gunicorn"]),
            ("cd api && ./serve && php -S :$PORT", &["cd", "php"]),
            ("sh -c 'ruby x && y'", &["sh"]),
            ("while sleep 60; do date; done", &["while"]),
            ("java $JAVA_OPTS -jar target/x.jar", &["java"]),
            ("A='b c' run", &[]),
            ("$PROGRAM x", &[]),
            ("${X:-y}", &[]),
            ("(cd x; y)", &[]),
            ("nice -n 5 x", &["nice"]),
            ("", &[]),
        ] {
            assert_eq!(programs(command), expected, "{command}");
        }
    }

    #[test]
    fn the_interpreter_of_a_script_is_in_its_first_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = folder.path().join("x");
        for (text, expected) in [
            ("#!/usr/bin/env ruby\nputs", Some("ruby")),
            ("#!/usr/bin/env -S A=1 php -d x\n", Some("php")),
            ("#! /usr/bin/perl -w\n", Some("/usr/bin/perl")),
            ("#!/bin/sh\r\n", Some("/bin/sh")),
            ("no script", None),
            ("\u{7f}ELF", None),
            ("", None),
        ] {
            fs::write(&script, text).expect("a file");
            assert_eq!(interpreter(&script).as_deref(), expected, "{text:?}");
        }
    }
}
