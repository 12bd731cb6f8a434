//! Comments and docs: each section of `docs/spec/` that they cite exists, and comments of code state something.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const PAGES: [&str; 4] = ["api", "cli", "components", "journeys"];
const FOLDERS: [&str; 9] =
    ["buildpacks", "charts", "crates", "docs", "e2e", "examples", "images", "tools", "xtask"];
const ENDINGS: [&str; 5] = ["md", "rs", "toml", "yaml", "yml"];
/// This file shows citations that are wrong.
const OWN: &str = "xtask/tests/comments.rs";

#[test]
fn cited_sections_of_the_specification_exist() {
    let sections: BTreeMap<_, _> = PAGES.iter().map(|page| (*page, sections(&read(page)))).collect();
    let mut count = 0;
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        let name = file.strip_prefix(root()).expect("it lies in the checkout").display();
        for citation in citations(&text) {
            let known = sections.get(citation.page.as_str());
            let known =
                known.unwrap_or_else(|| panic!("{name}: docs/spec/{}.md does not exist", citation.page));
            for section in &citation.sections {
                let page = &citation.page;
                assert!(known.contains(section), "{name}: docs/spec/{page}.md has no section {section}");
            }
            count += 1;
        }
    }
    assert!(count > 100, "found {count} citations: were they looked for?");
}

#[test]
fn citations_have_one_form() {
    for file in files().filter(|file| file.extension().is_some_and(|ending| ending == "rs")) {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        for page in PAGES {
            let name = format!("{page}.md");
            let bare = text.match_indices(&name).any(|(at, _)| !text[..at].ends_with("docs/spec/"));
            assert!(!bare, "{}: cite `{name}` as `docs/spec/{name} 1.2`", file.display());
        }
    }
}

/// Words that open a riddle, such as "What a table has otherwise than the one before", where a comment can state the
/// thing: "Diff against the previous table."
const RIDDLES: [&str; 9] = ["How", "What", "Where", "Whether", "Which", "Who", "Whom", "Whose", "Why"];
/// Most comments in a hundred that may open so.
const RIDDLES_MAX: usize = 4;

#[test]
fn comments_state_the_thing() {
    let (mut count, mut riddles) = (0, Vec::new());
    for file in files().filter(|file| file.extension().is_some_and(|ending| ending == "rs")) {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        for (line, comment) in comments(&text) {
            count += 1;
            if is_riddle(comment) {
                let name = file.strip_prefix(root()).expect("it lies in the checkout").display();
                riddles.push(format!("{name}:{line}: {comment}"));
            }
        }
    }
    let most = count * RIDDLES_MAX / 100;
    let found = riddles.len();
    assert!(count > 5_000, "found {count} comments: were they looked for?");
    assert!(found <= most, "{found} of {count} comments are riddles, {most} may be:\n{}", riddles.join("\n"));
}

#[test]
fn a_comment_is_a_block_of_lines_and_its_first_word_counts() {
    let text = "//! Module.\n//! Why so.\n\n/// What it is.\nfn f() {\n    // Whatever.\n    // More.\n    x(); // How\n}\n";
    let found: Vec<_> = comments(text).collect();
    assert_eq!(found, [(1, "Module."), (4, "What it is."), (6, "Whatever.")]);
    assert_eq!(found.iter().map(|found| is_riddle(found.1)).collect::<Vec<_>>(), [false, true, false]);
}

#[test]
fn a_citation_is_a_page_and_its_sections() {
    let text =
        "(docs/spec/api.md 4.7 and 6.7), docs/spec/journeys.md A6-A11,\n//! A15; docs/spec/cli.md\n/// 9.";
    let found: Vec<_> = citations(text).map(|found| (found.page, found.sections.join(" "))).collect();
    let wanted = [("api", "4.7 6.7"), ("journeys", "A6 A11 A15"), ("cli", "9")];
    assert_eq!(found, wanted.map(|(page, sections)| (page.to_owned(), sections.to_owned())));
    assert!(!sections("## 1. One\n### 1.2 Two\n| A3 | three |\n").contains("1.1"));
}

/// The first line of each comment, with its number. Neighboring lines of one kind are one comment.
fn comments(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut before = None;
    text.lines().enumerate().filter_map(move |(number, line)| {
        let line = line.trim_start();
        let kind = ["//!", "///", "//"].into_iter().find(|kind| line.starts_with(kind));
        let is_first = kind.is_some() && kind != before;
        before = kind;
        is_first.then(|| (number + 1, line.trim_start_matches(['/', '!']).trim_start()))
    })
}

fn is_riddle(comment: &str) -> bool {
    let first = comment.split(|letter: char| !letter.is_alphabetic()).next().unwrap_or_default();
    RIDDLES.contains(&first)
}

struct Citation {
    page: String,
    sections: Vec<String>,
}

/// Every `docs/spec/<page>.md` that is followed by sections: `4.7`, `4.7 and 6.7`, `A6-A11, A15`, `5.4 to 5.6`.
fn citations(text: &str) -> impl Iterator<Item = Citation> {
    text.split("docs/spec/").skip(1).filter_map(|rest| {
        let (page, rest) = rest.split_once(".md")?;
        if !page.bytes().all(|byte| byte.is_ascii_lowercase()) || !rest.starts_with([' ', '\n']) {
            return None;
        }
        let mut sections = Vec::new();
        let words = rest.split([' ', '\n', '-']).filter(|word| !["", "//", "///", "//!"].contains(word));
        for word in words {
            let section = word.trim_end_matches(|end: char| !end.is_ascii_alphanumeric());
            match section {
                "and" | "to" => continue,
                _ if is_section(section) => sections.push(section.to_owned()),
                _ => break,
            }
            if !matches!(&word[section.len()..], "" | ",") {
                break;
            }
        }
        (!sections.is_empty()).then(|| Citation { page: page.to_owned(), sections })
    })
}

/// `4`, `4.7`, `A13`.
fn is_section(text: &str) -> bool {
    let number = text.strip_prefix(['A', 'B', 'C']).unwrap_or(text);
    !number.is_empty() && number.split('.').all(|part| part.parse::<u8>().is_ok())
}

/// Numbers of headings, and first cells of tables that are numbered.
fn sections(page: &str) -> BTreeSet<String> {
    let number = |line: &str| {
        let line = line.strip_prefix('|').unwrap_or_else(|| line.trim_start_matches('#'));
        let word = line.strip_prefix(' ')?.split([' ', '|']).next()?.trim_end_matches('.').to_owned();
        is_section(&word).then_some(word)
    };
    page.lines().filter(|line| line.starts_with(['#', '|'])).filter_map(number).collect()
}

fn files() -> impl Iterator<Item = PathBuf> {
    let folders = FOLDERS.iter().flat_map(|folder| below(&root().join(folder)));
    let pages =
        ["ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "README.md"].map(|page| root().join(page));
    folders.chain(pages).filter(|file| !file.ends_with(OWN))
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let of = |path: PathBuf| match path.is_dir() {
        true => below(&path),
        false => vec![path],
    };
    let is_text = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        ENDINGS.contains(&ending)
    };
    entries.filter(|path| !path.is_symlink()).flat_map(of).filter(is_text).collect()
}

fn read(page: &str) -> String {
    let file = root().join("docs/spec").join(page).with_extension("md");
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the checkout").to_owned()
}
