//! What the caller typed, as requests. Flags move the fixed places of the stack; tests use them.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::build::Paths;
use crate::failure::Failure;
use crate::run::What;

pub const USAGE: &str = "usage: slug build\n       slug run <type>\n       slug run -- <command>\n       \
                         slug static [--port <port>] <folder>";

/// Port of a process where the platform names none.
pub const PORT_DEFAULT: u16 = 5000;

/// One thing to do.
pub enum Request {
    Build(Paths),
    Run { app_dir: PathBuf, what: What },
    Static { root: PathBuf, port: u16 },
    Help,
}

/// Parses the words after the program's name.
pub fn parse(words: impl Iterator<Item = OsString>) -> Result<Request, Failure> {
    let mut words = Words { rest: words.collect::<Vec<_>>().into_iter() };
    match words.next_text()?.as_deref() {
        Some("build") => parse_build(words),
        Some("run") => parse_run(words),
        Some("static") => parse_static(words),
        Some("help" | "--help" | "-h") => Ok(Request::Help),
        Some(other) => Err(wrong(&format!("`{other}` is not a command"))),
        None => Err(wrong("no command given")),
    }
}

fn parse_build(mut words: Words) -> Result<Request, Failure> {
    let mut paths = Paths::default();
    while let Some(flag) = words.next_text()? {
        match flag.as_str() {
            "--workspace" => paths.workspace = words.value(&flag)?,
            "--build-dir" => paths.build_dir = words.value(&flag)?,
            "--app" => paths.app_dir = words.value(&flag)?,
            "--buildpacks" => paths.buildpacks = words.value(&flag)?,
            other => return Err(wrong(&format!("`slug build` takes no `{other}`"))),
        }
    }
    Ok(Request::Build(paths))
}

fn parse_run(mut words: Words) -> Result<Request, Failure> {
    let mut app_dir = PathBuf::from("/app");
    while let Some(word) = words.next_text()? {
        match word.as_str() {
            "--app" => app_dir = words.value(&word)?,
            "--" => return Ok(Request::Run { app_dir, what: What::Command(words.joined()?) }),
            flag if flag.starts_with('-') => return Err(wrong(&format!("`slug run` takes no `{flag}`"))),
            process_type => {
                words.nothing_more("slug run <type>")?;
                return Ok(Request::Run { app_dir, what: What::Type(process_type.to_owned()) });
            }
        }
    }
    Err(wrong("`slug run` needs a process type, or `--` and a command"))
}

fn parse_static(mut words: Words) -> Result<Request, Failure> {
    let mut port = port_of_environment()?;
    while let Some(word) = words.next_text()? {
        match word.as_str() {
            "--port" => port = parse_port(&words.value(&word)?.to_string_lossy())?,
            flag if flag.starts_with('-') => return Err(wrong(&format!("`slug static` takes no `{flag}`"))),
            folder => {
                words.nothing_more("slug static <folder>")?;
                return Ok(Request::Static { root: PathBuf::from(folder), port });
            }
        }
    }
    Err(wrong("`slug static` needs the folder to serve"))
}

fn port_of_environment() -> Result<u16, Failure> {
    match std::env::var("PORT") {
        Ok(text) if !text.is_empty() => parse_port(&text),
        _ => Ok(PORT_DEFAULT),
    }
}

fn parse_port(text: &str) -> Result<u16, Failure> {
    text.parse().map_err(|_| Failure::usage(format!("port `{text}` is not a number from 0 to 65535")))
}

fn wrong(problem: &str) -> Failure {
    Failure::usage(format!("{problem}\n{USAGE}"))
}

struct Words {
    rest: std::vec::IntoIter<OsString>,
}

impl Words {
    fn next_text(&mut self) -> Result<Option<String>, Failure> {
        let Some(word) = self.rest.next() else { return Ok(None) };
        word.into_string().map(Some).map_err(|word| wrong(&format!("{word:?} is not UTF-8")))
    }

    fn value(&mut self, flag: &str) -> Result<PathBuf, Failure> {
        self.rest.next().map(PathBuf::from).ok_or_else(|| wrong(&format!("`{flag}` needs a value")))
    }

    /// All that is left as one command line, as `deis run` sends it.
    fn joined(mut self) -> Result<String, Failure> {
        let mut all = Vec::new();
        while let Some(word) = self.next_text()? {
            all.push(word);
        }
        let command = all.join(" ");
        if command.trim().is_empty() { Err(wrong("no command after `--`")) } else { Ok(command) }
    }

    fn nothing_more(&mut self, form: &str) -> Result<(), Failure> {
        match self.next_text()? {
            Some(word) => Err(wrong(&format!("`{form}` takes no `{word}`"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, Failure> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn words_after_two_dashes_become_one_command_line() {
        let Ok(Request::Run { what: What::Command(command), .. }) = parsed("run -- echo a  b | wc") else {
            panic!("not a command");
        };

        assert_eq!(command, "echo a b | wc");
    }

    #[test]
    fn one_word_is_a_process_type() {
        let Ok(Request::Run { what: What::Type(name), .. }) = parsed("run web") else { panic!("not a type") };

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
