//! Certificates: keys are sealed and come back for the domain they serve.

use domain::certs::{CertFacts, Pair};
use sqlx::{AnyConnection, Connection as _, Row as _};
use store::{NewCert, NewDomain};

use crate::changes::app;
use crate::{Timestamp, World};

pub const KEY: &str = "-----BEGIN PRIVATE KEY----- planted";

pub fn new_cert(name: &str) -> NewCert {
    let facts = CertFacts {
        common_name: None,
        san: Vec::new(),
        fingerprint: "AB".to_owned(),
        expires: Timestamp::MAX,
        starts: Timestamp::UNIX_EPOCH,
        issuer: String::new(),
        subject: String::new(),
    };
    let pair = Pair { certificate: "chain".to_owned(), key: KEY.to_owned() };
    NewCert { name: name.to_owned(), owner: "alice".to_owned(), facts, pair, now: Timestamp::now() }
}

#[tokio::test]
async fn a_key_is_sealed_at_rest_and_opens_for_its_domain() {
    let world = World::new().await;
    world.user("alice").await;
    world.app("blog", "alice").await;
    world.store.add_cert(new_cert("foo")).await.expect("a new certificate");
    world.store.attach_cert("foo", "blog", Timestamp::now()).await.expect("a free domain");

    let attached = world.store.attached_certs(&app("blog")).await.expect("an answer");
    let mut raw = AnyConnection::connect(&world.database.url).await.expect("the database answers");
    let row = sqlx::query("SELECT sealed_key FROM certs").fetch_one(&mut raw).await.expect("a row");
    let kept: String = row.try_get("sealed_key").expect("a text");

    let [cert] = &attached[..] else { panic!("one certificate: {attached:?}") };
    assert_eq!((cert.name.as_str(), &cert.domains[..]), ("foo", &["blog".to_owned()][..]));
    assert_eq!((cert.pair.certificate.as_str(), cert.pair.key.as_str()), ("chain", KEY));
    assert!(!kept.contains("planted") && kept.starts_with("v1:"), "{kept}");
    assert!(!format!("{attached:?}").contains("planted"));
}

#[tokio::test]
async fn an_app_takes_its_attachments_along() {
    let world = World::new().await;
    world.user("alice").await;
    world.app("blog", "alice").await;
    let domain = NewDomain {
        domain: "www.foo.com".to_owned(),
        app: app("blog"),
        owner: "alice".to_owned(),
        now: Timestamp::now(),
    };
    world.store.add_domain(domain, 100).await.expect("a free domain");
    world.store.add_cert(new_cert("foo")).await.expect("a new certificate");
    world.store.attach_cert("foo", "www.foo.com", Timestamp::now()).await.expect("a free domain");

    world.store.remove_app(&app("blog"), Timestamp::now()).await.expect("an answer");
    world.store.forget_app(&app("blog")).await.expect("an answer");

    let cert = world.store.cert("alice", "foo").await.expect("an answer").expect("it stays");
    assert!(cert.domains.is_empty());
}
