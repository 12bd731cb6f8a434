//! Parsing of the command line. Flags change the fixed paths of the stack; tests use them.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{
    Arg::{Long, Short, Value},
    Error, Parser, RawArgs, ValueExt,
};

use crate::build::BuildPaths;
use crate::failure::SlugError;
use crate::run::RunTarget;
use crate::serve::StaticOptions;

pub const USAGE: &str = "usage: slug build [--fifos]\n       slug submodules\n       slug run <type>\n       slug run -- <command>\n       \
                         slug static [--port <port>] [--fallback <file>] [--config <static.json>] [--check] <folder>";

/// Port of a process where the platform names none.
pub const PORT_DEFAULT: u16 = 5000;

/// One thing to do.
pub enum SlugCommand {
    Build {
        paths: BuildPaths,
        /// Other steps run beside this one.
        has_fifos: bool,
    },
    /// Fetches the submodules of a source that something else builds.
    Submodules {
        workspace: PathBuf,
    },
    Run {
        app_dir: PathBuf,
        what: RunTarget,
    },
    Static {
        options: StaticOptions,
        port: u16,
    },
    /// Reads the rules of a static site, and serves nothing.
    CheckStatic(StaticOptions),
    Help,
}

/// Parses the words after the program's name. Options may stand behind what they are about.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<SlugCommand, SlugError> {
    parse_command(Parser::from_args(words)).map_err(|error| SlugError::usage(format!("{error}\n{USAGE}")))
}

fn parse_command(mut words: Parser) -> Result<SlugCommand, Error> {
    match words.next()? {
        Some(Value(name)) => match name.string()?.as_str() {
            "build" => parse_build(words),
            "submodules" => parse_submodules(words),
            "run" => parse_run(words),
            "static" => parse_static(words),
            "help" => Ok(SlugCommand::Help),
            other => Err(format!("`{other}` is not a command").into()),
        },
        Some(Long("help") | Short('h')) => Ok(SlugCommand::Help),
        Some(other) => Err(other.unexpected()),
        None => Err("no command given".into()),
    }
}

fn parse_build(mut words: Parser) -> Result<SlugCommand, Error> {
    let mut paths = BuildPaths::default();
    let mut has_fifos = false;
    while let Some(word) = words.next()? {
        match word {
            Long("workspace") => paths.workspace = words.value()?.into(),
            Long("build-dir") => paths.build_dir = words.value()?.into(),
            Long("app") => paths.app_dir = words.value()?.into(),
            Long("buildpacks") => paths.buildpacks = words.value()?.into(),
            Long("fifos") => has_fifos = true,
            other => return Err(other.unexpected()),
        }
    }
    Ok(SlugCommand::Build { paths, has_fifos })
}

fn parse_submodules(mut words: Parser) -> Result<SlugCommand, Error> {
    let mut workspace = BuildPaths::default().workspace;
    while let Some(word) = words.next()? {
        match word {
            Long("workspace") => workspace = words.value()?.into(),
            other => return Err(other.unexpected()),
        }
    }
    Ok(SlugCommand::Submodules { workspace })
}

fn parse_run(mut words: Parser) -> Result<SlugCommand, Error> {
    let (mut app_dir, mut what) = (PathBuf::from("/app"), None);
    loop {
        if what.is_none()
            && let Some(mut rest) = words.try_raw_args()
            && rest.next_if(|word| word == "--").is_some()
        {
            what = Some(RunTarget::Command(joined(rest)?));
        }
        match words.next()? {
            Some(Long("app")) => app_dir = words.value()?.into(),
            Some(Value(process_type)) if what.is_none() => {
                what = Some(RunTarget::Type(process_type.string()?));
            }
            Some(other) => return Err(other.unexpected()),
            None => break,
        }
    }
    let what = what.ok_or("`slug run` needs a process type, or `--` and a command")?;
    Ok(SlugCommand::Run { app_dir, what })
}

/// All that is left as one command line, as `deis run` sends it.
fn joined(rest: RawArgs<'_>) -> Result<String, Error> {
    let words = rest.map(|word| word.string()).collect::<Result<Vec<_>, _>>()?;
    let command = words.join(" ");
    if command.trim().is_empty() { Err("no command after `--`".into()) } else { Ok(command) }
}

fn parse_static(mut words: Parser) -> Result<SlugCommand, Error> {
    let (mut port, mut folder, mut is_check) = (None, None, false);
    let mut options = StaticOptions::default();
    while let Some(word) = words.next()? {
        match word {
            Long("port") => port = Some(words.value()?.string()?),
            Long("fallback") => options.fallback = Some(words.value()?.string()?),
            Long("config") => options.config = Some(words.value()?.into()),
            Long("check") => is_check = true,
            Value(value) if folder.is_none() => folder = Some(value),
            other => return Err(other.unexpected()),
        }
    }
    options.root = folder.ok_or("`slug static` needs the folder to serve")?.into();
    if is_check {
        return Ok(SlugCommand::CheckStatic(options));
    }
    let port = port.or_else(|| std::env::var("PORT").ok().filter(|port| !port.is_empty()));
    Ok(SlugCommand::Static { options, port: port.map_or(Ok(PORT_DEFAULT), |port| parse_port(&port))? })
}

fn parse_port(text: &str) -> Result<u16, Error> {
    text.parse().map_err(|_| format!("port `{text}` is not a number from 0 to 65535").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<SlugCommand, SlugError> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn words_after_two_dashes_become_one_command_line() {
        let Ok(SlugCommand::Run { what: RunTarget::Command(command), .. }) = parsed("run -- echo a  b | wc")
        else {
            panic!("not a command");
        };

        assert_eq!(command, "echo a b | wc");
    }

    #[test]
    fn one_word_is_a_process_type() {
        let Ok(SlugCommand::Run { what: RunTarget::Type(name), .. }) = parsed("run web") else {
            panic!("not a type")
        };

        assert_eq!(name, "web");
    }

    #[test]
    fn options_stand_before_and_behind_the_folder() {
        for line in [
            "static --port 80 --fallback a.html public",
            "static public --port 80 --fallback=a.html",
            "static --port=80 public --fallback a.html",
        ] {
            let Ok(SlugCommand::Static { options, port }) = parsed(line) else {
                panic!("{line:?} is refused")
            };
            let StaticOptions { root, fallback, .. } = options;
            assert_eq!((root, fallback.as_deref(), port), (PathBuf::from("public"), Some("a.html"), 80));
        }
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_the_usage() {
        for line in [
            "",
            "bild",
            "run",
            "run --",
            "run web more",
            "run web -- more",
            "build --fast",
            "build more",
            "static",
            "static --port",
            "static --port x public",
            "static a b",
            "run --web",
        ] {
            let failure = parsed(line).err().expect("a wrong line must be refused");

            assert_eq!(failure.exit_code, crate::failure::USAGE, "{line:?}");
            assert!(failure.message.contains("usage: slug build"), "{line:?}");
        }
    }
}
