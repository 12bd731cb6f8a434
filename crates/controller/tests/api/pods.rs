//! `/v2/apps/{app}/pods/` (docs/spec/api.md 4.11).

use domain::crashes::Exit;

use testkit::{WAIT_MAX, wait_until};

use crate::world::{FORBIDDEN, NO_APP, World};

const PODS: &str = "/v2/apps/blog/pods/";

async fn running() -> World {
    let world = World::new().await;
    let body = r#"{"image":"example/web","procfile":{"web":"serve","worker":"work"}}"#;
    assert_eq!(world.post("/v2/apps/blog/builds/", body).await.status, 201);
    assert_eq!(world.post("/v2/apps/blog/scale/", r#"{"web":2,"worker":1}"#).await.status, 204);
    world
}

fn names(pods: &serde_json::Value) -> Vec<String> {
    let pods = pods.as_array().expect("a list");
    pods.iter().map(|pod| pod["name"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn pods_are_listed_by_app_by_type_and_by_name() {
    let world = running().await;

    let all = world.get(PODS).await.json();
    let web = world.get("/v2/apps/blog/pods/web").await.json();
    let name = names(&web["results"])[0].clone();
    let named = world.get(&format!("/v2/apps/blog/pods/whatever/{name}/")).await.json();

    assert_eq!(all.as_object().expect("an object").keys().collect::<Vec<_>>(), ["results", "count"]);
    assert_eq!(all["count"], 3);
    let pod = &all["results"][0];
    let keys = ["name", "state", "release", "type", "started"];
    assert_eq!(pod.as_object().expect("an object").keys().collect::<Vec<_>>(), keys);
    assert_eq!((&pod["state"], &pod["release"]), (&"up".into(), &"v2".into()));
    assert_eq!((&web["count"], &web["results"][0]["type"]), (&2.into(), &"web".into()));
    assert_eq!(names(&named["results"]), [name]);
}

#[tokio::test]
async fn a_crash_is_shown_beside_the_state_and_told_in_the_log() {
    let world = running().await;
    let name = names(&world.get("/v2/apps/blog/pods/web").await.json()["results"])[0].clone();
    let telling = world.platform.tell_crashes();
    let exit = |code| Exit { code, is_out_of_memory: false };

    world.platform.crash(&name, exit(1)).await;
    world.platform.crash(&name, exit(139)).await;

    let crash = format!("{name} crashed: exit code");
    let said = async || world.platform.said("blog").iter().any(|line| line.starts_with(&crash));
    wait_until("the log has the crash", WAIT_MAX, said).await;
    let pods = world.get("/v2/apps/blog/pods/web").await.json();
    let pods = pods["results"].as_array().expect("a list");
    let crashed = pods.iter().find(|pod| pod["name"] == *name).expect("it runs");
    let shown = &crashed["crashes"];
    assert_eq!(
        (&crashed["state"], &shown["times"], &shown["exit_code"]),
        (&"up".into(), &2.into(), &139.into())
    );
    assert_eq!(
        (&shown["reason"], &shown["out_of_memory"]),
        (&"exit code 139, signal 11 (SIGSEGV)".into(), &false.into())
    );
    assert!(shown["since"].as_str() <= shown["last"].as_str(), "{shown}");
    assert_eq!(pods.iter().filter(|pod| pod.get("crashes").is_some()).count(), 1);
    telling.abort();
}

#[tokio::test]
async fn what_does_not_run_is_an_empty_list() {
    let world = running().await;

    for nothing in ["pods/nope", "pods/No.Type_1", "pods/web/blog-web-1-1"] {
        let answer = world.get(&format!("/v2/apps/blog/{nothing}")).await;
        assert_eq!(answer.both(), (200, r#"{"results":[],"count":0}"#), "{nothing}");
    }
    world.create("empty").await;
    assert_eq!(world.get("/v2/apps/empty/pods/").await.both(), (200, r#"{"results":[],"count":0}"#));
}

#[tokio::test]
async fn restarting_answers_the_pods_that_run_afterwards() {
    let world = running().await;
    let before = names(&world.get(PODS).await.json()["results"]);

    let all = world.post("/v2/apps/blog/pods/restart/", "").await;
    let web = world.post("/v2/apps/blog/pods/web/restart/", "").await;

    assert_eq!((all.status, web.status), (200, 200));
    let after = names(&all.json());
    assert_eq!(after.len(), 3, "{}", all.text());
    assert!(after.iter().all(|name| !before.contains(name)), "{before:?} {after:?}");
    assert_eq!(names(&web.json()).len(), 2);
    assert_eq!(world.get("/v2/apps/blog/releases/").await.json()["count"], 2);
}

#[tokio::test]
async fn one_pod_is_restarted_by_its_name_whatever_type_the_url_says() {
    let world = running().await;
    let web = names(&world.get("/v2/apps/blog/pods/web").await.json()["results"]);

    let full = world.post(&format!("/v2/apps/blog/pods/5d4f8c7b9f/{}/restart/", web[0]), "").await;
    let short = web[1].strip_prefix("blog-").expect("a full name");
    let short = world.post(&format!("/v2/apps/blog/pods/web/{short}/restart/"), "").await;

    for answer in [&full, &short] {
        assert_eq!((answer.status, names(&answer.json()).len()), (200, 1), "{}", answer.text());
        assert_eq!(answer.json()[0]["type"], "web");
    }
    let after = names(&world.get("/v2/apps/blog/pods/web").await.json()["results"]);
    assert!(web.iter().all(|name| !after.contains(name)), "{web:?} {after:?}");
    let nothing = world.post("/v2/apps/blog/pods/web/web-1-1/restart/", "").await;
    assert_eq!(nothing.both(), (200, "[]"));
}

#[tokio::test]
async fn only_those_who_may_use_the_app_see_and_restart_pods() {
    let world = World::new().await;

    for path in [PODS, "/v2/apps/blog/pods/web", "/v2/apps/blog/pods/web/x"] {
        assert_eq!(world.platform.get(path, &world.carol).await.both(), FORBIDDEN, "{path}");
    }
    for path in ["pods/restart/", "pods/web/restart/", "pods/web/x/restart/"] {
        let foreign = world.platform.post(&format!("/v2/apps/blog/{path}"), &world.carol, "").await;
        let missing = world.platform.post(&format!("/v2/apps/none/{path}"), &world.carol, "").await;
        assert_eq!((foreign.both(), missing.both()), (FORBIDDEN, NO_APP), "{path}");
    }
}
