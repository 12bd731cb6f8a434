//! The table of rules of HTTP in `docs/wire.md`, held to the tests that it names.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Files of tests that are about the wire and nothing else: each of their tests is of some rule.
const WIRE_FILES: [&str; 10] =
    ["framing", "fuzz", "headers", "http2", "interim", "slow", "smuggling", "targets", "upgrades", "wire"];

#[test]
fn each_rule_of_http_names_tests_that_exist() {
    let page = read("docs/wire.md");
    let (page, _others) = page.split_once("\n## By others").expect("the table ends with what others found");
    let rows = page.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Rule |"));
    let mut rules = 0;
    for row in rows {
        let cells: Vec<_> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [rule, _, tests] = cells[..] else { panic!("expected three cells in `{row}`") };
        let named: Vec<_> = names(tests).collect();
        let is_chore = tests.starts_with("`cargo xtask ");
        assert!(is_chore || !named.is_empty(), "`{rule}` names no test");
        for (file, test) in named {
            assert!(tests_in(file).contains(test), "`{rule}` names `{file}::{test}`, which is not there");
        }
        rules += 1;
    }
    assert!(rules > 50, "the table has its rows: {rules}");
}

#[test]
fn each_test_of_the_wire_is_named_by_a_rule() {
    let page = read("docs/wire.md");
    let named: BTreeSet<_> = names(&page).collect();
    for file in WIRE_FILES {
        let tests = tests_in(file);
        for test in &tests {
            assert!(named.contains(&(file, test.as_str())), "docs/wire.md does not name `{file}::{test}`");
        }
        assert!(!tests.is_empty(), "{file} has tests");
    }
}

/// All `file::test` between backticks.
fn names(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| !word.contains(' '))
        .filter_map(|word| word.split_once("::"))
}

/// Names of the functions below `#[test]` or `#[tokio::test(...)]` in a file of the router's tests.
fn tests_in(file: &str) -> BTreeSet<String> {
    let text = read(&format!("crates/router/tests/edge/{file}.rs"));
    let lines: Vec<_> = text.lines().collect();
    let marked =
        lines.windows(2).filter(|pair| pair[0].starts_with("#[test") || pair[0].starts_with("#[tokio::test"));
    let name = |line: &str| {
        let (name, _) = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ")?.split_once('(')?;
        Some(name.to_owned())
    };
    marked.filter_map(|pair| name(pair[1])).collect()
}

fn read(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(PathBuf::from);
    let file = root.expect("xtask lies in the checkout").join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("cannot read {}: {error}", file.display()))
}
