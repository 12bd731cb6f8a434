//! Inputs that failed once; each has a folder in `e2e/cases` with the expected result. They concern packs and git,
//! which are the same on both engines, or the processes of an app.

use std::path::Path;
use std::time::Duration;

use e2e::{Platform, User, wait_for};
use git_over_https::GitServer;

#[path = "../../crates/slug/tests/git_over_https/mod.rs"]
mod git_over_https;

#[test]
fn what_packs_build_is_what_was_pushed() {
    let platform = Platform::start();
    let admin = platform.admin();

    a_package_that_reads_a_file_of_the_app(&platform, &admin);
    a_program_for_development_in_prepare(&platform, &admin);
    a_package_of_the_app_in_its_place(&platform, &admin);
    versions_and_names_that_cannot_be_had(&platform, &admin);
}

#[test]
fn what_a_git_host_takes_is_taken() {
    let platform = Platform::start();
    let user = platform.admin();
    let folder = user.app_from_case("taken", "09-push-as-any-host-takes");
    make_links(&user, &folder);
    let remote = user.git(&folder, &["remote", "get-url", "deis"]).ok().stdout.trim().to_owned();

    histories_of_any_length(&platform, &user, &folder, &remote);
    one_branch_deploys(&platform, &user, &folder);
}

/// Builds reach the server at this machine's address in Docker's network.
#[test]
fn submodules_over_https_are_in_the_build_and_others_are_named() {
    let server = GitServer::for_containers();
    let words = server.commit("words.git", &[("index.html", "from a submodule")]);
    let platform = Platform::whose_builds_trust(&server.authority());
    let user = platform.admin();
    let modules = |first: &str| {
        let second = "[submodule \"old\"]\n\tpath = old\n\turl = git@git.example:old.git\n";
        format!("[submodule \"words\"]\n\tpath = public\n\turl = {first}\n{second}")
    };
    let procfile = ("Procfile", "web: exec slug static --port $PORT public\n");
    let folder =
        user.app_from_files("modules", &[procfile, (".gitmodules", &modules(&server.url("words.git")))]);
    for path in ["public", "old"] {
        user.git(&folder, &["update-index", "--add", "--cacheinfo", &format!("160000,{words},{path}")]).ok();
        std::fs::create_dir_all(folder.join(path)).expect("a folder");
    }
    user.git(&folder, &["commit", "--quiet", "--message", "submodules"]).ok();

    let pushed = user.push(&folder).ok().all();

    assert!(
        pushed.contains(&format!("public from {} at {}", server.url("words.git"), &words[..8])),
        "{pushed}"
    );
    assert!(pushed.contains("Submodule old stays empty: only https is fetched"), "{pushed}");
    platform.wait_for_answer("modules", "from a submodule");

    user.change(&folder, &[(".gitmodules", &modules(&server.url("none.git")))]);
    user.push(&folder).fails(1, "Submodule public could not be fetched from https://");
    platform.wait_for_answer("modules", "from a submodule");
}

fn make_links(user: &User<'_>, folder: &Path) {
    let links = std::fs::read_to_string(folder.join("links.txt")).expect("links of the case");
    for (path, target) in links.lines().filter_map(|line| line.split_once(' ')) {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::os::unix::fs::symlink(target, path).expect("a link");
    }
    user.commit(folder, "links");
}

fn histories_of_any_length(platform: &Platform, user: &User<'_>, folder: &Path, remote: &str) {
    let shallow = folder.with_extension("shallow");
    let from = format!("file://{}", folder.display());
    let to = shallow.to_str().expect("UTF-8");
    user.run("git", &["clone", "--quiet", "--depth=1", &from, to]).ok();

    user.git(&shallow, &["push", remote, "HEAD:master"]).ok();
    platform.wait_for_answer("taken", "push 1: ../../shared/log ../../../../pictures");
    user.change(&shallow, &[("number", "2\n")]);
    user.git(&shallow, &["push", remote, "HEAD:master"]).ok();
    platform.wait_for_answer("taken", "push 2:");

    user.git(folder, &["fetch", "--quiet", to, "master"]).ok();
    user.git(folder, &["merge", "--quiet", "--ff-only", "FETCH_HEAD"]).ok();
    user.change(folder, &[("number", "3\n")]);
    user.push(folder).ok();
    platform.wait_for_answer("taken", "push 3:");
}

fn one_branch_deploys(platform: &Platform, user: &User<'_>, folder: &Path) {
    user.deis_in(folder, &["git:branch"]).ok().stdout.find("The branch master deploys taken.").expect("kept");
    user.git(folder, &["branch", "old"]).ok();
    user.change(folder, &[("number", "4\n")]);
    user.git(folder, &["push", "deis", "master", "old"]).ok();
    platform.wait_for_answer("taken", "push 4:");

    user.git(folder, &["push", "deis", ":old"]).ok();
    user.git(folder, &["push", "deis", ":master"]).fails(1, "`master` cannot be deleted");
    user.change(folder, &[("number", "5\n")]);
    user.git(folder, &["push", "deis", "HEAD:refs/heads/trunk"]).fails(1, "deis git:branch trunk");
    user.deis_in(folder, &["git:branch", "trunk"]).ok();
    user.git(folder, &["push", "deis", "HEAD:refs/heads/trunk"]).ok();
    platform.wait_for_answer("taken", "push 5:");

    user.deis_in(folder, &["git:branch", "--any"]).ok();
    user.change(folder, &[("number", "6\n")]);
    user.git(folder, &["push", "deis", "HEAD:refs/heads/whatever"]).ok();
    platform.wait_for_answer("taken", "push 6:");
    user.git(folder, &["push", "deis", "--delete", "master"]).ok();
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
}

fn a_package_of_the_app_in_its_place(platform: &Platform, user: &User<'_>) {
    let folder = user.app_from_case("place", "10-python-package-in-place");

    user.push(&folder).ok();

    platform.wait_for_answer("place", "/app/src/place/__init__.py *");
    let told = user.deis_in(&folder, &["run", "tell-place"]).ok().stdout;
    assert!(told.contains("/app/src/place/__init__.py"), "{told}");
    a_command_has_its_arguments_and_its_output_is_whole(user, &folder);
    let line = format!("]: {{\"message\": \"{}\"}}\n", "ü".repeat(100_000));
    wait_for("the long line in the log", Duration::from_secs(30), || {
        user.deis_in(&folder, &["logs", "-n", "1000"]).ok().stdout.contains(&line).then_some(())
    });
    a_package_that_is_built_by_the_config(platform, user, &folder);
}

/// Uses an app that exists already.
fn a_command_has_its_arguments_and_its_output_is_whole(user: &User<'_>, folder: &Path) {
    user.deis_in(folder, &["run", "--", "bash", "-c", "exit 53"]).fails(53, "Running");
    let shown = "import sys; print(sys.argv[1:])";
    let told = user.deis_in(folder, &["run", "--", "python3", "-c", shown, "a b", "", "it's", "$HOME"]).ok();
    assert_eq!(told.stdout, "['a b', '', \"it's\", '$HOME']\n");
    let told = user.deis_in(folder, &["run", "echo a   b; exit 7"]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(7), ""));
    assert!(told.stderr.ends_with("a b\n"), "{}", told.stderr);
    let told = user.deis_in(folder, &["run", r#"printf "\377\376\000abc""#]).ok();
    assert_eq!(told.stdout_bytes, b"\xff\xfe\0abc");
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

#[test]
fn processes_come_back_and_their_ends_are_told() {
    let platform = Platform::start();
    let admin = platform.admin();

    a_type_that_one_push_lacks(&platform, &admin);
    a_page_that_was_a_worker_for_one_push(&platform, &admin);
    a_server_that_crashes(&platform, &admin);
}

fn a_type_that_one_push_lacks(platform: &Platform, user: &User<'_>) {
    let folder = user.app_from_case("typo", "01-type-missing-from-one-push");
    let push = |procfile: &str| {
        user.change(&folder, &[("Procfile", procfile)]);
        user.push(&folder).ok().all()
    };
    let webs = || user.deis_in(&folder, &["ps"]).ok().stdout.matches("typo-web-").count();
    let served = push("web: exec python3 server.py # first\n");
    assert!(!served.contains("WARNING"), "{served}");
    user.deis_in(&folder, &["scale", "web=2"]).ok();

    let unserved = push("veb: exec python3 server.py\n");
    let warning = "nothing serves this app: its Procfile has no `web`, only veb";
    assert!(unserved.contains("WARNING") && unserved.contains(warning), "{unserved}");
    is_logged(user, &folder, &[warning]);

    let served = push("web: exec python3 server.py\n");
    assert!(!served.contains("WARNING"), "{served}");
    platform.wait_for_answer("typo", "served by web");
    assert_eq!(webs(), 2);
}

fn a_page_that_was_a_worker_for_one_push(platform: &Platform, user: &User<'_>) {
    let folder = user.app_from_files("page", &[("index.html", "a page\n")]);
    user.push(&folder).ok();
    platform.wait_for_answer("page", "a page");

    user.change(&folder, &[("Procfile", "worker: exec sleep 100000\n")]);
    let unserved = user.push(&folder).ok().all();
    assert!(unserved.contains("its Procfile has no `web`, only worker"), "{unserved}");
    user.git(&folder, &["rm", "--quiet", "Procfile"]).ok();
    user.change(&folder, &[("index.html", "a page again\n")]);
    user.push(&folder).ok();

    platform.wait_for_answer("page", "a page again");
}

fn a_server_that_crashes(platform: &Platform, user: &User<'_>) {
    let folder = user.app_from_case("crasher", "20-server-that-crashes");
    user.push(&folder).ok();
    platform.wait_for_answer("crasher", "still here");

    for (path, cause) in [("/exit", "exit code 3"), ("/signal", "exit code 139, signal 11 (SIGSEGV)")] {
        let answer = platform.get("crasher", path);
        assert!(!answer.as_ref().is_ok_and(|answer| answer.status == 200), "{answer:?}");
        is_logged(user, &folder, &[cause, "it is started again"]);
        platform.wait_for_answer("crasher", "still here");
    }
    let listed = user.deis_in(&folder, &["ps"]).ok().stdout;
    assert!(
        listed.contains("up (v2) crashed (exit code 139, signal 11 (SIGSEGV), 2 times since 20"),
        "{listed}"
    );
    let listed = user.deis_in(&folder, &["ps", "-o", "json"]).ok().stdout;
    assert!(listed.contains("\"exit_code\": 139") && listed.contains("\"times\": 2"), "{listed}");

    user.deis_in(&folder, &["limits:set", "web=64M"]).ok();
    platform.wait_for_answer("crasher", "still here");
    let listed = user.deis_in(&folder, &["ps"]).ok().stdout;
    assert!(!listed.contains("crashed"), "{listed}");
    let answer = platform.get("crasher", "/memory");
    assert!(!answer.as_ref().is_ok_and(|answer| answer.status == 200), "{answer:?}");
    is_logged(user, &folder, &["needed more than its memory limit of 64 MB"]);
    platform.wait_for_answer("crasher", "still here");
    let listed = user.deis_in(&folder, &["ps"]).ok().stdout;
    assert!(listed.contains("crashed (out of memory, once, at 20"), "{listed}");
}

/// Waits until some line of the app's log has all of these texts.
fn is_logged(user: &User<'_>, folder: &Path, texts: &[&str]) {
    wait_for(&format!("{texts:?} in the log"), Duration::from_secs(30), || {
        let log = user.deis_in(folder, &["logs", "-n", "500"]).ok().stdout;
        log.lines().any(|line| texts.iter().all(|text| line.contains(text))).then_some(())
    });
}
