//! The Go pack: manifests of all tools, and accounts for private modules.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::{Source, packs};

const SOURCED: &[&str] = &["lib/pack.sh", "10-go/lib/manifests.sh"];

#[test]
fn comments_of_go_mod_say_version_and_packages() {
    let source = Source::new(&[(
        "go.mod",
        "module a.example/x\r\n\r\n// +heroku goVersion go1.25\r\n// +heroku install ./cmd/... ./tool\r\ngo 1.25.0\r\n",
    )]);

    assert_eq!(source.bash(SOURCED, "heroku_comment goVersion").as_deref(), Ok("go1.25"));
    assert_eq!(source.bash(SOURCED, "heroku_comment install").as_deref(), Ok("./cmd/... ./tool"));
    assert_eq!(source.bash(SOURCED, "heroku_comment other").as_deref(), Ok(""));
}

#[test]
fn a_program_is_built_with_the_series_that_its_module_or_its_config_names() {
    let series = |files: &[(&str, &str)]| Source::new(files).bash(SOURCED, "ENV_DIR=env; asked_series");
    let module = ("go.mod", "module a.example/x\r\n\r\ngo 1.25.0\r\ntoolchain go1.26.3\r\n");

    assert_eq!(series(&[module]).as_deref(), Ok("1.26"));
    assert_eq!(series(&[module, ("go.work", "go 1.24\nuse .\n")]).as_deref(), Ok("1.24"));
    assert_eq!(series(&[module, ("env/GOVERSION", "go1.23.2")]).as_deref(), Ok("1.23"));
    assert_eq!(series(&[("main.go", "package main\n")]).as_deref(), Ok(""));
}

#[test]
fn the_import_path_is_in_the_manifest_of_each_tool_before_modules() {
    for (file, content) in [
        ("Godeps/Godeps.json", r#"{"ImportPath": "a.example/me/app"}"#),
        ("vendor/vendor.json", r#"{"rootPath": "a.example/me/app"}"#),
        ("glide.yaml", "package: a.example/me/app\nimport: []\n"),
        (".godir", "\na.example/me/app\n"),
        (
            "Gopkg.toml",
            "[[constraint]]\n  name = \"x\"\n[metadata.heroku]\n  root-package = \"a.example/me/app\"\n",
        ),
    ] {
        let source = Source::new(&[(file, content)]);

        assert_eq!(source.bash(SOURCED, "import_path").as_deref(), Ok("a.example/me/app"), "{file}");
    }
}

#[test]
fn packages_to_build_are_in_the_manifest_of_each_tool_before_modules() {
    for (file, content) in [
        ("Godeps/Godeps.json", r#"{"Packages": ["./cmd/a", "./cmd/b"]}"#),
        ("vendor/vendor.json", r#"{"heroku": {"install": ["./cmd/a", "./cmd/b"]}}"#),
        ("Gopkg.toml", "[metadata.heroku]\n  install = [\"./cmd/a\", \"./cmd/b\"]\n"),
    ] {
        let source = Source::new(&[(file, content)]);

        assert_eq!(
            source.bash(SOURCED, "heroku_comment install").as_deref(),
            Ok("./cmd/a ./cmd/b"),
            "{file}"
        );
    }
}

#[test]
fn a_source_that_does_not_say_its_import_path_is_refused_with_the_remedy() {
    let source = Source::new(&[("Gopkg.lock", "")]);

    let said = source.bash(SOURCED, "enter_gopath").expect_err("refused");

    assert!(said.contains("Gopkg.lock does not say the import path") && said.contains(".godir"), "{said}");
}

#[test]
fn git_gets_the_account_of_its_host_alone() {
    let source = Source::new(&[]);
    source.file("env/GO_GIT_CRED__HTTPS__GIT__EXAMPLE__COM", "me:secret");
    source.file("env/GO_GIT_CRED__HTTPS__TOKEN__EXAMPLE", "tokentoken");

    for (host, answer) in [
        ("git.example.com", "username=me\npassword=secret\n"),
        ("token.example", "username=tokentoken\npassword=tokentoken\n"),
        ("other.example.com", ""),
        ("../../etc/passwd", ""),
    ] {
        let mut helper = Command::new(packs().join("10-go/lib/git-account.sh"))
            .arg(source.dir.path().join("env"))
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the helper starts");
        let mut input = helper.stdin.take().expect("a pipe");
        write!(input, "protocol=https\nhost={host}\n\n").expect("written");
        drop(input);

        let output = helper.wait_with_output().expect("it ends");

        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stdout), answer, "{host}");
    }
}
