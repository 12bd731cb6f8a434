use domain::routing::{RouteOwner, ServiceRoute};

use crate::app::App;
use crate::visitor::{Visitor, get};
use crate::world::{World, claim, route};

#[test]
fn each_host_goes_to_its_own_app_and_no_other() {
    let world = World::start();
    let (blog, shop) = (App::named("blog"), App::named("shop"));
    let mut shop_route = route("shop", &[&shop]);
    shop_route.domains = vec![claim("www.shop.com", 5), claim("*.shop.com", 5), claim("blog.test", 1)];
    world.serve(vec![route("blog", &[&blog]), shop_route]);

    for (host, body) in [
        ("blog.test", "blog"),
        ("BLOG.test:8000", "blog"),
        ("shop.test", "shop"),
        ("www.shop.com", "shop"),
        ("x.y.shop.com", "shop"),
    ] {
        assert_eq!(get(&world, host, "/").body, body, "{host}");
    }
    for host in ["nobody.test", "test", "shop.com", "127.0.0.1"] {
        assert_eq!(get(&world, host, "/").status, 404, "{host}");
    }
    assert_eq!(blog.count(), 2);
}

#[test]
fn a_platform_host_cannot_be_claimed_by_an_app() {
    let world = World::start();
    let (api, evil) = (App::named("api"), App::named("evil"));
    let mut evil_route = route("evil", &[&evil]);
    evil_route.domains = vec![claim("deis.test", 0), claim("*.test", 0)];
    let mut api_route = route("deis", &[&api]);
    api_route.owner = RouteOwner::Platform("deis".to_owned());
    world.serve(vec![evil_route, api_route]);

    assert_eq!(get(&world, "deis.test", "/").body, "api");
    assert_eq!(evil.count(), 0);
}

#[test]
fn a_request_without_one_clear_host_is_refused() {
    let world = World::start();
    let app = App::named("blog");
    world.serve(vec![route("blog", &[&app])]);

    for head in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: blog.test\r\nHost: shop.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: blog.test/x\r\n\r\n",
    ] {
        let mut visitor = Visitor::connect(&world);
        visitor.send(head);
        assert_eq!(visitor.answer().status, 400, "{head:?}");
    }
    assert_eq!(app.count(), 0);
}

#[test]
fn maintenance_whitelist_and_https_answer_before_the_app() {
    let world = World::start();
    let app = App::named("blog");
    for (change, status) in [("maintenance", 503), ("whitelist", 403), ("https", 301)] {
        let mut changed = route("blog", &[&app]);
        match change {
            "maintenance" => changed.edge.maintenance = true,
            "whitelist" => changed.edge.whitelist = vec!["10.1.2.3".to_owned()],
            _ => changed.edge.https_enforced = true,
        }
        world.serve(vec![changed]);

        let answer = get(&world, "blog.test", "/a?b=c");

        assert_eq!(answer.status, status, "{change}");
        let location = format!("location: https://blog.test:{}/a?b=c", world.https_address.port());
        assert_eq!(status == 301, answer.head.contains(&location), "{}", answer.head);
    }
    assert_eq!(app.count(), 0);
}

#[test]
fn paths_of_a_service_go_to_its_own_backends_and_back() {
    let world = World::start_with(|settings| settings.workers = 1);
    let (web, gone, hooks) = (App::named("web"), App::gone("gone"), App::named("hooks"));
    let serve = |services: Vec<ServiceRoute>| {
        let mut blog = route("blog", &[&web]);
        blog.rules.sticky = Some(true);
        blog.services = services;
        world.serve(vec![blog]);
    };
    let service = |path_pattern: &str, apps: &[&App], wanted| ServiceRoute {
        protocol: None,
        path_pattern: path_pattern.to_owned(),
        wanted,
        backends: route("blog", apps).backends,
    };
    serve(vec![service("/hook", &[&gone, &hooks], 2), service("~ ^/none", &[], 0), service("/late", &[], 1)]);

    for (path, body) in [("/", "web"), ("/a/hook", "web"), ("/hook?a=/", "hooks"), ("/hook/1", "hooks")] {
        for _ in 0..5 {
            let answer = get(&world, "blog.test", path);
            assert_eq!(answer.body, body, "{path}");
            // The one cookie of a visitor is for the app's own process type.
            assert_eq!(answer.head.contains("deis-route"), body == "web", "{path}");
        }
    }
    assert_eq!(get(&world, "blog.test", "/none").status, 503);
    let mut held = Visitor::connect(&world);
    held.send("GET /late HTTP/1.1\r\nHost: blog.test\r\n\r\n");
    assert_eq!(get(&world, "blog.test", "/").body, "web");
    serve(vec![service("/late", &[&hooks], 1)]);
    assert_eq!(held.answer().body, "hooks");

    serve(Vec::new());
    assert_eq!(get(&world, "blog.test", "/late").body, "web");
}
