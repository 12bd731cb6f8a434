use testkit::{WAIT_MAX, wait_until};

use crate::{World, open};

#[tokio::test]
async fn of_several_controllers_one_leads_until_it_is_gone() {
    let world = World::new().await;
    let other = open(&world.database.url).await;
    let is_shared = world.database.url.starts_with("postgres");

    let mut lead = world.store.lead().await.expect("the database answers").expect("nobody leads yet");
    assert!(lead.holds().await);
    // Two processes never share a SQLite file, so each leads.
    assert_eq!(other.lead().await.expect("the database answers").is_none(), is_shared);

    drop(lead);
    let lead = async || other.lead().await.expect("the database answers");
    wait_until("the lead is free", WAIT_MAX, lead).await;
}
