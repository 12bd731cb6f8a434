//! Certificates that the platform gets by itself: the real task, the real router, and Pebble, an ACME certificate
//! authority for tests, with its faults on. `WORKFLOW_TEST_PEBBLE` names its program.

mod names;
mod orders;
mod pebble;
mod visitor;
mod world;
