//! `/v2/apps/{app}/releases/` (docs/spec/api.md 4.9).

use domain::sbom::{Distribution, Inventory, Package, PackageKind};
use domain::{AppName, Digest};
use engine::Images as _;

use crate::hooks::{build, tell};
use crate::world::{FORBIDDEN, NO_APP, World};

const RELEASES: &str = "/v2/apps/blog/releases/";
const ROLLBACK: &str = "/v2/apps/blog/releases/rollback/";

/// Releases: v1 is empty, v2 an image, v3 a variable, v4 another image.
async fn grown() -> World {
    let world = World::new().await;
    world.deploy("blog", "example/web:1").await;
    assert_eq!(world.post("/v2/apps/blog/config/", r#"{"values":{"A":"1"}}"#).await.status, 201);
    world.deploy("blog", "example/web:2").await;
    world
}

#[tokio::test]
async fn releases_are_listed_newest_first_in_this_order_of_fields() {
    let world = grown().await;

    let page = world.get(RELEASES).await.json();

    let versions: Vec<_> =
        page["results"].as_array().expect("a list").iter().map(|row| &row["version"]).collect();
    assert_eq!(versions, [4, 3, 2, 1]);
    let keys = [
        "uuid",
        "app",
        "owner",
        "created",
        "updated",
        "version",
        "summary",
        "failed",
        "exception",
        "config",
        "build",
    ];
    let first = &page["results"][3];
    assert_eq!(first.as_object().expect("an object").keys().collect::<Vec<_>>(), keys);
    assert_eq!((&first["build"], &first["exception"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    assert_eq!(page["results"][1]["summary"], "alice added A");
}

#[tokio::test]
async fn a_release_is_found_by_its_number() {
    let world = grown().await;

    assert_eq!(world.get("/v2/apps/blog/releases/v3/").await.json()["version"], 3);
    assert_eq!(world.get("/v2/apps/blog/releases/v3").await.status, 200);
    assert_eq!(world.get("/v2/apps/blog/releases/v1/").await.json()["steps"], serde_json::json!([]));
    for missing in ["v9", "v0", "v99999999999999999999"] {
        let answer = world.get(&format!("{RELEASES}{missing}/")).await;
        assert_eq!(answer.both(), (404, r#""No Release matches the given query.""#), "{missing}");
    }
    for no_route in ["3", "vx", "v", "v-1"] {
        let answer = world.get(&format!("{RELEASES}{no_route}/")).await;
        assert_eq!(answer.status, 404, "{no_route}");
        assert!(answer.text().starts_with("<h1>"), "{no_route}: {}", answer.text());
    }
}

#[tokio::test]
async fn going_back_is_a_new_release_with_the_old_build_and_config() {
    let world = grown().await;
    let second = world.get("/v2/apps/blog/releases/v2/").await.json();

    let rolled_back = world.platform.post(ROLLBACK, &world.bob, r#"{"version":"2"}"#).await;
    let fifth = world.get("/v2/apps/blog/releases/v5/").await.json();

    assert_eq!(rolled_back.both(), (201, r#"{"version":5}"#));
    assert_eq!((&fifth["build"], &fifth["config"]), (&second["build"], &second["config"]));
    assert_eq!((&fifth["summary"], &fifth["owner"]), (&"bob rolled back to v2".into(), &"bob".into()));
    let running = world.platform.running("blog").await;
    assert_eq!((running.len(), running[0].release), (1, 5));
    assert!(!running[0].env.contains_key("A"));
}

#[tokio::test]
async fn without_a_number_one_goes_back_by_one() {
    let world = grown().await;

    assert_eq!(world.post(ROLLBACK, "").await.both(), (201, r#"{"version":5}"#));

    let fifth = world.get("/v2/apps/blog/releases/v5/").await.json();
    assert_eq!(fifth["summary"], "alice rolled back to v3");
}

#[tokio::test]
async fn there_are_releases_that_one_cannot_go_back_to() {
    let world = grown().await;
    let cases = [
        (r#"{"version":0}"#, "version cannot be below 0"),
        (r#"{"version":-3}"#, "version cannot be below 0"),
        (r#"{"version":1}"#, "Cannot roll back to initial release."),
        (r#"{"version":9}"#, "Release matching query does not exist."),
        (r#"{"version":"x"}"#, "invalid literal for int() with base 10: 'x'"),
    ];

    for (body, detail) in cases {
        let refused = world.post(ROLLBACK, body).await;
        let wanted = serde_json::json!({"detail": detail}).to_string();
        assert_eq!(refused.both(), (400, wanted.as_str()), "{body}");
    }
    assert_eq!(world.get(RELEASES).await.json()["count"], 4);
}

#[tokio::test]
async fn a_failed_release_is_none_to_go_back_to_and_a_failed_rollback_is_kept() {
    let world = grown().await;
    world.platform.fail_next_rollout("blog", "no luck");

    let failed = world.post(ROLLBACK, r#"{"version":2}"#).await;
    let fifth = world.get("/v2/apps/blog/releases/v5/").await.json();
    let refused = world.post(ROLLBACK, r#"{"version":5}"#).await;
    let by_one = world.post(ROLLBACK, "{}").await;

    assert_eq!(failed.status, 400);
    assert!(failed.text().starts_with(r#"{"detail":"(app::deploy): "#), "{}", failed.text());
    assert_eq!(fifth["summary"], "alice performed roll back to a release that failed");
    assert_eq!(fifth["failed"], true);
    assert_eq!(refused.both(), (400, r#"{"detail":"Cannot roll back to failed release."}"#));
    // One less than the newest that has not failed: 4 - 1.
    assert_eq!(by_one.both(), (201, r#"{"version":6}"#));
}

#[tokio::test]
async fn only_those_who_may_use_the_app_see_releases_and_go_back() {
    let world = World::new().await;

    assert_eq!(world.platform.get(RELEASES, &world.carol).await.both(), FORBIDDEN);
    assert_eq!(world.platform.get("/v2/apps/blog/releases/v9/", &world.carol).await.both(), FORBIDDEN);
    assert_eq!(world.platform.post(ROLLBACK, &world.carol, "{}").await.both(), FORBIDDEN);
    assert_eq!(
        world.platform.post("/v2/apps/none/releases/rollback/", &world.carol, "").await.both(),
        NO_APP
    );
}

/// Digest of the image of the newest build.
fn newest_image(world: &World) -> Digest {
    let kept = world.platform.engine.asked().kept;
    kept.last().expect("an image was kept").1.digest().clone()
}

#[tokio::test]
async fn a_release_has_a_bill_of_materials_without_anything_of_its_config() {
    let world = grown().await;
    let package = Package::new(PackageKind::Npm, "express", "5.1.0").expect("a package");
    let distribution = Distribution { id: "debian".to_owned(), version: "13".to_owned() };
    let inventory = Inventory { distribution: Some(distribution), packages: [package].into() };
    world.platform.engine.set_packages(newest_image(&world), inventory);
    world.post("/v2/apps/blog/config/", r#"{"values":{"SECRET":"hunter22"}}"#).await;

    let answer = world.get("/v2/apps/blog/releases/v5/sbom/").await;

    assert_eq!(answer.status, 200, "{}", answer.text());
    let document = answer.json();
    let fifth = world.get("/v2/apps/blog/releases/v5/").await.json();
    assert_eq!((&document["bomFormat"], &document["specVersion"]), (&"CycloneDX".into(), &"1.6".into()));
    assert_eq!(document["metadata"]["timestamp"], fifth["created"]);
    let names: Vec<_> =
        document["components"].as_array().expect("a list").iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["debian", "express", "example/web:2"]);
    assert!(!answer.text().contains("SECRET") && !answer.text().contains("hunter22"), "{}", answer.text());
}

#[tokio::test]
async fn an_image_is_read_once_for_all_releases_that_run_it() {
    let world = grown().await;

    for version in ["v2", "v3", "v3", "v4"] {
        assert_eq!(world.get(&format!("{RELEASES}{version}/sbom")).await.status, 200);
    }

    assert_eq!(world.platform.engine.asked().scanned.len(), 2);
}

#[tokio::test]
async fn a_bill_that_cannot_be_made_is_told_with_its_reason() {
    let world = grown().await;
    let kept = world.platform.engine.asked().kept;
    let (_, image) = kept.first().expect("an image was kept");
    let app = AppName::parse("blog").expect("a name");
    world.platform.engine.remove(&app, image).await.expect("it is reachable");

    for (version, wanted) in [
        ("v1", r#"{"detail":"v1 has no build, so it has no packages"}"#),
        (
            "v2",
            r#"{"detail":"image example/web:1 not found: images of old builds are removed. Push that commit again."}"#,
        ),
        ("v9", r#""No Release matches the given query.""#),
    ] {
        let answer = world.get(&format!("{RELEASES}{version}/sbom/")).await;
        assert_eq!(answer.both(), (404, wanted), "{version}");
    }
    assert_eq!(world.platform.get("/v2/apps/blog/releases/v2/sbom/", &world.carol).await.both(), FORBIDDEN);
}

const REBASE: &str = "/v2/apps/blog/releases/rebase/";

async fn pushed() -> World {
    let world = World::new().await;
    let push = build("alice", Digest::of(b"slug").as_str(), r#"{"web":"serve","worker":"work"}"#);
    assert_eq!(tell(&world, "/v2/hooks/build/", &push).await.status, 200);
    world
}

#[tokio::test]
async fn a_rebase_makes_a_release_of_the_same_build_on_newer_images_or_none() {
    let world = pushed().await;
    assert_eq!(world.post("/v2/apps/blog/scale/", r#"{"worker":2}"#).await.status, 204);

    let current = world.post(REBASE, "").await;
    world.platform.engine.will_rebase(Digest::of(b"newer"));
    let rebased = world.post(REBASE, "").await;
    let again = world.post(REBASE, "").await;

    assert_eq!(current.both(), (200, r#"{"stack":"bookworm","version":null}"#));
    assert_eq!(rebased.both(), (200, r#"{"stack":"bookworm","version":3}"#));
    assert_eq!(again.both(), current.both());
    let release = world.get("/v2/apps/blog/releases/v3/").await.json();
    assert_eq!(release["summary"], "alice rebased v2 on the newest bookworm");
    let built =
        world.get(&format!("/v2/apps/blog/builds/{}", release["build"].as_str().expect("an id"))).await;
    assert_eq!(built.json()["image"], format!("blog@{}", Digest::of(b"newer")));
    assert_eq!(built.json()["procfile"], serde_json::json!({"web": "serve", "worker": "work"}));
    assert_eq!(
        world.get("/v2/apps/blog/").await.json()["structure"],
        serde_json::json!({"web": 1, "worker": 2})
    );
    assert_eq!(world.post(ROLLBACK, "").await.both(), (201, r#"{"version":4}"#));
}

#[tokio::test]
async fn apps_without_a_slug_and_locked_ones_are_not_rebased() {
    let world = grown().await;
    let image = world.post(REBASE, "").await;
    assert_eq!(image.status, 400);
    assert!(image.text().contains("only what a buildpack has built stands on a stack"), "{}", image.text());

    let world = pushed().await;
    world.platform.engine.will_rebase(Digest::of(b"newer"));
    assert_eq!(world.post("/v2/apps/blog/lock/", r#"{"reason":"audit"}"#).await.status, 201);
    assert_eq!(world.post(REBASE, "").await.status, 409);
    assert_eq!(world.platform.post(REBASE, &world.carol, "").await.both(), FORBIDDEN);
}

#[tokio::test]
async fn operators_rebase_the_apps_of_one_stack() {
    let world = pushed().await;
    world.platform.engine.will_rebase(Digest::of(b"newer"));
    let ask = async |app: &str, stack: &str, dry_run: bool| {
        let body = serde_json::json!({"app": app, "stack": stack, "dry_run": dry_run}).to_string();
        let answer = tell(&world, "/v2/hooks/rebase/", &body).await;
        (answer.status, answer.text().to_owned())
    };
    let answer =
        |outcome: &str, version: &str| (200, format!(r#"{{"outcome":"{outcome}","version":{version}}}"#));

    assert_eq!(ask("blog", "trixie", false).await, answer("elsewhere", "null"));
    assert_eq!(ask("blog", "bookworm", true).await, answer("on_stack", "null"));
    assert_eq!(ask("blog", "bookworm", false).await, answer("rebased", "3"));
    assert_eq!(ask("blog", "bookworm", false).await, answer("current", "null"));
    let unknown = ask("blog", "buster", false).await;
    assert!(
        unknown.0 == 400 && unknown.1.contains("there is no stack `buster`; there are bookworm"),
        "{unknown:?}"
    );
    assert_eq!(ask("none", "bookworm", false).await.0, 404);
}
