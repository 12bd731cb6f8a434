//! A full disk at each step of a push: an error, no change, and the next push succeeds once there is room.

use crate::disk::SmallDisk;
use crate::world::World;

#[tokio::test(flavor = "multi_thread")]
async fn a_push_that_finds_a_full_disk_says_so_changes_nothing_and_goes_well_once_there_is_room() {
    let Some(disk) = SmallDisk::new(8 << 10) else { return };
    let world = World::with(|settings| settings.data_dir = disk.path().join("data")).await;
    let client = world.client_with(&[("Procfile", "web: x")]).await;
    client.push("blog", "main").await.ended_with(0);
    // Random, so that git cannot make it small.
    let large: String = (0..200_000).map(|_| char::from(rand::random_range(b'!'..b'~'))).collect();
    client.commit(&[("large", &large)]).await;

    // Too little for all objects, for one, and for a folder.
    for left_kib in [64, 8, 0] {
        disk.fill(left_kib << 10);
        let refused = client.push("blog", "main").await;
        assert_eq!(refused.code, Some(1), "{}", refused.text);
        assert!(refused.text.contains("disk is full"), "with {left_kib} KiB left: {}", refused.text);
        disk.free();
    }

    assert_eq!(world.hooks.controller().released.len(), 1, "nothing was released");
    client.push("blog", "main").await.ended_with(0).shows(&["Done, blog:v3 deployed"]);
}
