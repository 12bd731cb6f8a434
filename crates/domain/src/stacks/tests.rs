use super::*;

fn own() -> Stacks {
    Stacks::default()
}

fn name(text: &str) -> StackName {
    StackName::parse(text).expect("a good name")
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_build_gets_the_images_of_its_toolchains_and_the_app_only_those_that_it_needs() {
    let stacks = own();
    let trixie = name("trixie");
    let stack = stacks.get(&trixie).expect("it is there");

    let (build, run) = stack.parts(&trixie, &set(&["java", "rust"])).expect("the stack has both");

    assert_eq!(build.base, "deis/stack:trixie-build");
    assert_eq!(build.toolchains, ["deis/stack:trixie-java-build", "deis/stack:trixie-rust-build"]);
    assert_eq!(
        (run.base.as_str(), &run.toolchains[..]),
        ("deis/stack:trixie", &["deis/stack:trixie-java".to_owned()][..])
    );
    let unknown = stack.parts(&trixie, &set(&["cobol"])).expect_err("there is none").to_string();
    assert!(unknown.contains("no toolchain `cobol`, it has java, php, python, ruby, rust"), "{unknown}");
}

#[test]
fn an_operator_adds_a_stack_and_chooses_the_default_by_a_file() {
    let file = br#"{"default": "heroku-24", "stacks": {"heroku-24": {
        "run": "heroku/heroku:24", "build": "heroku/heroku:24-build", "variable": "heroku-24"}}}"#;

    let stacks = own().with_file(file).expect("it is good");

    assert_eq!(stacks.default_name().as_str(), "heroku-24");
    assert_eq!(
        stacks.names().map(StackName::as_str).collect::<Vec<_>>(),
        ["bookworm", "heroku-24", "trixie"]
    );
    let heroku = stacks.get(&name("heroku-24")).expect("it was added");
    let (build, run) = heroku.parts(&name("heroku-24"), &set(&[])).expect("it needs no toolchain");
    assert_eq!((build.base.as_str(), run.base.as_str()), ("heroku/heroku:24-build", "heroku/heroku:24"));
    assert_eq!(run.variable.as_deref(), Some("heroku-24"));
    let unknown = stacks.get(&name("cedar")).expect_err("there is none").to_string();
    assert_eq!(unknown, "there is no stack `cedar`; there are bookworm, heroku-24, trixie");
}

#[test]
fn a_file_that_cannot_be_used_says_where() {
    let error = |file: &str| own().with_file(file.as_bytes()).expect_err(file).to_string();
    let stack = |fields: &str| {
        format!(r#"{{"stacks": {{"x": {{"run": "our/run", "build": "our/build"{fields}}}}}}}"#)
    };

    assert!(error("[]").contains("expected JSON such as"), "{}", error("[]"));
    assert!(error(&stack(r#", "bulid": "c""#)).contains("unknown field `bulid`"));
    assert!(
        error(r#"{"stacks": {"x": {"run": "A B", "build": "b"}}}"#).contains("stack x: `A B` is no name")
    );
    let variable = error(&stack(r#", "variable": "a b""#));
    assert!(variable.contains("cannot be the value of STACK"), "{variable}");
    assert!(error(r#"{"default": "cedar"}"#).contains("no stack `cedar`"));
    assert!(
        error(r#"{"stacks": {"X": {"run": "our/run", "build": "our/build"}}}"#)
            .contains("`X` is no name of a stack")
    );
    assert_eq!(Stacks::own("deis/stack:latest"), Err(StacksError::NoPlaceholder));
}

#[test]
fn the_platforms_own_stacks_have_the_toolchains_that_images_are_made_of() {
    let lists = concat!(env!("CARGO_MANIFEST_DIR"), "/../../images/stacks");
    for stack in OWN {
        let folder = std::fs::read_dir(format!("{lists}/{stack}/toolchains")).expect(stack);
        let names: BTreeSet<String> =
            folder.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8")).collect();
        let wanted = TOOLCHAINS.iter().flat_map(|(name, Uses { run, build })| match (run, build) {
            (true, true) if names.contains(&format!("{name}.txt")) => vec![format!("{name}.txt")],
            (true, true) => vec![format!("{name}.build.txt"), format!("{name}.run.txt")],
            (true, false) => vec![format!("{name}.run.txt")],
            (false, false) => Vec::new(),
            (false, true) => vec![format!("{name}.build.txt")],
        });
        assert_eq!(names, wanted.collect(), "{stack}");
    }
}
