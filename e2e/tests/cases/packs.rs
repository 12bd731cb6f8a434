//! Cases of packs: what they install and build.

use std::path::Path;
use std::time::Duration;

use e2e::{Platform, User, wait_until_blocking};

#[test]
fn what_packs_build_is_what_was_pushed() {
    let platform = Platform::start();
    let admin = platform.admin();

    a_package_that_reads_a_file_of_the_app(&platform, &admin);
    a_program_for_development_in_prepare(&platform, &admin);
    a_package_of_the_app_in_its_place(&platform, &admin);
    versions_and_names_that_cannot_be_had(&platform, &admin);
    lock_files_that_cannot_be_obeyed(&admin);
    a_python_that_the_stack_lacks(&platform, &admin);
}

/// Cases 51 and 53.
fn lock_files_that_cannot_be_obeyed(user: &User<'_>) {
    let folder = user.app_from_case("locks", "51-two-lock-files");
    user.push(&folder)
        .fails(1, "package-lock.json and yarn.lock are both there, each of another package manager");

    user.replace_with_case(&folder, "53-lock-that-disagrees");
    user.push(&folder).fails(
        1,
        "package-lock.json does not agree with package.json: run `npm install` and commit package-lock.json",
    );
}

/// Case 52.
fn a_python_that_the_stack_lacks(platform: &Platform, user: &User<'_>) {
    let folder = user.app_from_case("mirrored", "52-python-from-a-mirror");
    let mirror = Mirror::start(user);
    let nowhere = "UV_PYTHON_INSTALL_MIRROR=http://127.0.0.1:9";
    user.deis_in(&folder, &["config:set", nowhere]).ok();
    user.push(&folder).fails(1, "Python 3.14 cannot be had (.python-version), the stack has 3.");

    let install = format!("UV_PYTHON_INSTALL_MIRROR={}", mirror.url);
    let list = format!("UV_PYTHON_DOWNLOADS_JSON_URL={}/downloads.json", mirror.url);
    user.deis_in(&folder, &["config:set", &install, &list]).ok();
    user.push(&folder).ok();

    platform.wait_for_answer("mirrored", "run by /app/.deis/interpreter/cpython-3.14");
}

/// A server of archives of Python, where builds can reach it.
struct Mirror {
    url: String,
    server: std::process::Child,
    _folder: tempfile::TempDir,
}

impl Mirror {
    fn start(user: &User<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        // Builds reach this machine by its network address, not by the loopback one.
        let addresses = user.run("hostname", &["--all-ip-addresses"]).ok().stdout;
        let address = addresses.split_whitespace().next().expect("this machine has an address").to_owned();
        let program = e2e::checkout().join("e2e/cases/52-python-from-a-mirror/mirror.py");
        // Debian's Python is one program without a library of its own.
        let server = std::process::Command::new("/usr/bin/python3")
            .arg(program)
            .arg(&address)
            .arg(folder.path())
            .stdin(std::process::Stdio::null())
            .spawn()
            .expect("python3 starts");
        let port = wait_until_blocking("the mirror listens", Duration::from_secs(60), || {
            std::fs::read_to_string(folder.path().join("port")).ok()
        });
        Self { url: format!("http://{address}:{port}"), server, _folder: folder }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn a_package_that_reads_a_file_of_the_app(platform: &Platform, user: &User<'_>) {
    let folder = user.app_from_case("generated", "03-node-generated-from-source");
    pack_sources(user, &folder, "generator", "package", "generator.tgz");
    user.push(&folder).ok();
    platform.wait_for_answer("generated", "first model");

    user.change(&folder, &[("schema.txt", "second model\n")]);
    user.push(&folder).ok();

    platform.wait_for_answer("generated", "second model");
}

/// Packs a folder into `vendor/<archive>` under another name, as archives of package registries are.
fn pack_sources(user: &User<'_>, folder: &Path, sources: &str, name: &str, archive: &str) {
    let folder = folder.to_str().expect("UTF-8");
    user.run("mkdir", &["-p", &format!("{folder}/vendor")]).ok();
    let archive = format!("{folder}/vendor/{archive}");
    let transform = format!("--transform=s/^{sources}/{name}/");
    let words = ["--create", "--gzip", "--file", &archive, "--directory", folder, &transform, sources];
    user.run("tar", &words).ok();
    user.run("rm", &["-r", &format!("{folder}/{sources}")]).ok();
    user.commit(Path::new(folder), "an archive instead of its source");
}

fn a_program_for_development_in_prepare(platform: &Platform, user: &User<'_>) {
    let folder = user.app_from_case("prepared", "08-node-program-for-development");

    user.push(&folder).ok();

    platform.wait_for_answer("prepared", "pruned");
    a_build_script_that_reads_the_config(platform, user, &folder);
}

/// Case 06, with an app whose cache has Node.js.
fn a_build_script_that_reads_the_config(platform: &Platform, user: &User<'_>, folder: &Path) {
    user.replace_with_case(folder, "06-config-in-a-node-build");
    let config = ["API_URL=https://api.example.com", "NODE_ENV=production", "NPM_TOKEN=from-config"];
    user.deis_in(folder, &[&["config:set"], &config[..]].concat()).ok();

    user.push(folder).ok();

    let built = "api=https://api.example.com environment=production token=from-config";
    platform.wait_for_answer("prepared", built);
}

fn a_package_of_the_app_in_its_place(platform: &Platform, user: &User<'_>) {
    let folder = user.app_from_case("place", "10-python-package-in-place");

    user.push(&folder).ok();

    platform.wait_for_answer("place", "/app/src/place/__init__.py *");
    let told = user.deis_in(&folder, &["run", "tell-place"]).ok().stdout;
    assert!(told.contains("/app/src/place/__init__.py"), "{told}");
    a_command_has_its_arguments(user, &folder);
    the_output_of_a_command_is_whole(user, &folder);
    let line = format!("]: {{\"message\": \"{}\"}}\n", "ü".repeat(100_000));
    wait_until_blocking("the long line in the log", Duration::from_secs(30), || {
        user.deis_in(&folder, &["logs", "-n", "1000"]).ok().stdout.contains(&line).then_some(())
    });
    a_package_that_is_built_by_the_config(platform, user, &folder);
    requirements_that_name_a_variable(platform, user, &folder);
}

/// Case 21, with an app that exists already.
fn a_command_has_its_arguments(user: &User<'_>, folder: &Path) {
    user.deis_in(folder, &["run", "--", "bash", "-c", "exit 53"]).fails(53, "Running");
    let shown = "import sys; print(sys.argv[1:])";
    let told = user.deis_in(folder, &["run", "--", "python3", "-c", shown, "a b", "", "it's", "$HOME"]).ok();
    assert_eq!(told.stdout, "['a b', '', \"it's\", '$HOME']\n");
    let told = user.deis_in(folder, &["run", "echo a   b; exit 7"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(7), ""));
    assert!(told.stderr.ends_with("a b\n"), "{}", told.stderr);
}

/// Case 23, with an app that exists already.
fn the_output_of_a_command_is_whole(user: &User<'_>, folder: &Path) {
    let told = user.deis_in(folder, &["run", r#"printf "\377\376\000abc""#]).ok();
    assert_eq!(told.stdout_bytes, b"\xff\xfe\0abc");
    let told = user.deis_in(folder, &["run", "seq 1 5"]).ok();
    assert_eq!(told.stdout, "1\n2\n3\n4\n5\n");
}

/// Uses an app whose cache has the tools for it.
fn a_package_that_is_built_by_the_config(platform: &Platform, user: &User<'_>, folder: &Path) {
    user.replace_with_case(folder, "03-python-built-from-config");
    let name = "word_of_config-1.0.0";
    pack_sources(user, folder, "word_of_config", name, &format!("{name}.tar.gz"));
    for word in ["first", "second"] {
        user.deis_in(folder, &["config:set", &format!("WORD={word} word")]).ok();
        user.commit(folder, word);
        user.push(folder).ok();
        platform.wait_for_answer("place", &format!("{word} word"));
    }
}

/// Case 06, with an app whose cache has the tools for it.
fn requirements_that_name_a_variable(platform: &Platform, user: &User<'_>, folder: &Path) {
    user.replace_with_case(folder, "06-config-in-requirements");
    let sources = folder.join("shown").display().to_string();
    let wheel = folder.join("vendor/wheels/shown-1.0.0-py3-none-any.whl").display().to_string();
    user.run("mkdir", &["-p", &folder.join("vendor/wheels").display().to_string()]).ok();
    let contents = [format!("{sources}/shown.py"), format!("{sources}/shown-1.0.0.dist-info")];
    user.run("python3", &["-m", "zipfile", "--create", &wheel, &contents[0], &contents[1]]).ok();
    user.run("rm", &["-r", &sources]).ok();
    user.commit(folder, "a wheel instead of its files");
    user.deis_in(folder, &["config:set", "PACKAGES=vendor/wheels"]).ok();

    user.push(folder).ok();

    platform.wait_for_answer("place", "installed from the folder that the config names");
}

fn versions_and_names_that_cannot_be_had(platform: &Platform, user: &User<'_>) {
    let folder = user.app_from_case("newer", "26-python-that-the-stack-lacks");
    user.push(&folder)
        .fails(1, "Python >=4.2 cannot be had (requires-python of pyproject.toml), the stack has 3.");

    let folder = user.app_from_case("pair", "35-go-programs-of-one-name");
    let refused = "two programs are called `server`, rename the folder of one: \
                   example.com/pair/back/cmd/server example.com/pair/front/cmd/server";
    user.push(&folder).fails(1, refused);
    a_header_that_go_does_not_know_of(platform, user, &folder);
}

fn a_header_that_go_does_not_know_of(platform: &Platform, user: &User<'_>, folder: &Path) {
    user.replace_with_case(folder, "03-go-header-elsewhere");
    user.push(folder).ok();
    platform.wait_for_answer("pair", "first word");

    user.change(folder, &[("include/word.h", "#define WORD \"second word\"\n")]);
    user.push(folder).ok();

    platform.wait_for_answer("pair", "second word");
}
