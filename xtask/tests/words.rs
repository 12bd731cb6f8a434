//! Retired words: names and words of comments that are not the terms of the field. Each idea has the term that the
//! glossary of ARCHITECTURE.md and the documentation of Kubernetes, HTTP, OCI and Heroku use.
//!
//! Only names and comments are read. Texts in quotes are what users see, or names under which something is stored
//! (`<app>-<type>-wish`, `wish.json`, `deis.io/wished`): those change with a migration, not with a word.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Names of types that are retired, and what to say.
const TYPES: &[(&str, &str)] = &[
    ("AppWish", "AppDesiredState"),
    ("Asked", "a noun: RunRequest, RecordedCalls, OutgoingRequest"),
    ("Bell", "TaskHandle"),
    ("Board", "RoutePublisher"),
    ("Busy", "an error named after what failed: TurnError, RateLimitError"),
    ("Door", "RouteGuard, SessionContext"),
    ("Doors", "WorkerListeners"),
    ("Ear", "LogSender"),
    ("Found", "a noun: SiteRef, LocalBase, SourceSummary"),
    ("Heard", "a noun: WatchProgress, MonitoredStream"),
    ("Held", "a noun: TableRef, PermitCounts, PlaceTable"),
    ("Kept", "a noun: StoredCertificate, BoundedOutput, BufferUsage"),
    ("Noted", "a noun: PushRecord"),
    ("Passage", "Exchange"),
    ("Patience", "DeadlineTimer"),
    ("Rewound", "RewindStream"),
    ("Rooms", "ConcurrencyLimits"),
    ("Tell", "LogSink"),
    ("Teller", "LogPublisher"),
    ("Told", "LoggedLine, LoggedBody, RefusalLog"),
    ("Trouble", "an error named after what failed: DatabaseError, DeployError, OrderError"),
    ("Visit", "ClientConnection, SshConnection"),
    ("Wish", "DesiredState, RecordedChange"),
    ("Wishes", "ResponseContext"),
];

/// Words that are a part of no name: `wish` retires `wish`, `change_wish` and `WishError`.
const PARTS: &[(&str, &str)] = &[
    ("company", "replicated"),
    ("leftover", "orphan"),
    ("leftovers", "orphans"),
    ("patience", "timeout, deadline"),
    ("rewound", "rewind"),
    ("stray", "orphan"),
    ("strays", "orphans"),
    ("teller", "publisher"),
    ("trouble", "error, failure"),
    ("truth", "bool, boolean"),
    ("wish", "desired state, recorded change, response context"),
    ("wished", "desired, recorded"),
    ("wishes", "desired states, recorded changes"),
];

/// Words of comments and pages, in lower case.
const COMMENTS: &[(&str, &str)] = &[
    ("long way", "slow path"),
    ("patience", "timeout, deadline"),
    ("short way", "fast path"),
    ("strays", "orphans"),
    ("teller", "log publisher"),
    ("truth value", "boolean"),
    ("wish", "desired state, recorded change"),
    ("wished", "desired, recorded"),
    ("wishes", "desired states, recorded changes"),
];

/// Files, or folders, where words may stay, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    ("crates/store/migrations/", "a migration that has run is never changed"),
    ("xtask/tests/words.rs", "it lists the words"),
];

/// A retired word: where it stands, and what it says.
struct Finding {
    file: String,
    text: String,
}

#[test]
fn no_type_has_a_retired_name() {
    assert_none(types());
}

#[test]
fn no_name_has_a_retired_part() {
    assert_none(names());
}

#[test]
fn no_comment_or_page_has_a_retired_word() {
    assert_none(comments());
}

#[test]
fn each_exception_is_needed() {
    let all: Vec<_> = types().into_iter().chain(names()).chain(comments()).collect();
    for (place, why) in EXCEPTIONS {
        let is_used = all.iter().any(|finding| finding.file.starts_with(place));
        assert!(is_used, "{place} has no retired word any more ({why}): take the exception away");
    }
}

fn assert_none(findings: Vec<Finding>) {
    let is_excepted = |file: &str| EXCEPTIONS.iter().any(|(place, _)| file.starts_with(place));
    let wrong = findings.into_iter().filter(|finding| !is_excepted(&finding.file));
    let wrong: Vec<_> = wrong.map(|Finding { file, text }| format!("{file}{text}")).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Types that are defined under a retired name.
fn types() -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tracked("*.rs") {
        let (code, _) = code_and_comments(&source);
        for words in code.split_whitespace().collect::<Vec<_>>().windows(2) {
            let is_definition = ["struct", "enum", "trait", "type", "union"].contains(&words[0]);
            let defined = words[1].split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
            let retired = TYPES.iter().find(|(retired, _)| is_definition && *retired == defined);
            let text = retired.map(|(_, say)| format!(": type {defined}; say {say}"));
            findings.extend(text.map(|text| Finding { file: file.clone(), text }));
        }
    }
    findings
}

/// Names of which a retired word is a part.
fn names() -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, source) in tracked("*.rs") {
        let (code, _) = code_and_comments(&source);
        for name in code.split(|letter: char| !letter.is_alphanumeric() && letter != '_') {
            let parts = parts(name);
            let retired = PARTS.iter().find(|(retired, _)| parts.iter().any(|part| part == retired));
            let text = retired.map(|(_, say)| format!(": `{name}`; say {say}"));
            findings.extend(text.map(|text| Finding { file: file.clone(), text }));
        }
    }
    findings
}

/// Retired words in comments, on pages and in migrations.
fn comments() -> Vec<Finding> {
    let comments = tracked("*.rs").map(|(file, source)| (file, code_and_comments(&source).1));
    let mut findings = Vec::new();
    for (file, text) in comments.chain(tracked("*.md")).chain(tracked("*.sql")) {
        for (number, line) in text.to_lowercase().lines().enumerate() {
            for (word, say) in COMMENTS.iter().filter(|(word, _)| has_word(line, word)) {
                findings.push(Finding {
                    file: file.clone(),
                    text: format!(":{}: {word}; say {say}", number + 1),
                });
            }
        }
    }
    findings
}

#[test]
fn comments_stand_apart_from_code_and_texts() {
    let source = "let a = \"a // wish\"; // one 'wish'\nlet b = r#\"a \" wish\"#; let c = '\"'; /* two */ d";

    let (code, comments) = code_and_comments(source);

    assert!(!code.contains("wish") && code.contains("let c =") && code.ends_with('d'), "{code}");
    assert_eq!(comments.split_whitespace().collect::<Vec<_>>(), ["//", "one", "'wish'", "/*", "two", "*/"]);
    assert_eq!(parts("change_wish_of"), ["change", "wish", "of"]);
    assert_eq!(parts("AppWishError"), ["app", "wish", "error"]);
    assert!(
        has_word("a wish, kept", "wish")
            && !has_word("wishful", "wish")
            && !has_word("<app>-web-wish", "wish")
    );
}

/// Parts of a name in lower case: of `snake_case`, `SCREAMING_CASE` and `CamelCase`.
fn parts(name: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut was_lower = false;
    for letter in name.chars() {
        if letter == '_' || letter.is_uppercase() && was_lower {
            parts.push(String::new());
        }
        was_lower = letter.is_lowercase();
        if letter != '_' {
            parts.last_mut().expect("there is one").extend(letter.to_lowercase());
        }
    }
    parts
}

/// Whether the word stands alone: names of objects (`blog-web-wish`) and of files (`wish.json`) are no words.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = &line[at + word.len()..];
        let joins = |letter: char| letter.is_alphanumeric() || matches!(letter, '_' | '-');
        let is_file = after.starts_with('.') && after[1..].starts_with(char::is_alphabetic);
        !before.is_some_and(joins) && !after.starts_with(joins) && !is_file
    })
}

/// The code without texts and comments, and the comments, each on the lines where they stand.
fn code_and_comments(source: &str) -> (String, String) {
    let (mut code, mut comments) = (String::new(), String::new());
    let mut rest = source;
    while let Some(letter) = rest.chars().next() {
        let length = match letter {
            '/' if rest.starts_with("//") => {
                let length = rest.find('\n').unwrap_or(rest.len());
                comments.push_str(&rest[..length]);
                length
            }
            '/' if rest.starts_with("/*") => {
                let length = rest.find("*/").map_or(rest.len(), |end| end + 2);
                comments.push_str(&rest[..length]);
                code.push(' ');
                length
            }
            '"' => text_length(rest),
            'r' if is_raw(rest) && !code.ends_with(|last: char| last.is_alphanumeric() || last == '_') => {
                raw_length(rest)
            }
            '\'' => letter_length(rest),
            _ => {
                code.push(letter);
                letter.len_utf8()
            }
        };
        let lines = rest[..length].matches('\n').count();
        if lines > 0 {
            comments.push_str(&"\n".repeat(lines));
        }
        rest = &rest[length..];
    }
    (code, comments)
}

fn text_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, letter) in rest.char_indices().skip(1) {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

fn is_raw(rest: &str) -> bool {
    rest[1..].trim_start_matches('#').starts_with('"') && rest[1..].starts_with(['#', '"'])
}

fn raw_length(rest: &str) -> usize {
    let hashes = rest[1..].len() - rest[1..].trim_start_matches('#').len();
    let begin = 2 + hashes;
    let end = format!("\"{}", "#".repeat(hashes));
    rest[begin..].find(&end).map_or(rest.len(), |at| begin + at + end.len())
}

/// A letter in quotes, or only the quote of a lifetime.
fn letter_length(rest: &str) -> usize {
    let mut letters = rest.char_indices().skip(1);
    match letters.next() {
        Some((_, '\\')) => {
            rest[2..].char_indices().skip(1).find(|(_, letter)| *letter == '\'').map_or(1, |(at, _)| at + 3)
        }
        Some(_) => letters.next().filter(|(_, letter)| *letter == '\'').map_or(1, |(at, _)| at + 1),
        None => 1,
    }
}

/// Tracked files by the end of their names, with their texts.
fn tracked(pattern: &str) -> impl Iterator<Item = (String, String)> + use<> {
    let listed = Command::new("git").arg("-C").arg(root()).args(["ls-files", "-z", "--", pattern]).output();
    let listed = String::from_utf8(listed.expect("git runs").stdout).expect("names are UTF-8");
    let names: Vec<_> = listed.split_terminator('\0').map(str::to_owned).collect();
    assert!(!names.is_empty(), "no file {pattern}: is this a checkout?");
    names
        .into_iter()
        .filter_map(|name| Some((name.clone(), std::fs::read_to_string(root().join(name)).ok()?)))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}
