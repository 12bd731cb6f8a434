//! Parsing of the command line. Flags change the fixed paths of the stack; tests use them.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::build::BuildPaths;
use crate::failure::SlugError;
use crate::run::RunTarget;

pub const USAGE: &str = "usage: slug build\n       slug submodules\n       slug run <type>\n       slug run -- <command>\n       \
                         slug static [--port <port>] [--fallback <file>] <folder>";

/// Port of a process where the platform names none.
pub const PORT_DEFAULT: u16 = 5000;

/// One thing to do.
pub enum SlugCommand {
    Build(BuildPaths),
    /// Fetches the submodules of a source that something else builds.
    Submodules {
        workspace: PathBuf,
    },
    Run {
        app_dir: PathBuf,
        what: RunTarget,
    },
    Static {
        root: PathBuf,
        fallback: Option<String>,
        port: u16,
    },
    Help,
}

/// Parses the words after the program's name.
pub fn parse(words: impl Iterator<Item = OsString>) -> Result<SlugCommand, SlugError> {
    let mut words = ArgumentWords { rest: words.collect::<Vec<_>>().into_iter() };
    match words.next_text()?.as_deref() {
        Some("build") => parse_build(words),
        Some("submodules") => parse_submodules(words),
        Some("run") => parse_run(words),
        Some("static") => parse_static(words),
        Some("help" | "--help" | "-h") => Ok(SlugCommand::Help),
        Some(other) => Err(wrong(&format!("`{other}` is not a command"))),
        None => Err(wrong("no command given")),
    }
}

fn parse_build(mut words: ArgumentWords) -> Result<SlugCommand, SlugError> {
    let mut paths = BuildPaths::default();
    while let Some(flag) = words.next_text()? {
        match flag.as_str() {
            "--workspace" => paths.workspace = words.value(&flag)?,
            "--build-dir" => paths.build_dir = words.value(&flag)?,
            "--app" => paths.app_dir = words.value(&flag)?,
            "--buildpacks" => paths.buildpacks = words.value(&flag)?,
            other => return Err(wrong(&format!("`slug build` takes no `{other}`"))),
        }
    }
    Ok(SlugCommand::Build(paths))
}

fn parse_submodules(mut words: ArgumentWords) -> Result<SlugCommand, SlugError> {
    let mut workspace = BuildPaths::default().workspace;
    while let Some(flag) = words.next_text()? {
        match flag.as_str() {
            "--workspace" => workspace = words.value(&flag)?,
            other => return Err(wrong(&format!("`slug submodules` takes no `{other}`"))),
        }
    }
    Ok(SlugCommand::Submodules { workspace })
}

fn parse_run(mut words: ArgumentWords) -> Result<SlugCommand, SlugError> {
    let mut app_dir = PathBuf::from("/app");
    while let Some(word) = words.next_text()? {
        match word.as_str() {
            "--app" => app_dir = words.value(&word)?,
            "--" => return Ok(SlugCommand::Run { app_dir, what: RunTarget::Command(words.joined()?) }),
            flag if flag.starts_with('-') => return Err(wrong(&format!("`slug run` takes no `{flag}`"))),
            process_type => {
                words.nothing_more("slug run <type>")?;
                return Ok(SlugCommand::Run { app_dir, what: RunTarget::Type(process_type.to_owned()) });
            }
        }
    }
    Err(wrong("`slug run` needs a process type, or `--` and a command"))
}

fn parse_static(mut words: ArgumentWords) -> Result<SlugCommand, SlugError> {
    let mut port = port_of_environment()?;
    let mut fallback = None;
    while let Some(word) = words.next_text()? {
        match word.as_str() {
            "--port" => port = parse_port(&words.value(&word)?.to_string_lossy())?,
            "--fallback" => fallback = Some(words.value(&word)?.to_string_lossy().into_owned()),
            flag if flag.starts_with('-') => return Err(wrong(&format!("`slug static` takes no `{flag}`"))),
            folder => {
                words.nothing_more("slug static <folder>")?;
                return Ok(SlugCommand::Static { root: PathBuf::from(folder), fallback, port });
            }
        }
    }
    Err(wrong("`slug static` needs the folder to serve"))
}

fn port_of_environment() -> Result<u16, SlugError> {
    match std::env::var("PORT") {
        Ok(text) if !text.is_empty() => parse_port(&text),
        _ => Ok(PORT_DEFAULT),
    }
}

fn parse_port(text: &str) -> Result<u16, SlugError> {
    text.parse().map_err(|_| SlugError::usage(format!("port `{text}` is not a number from 0 to 65535")))
}

fn wrong(problem: &str) -> SlugError {
    SlugError::usage(format!("{problem}\n{USAGE}"))
}

struct ArgumentWords {
    rest: std::vec::IntoIter<OsString>,
}

impl ArgumentWords {
    fn next_text(&mut self) -> Result<Option<String>, SlugError> {
        let Some(word) = self.rest.next() else { return Ok(None) };
        word.into_string().map(Some).map_err(|word| wrong(&format!("{word:?} is not UTF-8")))
    }

    fn value(&mut self, flag: &str) -> Result<PathBuf, SlugError> {
        self.rest.next().map(PathBuf::from).ok_or_else(|| wrong(&format!("`{flag}` needs a value")))
    }

    /// All that is left as one command line, as `deis run` sends it.
    fn joined(mut self) -> Result<String, SlugError> {
        let mut all = Vec::new();
        while let Some(word) = self.next_text()? {
            all.push(word);
        }
        let command = all.join(" ");
        if command.trim().is_empty() { Err(wrong("no command after `--`")) } else { Ok(command) }
    }

    fn nothing_more(&mut self, form: &str) -> Result<(), SlugError> {
        match self.next_text()? {
            Some(word) => Err(wrong(&format!("`{form}` takes no `{word}`"))),
            None => Ok(()),
        }
    }
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
    fn what_cannot_be_meant_is_refused_with_the_usage() {
        for line in ["", "bild", "run", "run --", "run web more", "build --fast", "static", "run --web"] {
            let failure = parsed(line).err().expect("a wrong line must be refused");

            assert_eq!(failure.exit_code, crate::failure::USAGE, "{line:?}");
            assert!(failure.message.contains("usage: slug build"), "{line:?}");
        }
    }
}
