use super::*;
use crate::project_toml::ProjectDescriptor;

fn image() -> ImageParts {
    let metadata =
        r#"{"stack":{"runImage":{"image":"example/run:1","mirrors":["registry.example.com/run:1"]}}}"#;
    let labels = [
        (METADATA, metadata),
        (APIS, r#"{"platform":{"deprecated":["0.7"],"supported":["0.12","0.13","0.99"]}}"#),
        (BUILDPACKS, r#"{"example/app":{"1.0":{"api":"0.10"}},"example/lib":{"1":{},"2":{}}}"#),
    ];
    ImageParts {
        architecture: "amd64".to_owned(),
        os: "linux".to_owned(),
        env: ["PATH=/bin", "CNB_USER_ID=1001", "CNB_GROUP_ID=1002"].map(str::to_owned).to_vec(),
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
    }
}

fn read(image: &ImageParts) -> Result<Builder, BuilderError> {
    Builder::read("registry.example.com/builder:1", image, "amd64")
}

#[test]
fn a_builder_says_its_user_its_run_image_and_the_best_api_that_both_know() {
    let builder = read(&image()).expect("a builder");

    assert_eq!((builder.user, builder.group, builder.platform_api), (1001, 1002, "0.13"));
    let near_first = ["registry.example.com/run:1", "example/run:1"];
    assert_eq!(builder.run_image.names("registry.example.com/builder:1"), near_first);
    assert_eq!(builder.run_image.names("builder"), ["example/run:1", "registry.example.com/run:1"]);
}

#[test]
fn images_that_cannot_build_are_refused_by_name() {
    let without = |label: &str| {
        let mut image = image();
        image.labels.remove(label);
        image
    };
    let with = |label: &str, value: &str| {
        let mut image = image();
        image.labels.insert(label.to_owned(), value.to_owned());
        image
    };
    let of_user = |id: &str| ImageParts { env: vec![format!("CNB_USER_ID={id}")], ..image() };
    for (image, expected) in [
        (without(METADATA), "is no builder"),
        (without(APIS), "has no lifecycle"),
        (with(APIS, r#"{"platform":{"supported":["0.10","0.11"]}}"#), "has the Platform APIs 0.10, 0.11"),
        (with(EXTENSIONS, r#"[{"group":[{"id":"a"}]}]"#), "has image extensions"),
        (with(METADATA, "{}"), "names no run image"),
        (of_user("0"), "does not say as which user"),
        (of_user("root"), "does not say as which user"),
        (ImageParts { architecture: "arm64".to_owned(), ..image() }, "is for arm64, and builds run on amd64"),
    ] {
        let told = read(&image).expect_err(expected).to_string();
        assert!(told.contains(expected) && told.contains("builder:1"), "{told}");
    }
    assert!(read(&with(EXTENSIONS, "[]")).is_ok());
}

#[test]
fn a_group_of_the_source_names_buildpacks_of_the_builder() {
    let builder = read(&image()).expect("a builder");
    let order = |id: &str, version: Option<&str>| {
        let entry = GroupEntry { id: id.to_owned(), version: version.map(str::to_owned) };
        let descriptor = ProjectDescriptor { group: vec![entry], ..ProjectDescriptor::default() };
        builder.order(&CnbOptions { descriptor, ..CnbOptions::default() }).map_err(|error| error.to_string())
    };

    let expected = "[[order]]\n[[order.group]]\nid = \"example/app\"\nversion = \"1.0\"\n".to_owned();
    assert_eq!(order("example/app", None), Ok(Some(expected)));
    assert!(order("example/lib", Some("2")).is_ok());
    for (id, version, expected) in [
        ("example/none", None, "has no buildpack example/none; it has example/app, example/lib"),
        ("example/lib", Some("3"), "has no buildpack example/lib@3; it has 1, 2"),
        ("example/lib", None, "several versions of the buildpack example/lib, 1, 2"),
    ] {
        let told = order(id, version).expect_err(expected);
        assert!(told.contains(expected), "{told}");
    }
    assert_eq!(builder.order(&CnbOptions::default()), Ok(None));
}

#[test]
fn detection_learns_the_run_image_and_nothing_of_its_labels_breaks_the_file() {
    let run = RunImage { image: "example/run:1".to_owned(), mirrors: Vec::new() };
    let mut image = image();
    image.labels.insert(DISTRO_NAME.to_owned(), "deb\"ian\n".to_owned());
    image.labels.insert(DISTRO_VERSION.to_owned(), "13".to_owned());

    assert_eq!(
        analyzed("example/run@sha256:1", &run, &image),
        "[run-image]\nreference = \"example/run@sha256:1\"\nimage = \"example/run:1\"\n[run-image.target]\n\
         os = \"linux\"\narch = \"amd64\"\n[run-image.target.distro]\nname = \"deb\\\"ian\\n\"\nversion = \"13\"\n"
    );
}

#[test]
fn an_app_chooses_the_platforms_builder_or_an_image() {
    assert_eq!(BuilderChoice::parse("default"), Ok(BuilderChoice::Default));
    assert_eq!(BuilderChoice::parse("a/b:1").map(String::from), Ok("a/b:1".to_owned()));
    assert!(BuilderChoice::parse("A B").is_err());
    assert_eq!(BuilderChoice::Default.image(Some("own")), Some("own"));
}
