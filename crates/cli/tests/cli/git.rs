//! Git remotes, and finding the app of a folder.

use crate::apps::at_localhost;
use crate::world::World;

fn in_repository(world: World) -> World {
    assert_eq!(world.git("init --quiet").code, 0);
    world
}

#[test]
fn a_remote_is_added_kept_and_overwritten() {
    let world = in_repository(World::logged_in());
    world.deis("git:remote -a foo").says("Git remote deis successfully created for app foo.\n");
    world
        .deis("git:remote -a foo")
        .says("Remote deis already exists and is correctly configured for app foo.\n");
    world.deis("git:remote -a bar").fails_with(
        "Error: Remote deis already exists, please run 'deis git:remote -f' to overwrite\n\
         Existing remote URL: ssh://git@deis-builder.example.com:2222/foo.git\n\
         When forced, will overwrite with: ssh://git@deis-builder.example.com:2222/bar.git\n",
    );
    world
        .deis("git:remote -f -a bar")
        .says("Deleting git remote deis.\nGit remote deis successfully created for app bar.\n");
    world.deis("git:remote -r staging -a foo").says("Git remote staging successfully created for app foo.\n");
    assert_eq!(world.git("remote").out, "deis\nstaging\n");
    assert!(world.requests().is_empty());
}

#[test]
fn every_remote_of_an_app_is_removed() {
    let world = in_repository(World::logged_in());
    for remote in ["deis", "again"] {
        world.deis(&format!("git:remote -a bar -r {remote}"));
    }
    world.deis("git:remove -a bar").says("Git remotes for app bar removed.\n");
    assert_eq!(world.git("remote").out, "");
    world
        .deis("git:remove -a bar")
        .fails_with("Error: Could not find remote matching app in 'git remote -v'\n");
}

#[test]
fn the_branch_that_deploys_is_shown_and_chosen() {
    let with = |fields: &str| {
        let world = World::logged_in();
        let answer = crate::settings::settings(fields);
        world.answer("GET /v2/apps/foo/settings/", 200, &answer);
        world.answer("POST /v2/apps/foo/settings/", 201, &answer);
        world
    };
    let world = with(r#""git_branch":"trunk""#);
    world.deis("git:branch -a foo").says("The branch trunk deploys foo.\n");
    world.deis("git:branch -a foo -o json").says("{\n  \"git_branch\": \"trunk\"\n}\n");
    world.deis("git:branch release/2 -a foo").says("Letting the branch release/2 deploy foo... done\n");
    world.deis("git:branch --any -a foo").says("Letting any branch deploy foo... done\n");
    world.deis("git:branch main --any -a foo").fails_with("Error: Name a branch or give --any, not both\n");
    let write = "POST /v2/apps/foo/settings/";
    assert_eq!(
        world.requests()[2..],
        [format!(r#"{write} {{"git_branch":"release/2"}}"#), format!(r#"{write} {{"git_branch":"*"}}"#)]
    );
    with(r#""git_branch":"*""#).deis("git:branch -a foo").says("Any branch deploys foo.\n");
    with(r#""git_branch":null"#).deis("git:branch -a foo").says(
        "No branch is recorded for foo yet: the next push keeps the one that was deployed last, or else the first of \
         main and master.\n",
    );
}

#[test]
fn the_app_is_found_by_the_first_remote_to_the_builder() {
    let world = in_repository(World::logged_in());
    world.git("remote add a https://elsewhere.com/no.git");
    world.git("remote add b ssh://git@deis-builder.example.com:2222/found.git");
    world.answer("POST /v2/apps/found/", 200, "");
    world.deis("apps:transfer al").says("Transferring found to al... done\n");
}

#[test]
fn without_a_remote_the_folder_names_the_app() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/blog/", 200, "");
    world.deis("apps:transfer al").says("Transferring blog to al... done\n");
}

#[test]
fn without_git_the_folder_names_the_app_and_remotes_fail() {
    let world = World::logged_in();
    world.answer("POST /v2/apps/blog/", 200, "");
    world.deis_in(&[("PATH", "/nowhere")], "apps:transfer al").says("Transferring blog to al... done\n");
    let run = world.deis_in(&[("PATH", "/nowhere")], "git:remote -a foo");
    assert!(
        run.err.starts_with("Error: Error when running 'git remote -v'\ngit cannot be started"),
        "{}",
        run.err
    );
}

#[test]
fn on_one_machine_the_remote_is_localhost_and_is_found_again() {
    let world = in_repository(at_localhost(World::logged_in_at("http://deis.localhost:8000")));
    world.deis("git:remote -a foo").says("Git remote deis successfully created for app foo.\n");
    assert!(world.git("remote -v").out.contains("\tssh://git@localhost:2222/foo.git (push)"));
    world.answer("POST /v2/apps/foo/", 200, "");
    world.deis("apps:transfer al").says("Transferring foo to al... done\n");
}

#[test]
fn outside_a_repository_git_explains_itself() {
    let run = World::logged_in().deis("git:remote -a foo");
    assert!(
        run.err.starts_with("Error: Error when running 'git remote -v'\nfatal: not a git repository"),
        "{}",
        run.err
    );
    assert_eq!(run.code, 1);
}
