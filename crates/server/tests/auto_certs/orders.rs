//! Orders of certificates.

use std::time::Duration;

use controller::AcmeSettings;
use domain::auto_certs::ChallengeKind;
use jiff::{SignedDuration, Timestamp};
use store::PageRange;

use crate::world::{World, app};

const WWW: &str = "www.foo.test";
const BOTH: [ChallengeKind; 2] = [ChallengeKind::Http01, ChallengeKind::TlsAlpn01];

/// Issues by one kind of challenge alone, and connects as a client does.
async fn issues_by(kind: ChallengeKind) -> World {
    let world = World::new().await;
    world.add_domain("blog", WWW).await;
    let _life = world.start(world.acme(&[kind]));

    let chain = world.until_issued("blog", WWW).await;

    world.until_shown(WWW, &chain).await;
    world
        .until("the challenge is over", async || {
            world.store.challenges(&app("blog")).await.expect("an answer").is_empty()
        })
        .await;
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_gets_a_certificate_by_http() {
    let world = issues_by(ChallengeKind::Http01).await;

    let looked = world.pebble.lines().iter().any(|line| line.contains("/.well-known/acme-challenge/"));
    assert!(looked, "{:#?}", world.pebble.lines());
    let certs = world.store.certs("alice", PageRange::ALL).await.expect("an answer").rows;
    assert_eq!((certs[0].name.as_str(), certs[0].is_automatic), ("auto-www-foo-test", true));
    assert_eq!(certs[0].facts.san, [WWW]);
    let said = world.said("blog").join("\n");
    assert!(said.contains("certificate auto-www-foo-test for www.foo.test issued, good until 20"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_gets_a_certificate_by_tls() {
    let world = issues_by(ChallengeKind::TlsAlpn01).await;

    let looked = world.pebble.lines().iter().any(|line| line.contains("/.well-known/acme-challenge/"));
    assert!(!looked, "{:#?}", world.pebble.lines());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_before_it_ends_and_not_sooner() {
    let world = World::new().await;
    world.add_domain("blog", WWW).await;
    let life = world.start(world.acme(&BOTH));
    let first = world.until_issued("blog", WWW).await;
    life.kill().await;
    let mut auto_certs = world.auto_certs(world.acme(&BOTH));
    let in_days = |days: i64| Timestamp::now() + SignedDuration::from_hours(24 * days);

    assert_eq!(auto_certs.pass(in_days(59)).await, 0);
    assert_eq!(auto_certs.pass(in_days(61)).await, 1);
    assert!(auto_certs.worker_ends().await);

    let second = world.chain("blog", WWW).await.expect("it is attached");
    assert_ne!(first, second, "{:?}", world.said("blog"));
    world.until_shown(WWW, &second).await;
    let certs = world.store.certs("alice", PageRange::ALL).await.expect("an answer");
    assert_eq!(certs.count, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_controller_goes_on_with_the_order_of_one_that_was_killed() {
    let world = World::new().await;
    world.add_domain("blog", WWW).await;
    // It waits with a challenge that is recorded, and would for ever.
    let slow = AcmeSettings { settle: Duration::from_secs(3_600), ..world.acme(&BOTH) };
    let life = world.start(slow.clone());
    world
        .until("a challenge is shown", async || {
            !world.store.challenges(&app("blog")).await.expect("an answer").is_empty()
        })
        .await;
    life.kill().await;
    let before = world.store.auto_order(WWW, &slow.directory).await.expect("an answer");
    assert!(before.url.is_some() && world.pebble.orders() == 1, "{:#?}", world.pebble.lines());

    let _life = world.start(world.acme(&BOTH));
    world.until_issued("blog", WWW).await;

    assert_eq!(world.pebble.orders(), 1, "{:#?}", world.pebble.lines());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn controllers_that_are_killed_at_any_moment_come_to_a_certificate_together() {
    let world = World::new().await;
    world.add_domain("blog", WWW).await;
    let mut lives = 0;

    // Each lives a little longer, so that all steps are cut off somewhere.
    while world.domain("blog", WWW).await.served.is_none() {
        lives += 1;
        assert!(lives < 100, "{:#?}", world.pebble.lines());
        let life = world.start(world.acme(&BOTH));
        tokio::time::sleep(Duration::from_millis(60 * lives)).await;
        life.kill().await;
        assert_eq!(world.domain("blog", WWW).await.progress.error, None);
    }

    let _life = world.start(world.acme(&BOTH));
    let chain = world.chain("blog", WWW).await.expect("it is attached");
    world.until_shown(WWW, &chain).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_domain_that_leads_nowhere_is_told_and_holds_up_no_other() {
    let world = World::new().await;
    world.add_app("shop").await;
    world.add_domain("blog", "www.gone.test").await;
    world.add_domain("shop", WWW).await;
    let _life = world.start(world.acme(&BOTH));

    world.until_issued("shop", WWW).await;
    world
        .until("the failure is told", async || {
            world.domain("blog", "www.gone.test").await.progress.error.is_some()
        })
        .await;

    let progress = world.domain("blog", "www.gone.test").await.progress;
    let error = progress.error.expect("it was told");
    assert!(error.starts_with("http-01: ") && error.contains("www.gone.test"), "{error}");
    let rest = progress.next_try.expect("a time").duration_since(progress.tried.expect("a time"));
    assert_eq!((progress.failures, progress.is_ordered, rest.as_mins()), (1, false, 10));
    let said = world.said("blog").join("\n");
    assert!(said.contains(&format!("no certificate for www.gone.test yet: {error}; next try at ")), "{said}");
    assert!(world.store.challenges(&app("blog")).await.expect("an answer").is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_authority_that_is_away_is_told_and_asked_again_soon() {
    let world = World::new().await;
    world.add_domain("blog", WWW).await;
    let away = AcmeSettings { directory: "https://127.0.0.1:1/dir".to_owned(), ..world.acme(&BOTH) };
    let _life = world.start(away);

    world
        .until("the failure is told", async || world.domain("blog", WWW).await.progress.error.is_some())
        .await;

    let progress = world.domain("blog", WWW).await.progress;
    let error = progress.error.expect("it was told");
    assert!(error.starts_with("the certificate authority: ") && error.contains("refused"), "{error}");
    let rest = progress.next_try.expect("a time").duration_since(progress.tried.expect("a time"));
    assert_eq!(rest.as_mins(), 1);
}
