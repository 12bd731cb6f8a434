//! `/v2/certs/` (docs/spec/api.md 4.15).

use rcgen::{CertificateParams, KeyPair};
use serde_json::{Value, json};

use crate::platform::Answer;
use crate::world::{FORBIDDEN, World};

const CERTS: &str = "/v2/certs/";
const NO_CERT: (u16, &str) = (404, r#""No Certificate matches the given query.""#);
const NO_DOMAIN: (u16, &str) = (404, r#""No Domain matches the given query.""#);

/// A certificate for a host, and its key.
pub fn pair(host: &str) -> (String, String) {
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new([host.to_owned()]).expect("a host name");
    params.distinguished_name.push(rcgen::DnType::CommonName, host);
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

pub async fn add_as(world: &World, token: &str, name: &str, host: &str) -> Answer {
    let (certificate, key) = pair(host);
    let body = json!({"name": name, "certificate": certificate, "key": key});
    world.platform.post(CERTS, token, &body.to_string()).await
}

/// Alice has a certificate `foo-com` and her app a domain `www.foo.com`.
async fn with_cert() -> World {
    let world = World::new().await;
    assert_eq!(add_as(&world, &world.alice, "foo-com", "www.foo.com").await.status, 201);
    assert_eq!(world.post("/v2/apps/blog/domains/", r#"{"domain":"www.foo.com"}"#).await.status, 201);
    world
}

async fn attached(world: &World) -> Value {
    world.get("/v2/certs/foo-com").await.json()["domains"].clone()
}

#[tokio::test]
async fn a_certificate_tells_about_itself_and_never_its_key() {
    let world = World::new().await;

    let added = add_as(&world, &world.alice, "foo-com", "www.foo.com").await;

    assert_eq!(added.status, 201, "{}", added.text());
    let row = added.json();
    let fields: Vec<_> = row.as_object().expect("an object").keys().map(String::as_str).collect();
    let wanted = [
        "id",
        "owner",
        "domains",
        "san",
        "created",
        "updated",
        "name",
        "common_name",
        "fingerprint",
        "expires",
        "starts",
        "issuer",
        "subject",
    ];
    assert_eq!(fields, wanted);
    assert_eq!((&row["id"], &row["owner"], &row["name"]), (&json!(1), &json!("alice"), &json!("foo-com")));
    assert_eq!((&row["san"], &row["common_name"]), (&json!(["www.foo.com"]), &json!("www.foo.com")));
    assert_eq!(row["domains"], json!([]));
    let fingerprint = row["fingerprint"].as_str().expect("a text");
    assert_eq!(fingerprint.split(':').filter(|pair| pair.len() == 2).count(), 32);
    assert_eq!(world.get("/v2/certs/foo-com").await.json(), row);
    assert_eq!(world.get(CERTS).await.json()["results"], json!([row]));
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_and_its_key_is_told_at_once() {
    let world = World::new().await;
    let ((certificate, key), (_, other)) = (pair("a.com"), pair("b.com"));
    let refused = async |body: Value| {
        let answer = world.post(CERTS, &body.to_string()).await;
        (answer.status, answer.json())
    };

    let (status, both) = refused(json!({"name": "Foo.com", "certificate": "x", "key": "y"})).await;
    assert_eq!(status, 400);
    let text = |field: &str| both[field][0].as_str().expect("a message").to_owned();
    assert_eq!(text("name"), "Can only contain a-z (lowercase), 0-9 and hyphens");
    assert!(text("certificate").starts_with("Could not load certificate: "), "{both}");
    assert!(text("key").starts_with("Could not load private key: "), "{both}");

    let (status, mismatch) = refused(json!({"name": "a", "certificate": certificate, "key": other})).await;
    assert_eq!((status, mismatch), (400, json!({"key": ["Certificate and private key do not match!"]})));
    let (_, missing) = refused(json!({})).await;
    assert_eq!(missing["name"], json!(["This field is required."]));
    let (_, blank) = refused(json!({"name": "a", "certificate": "", "key": key})).await;
    assert_eq!(blank, json!({"certificate": ["This field may not be blank."]}));
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_refused_unless_it_is_forced() {
    let world = World::new().await;
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(["a.com".to_owned()]).expect("a host name");
    params.not_before = rcgen::date_time_ymd(2019, 1, 2);
    params.not_after = rcgen::date_time_ymd(2020, 1, 2);
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    let mut body = json!({"name": "old", "certificate": certificate, "key": key.serialize_pem()});

    let refused = world.post(CERTS, &body.to_string()).await;
    assert_eq!(refused.status, 400);
    let told = refused.json()["certificate"][0].as_str().expect("a message").to_owned();
    assert!(told.starts_with("It expired at 2020-01-02T00:00:00Z") && told.contains("--force"), "{told}");
    body["force"] = json!("perhaps");
    let odd = world.post(CERTS, &body.to_string()).await;
    assert_eq!(odd.both(), (400, r#"{"force":["\"perhaps\" is not a valid boolean."]}"#));

    body["force"] = json!(true);
    assert_eq!(world.post(CERTS, &body.to_string()).await.status, 201);
}

#[tokio::test]
async fn a_certificate_is_found_among_its_chain_and_kept_in_front_of_it() {
    let world = with_cert().await;
    let ((other, _), (own, key)) = (pair("authority"), pair("www.foo.com"));
    let body =
        json!({"name": "chain", "certificate": format!("\u{feff}{}{own}", other.trim_end()), "key": key});

    let added = world.post(CERTS, &body.to_string()).await;

    assert_eq!(
        (added.status, &added.json()["common_name"]),
        (201, &json!("www.foo.com")),
        "{}",
        added.text()
    );
    assert_eq!(world.post("/v2/certs/chain/domain/www.foo.com", "").await.status, 201);
    let served = &world.platform.routing("blog").certificates[0].pair.certificate;
    assert_eq!(served.replace('\r', ""), format!("{own}{other}").replace('\r', ""));
}

#[tokio::test]
async fn a_name_is_taken_for_everybody() {
    let world = with_cert().await;

    let again = add_as(&world, &world.carol, "foo-com", "a.com").await;

    assert_eq!(again.both(), (400, r#"{"name":["certificate with this name already exists."]}"#));
}

#[tokio::test]
async fn a_certificate_is_seen_by_its_owner_alone() {
    let world = with_cert().await;

    for token in [&world.admin, &world.bob] {
        assert_eq!(world.platform.get("/v2/certs/foo-com", token).await.both(), NO_CERT);
        assert_eq!(world.platform.delete("/v2/certs/foo-com", token).await.both(), NO_CERT);
        let attach = r#"{"domain":"www.foo.com"}"#;
        assert_eq!(world.platform.post("/v2/certs/foo-com/domain/", token, attach).await.both(), NO_CERT);
        assert_eq!(world.platform.get(CERTS, token).await.json()["count"], 0);
    }
}

#[tokio::test]
async fn a_certificate_is_attached_once_and_detached() {
    let world = with_cert().await;
    let domain = "/v2/certs/foo-com/domain/www.foo.com";

    let done = world.post("/v2/certs/foo-com/domain/", r#"{"domain":"WWW.foo.com"}"#).await;
    assert_eq!(done.both(), (201, ""));
    assert_eq!(attached(&world).await, json!(["www.foo.com"]));
    let taken = (409, r#"{"detail":"Domain already has a certificate attached to it"}"#);
    assert_eq!(world.post(domain, "").await.both(), taken);

    assert_eq!(world.delete(domain).await.both(), (204, ""));
    assert_eq!(world.delete(domain).await.both(), NO_DOMAIN);
    assert_eq!(attached(&world).await, json!([]));
    assert_eq!(world.post(domain, "").await.status, 201);
}

#[tokio::test]
async fn the_edge_is_told_of_each_change_of_a_certificate() {
    let world = with_cert().await;
    let domain = "/v2/certs/foo-com/domain/www.foo.com";
    let told = || {
        let certificates = world.platform.routing("blog").certificates;
        certificates.into_iter().map(|cert| (cert.name, cert.domains)).collect::<Vec<_>>()
    };
    let attached = vec![("foo-com".to_owned(), vec!["www.foo.com".to_owned()])];

    assert_eq!(world.post(domain, "").await.status, 201);
    assert_eq!(told(), attached);
    assert_eq!(world.delete(domain).await.status, 204);
    assert_eq!(told(), []);

    assert_eq!(world.post(domain, "").await.status, 201);
    let pair = &world.platform.routing("blog").certificates[0].pair;
    assert!(pair.certificate.contains("BEGIN CERTIFICATE") && pair.key.contains("PRIVATE KEY"));
    assert_eq!(world.delete("/v2/certs/foo-com").await.status, 204);
    assert_eq!(told(), []);
}

#[tokio::test]
async fn only_a_domain_of_an_app_that_one_may_use_gets_a_certificate() {
    let world = with_cert().await;
    assert_eq!(add_as(&world, &world.carol, "evil", "www.foo.com").await.status, 201);
    assert_eq!(add_as(&world, &world.bob, "bobs", "www.foo.com").await.status, 201);

    let by_carol = world.platform.post("/v2/certs/evil/domain/www.foo.com", &world.carol, "").await;
    let by_bob = world.platform.post("/v2/certs/bobs/domain/www.foo.com", &world.bob, "").await;

    assert_eq!(by_carol.both(), FORBIDDEN);
    assert_eq!(by_bob.status, 201);
    assert_eq!(
        world.platform.delete("/v2/certs/evil/domain/www.foo.com", &world.carol).await.both(),
        FORBIDDEN
    );
    assert_eq!(world.delete("/v2/certs/foo-com/domain/www.foo.com").await.both(), NO_DOMAIN);
    assert_eq!(world.post("/v2/certs/foo-com/domain/unknown.com", "").await.both(), NO_DOMAIN);
    let missing = (400, r#"{"detail":"domain is a required field"}"#);
    assert_eq!(world.post("/v2/certs/foo-com/domain/", "{}").await.both(), missing);
}

#[tokio::test]
async fn what_it_is_attached_to_goes_without_it_and_it_without_that() {
    let world = with_cert().await;
    assert_eq!(world.post("/v2/certs/foo-com/domain/www.foo.com", "").await.status, 201);

    assert_eq!(world.delete("/v2/apps/blog/domains/www.foo.com").await.status, 204);
    assert_eq!(attached(&world).await, json!([]));

    assert_eq!(world.post("/v2/apps/blog/domains/", r#"{"domain":"www.foo.com"}"#).await.status, 201);
    assert_eq!(world.post("/v2/certs/foo-com/domain/www.foo.com", "").await.status, 201);
    assert_eq!(world.delete("/v2/certs/foo-com").await.both(), (204, ""));
    assert_eq!(world.get("/v2/certs/foo-com").await.both(), NO_CERT);
    assert_eq!(world.delete("/v2/apps/blog/").await.status, 204);
}

#[tokio::test]
async fn who_has_certificates_cannot_leave() {
    let world = World::new().await;
    assert_eq!(add_as(&world, &world.carol, "foo-com", "www.foo.com").await.status, 201);

    let refused = world.platform.delete("/v2/auth/cancel/", &world.carol).await;

    assert_eq!(refused.both(), (409, r#"{"detail":"carol still owns certificates. Remove them first"}"#));
}
