//! The engine of one machine is held to all promises, on the machine's real Docker.

mod adoption;
mod away;
mod disk;
mod firewall;
#[path = "../../../engine/tests/program/image.rs"]
mod image;
#[path = "../machine/mod.rs"]
mod machine;
mod networks;
mod remains;
mod world;

use world::World;

engine::promises!(every, world);
engine::promises!(copies, world);
engine::promises!(real, world);

async fn world() -> World {
    World::new().await
}
