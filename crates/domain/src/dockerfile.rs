//! Dockerfiles, read just far enough to know which images a build uses.
//!
//! The engine builds; this only answers whether it may begin: an app must not take another app's image
//! as its base (`FROM`) or copy out of it (`COPY --from`). Where a text cannot be told for sure, it is
//! refused with a reason, never waved through. Follows Docker's Dockerfile reference, classic builder.

use std::collections::BTreeMap;

/// Why the images of a Dockerfile cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DockerfileError {
    #[error("Dockerfile line {line}: FROM names no image")]
    NoImage { line: usize },
    #[error(
        "Dockerfile line {line}: `{text}` is not understood; use $NAME, ${{NAME}}, ${{NAME:-default}} or \
         ${{NAME:+text}} in FROM, and none in COPY --from"
    )]
    Substitution { line: usize, text: String },
    #[error("Dockerfile has no FROM instruction; begin it with FROM and a base image")]
    NoFrom,
}

/// One logical line and the number of its first physical line.
struct Instruction {
    line: usize,
    text: String,
}

/// All images that a build of this Dockerfile takes from a store, in order, `scratch` and the
/// Dockerfile's own stages left out. `build_args` override the defaults of `ARG`.
pub fn images_used(
    dockerfile: &str,
    build_args: &BTreeMap<String, String>,
) -> Result<Vec<String>, DockerfileError> {
    let mut args = BTreeMap::new();
    let mut stages = Vec::new();
    let mut images = Vec::new();
    let mut stage_count = 0_usize;
    for instruction in instructions(dockerfile) {
        let (word, rest) = first_word(&instruction.text);
        match word.to_ascii_uppercase().as_str() {
            "ARG" if stage_count == 0 => declare(rest, build_args, &mut args),
            "FROM" => {
                let from = from(&instruction, rest, &args)?;
                stage_count += 1;
                images.extend(Some(from.image).filter(|image| !stages.contains(&image.to_ascii_lowercase())));
                stages.extend(from.stage);
            }
            "COPY" | "ADD" | "RUN" | "ONBUILD" => {
                let sources = copied_from(&instruction)?;
                let is_stage = |source: &String| {
                    stages.contains(&source.to_ascii_lowercase())
                        || source.parse::<usize>().is_ok_and(|number| number < stage_count)
                };
                images.extend(sources.into_iter().filter(|source| !is_stage(source)));
            }
            _ => {}
        }
    }
    if stage_count == 0 {
        return Err(DockerfileError::NoFrom);
    }
    images.retain(|image| image != "scratch");
    Ok(images)
}

/// Joins continued lines and drops comments; the escape character is a backslash unless a directive at
/// the top says otherwise.
fn instructions(dockerfile: &str) -> Vec<Instruction> {
    let escape = escape_directive(dockerfile);
    let mut instructions: Vec<Instruction> = Vec::new();
    let mut open = false;
    let text = dockerfile.trim_start_matches('\u{feff}');
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let (content, continues) = match trimmed.strip_suffix(escape) {
            Some(content) => (content, true),
            None => (trimmed, false),
        };
        match instructions.last_mut().filter(|_| open) {
            Some(last) => last.text.push_str(content),
            None => instructions.push(Instruction { line: number + 1, text: content.to_owned() }),
        }
        open = continues;
    }
    instructions
}

fn escape_directive(dockerfile: &str) -> char {
    let directives = dockerfile.lines().map(str::trim).take_while(|line| line.starts_with('#'));
    let is_backtick = |line: &str| {
        let directive: String = line.chars().filter(|c| !c.is_whitespace()).collect();
        directive.eq_ignore_ascii_case("#escape=`")
    };
    if directives.into_iter().any(is_backtick) { '`' } else { '\\' }
}

fn first_word(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).unwrap_or((text, ""))
}

/// Records what `ARG a=1 b` declares; only these and build arguments are known to `FROM`.
fn declare(rest: &str, build_args: &BTreeMap<String, String>, args: &mut BTreeMap<String, String>) {
    for declaration in rest.split_whitespace() {
        let (name, default) = declaration.split_once('=').unwrap_or((declaration, ""));
        let value = build_args.get(name).cloned().unwrap_or_else(|| unquoted(default).to_owned());
        args.insert(name.to_owned(), value);
    }
}

fn unquoted(text: &str) -> &str {
    let inner = |quote: char| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    inner('"').or_else(|| inner('\'')).unwrap_or(text)
}

struct From {
    image: String,
    /// In lower case: stage names ignore case.
    stage: Option<String>,
}

fn from(
    instruction: &Instruction,
    rest: &str,
    args: &BTreeMap<String, String>,
) -> Result<From, DockerfileError> {
    let mut words = rest.split_whitespace().skip_while(|word| word.starts_with("--"));
    let image = words.next().ok_or(DockerfileError::NoImage { line: instruction.line })?;
    let substituted = substitute(unquoted(image), args)
        .ok_or_else(|| DockerfileError::Substitution { line: instruction.line, text: image.to_owned() })?;
    if substituted.is_empty() {
        return Err(DockerfileError::NoImage { line: instruction.line });
    }
    let named = words.next().is_some_and(|word| word.eq_ignore_ascii_case("as"));
    let stage = words.next().filter(|_| named).map(str::to_ascii_lowercase);
    Ok(From { image: substituted, stage })
}

/// The values of `--from=` of `COPY` and of `RUN --mount`.
fn copied_from(instruction: &Instruction) -> Result<Vec<String>, DockerfileError> {
    let flags = instruction.text.split_whitespace().filter(|word| word.starts_with("--"));
    let mut sources = Vec::new();
    for flag in flags {
        let value = flag.strip_prefix("--from=").or_else(|| {
            flag.strip_prefix("--mount=")?.split(',').find_map(|part| part.strip_prefix("from="))
        });
        let Some(value) = value.map(unquoted) else { continue };
        if value.contains('$') {
            return Err(DockerfileError::Substitution { line: instruction.line, text: value.to_owned() });
        }
        sources.push(value.to_owned());
    }
    Ok(sources)
}

/// Replaces variables; `None` for a form that is not known.
fn substitute(text: &str, args: &BTreeMap<String, String>) -> Option<String> {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        result.push_str(before);
        if before.ends_with('\\') {
            return None;
        }
        let (value, left) = variable(after, args)?;
        result.push_str(&value);
        rest = left;
    }
    result.push_str(rest);
    Some(result)
}

/// Value of the variable that `text` begins with, and the text after it.
fn variable<'a>(text: &'a str, args: &BTreeMap<String, String>) -> Option<(String, &'a str)> {
    let value_of = |name: &str| args.get(name).filter(|value| !value.is_empty());
    let Some(braced) = text.strip_prefix('{') else {
        let end = text.find(|c: char| !is_name_char(c)).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        return is_name(name).then(|| (value_of(name).cloned().unwrap_or_default(), rest));
    };
    let (inner, rest) = braced.split_once('}')?;
    let end = inner.find(|c: char| !is_name_char(c)).unwrap_or(inner.len());
    let (name, modifier) = inner.split_at(end);
    if !is_name(name) || modifier.contains('$') {
        return None;
    }
    let value = value_of(name).cloned();
    let value = match (modifier.get(..2), modifier.get(2..)) {
        (Some(":-"), Some(default)) => value.unwrap_or_else(|| default.to_owned()),
        (Some(":+"), Some(other)) => value.map(|_| other.to_owned()).unwrap_or_default(),
        _ if modifier.is_empty() => value.unwrap_or_default(),
        _ => return None,
    };
    Some((value, rest))
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(dockerfile: &str) -> Result<Vec<String>, DockerfileError> {
        let build_args = BTreeMap::from([("GIVEN".to_owned(), "given:1".to_owned())]);
        images_used(dockerfile, &build_args)
    }

    fn names(names: &[&str]) -> Result<Vec<String>, DockerfileError> {
        Ok(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn images_come_from_from_and_from_copies_but_not_from_own_stages() {
        let dockerfile = "\
            # syntax=docker/dockerfile:1\n\
            FROM --platform=linux/amd64 golang:1 AS Build\n\
            RUN go build\n\
            from scratch\n\
            COPY --from=build /a /a\n\
            COPY --chown=1 --from=0 /a /a\n\
            COPY --from=nginx:1 /b /b\n\
            RUN --mount=type=bind,from=tools:2,target=/t true\n\
            ONBUILD COPY --from=late:3 / /\n\
            FROM build\n";
        assert_eq!(used(dockerfile), names(&["golang:1", "nginx:1", "tools:2", "late:3"]));
    }

    #[test]
    fn arguments_before_the_first_from_are_filled_in() {
        for (dockerfile, image) in [
            ("ARG BASE=debian:12\nFROM $BASE", "debian:12"),
            ("ARG V=12\nFROM debian:${V}-slim", "debian:12-slim"),
            ("ARG GIVEN=x\nFROM ${GIVEN}", "given:1"),
            ("ARG BASE\nFROM ${BASE:-debian}", "debian"),
            ("ARG B=\"a/b\"\nFROM ${B:+other}", "other"),
            ("FROM deb\\\n# a comment\n  ian", "debian"),
            ("# escape=`\nFROM `\ndebian", "debian"),
        ] {
            assert_eq!(used(dockerfile), names(&[image]), "{dockerfile:?}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_refused_with_its_line() {
        for (dockerfile, message) in [
            ("FROM ${A:-$B}", "Dockerfile line 1: `${A:-$B}` is not understood"),
            ("FROM a\nCOPY --from=$X / /", "Dockerfile line 2: `$X` is not understood"),
            ("FROM", "Dockerfile line 1: FROM names no image"),
            ("ARG X\n\nFROM $X", "Dockerfile line 3: FROM names no image"),
            ("# nothing\nRUN true", "Dockerfile has no FROM instruction"),
            ("", "Dockerfile has no FROM instruction"),
        ] {
            let error = used(dockerfile).expect_err(dockerfile).to_string();
            assert!(error.starts_with(message), "{dockerfile:?}: {error}");
        }
    }
}
