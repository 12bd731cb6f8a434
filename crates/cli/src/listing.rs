//! Shapes that many answers share: headings, padded maps, tab-separated columns, JSON.

use std::fmt::Write;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::failure::{CommandResult, Failure};
use crate::terminal::sayln;

/// `=== title`, and how many of all are shown where that is not all of them.
pub fn heading(title: &str, shown: usize, count: u64) -> String {
    if shown as u64 == count {
        format!("=== {title}\n")
    } else {
        format!("=== {title} ({shown} of {count})\n")
    }
}

/// A map with its keys sorted and its values in one column, `pad` behind the longest key.
pub fn padded(map: &Map<String, Value>, pad: usize) -> String {
    padded_with(map, pad, "")
}

/// Like [`padded`], with a text directly behind each key.
pub fn padded_with(map: &Map<String, Value>, pad: usize, behind: &str) -> String {
    let entries = sorted(map);
    let longest = entries.iter().map(|(key, _)| key.chars().count()).max().unwrap_or(0);
    let column = longest + behind.len() + pad;
    entries.iter().fold(String::new(), |mut text, (key, value)| {
        let key = format!("{key}{behind}");
        writeln!(text, "{key:column$}{value}").expect("a String takes any text");
        text
    })
}

/// The entries of a map sorted bytewise, with values as plain texts.
pub fn sorted(map: &Map<String, Value>) -> Vec<(String, String)> {
    let mut entries: Vec<_> = map.iter().map(|(key, value)| (key.clone(), plain(value))).collect();
    entries.sort();
    entries
}

/// A JSON value as a user wrote it: texts without quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Parses `key=value` arguments: exactly one `=`, nothing empty. `example` is part of the error.
pub fn pairs(words: &[String], example: &str) -> CommandResult<Map<String, Value>> {
    let pair = |word: &String| match word.split_once('=') {
        Some((key, value)) if !key.is_empty() && !value.is_empty() && !value.contains('=') => {
            Ok((key.to_owned(), Value::from(value)))
        }
        _ => {
            Err(Failure::new(format!("{word} is invalid, Must be in format key=value\nExamples: {example}")))
        }
    };
    words.iter().map(pair).collect()
}

/// A patch that removes each of the keys.
pub fn nulls(keys: &[String]) -> Map<String, Value> {
    keys.iter().map(|key| (key.clone(), Value::Null)).collect()
}

/// Columns separated by tabs that line up at stops of eight characters; the last column is free.
pub fn tabbed(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let stops: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(move |row| row.get(column)).map(|cell| cell.chars().count()))
        .map(|widths| widths.max().unwrap_or(0) / 8 + 1)
        .collect();
    rows.iter().map(|row| tabbed_row(row, &stops) + "\n").collect()
}

fn tabbed_row(row: &[String], stops: &[usize]) -> String {
    let last = row.len().saturating_sub(1);
    let cells = row.iter().zip(stops).enumerate().map(|(place, (cell, stops))| {
        let tabs = if place == last { 0 } else { stops - cell.chars().count() / 8 };
        format!("{cell}{}", "\t".repeat(tabs))
    });
    cells.collect()
}

/// Prints what scripts asked for with `--output=json`.
pub fn json(value: &impl Serialize) -> CommandResult {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(format!("the answer cannot be written as JSON: {error}")))?;
    sayln!("{text}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn map(value: Value) -> Map<String, Value> {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_heading_counts_only_when_something_is_left_out() {
        assert_eq!(heading("Apps", 2, 2), "=== Apps\n");
        assert_eq!(heading("Apps", 2, 5), "=== Apps (2 of 5)\n");
    }

    #[test]
    fn values_start_in_one_column_and_keys_are_sorted() {
        let values = map(json!({"LONGER_KEY": "a b", "FOO": "bar"}));
        assert_eq!(padded(&values, 6), "FOO             bar\nLONGER_KEY      a b\n");
        let labels = map(json!({"team": "bi", "service": "frontend"}));
        assert_eq!(padded_with(&labels, 6, ":"), "service:      frontend\nteam:         bi\n");
        assert_eq!(padded(&Map::new(), 6), "");
    }

    #[test]
    fn numbers_booleans_and_null_are_values_too() {
        let values = map(json!({"A": 3, "B": true, "C": null}));
        assert_eq!(padded(&values, 1), "A 3\nB true\nC \n");
    }

    #[test]
    fn a_pair_has_one_equals_sign_with_something_on_both_sides() {
        assert_eq!(pairs(&["a=b".to_owned()], "").unwrap(), map(json!({"a": "b"})));
        for word in ["a", "a=", "=b", "a=b=c", ""] {
            let failure = pairs(&[word.to_owned()], "x=y").unwrap_err().to_string();
            assert!(failure.contains("is invalid, Must be in format key=value\nExamples: x=y"), "{word}");
        }
    }

    #[test]
    fn columns_line_up_at_stops_of_eight() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["v12", "2016-08-22T17:40:16Z", "x"]), row(["v1234567", "short", "y"])];
        assert_eq!(tabbed(&rows), "v12\t\t2016-08-22T17:40:16Z\tx\nv1234567\tshort\t\t\ty\n");
    }
}
