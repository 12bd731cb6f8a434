//! Certificates that the platform gets by itself: orders survive their controller, and go with their domain.

use domain::auto_certs::OrderProgress;
use domain::certs::Pair;
use jiff::SignedDuration;
use sqlx::{AnyConnection, Connection as _, Row as _};
use store::{AutoOrder, CertRecord, IssuedCert, NewDomain, PageRange, StoreError};

use crate::certs::new_cert;
use crate::changes::app;
use crate::{Timestamp, World};

const CA: &str = "https://ca.example.com/directory";
const WWW: &str = "www.foo.com";

/// Alice's app `blog` with a domain, which is to get a certificate.
async fn wanting_world() -> World {
    let world = World::new().await;
    world.user("alice").await;
    world.app("blog", "alice").await;
    add_domain(&world, WWW).await;
    assert!(world.store.want_auto_certs(&app("blog"), true, Timestamp::now()).await.expect("an answer"));
    world
}

async fn add_domain(world: &World, domain: &str) {
    let (owner, now) = ("alice".to_owned(), Timestamp::now());
    let new = NewDomain { domain: domain.to_owned(), app: app("blog"), owner, now };
    world.store.add_domain(new, 100).await.expect("a free domain");
}

fn order() -> AutoOrder {
    AutoOrder {
        url: Some("https://ca.example.com/order/1".to_owned()),
        key_authorization: Some("token.thumb".to_owned()),
        key: Some("planted key".to_owned()),
        failures: 1,
    }
}

fn issued(key: &str, renew_at: Timestamp) -> IssuedCert {
    let pair = Pair { certificate: "chain".to_owned(), key: key.to_owned() };
    let facts = new_cert("any").facts;
    IssuedCert { domain: WWW.to_owned(), facts, pair, renew_at, now: Timestamp::now() }
}

async fn due(world: &World) -> Vec<String> {
    let due = world.store.due_auto_domains(Timestamp::now(), 10).await.expect("an answer");
    due.into_iter().map(|domain| domain.domain).collect()
}

async fn certs(world: &World) -> Vec<CertRecord> {
    world.store.certs("alice", PageRange::ALL).await.expect("an answer").rows
}

fn later() -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(1)
}

#[tokio::test]
async fn domains_are_due_while_their_app_wants_certificates() {
    let world = wanting_world().await;
    for other in ["*.foo.com", "a.foo.com"] {
        add_domain(&world, other).await;
    }

    assert_eq!(due(&world).await, [WWW, "a.foo.com"]);
    assert!(!world.store.want_auto_certs(&app("blog"), true, Timestamp::now()).await.expect("an answer"));
    assert!(world.store.want_auto_certs(&app("blog"), false, Timestamp::now()).await.expect("an answer"));

    assert_eq!(due(&world).await, [""; 0]);
    let gone = world.store.record_auto_order(WWW, CA, &order(), Timestamp::now()).await;
    assert!(matches!(gone, Err(StoreError::NotFound { .. })), "{gone:?}");
}

#[tokio::test]
async fn an_order_is_gone_on_with_from_where_it_was_recorded() {
    let world = wanting_world().await;
    world.store.record_auto_order(WWW, CA, &order(), Timestamp::now()).await.expect("recorded");

    let after = world.store.auto_order(WWW, CA).await.expect("an answer");
    let elsewhere = world.store.auto_order(WWW, "https://other.example.com/").await.expect("an answer");
    let challenges = world.store.challenges(&app("blog")).await.expect("an answer");
    let mut raw = AnyConnection::connect(&world.database.url).await.expect("the database answers");
    let row = sqlx::query("SELECT sealed_key FROM auto_orders").fetch_one(&mut raw).await.expect("a row");

    assert!(after == order() && elsewhere == AutoOrder { failures: 1, ..AutoOrder::default() });
    assert_eq!((challenges.len(), challenges[0].token()), (1, "token"));
    assert!(!row.try_get::<String, _>("sealed_key").expect("a text").contains("planted"));
    assert_eq!(due(&world).await, [WWW]);
}

#[tokio::test]
async fn a_domain_rests_after_a_failure_and_a_lost_order_is_forgotten() {
    let world = wanting_world().await;
    world.store.record_auto_order(WWW, CA, &order(), Timestamp::now()).await.expect("recorded");
    let failed = OrderProgress {
        is_ordered: false,
        failures: 2,
        error: Some("it does not answer".to_owned()),
        tried: Some(Timestamp::now()),
        next_try: Some(later()),
    };

    world.store.record_auto_failure(WWW, CA, &failed, true).await.expect("recorded");

    let [domain] = &world.store.auto_domains(&app("blog")).await.expect("an answer")[1..] else { panic!() };
    assert_eq!((domain.progress.failures, domain.progress.is_ordered), (2, false));
    assert_eq!(domain.progress.error, failed.error);
    assert_eq!(
        (due(&world).await.len(), world.store.challenges(&app("blog")).await.expect("some").len()),
        (0, 0)
    );
    world.store.reschedule_auto_domain(WWW, Timestamp::now()).await.expect("recorded");
    assert_eq!(due(&world).await, [WWW]);
}

#[tokio::test]
async fn an_issued_certificate_is_one_of_the_owners_and_is_replaced_by_the_next() {
    let world = wanting_world().await;
    world.store.add_cert(new_cert("auto-www-foo-com")).await.expect("somebody has the name");
    world.store.record_auto_order(WWW, CA, &order(), Timestamp::now()).await.expect("recorded");

    let first = world.store.keep_issued_cert(issued("one", Timestamp::now())).await.expect("kept");
    assert_eq!((first.as_str(), due(&world).await), ("auto-www-foo-com-2", vec![WWW.to_owned()]));
    let second = world.store.keep_issued_cert(issued("two", later())).await.expect("kept");

    assert_eq!((&second, due(&world).await.len()), (&first, 0));
    let attached = world.store.attached_certs(&app("blog")).await.expect("an answer");
    assert_eq!((attached.len(), attached[0].pair.key.as_str()), (1, "two"));
    let shown: Vec<_> = certs(&world).await.into_iter().map(|cert| (cert.name, cert.is_automatic)).collect();
    assert_eq!(shown, [("auto-www-foo-com".to_owned(), false), (first, true)]);
}

#[tokio::test]
async fn a_certificate_of_a_user_takes_the_place_of_an_automatic_one() {
    let world = wanting_world().await;
    world.store.keep_issued_cert(issued("one", Timestamp::now())).await.expect("kept");
    world.store.add_cert(new_cert("mine")).await.expect("a new certificate");

    world.store.attach_cert("mine", WWW, Timestamp::now()).await.expect("it takes the place");

    let names: Vec<_> = certs(&world).await.into_iter().map(|cert| cert.name).collect();
    assert_eq!((names, due(&world).await.len()), (vec!["mine".to_owned()], 0));
    // A certificate that was in progress then changes nothing for clients.
    world.store.keep_issued_cert(issued("late", Timestamp::now())).await.expect("kept");
    let attached = world.store.attached_certs(&app("blog")).await.expect("an answer");
    assert_eq!((attached.len(), attached[0].name.as_str()), (1, "mine"));
}

#[tokio::test]
async fn an_automatic_certificate_goes_with_its_domain() {
    let world = wanting_world().await;
    world.store.keep_issued_cert(issued("one", Timestamp::now())).await.expect("kept");

    assert!(world.store.remove_domain(&app("blog"), WWW).await.expect("an answer"));

    assert_eq!(certs(&world).await, []);
}

#[tokio::test]
async fn an_account_keeps_the_key_that_it_had_first() {
    let world = World::new().await;

    let first = world.store.acme_account_key(CA, "one", Timestamp::now()).await.expect("an answer");
    let second = world.store.acme_account_key(CA, "two", Timestamp::now()).await.expect("an answer");
    let other =
        world.store.acme_account_key("https://other/", "two", Timestamp::now()).await.expect("an answer");

    assert_eq!((first.as_str(), second.as_str(), other.as_str()), ("one", "one", "two"));
}
