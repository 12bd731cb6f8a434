//! Folders inside crates: which of them use which, as far as `crate::` and `super::` in the sources say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Folders and files of a crate from top to bottom, with those that each may use: only rows below its own, so they form
/// no ring. `lib.rs` starts everything.
type Rows = &'static [(&'static str, &'static [&'static str])];

const ROUTER: Rows = &[
    // From the socket to a request; nothing below knows of sockets that listen.
    (
        "listen",
        &[
            "phases",
            "state",
            "upstream",
            "body",
            "access_log",
            "table",
            "settings",
            "error",
            "http1",
            "limits",
            "metrics",
        ],
    ),
    // The rules of a request need whatever a request has.
    (
        "phases",
        &["state", "upstream", "body", "access_log", "table", "settings", "http1", "limits", "metrics"],
    ),
    // The requests of one worker share connections, logs, bounds and the table.
    ("state", &["upstream", "body", "access_log", "table", "settings", "http1", "limits", "metrics"]),
    // Connections to apps carry bodies, take part in a bound, and close when the table drops their backend.
    ("upstream", &["body", "table", "http1", "limits"]),
    // The end of a body ends the line of its request and the count of requests at a backend.
    ("body", &["access_log", "table", "limits", "metrics"]),
    // A line states the app and release of a route, and what was wrong with a response.
    ("access_log", &["table", "http1", "metrics"]),
    // Routes have counters. Certificates are made at the start, which may fail.
    ("table", &["error", "metrics"]),
    ("settings", &["limits"]),
    ("error", &[]),
    // The codec knows bytes and heads, and no route.
    ("http1", &[]),
    ("limits", &[]),
    ("metrics", &[]),
];

const LOGGER: Rows = &[
    // Requests of readers, and batches of lines.
    ("http", &["follow", "tail", "store", "client", "batch", "settings"]),
    // A follower begins with the last lines.
    ("follow", &["tail", "store", "segments"]),
    ("tail", &["store", "segments"]),
    // The other way of lines into the store.
    ("ingest", &["store"]),
    ("store", &["segments", "settings"]),
    // Files and cursors, without an app's place in memory.
    ("segments", &[]),
    // What sends lines knows the client alone.
    ("agent", &["client", "batch"]),
    ("publish", &["client", "batch"]),
    ("client", &["batch"]),
    ("batch", &[]),
    ("settings", &[]),
];

#[test]
fn folders_of_the_router_use_only_what_the_list_allows() {
    use_only_what_is_allowed("router", ROUTER);
}

#[test]
fn files_of_the_logger_use_only_what_the_list_allows() {
    use_only_what_is_allowed("logger", LOGGER);
}

fn use_only_what_is_allowed(name: &str, rows: Rows) {
    let mut seen: BTreeMap<&str, BTreeSet<String>> =
        rows.iter().map(|(folder, _)| (*folder, BTreeSet::new())).collect();
    for (module, uses) in uses(&crates().join(name).join("src")) {
        let Some(own) = module.first() else { continue };
        let used = seen.get_mut(own.as_str()).unwrap_or_else(|| panic!("`{own}` is not in the list"));
        used.extend(uses.iter().filter_map(|other| other.first()).filter(|other| *other != own).cloned());
    }

    for (place, (folder, allowed)) in rows.iter().enumerate() {
        let below = &rows[place + 1..];
        for other in *allowed {
            assert!(below.iter().any(|(name, _)| name == other), "`{other}` stands above `{folder}`");
            assert!(seen[folder].contains(*other), "`{folder}` does not use `{other}` any more");
        }
        for other in &seen[folder] {
            assert!(allowed.contains(&other.as_str()), "`{folder}` of the {name} must not use `{other}`");
        }
    }
}

#[test]
fn no_circle_leads_through_files_of_different_folders() {
    for folder in std::fs::read_dir(crates()).expect("a folder") {
        let source = folder.expect("an entry").path().join("src");
        let uses = uses(&source);
        for (one, others) in &uses {
            for other in others.iter().filter(|other| is_in_another_folder(one, other)) {
                let back = reachable(other, &uses);
                assert!(
                    !back.contains(one),
                    "{}: `{}` uses `{}`, which uses it in turn",
                    source.display(),
                    one.join("::"),
                    other.join("::")
                );
            }
        }
    }
}

/// Path of a module from the root of its crate.
type Module = Vec<String>;

/// A module and the ones below it belong together.
fn is_in_another_folder(one: &Module, other: &Module) -> bool {
    let folder = |module: &Module| module[..module.len() - 1].to_vec();
    folder(one) != folder(other) && !one.starts_with(other) && !other.starts_with(one)
}

fn reachable<'a>(from: &'a Module, uses: &'a BTreeMap<Module, BTreeSet<Module>>) -> BTreeSet<&'a Module> {
    let (mut seen, mut left) = (BTreeSet::new(), vec![from]);
    while let Some(module) = left.pop() {
        if seen.insert(module) {
            left.extend(uses.get(module).into_iter().flatten());
        }
    }
    seen
}

/// The modules of a crate that have a file, each with the others that it names. The root is left out: it names all.
fn uses(source: &Path) -> BTreeMap<Module, BTreeSet<Module>> {
    let files = super::sources(source);
    let modules: BTreeMap<Module, &PathBuf> =
        files.iter().filter_map(|file| Some((module(source, file)?, file))).collect();
    let named = modules.iter().map(|(module, file)| {
        let text = std::fs::read_to_string(file).expect("a source is text");
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let paths = paths(&lines.collect::<Vec<_>>().join("\n"), module);
        let named = paths.into_iter().filter_map(|mut path| {
            while !path.is_empty() && !modules.contains_key(&path) {
                path.pop();
            }
            Some(path).filter(|path| !path.is_empty() && path != module)
        });
        (module.clone(), named.collect())
    });
    named.collect()
}

/// The module of a file; `None` for the root and for tests.
fn module(source: &Path, file: &Path) -> Option<Module> {
    let path = file.strip_prefix(source).expect("it lies there").with_extension("");
    let module: Module = path.iter().map(|name| name.to_string_lossy().into_owned()).collect();
    let name = module.last()?;
    (!["lib", "main", "tests"].contains(&name.as_str())).then_some(module)
}

/// Paths of a text that begin with `crate::` or `super::`, from the root.
fn paths(text: &str, module: &Module) -> Vec<Module> {
    let mut paths = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in text.match_indices(start) {
            let is_word = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
            if text[..at].ends_with(is_word) {
                continue;
            }
            let mut base = if start == "crate::" { Vec::new() } else { parent(module) };
            let mut rest = &text[at + start.len()..];
            while let Some(further) = rest.strip_prefix("super::") {
                (base, rest) = (parent(&base), further);
            }
            let length = rest.find(|char| !is_word(char)).unwrap_or(rest.len());
            let (path, behind) = rest.split_at(length);
            base.extend(segments(path));
            let ends = behind.strip_prefix('{').map_or("", |list| list.split('}').next().unwrap_or_default());
            let of_list =
                ends.split(',').map(|end| end.trim().split(&[' ', '{'][..]).next().unwrap_or_default());
            paths.extend(of_list.map(|end| base.iter().cloned().chain(segments(end)).collect()));
        }
    }
    paths
}

fn parent(module: &Module) -> Module {
    module[..module.len().saturating_sub(1)].to_vec()
}

fn segments(path: &str) -> impl Iterator<Item = String> {
    path.split("::").filter(|segment| !segment.is_empty()).map(str::to_owned)
}

fn crates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the checkout").join("crates")
}

#[test]
fn paths_in_a_source_are_found() {
    let module: Module = ["table", "site"].map(str::to_owned).into();
    let text = "use crate::metrics::{AppMetrics, text::line};\nuse super::super::tls;\nuse super::affinity::mark as m;";

    let found: Vec<_> = paths(text, &module).into_iter().map(|path| path.join("::")).collect();

    assert_eq!(found, ["metrics::AppMetrics", "metrics::text::line", "tls", "table::affinity::mark"]);
}
