//! Proofs of domains by TXT records (docs/spec/api.md 4.14), against a real DNS server.

use std::net::{SocketAddr, UdpSocket};

use controller::dns::DnsServers;
use testkit::free_address;

use crate::dnsmasq::Dnsmasq;
use crate::platform::TestPlatform;
use crate::world::World;

/// A world whose platform asks the DNS server at `address` for proofs.
async fn world(address: SocketAddr) -> World {
    world_with(&[address]).await
}

async fn world_with(servers: &[SocketAddr]) -> World {
    let servers = DnsServers::Listed(servers.iter().copied().map(Into::into).collect());
    World::on(TestPlatform::with(|settings| settings.domain_proof = Some(servers)).await).await
}

async fn add(world: &World, token: &str, app: &str, domain: &str) -> (u16, String) {
    let body = serde_json::json!({"domain": domain}).to_string();
    let answer = world.platform.post(&format!("/v2/apps/{app}/domains/"), token, &body).await;
    (answer.status, answer.text().to_owned())
}

/// The value that an answer asks for.
fn value(answer: &str) -> String {
    let start = answer.find("deis-domain-proof=").unwrap_or_else(|| panic!("no value: {answer}"));
    answer[start..].chars().take_while(|char| !matches!(char, ' ' | '"')).collect()
}

#[tokio::test]
async fn a_domain_is_added_once_a_txt_record_has_the_value_that_the_error_names() {
    let address = free_address();
    let world = world(address).await;

    let dns = Dnsmasq::start(address, &[]);
    let (status, missing) = add(&world, &world.alice, "blog", "WWW.foo.com").await;
    let value = value(&missing);
    drop(dns);
    let dns = Dnsmasq::start(address, &[("_deis.www.foo.com", "v=spf1 -all")]);
    let (status_of_other, other) = add(&world, &world.alice, "blog", "www.foo.com").await;
    drop(dns);
    let _dns = Dnsmasq::start(
        address,
        &[("_deis.www.foo.com", "v=spf1 -all"), ("_deis.www.foo.com", value.as_str())],
    );
    let (status_of_proven, proven) = add(&world, &world.alice, "blog", "www.foo.com").await;

    let how = format!(
        "Set it to {value} where you keep the DNS records of www.foo.com, then try again; it may take minutes until \
         all DNS servers have it\"]}}"
    );
    let refused =
        |found: &str| format!("{{\"domain\":[\"No proof that alice controls www.foo.com: {found}. {how}");
    assert_eq!((status, missing), (400, refused("there is no TXT record _deis.www.foo.com")));
    assert_eq!(
        (status_of_other, other),
        (400, refused("the TXT record _deis.www.foo.com has another value"))
    );
    assert_eq!(status_of_proven, 201, "{proven}");
}

#[tokio::test]
async fn a_proof_is_that_of_the_app_s_owner_whoever_adds_the_domain() {
    let address = free_address();
    let world = world(address).await;
    let created = world.platform.post("/v2/apps/", &world.carol, r#"{"id":"shop"}"#).await;
    assert_eq!(created.status, 201);
    let dns = Dnsmasq::start(address, &[]);
    let (_, refused) = add(&world, &world.bob, "blog", "*.my_app.com").await;
    let value = value(&refused);
    drop(dns);
    // More than fits in a datagram.
    let others: Vec<_> = (0..20).map(|number| format!("{number}-{}", "x".repeat(240))).collect();
    let name = "_deis.my_app.com";
    let records = others.iter().chain([&value]).map(|text| (name, text.as_str()));
    let _dns = Dnsmasq::start(address, &records.collect::<Vec<_>>());

    let (status, by_carol) = add(&world, &world.carol, "shop", "*.my_app.com").await;

    assert_eq!(status, 400, "{by_carol}");
    assert!(by_carol.contains("No proof that carol controls *.my_app.com: "), "{by_carol}");
    assert_eq!(add(&world, &world.bob, "blog", "my_app.com").await.0, 400, "the wildcard has its own value");
    let (status, by_bob) = add(&world, &world.bob, "blog", "*.my_app.com").await;
    assert_eq!(status, 201, "{by_bob}");
}

#[tokio::test]
async fn names_of_the_platform_need_no_proof_and_taken_ones_no_lookup() {
    let world = world(free_address()).await;

    assert_eq!(add(&world, &world.alice, "blog", "blog.example.com").await.0, 201);
    let (status, body) = add(&world, &world.alice, "blog", "blog.example.com").await;
    assert_eq!(
        (status, body.as_str()),
        (400, r#"{"domain":["Domain is already in use by another application"]}"#)
    );
}

#[tokio::test]
async fn dns_servers_that_are_silent_or_refuse_are_passed_over_for_the_next() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let (refusing, good) = (free_address(), free_address());
    let world = world_with(&[silent.local_addr().expect("it is bound"), refusing, good]).await;
    let _dns = (Dnsmasq::start_for("net", refusing, &[]), Dnsmasq::start(good, &[]));

    let (status, body) = add(&world, &world.alice, "blog", "www.foo.com").await;

    assert_eq!(status, 400, "{body}");
    assert!(body.contains("there is no TXT record _deis.www.foo.com"), "{body}");
}

#[tokio::test]
async fn without_an_answer_of_dns_the_error_is_503_and_names_the_record() {
    let silent = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let (refusing, closed) = (free_address(), free_address());
    let _dns = Dnsmasq::start(refusing, &[]);

    for server in [silent.local_addr().expect("it is bound"), refusing, closed] {
        let world = world(server).await;
        let (status, body) = add(&world, &world.alice, "blog", "www.foo.net").await;

        assert_eq!(status, 503, "{body}");
        let value = value(&body);
        let detail = format!(
            "DNS does not answer for the TXT record _deis.www.foo.net, which must have the value {value} before \
             www.foo.net is added. Try again later."
        );
        assert_eq!(body, serde_json::json!({"detail": detail}).to_string());
    }
}
