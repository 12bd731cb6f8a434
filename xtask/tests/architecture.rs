//! The picture of the crates, executable: ARCHITECTURE.md says the same in words.

#[path = "architecture/folders.rs"]
mod folders;

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

/// Each crate and the workspace crates it may use. Add an edge here first, with a reason.
const ALLOWED: &[(&str, &[&str])] = &[
    // Rules of an app's source, which the platform and the program in the stack image follow alike.
    ("source", &[]),
    ("domain", &["source"]),
    ("api", &[]),
    // Shares of connections by source: every listener counts alike.
    ("listener", &[]),
    ("store", &["domain"]),
    // Connections to what users name: one connector checks them all.
    ("outbound", &["domain"]),
    // A client of registries, and archives of images.
    ("oci", &["domain", "outbound"]),
    // What the worlds of tests share.
    ("testkit", &[]),
    // Contract of engines: traits, the steps of builds, and the shared code of both engines. The conformance suite, a
    // feature, waits as tests do.
    ("engine", &["domain", "oci", "outbound", "testkit"]),
    ("engine-docker", &["domain", "engine", "oci", "outbound", "registry"]),
    ("engine-kubernetes", &["domain", "engine", "oci", "outbound", "registry"]),
    // The client of the logger lies beside its HTTP interface, so that paths, key and form of lines stand once.
    ("controller", &["api", "domain", "engine", "listener", "logger", "outbound", "store"]),
    ("builder", &["api", "domain", "engine", "listener"]),
    ("router", &["domain", "engine", "listener"]),
    ("logger", &["domain", "engine", "listener"]),
    ("slug", &["source"]),
    // It runs beside code of buildpacks and stands in images of others: it knows files alone.
    ("lifecycle", &[]),
    // Tokens of the managed registry follow the same rules as the credentials that the engine hands out.
    ("registry", &["domain", "listener"]),
    // `deis builds:detect` decides about a source as the builder does.
    ("deis", &["api", "source"]),
    // The only place where everything meets: settings and wiring.
    (
        "workflow",
        &[
            "api",
            "builder",
            "controller",
            "domain",
            "engine",
            "engine-docker",
            "engine-kubernetes",
            "listener",
            "logger",
            "oci",
            "registry",
            "router",
            "store",
        ],
    ),
    // They run binaries. xtask makes the stack image by the same pure code as engines read it with.
    ("e2e", &["testkit"]),
    // Paths, packages and commands, the same for chores and the tools below them.
    ("chores", &[]),
    // A Kubernetes for tests.
    ("cluster", &["chores"]),
    // A bench on a cluster measures a platform that is installed as scenarios install it.
    ("xtask", &["chores", "cluster", "e2e"]),
];

/// External crates that only one crate may use, so that nothing else knows what is underneath.
const CONFINED: &[(&str, &str)] = &[
    ("bollard", "engine-docker"),
    ("sqlx", "store"),
    ("russh", "builder"),
    // Certificates that nobody brings.
    ("instant-acme", "controller"),
    // The API, the logger, and what probes ask of each role.
    ("axum", "controller logger workflow"),
    // Sessions with somebody in front of them: the server's end, and that of the typed client.
    ("tokio-tungstenite", "api controller"),
    // Logins by a directory.
    ("ldap3", "controller"),
    // Proofs of domains: the only resolver besides the system's.
    ("hickory-resolver", "controller"),
    ("resolv-conf", "controller"),
    // The user's own terminal; sockets that a restarted program takes over; limits of a process that was started.
    ("rustix", "builder deis workflow"),
    ("kube", "engine-kubernetes"),
    ("k8s-openapi", "engine-kubernetes"),
    // Other HTTP clients than the connector for what users name: the typed client of the API, and the certificate
    // authority that the operator names.
    ("ureq", "api"),
    ("reqwest", ""),
    ("hyper-rustls", "controller outbound"),
    // Answers on their way to visitors; caches of builds.
    ("zstd", "engine router"),
];

#[test]
fn crates_depend_only_on_what_the_picture_allows() {
    let allowed: BTreeMap<_, BTreeSet<_>> =
        ALLOWED.iter().map(|(name, uses)| (*name, uses.iter().copied().collect())).collect();
    let packages = packages();

    for (name, dependencies) in &packages {
        let allowed = allowed.get(name.as_str()).unwrap_or_else(|| panic!("`{name}` is not in the picture"));
        for dependency in dependencies.iter().filter(|dependency| packages.contains_key(*dependency)) {
            assert!(allowed.contains(dependency.as_str()), "`{name}` must not depend on `{dependency}`");
        }
    }
}

#[test]
fn libraries_of_the_edge_stay_in_their_crate() {
    for (name, dependencies) in packages() {
        for (library, homes) in CONFINED {
            let at_home = homes.split(' ').any(|home| home == name);
            assert!(
                at_home || !dependencies.contains(*library),
                "`{name}` must not use `{library}`: only {homes} may"
            );
        }
    }
}

/// Sources that open connections of their own, and to whom: none of these addresses can a user name. What users name
/// goes through `outbound`.
const CONNECTING: &[(&str, &str)] = &[
    ("api/src/client/terminal/connection.rs", "the controller, as its client names it"),
    ("controller/src/auto_certs/transport.rs", "the certificate authority of the operator"),
    ("engine/src/conformance/load.rs", "a workload of the suite"),
    ("engine-docker/src/probe.rs", "a container that is probed"),
    ("engine-docker/src/sessions/wire.rs", "Docker"),
    ("oci/src/connector.rs", "the platform's registry; guarded for all others"),
    ("oci/src/transport.rs", "the platform's registry; guarded for all others"),
    ("logger/src/client.rs", "the logger"),
    ("outbound/src/connector.rs", "what users name, checked"),
    ("outbound/src/notify.rs", "what users name, checked"),
    ("registry/src/front.rs", "Distribution behind it"),
    ("registry/src/node_proxy.rs", "the managed registry"),
    ("router/src/listen/passthrough.rs", "the builder"),
    ("router/src/upstream.rs", "a backend of the route table"),
    ("server/src/roles/registry.rs", "Distribution behind it"),
];

#[test]
fn whoever_opens_connections_is_known_and_takes_no_address_of_a_user() {
    let crates =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a checkout").join("crates");
    let opens = ["TcpStream::connect(", "legacy::Client", "HttpConnector::new"];
    for file in sources(&crates) {
        let path = file.strip_prefix(&crates).expect("below it").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&file).expect("a source is text");
        // Connections of a source's own tests are not checked.
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        let is_known = CONNECTING.iter().any(|(known, _)| *known == path);
        let is_ours = path.contains("/src/") && !path.ends_with("/tests.rs");
        assert!(
            is_known || !is_ours || !opens.iter().any(|word| text.contains(word)),
            "`{path}` opens connections: if a user can name the address, use the crate `outbound`"
        );
    }
}

/// Every Rust file below a folder.
fn sources(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let of = |path: std::path::PathBuf| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    };
    let is_source = |path: &std::path::PathBuf| path.extension().is_some_and(|ending| ending == "rs");
    entries.flat_map(of).filter(is_source).collect()
}

#[test]
fn walkthroughs_name_files_that_exist_and_each_once() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies in the checkout");
    let page = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("the page is there");
    let walkthroughs = page.split("\n## Walkthroughs\n").nth(1).expect("the page has walkthroughs");
    let walkthroughs = walkthroughs.split("\n## ").next().expect("they end somewhere");

    let mut ways = 0;
    for way in walkthroughs.split("\n### ").skip(1) {
        let mut named = BTreeSet::new();
        for file in way.split('`').filter(|word| word.ends_with(".rs")) {
            assert!(root.join("crates").join(file).is_file(), "`{file}` is not there");
            assert!(named.insert(file), "`{file}` is named twice");
        }
        assert!(named.len() > 3, "a walkthrough names the files of its way: {way}");
        ways += 1;
    }
    assert_eq!(ways, 5, "push, config:set, a request, logs and run -it");
}

/// Names of the workspace's packages with those of their ordinary dependencies.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs: it runs this test");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("packages are a list");
    packages.iter().map(|package| (text(&package["name"]), ordinary_dependencies(package))).collect()
}

fn ordinary_dependencies(package: &serde_json::Value) -> BTreeSet<String> {
    let dependencies = package["dependencies"].as_array().expect("dependencies are a list");
    dependencies
        .iter()
        .filter(|dependency| dependency["kind"].is_null())
        .map(|it| text(&it["name"]))
        .collect()
}

fn text(value: &serde_json::Value) -> String {
    value.as_str().expect("names are texts").to_owned()
}
