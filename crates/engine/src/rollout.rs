//! The rules of rollouts that are the same on every engine: pure, from desired and observed state. An engine observes
//! and acts.

pub mod crashes;
pub mod desired_state;
pub mod failure_text;
pub mod replica;
