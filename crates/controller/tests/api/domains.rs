//! `/v2/apps/{app}/domains/` (docs/spec/api.md 4.14).

use crate::world::{FORBIDDEN, NO_APP, World};

const DOMAINS: &str = "/v2/apps/blog/domains/";

async fn add(world: &World, app: &str, domain: &str) -> (u16, String) {
    let body = serde_json::json!({"domain": domain}).to_string();
    let answer = world.post(&format!("/v2/apps/{app}/domains/"), &body).await;
    (answer.status, answer.text().to_owned())
}

async fn domains(world: &World) -> Vec<String> {
    let page = world.get(DOMAINS).await.json();
    let results = page["results"].as_array().expect("a list").clone();
    results.iter().map(|domain| domain["domain"].as_str().expect("a text").to_owned()).collect()
}

#[tokio::test]
async fn a_domain_is_added_listed_and_removed() {
    let world = World::new().await;

    let (status, added) = add(&world, "blog", "www.foo.com").await;
    let page = world.get(DOMAINS).await.json();
    let removed = world.delete("/v2/apps/blog/domains/www.foo.com").await;

    assert_eq!(status, 201);
    let keys = ["owner", "created", "updated", "app", "domain"];
    let added: serde_json::Value = serde_json::from_str(&added).expect("JSON");
    assert_eq!(added.as_object().expect("an object").keys().collect::<Vec<_>>(), keys);
    assert_eq!((&added["owner"], &added["app"]), (&"alice".into(), &"blog".into()));
    assert_eq!((&page["count"], &page["results"][1]["domain"]), (&2.into(), &"www.foo.com".into()));
    assert_eq!(removed.both(), (204, ""));
    assert_eq!(domains(&world).await, ["blog"]);
    let said = world.platform.said("blog");
    for line in ["domain blog added", "domain www.foo.com added", "domain www.foo.com removed"] {
        assert!(said.iter().any(|text| text == line), "{line}: {said:?}");
    }
}

#[tokio::test]
async fn a_domain_is_kept_in_one_spelling_and_found_in_every_other() {
    let world = World::new().await;

    for domain in ["ümlaut.com", "UPPER.com.", "*.wild.com", "my_app.com"] {
        assert_eq!(add(&world, "blog", domain).await.0, 201, "{domain}");
    }

    assert_eq!(domains(&world).await, ["*.wild.com", "blog", "my_app.com", "upper.com", "xn--mlaut-jva.com"]);
    for spelling in ["%C3%BCmlaut.com", "Upper.COM", "*.wild.com", "MY_app.com"] {
        let removed = world.delete(&format!("/v2/apps/blog/domains/{spelling}")).await;
        assert_eq!(removed.status, 204, "{spelling}");
    }
}

#[tokio::test]
async fn routers_learn_of_a_domain_at_once() {
    let world = World::new().await;
    let hosts = || {
        let routed = world.platform.engine.asked().routed.pop().expect("a routing");
        routed.domains.into_iter().map(|claim| claim.host).collect::<Vec<_>>()
    };

    assert_eq!(hosts(), ["blog"]);
    assert_eq!(add(&world, "blog", "www.foo.com").await.0, 201);
    assert_eq!(hosts(), ["blog", "www.foo.com"]);
    assert_eq!(world.delete("/v2/apps/blog/domains/blog").await.status, 204);
    assert_eq!(hosts(), ["www.foo.com"]);
}

#[tokio::test]
async fn a_domain_is_kept_while_the_engine_is_away() {
    let world = World::new().await;
    world.platform.engine.set_reachable(false);

    let (status, body) = add(&world, "blog", "www.foo.com").await;

    assert_eq!(status, 503, "{body}");
    assert_eq!(domains(&world).await, ["blog", "www.foo.com"]);
}

#[tokio::test]
async fn what_is_no_host_name_is_refused() {
    let world = World::new().await;
    let cases = [
        ("*", "Hostname can't only be a wildcard"),
        ("1.2.3.4", "Hostname does not look valid."),
        ("", "This field may not be blank."),
    ];

    for (domain, message) in cases {
        let body = serde_json::json!({"domain": [message]}).to_string();
        assert_eq!(add(&world, "blog", domain).await, (400, body), "{domain}");
    }
    let (status, body) = add(&world, "blog", "a b.com").await;
    assert_eq!(status, 400);
    assert!(body.contains("Hostname does not look valid, could not convert to ACE a b.com: "), "{body}");
    assert_eq!(world.post(DOMAINS, "{}").await.both(), (400, r#"{"domain":["This field is required."]}"#));
    assert_eq!(
        world.post(DOMAINS, r#"{"domain":null}"#).await.both(),
        (400, r#"{"domain":["This field may not be null."]}"#)
    );
}

#[tokio::test]
async fn a_domain_belongs_to_one_app_whatever_its_spelling() {
    let world = World::new().await;
    world.create("shop").await;
    assert_eq!(add(&world, "shop", "ümlaut.com").await.0, 201);
    let taken = r#"{"domain":["Domain is already in use by another application"]}"#;
    let taken_otherwise = r#"{"domain":["The domain ümlaut.com. is already in use by another app"]}"#;

    for app in ["blog", "shop"] {
        assert_eq!(add(&world, app, "xn--mlaut-jva.com").await, (400, taken.to_owned()), "{app}");
        assert_eq!(add(&world, app, "ümlaut.com.").await, (400, taken_otherwise.to_owned()), "{app}");
    }
}

#[tokio::test]
async fn hosts_of_the_platform_and_of_other_apps_are_refused() {
    let world = World::new().await;
    world.create("shop").await;

    for domain in [
        "deis",
        "deis.example.com",
        "deis-builder.example.com",
        "example.com",
        "shop",
        "shop.example.com",
        "unused.example.com",
        "a.blog.example.com",
        "*.example.com",
        "*.com",
        "*.net",
        "co.uk",
        "*.co.uk",
        "github.io",
        "spare",
        "www.examp1e.com",
        "deis.exаmple.com",
        "DEIS.Example.com.",
    ] {
        let (status, body) = add(&world, "blog", domain).await;
        assert_eq!(status, 400, "{domain}: {body}");
        assert!(body.starts_with(r#"{"domain":["#), "{body}");
    }
    assert_eq!(add(&world, "blog", "blog.example.com").await.0, 201);
    assert_eq!(domains(&world).await, ["blog", "blog.example.com"]);
}

#[tokio::test]
async fn a_wildcard_over_the_domain_of_somebody_else_is_refused() {
    let world = World::new().await;
    let created = world.platform.post("/v2/apps/", &world.carol, r#"{"id":"shop"}"#).await;
    assert_eq!(created.status, 201);
    let by_carol = async |domain: &str| {
        let body = format!(r#"{{"domain":"{domain}"}}"#);
        world.platform.post("/v2/apps/shop/domains/", &world.carol, &body).await.status
    };
    assert_eq!(add(&world, "blog", "www.foo.com").await.0, 201);
    assert_eq!(add(&world, "blog", "*.bar.com").await.0, 201);

    assert_eq!(by_carol("*.foo.com").await, 400);
    assert_eq!(by_carol("api.bar.com").await, 400);
    assert_eq!(by_carol("*.other.com").await, 201);
    world.create("api").await;
    assert_eq!(add(&world, "api", "api.bar.com").await.0, 201);
}

#[tokio::test]
async fn a_name_below_the_domain_of_somebody_else_is_refused_and_one_below_an_own_is_not() {
    let world = World::new().await;
    let created = world.platform.post("/v2/apps/", &world.carol, r#"{"id":"shop"}"#).await;
    assert_eq!(created.status, 201);
    assert_eq!(add(&world, "blog", "foo.com").await.0, 201);

    for domain in ["www.foo.com", "a.b.foo.com", "*.foo.com", "*.a.foo.com"] {
        let body = format!(r#"{{"domain":"{domain}"}}"#);
        let refused = world.platform.post("/v2/apps/shop/domains/", &world.carol, &body).await;
        assert_eq!(refused.status, 400, "{domain}");
        assert!(refused.text().contains("one that an application of another user has"), "{}", refused.text());
    }
    // `blog` is the name of an app, not the top level domain.
    let tld = world.platform.post("/v2/apps/shop/domains/", &world.carol, r#"{"domain":"www.blog"}"#).await;
    assert_eq!(tld.status, 201, "{}", tld.text());
    world.create("api").await;
    assert_eq!(add(&world, "api", "api.foo.com").await.0, 201);
}

#[tokio::test]
async fn an_app_has_a_bounded_number_of_domains() {
    let platform = crate::platform::TestPlatform::with(|settings| settings.domains_per_app = 3).await;
    let world = World::on(platform).await;
    for domain in ["a.com", "b.com"] {
        assert_eq!(add(&world, "blog", domain).await.0, 201);
    }

    let refused = r#"{"domain":["An app may have 3 domains; remove one first"]}"#;
    assert_eq!(add(&world, "blog", "c.com").await, (400, refused.to_owned()));
    assert_eq!(world.delete("/v2/apps/blog/domains/a.com").await.status, 204);
    assert_eq!(add(&world, "blog", "c.com").await.0, 201);
}

#[tokio::test]
async fn a_name_that_is_taken_as_a_domain_is_no_name_for_an_app() {
    let world = World::new().await;
    // Bare labels were taken once; what is there stays.
    let blog = domain::AppName::parse("blog").expect("a good name");
    let (domain, now) = ("spare".to_owned(), jiff::Timestamp::now());
    let old = store::NewDomain { app: blog, owner: "alice".to_owned(), domain, now };
    world.platform.controller.store.add_domain(old, 100).await.expect("an old domain");

    let refused = world.post("/v2/apps/", r#"{"id":"spare"}"#).await;

    assert_eq!(refused.status, 400, "{}", refused.text());
    assert!(refused.json()["id"][0].is_string());
}

#[tokio::test]
async fn only_the_owner_removes_and_strangers_see_nothing() {
    let world = World::new().await;
    let platform = &world.platform;
    world.create("shop").await;
    assert_eq!(add(&world, "blog", "www.foo.com").await.0, 201);
    let path = "/v2/apps/blog/domains/www.foo.com";

    assert_eq!(platform.get("/v2/apps/none/domains/", &world.carol).await.both(), NO_APP);
    assert_eq!(platform.get(DOMAINS, &world.carol).await.both(), FORBIDDEN);
    assert_eq!(platform.post(DOMAINS, &world.carol, "{}").await.both(), FORBIDDEN);
    assert_eq!(platform.post(DOMAINS, &world.bob, r#"{"domain":"b.com"}"#).await.json()["owner"], "bob");
    assert_eq!(platform.delete(path, &world.bob).await.both(), FORBIDDEN);
    let other_app = world.delete("/v2/apps/shop/domains/www.foo.com").await;
    assert_eq!(other_app.both(), (404, r#""No Domain matches the given query.""#));
    assert_eq!(world.delete("/v2/apps/blog/domains/a_b").await.status, 404);
    assert_eq!(platform.delete(path, &world.admin).await.status, 204);
}

/// `e2e/cases/32-domain-with-underscore`.
#[tokio::test]
async fn a_label_may_hold_an_underscore() {
    let world = World::new().await;
    for domain in include_str!("../../../../e2e/cases/32-domain-with-underscore/domains.txt").lines() {
        assert_eq!(add(&world, "blog", domain).await.0, 201, "{domain}");
        let routed = world.platform.engine.asked().routed.pop().expect("a routing");
        assert!(routed.domains.iter().any(|claim| claim.host == domain), "{domain}: {routed:?}");
        // The router takes such a name in a request.
        assert_eq!(domain::hosts::parse_host(domain).as_deref(), Some(domain));
    }
}

/// `e2e/cases/33-public-suffix`.
#[tokio::test]
async fn a_public_suffix_belongs_to_nobody_and_takes_no_name_from_others() {
    let world = World::new().await;
    let created = world.platform.post("/v2/apps/", &world.carol, r#"{"id":"shop"}"#).await;
    assert_eq!(created.status, 201);
    let by_carol = async |domain: &str| {
        let body = serde_json::json!({"domain": domain}).to_string();
        world.platform.post("/v2/apps/shop/domains/", &world.carol, &body).await.status
    };

    for domain in include_str!("../../../../e2e/cases/33-public-suffix/refused.txt").lines() {
        assert_eq!(add(&world, "blog", domain).await.0, 400, "{domain}");
    }
    let mut taken = include_str!("../../../../e2e/cases/33-public-suffix/taken-first.txt").lines();
    assert_eq!(add(&world, "blog", taken.next().expect("one")).await.0, 201);
    for below in taken {
        assert_eq!(by_carol(below).await, 400, "{below}");
    }
    assert_eq!(by_carol("shop.example.com.au").await, 201);
}
