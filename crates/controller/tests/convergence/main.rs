//! The deployer on a real database and the engine in memory: whatever happens, each app ends at its
//! newest release that works.

#[path = "../../../store/tests/database/mod.rs"]
mod database;
mod stand_in;
mod world;

mod absence;
mod failures;
mod kills;
mod order;
mod replicated;
mod superseding;
