//! Cases of git: histories, branches, tags, links and submodules.

use std::path::Path;

use e2e::{Platform, User};

use crate::git_over_https::GitServer;
use crate::read_case;

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
    a_tag_in_the_place_of_a_branch(user, folder);
    user.git(folder, &["push", "deis", ":master"]).fails(1, "`master` cannot be deleted");
    user.change(folder, &[("number", "5\n")]);
    user.git(folder, &["push", "deis", "HEAD:refs/heads/trunk"]).fails(1, "deis git:branch trunk");
    user.deis_in(folder, &["git:branch", "trunk"]).ok();
    user.git(folder, &["push", "deis", "HEAD:refs/heads/trunk"]).ok();
    platform.wait_for_answer("taken", "push 5:");

    user.deis_in(folder, &["git:branch", "--any"]).ok();
    user.change(folder, &[("number", "6\n")]);
    user.git(folder, &["push", "deis", "HEAD:refs/heads/whatever", "HEAD:main"]).ok();
    platform.wait_for_answer("taken", "push 6:");
    user.git(folder, &["push", "deis", "--delete", "master"]).ok();
}

/// Case 36.
fn a_tag_in_the_place_of_a_branch(user: &User<'_>, folder: &Path) {
    user.git(folder, &["tag", "--annotate", "--message=one", "v1"]).ok();
    let pushes = read_case("36-refs-that-nothing-runs", "pushes.txt");
    for (refspec, text) in pushes.lines().filter_map(|line| line.split_once(' ')) {
        let pushed = user.git(folder, &["push", "deis", refspec]).ok().all();
        assert!(pushed.contains(text), "{refspec}: {text:?} is missing in:\n{pushed}");
    }
}
