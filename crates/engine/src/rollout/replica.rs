//! Hash and names of replicas, the same on every engine.

use domain::Digest;
use domain::deployment::{BATCH_DEFAULT, Replicas, Workload};

/// Digits of a workload's hash in names: enough to distinguish the releases of one process type.
const HASH_LENGTH: usize = 10;
const RANDOM_LENGTH: usize = 5;

/// Hash of everything that a replica is made from. The number of replicas, the batch, the start timeout and the
/// kept revisions do not count: a change of those alone replaces nothing.
pub fn spec_hash(workload: &Workload) -> String {
    let same = Workload {
        replicas: Replicas::Fixed(0),
        start_timeout_seconds: 0,
        batch: BATCH_DEFAULT,
        revisions_kept: None,
        ..workload.clone()
    };
    let json = serde_json::to_vec(&same).expect("a workload has only text keys, so it is valid JSON");
    Digest::of(&json).hex()[..HASH_LENGTH].to_owned()
}

/// A new name for a replica: `<app>-<type>-<hash>-<5 of a-z0-9>`.
pub fn new_name(workload: &Workload) -> String {
    const ALPHABET: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let random = (0..RANDOM_LENGTH).map(|_| char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]));
    format!("{}-{}-{}", workload.id, spec_hash(workload), random.collect::<String>())
}
