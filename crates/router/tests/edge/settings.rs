//! Every setting by its text, as an annotation or a flag has it, and what is seen of it on the wire: without it,
//! and with it. A setting that the docs have and nobody shows here fails.
//!
//! The controller's tests cover settings made through the API, from the call to the route.

mod app;
mod ground;
mod router;

use std::collections::BTreeSet;

use domain::edge::{app_keys, router_keys};

use self::ground::Ground;

/// Settings of an app that the API has.
const OF_THE_API: [&str; 5] = ["certificates", "domains", "maintenance", "ssl.enforce", "whitelist"];
const DOCS: &str = include_str!("../../../../docs/router.md");
const TABLE: &str = "\n| Router | App | Default | Meaning |\n|---|---|---|---|\n";

type Texts = &'static [(&'static str, &'static str)];

struct Setting {
    key: &'static str,
    text: &'static str,
    /// Further settings of the router, both times.
    router: Texts,
    seen: fn(&Ground) -> bool,
}

const fn setting(key: &'static str, text: &'static str, seen: fn(&Ground) -> bool) -> Setting {
    Setting { key, text, router: &[], seen }
}

impl Setting {
    const fn beside(self, router: Texts) -> Self {
        Self { router, ..self }
    }

    /// Shown by `tell`, which gives a ground with this setting in its place.
    fn show(&self, tell: impl Fn(&Ground, (&'static str, &'static str))) {
        let Self { key, text, router, seen } = self;
        for is_set in [false, true] {
            let ground = Ground::new();
            ground.tell_router(router);
            if is_set {
                tell(&ground, (key, text));
            }
            assert_eq!(seen(&ground), is_set, "{key}: {text}, set: {is_set}");
        }
    }
}

#[test]
fn each_setting_of_a_router_is_seen() {
    for setting in router::SETTINGS {
        setting.show(|ground, own| ground.tell_router(&[setting.router, &[own]].concat()));
    }
}

#[test]
fn each_setting_of_an_app_is_seen() {
    for setting in app::SETTINGS {
        setting.show(|ground, own| ground.tell_app(&[own]));
    }
}

#[test]
fn the_docs_have_the_settings_that_there_are_and_each_is_shown() {
    let (router, mut app) = documented();
    let shown = |settings: &[Setting]| settings.iter().map(|setting| setting.key).collect::<BTreeSet<_>>();

    let names = |keys: &BTreeSet<&str>| keys.iter().map(|key| (*key).to_owned()).collect::<BTreeSet<_>>();

    assert_eq!(router, names(&router_keys()));
    assert_eq!(shown(router::SETTINGS), router_keys());
    for key in OF_THE_API {
        assert!(app.remove(key), "the docs have {key}");
    }
    assert_eq!(app, names(&app_keys()));
    assert_eq!(shown(app::SETTINGS), app_keys());
}

/// Keys of the docs' table, of routers and of apps.
fn documented() -> (BTreeSet<String>, BTreeSet<String>) {
    let table = DOCS.split(TABLE).nth(1).expect("the docs have the table");
    let (mut router, mut app) = (BTreeSet::new(), BTreeSet::new());
    for line in table.lines().take_while(|line| line.starts_with('|')) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let of_router = keys(cells[1]);
        app.extend(if cells[2] == "the same" { of_router.clone() } else { keys(cells[2]) });
        router.extend(of_router);
    }
    (router, app)
}

/// Names in backticks; one that begins with a dot goes on where the first one ends.
fn keys(cell: &str) -> Vec<String> {
    let names: Vec<_> = cell.split('`').skip(1).step_by(2).collect();
    let stem = names.first().and_then(|first| first.rsplit_once('.')).map_or("", |(stem, _)| stem);
    let whole =
        |name: &&str| if name.starts_with('.') { format!("{stem}{name}") } else { (*name).to_owned() };
    names.iter().map(whole).collect()
}
