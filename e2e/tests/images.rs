//! Images of users: docs/spec/journeys.md A4 on one machine and on a cluster.

use e2e::{Platform, PrivateRegistry, private_registry};

#[test]
fn a_private_image_needs_its_login_and_then_runs() {
    let registry = PrivateRegistry::start();
    let image = registry.push_stack();
    let platform = Platform::trusting(&registry.host);
    let admin = platform.admin();
    admin.deis(&["create", "--no-remote", "shop"]).ok();
    let deis = |words: &[&str]| admin.deis(&[words, &["--app=shop"]].concat());
    let web = "--procfile=web: cd /usr/share/common-licenses && exec python3 -m http.server $PORT";

    deis(&["pull", &image, web]).fails(1, &image);
    let user = format!("username={}", private_registry::USERNAME);
    deis(&["config:set", "PORT=5000"]).ok();
    deis(&["registry:set", &user, "password=wrong"]).ok();
    let refused = deis(&["pull", &image, web]);
    assert_eq!(refused.code, Some(1), "{}", refused.all());

    deis(&["registry:set", &user, &format!("password={}", private_registry::PASSWORD)]).ok();
    deis(&["pull", &image, web]).ok();

    platform.wait_for_answer("shop", "GPL-3");
    let shown = deis(&["registry"]).ok().stdout;
    assert!(shown.contains("username"), "{shown}");
}
