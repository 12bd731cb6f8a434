//! Retention: decides which images of releases in the image store are still needed.
//!
//! An image stays while it runs, is to run, or is among the newest that the app can be rolled back to. An unneeded
//! image is removed after a grace period, so that the image of a release that is being recorded is not mistaken
//! for an orphan.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::Digest;

/// Images that an app can be rolled back to, unless the operator says otherwise.
pub const BUILDS_KEPT_DEFAULT: u32 = 10;
/// Time for which an image must have been unused before it is removed. Longer than a build and its release take.
pub const GRACE: SignedDuration = SignedDuration::from_hours(1);

/// The images of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseImages {
    pub version: u64,
    pub images: BTreeSet<Digest>,
    /// The release was tried and has never succeeded: nothing can be rolled back to it.
    pub failed: bool,
}

/// The images that an app needs: those in use, those of its newest release, and those of the `builds_kept` newest
/// distinct builds (at least 1) of releases that have not failed. Releases that share their images, as after
/// `config:set`, count once.
pub fn needed(
    releases: &[ReleaseImages],
    in_use: impl IntoIterator<Item = Digest>,
    builds_kept: u32,
) -> BTreeSet<Digest> {
    let mut newest_first: Vec<_> = releases.iter().collect();
    newest_first.sort_by_key(|release| std::cmp::Reverse(release.version));
    let mut rollback_targets = BTreeSet::new();
    for release in newest_first.iter().filter(|release| !release.failed) {
        if rollback_targets.len() >= builds_kept.max(1) as usize {
            break;
        }
        rollback_targets.insert(&release.images);
    }
    rollback_targets.extend(newest_first.first().map(|release| &release.images));
    rollback_targets.into_iter().flatten().cloned().chain(in_use).collect()
}

/// Since when each thing has been seen unneeded. `K` names it, such as an app and a digest.
#[derive(Debug, Clone)]
pub struct UnusedSince<K> {
    since: BTreeMap<K, Timestamp>,
}

impl<K> Default for UnusedSince<K> {
    fn default() -> Self {
        Self { since: BTreeMap::new() }
    }
}

impl<K: Ord + Clone> UnusedSince<K> {
    /// Records the images that are unneeded at `now`, and returns those that have been so for `grace`. An image
    /// that was needed in between starts again.
    pub fn due(
        &mut self,
        unneeded: impl IntoIterator<Item = K>,
        now: Timestamp,
        grace: SignedDuration,
    ) -> Vec<K> {
        let before = std::mem::take(&mut self.since);
        let since = |key: K| {
            let since = before.get(&key).copied().unwrap_or(now);
            (key, since)
        };
        self.since = unneeded.into_iter().map(since).collect();
        let is_due = |since: &Timestamp| now.duration_since(*since) >= grace;
        self.since.iter().filter(|(_, since)| is_due(since)).map(|(key, _)| key.clone()).collect()
    }
}

/// Message for a rollback to a release whose image was removed.
pub fn image_is_gone(version: u64, builds_kept: u32) -> String {
    format!(
        "Cannot roll back to v{version}: its image was removed, only the last {builds_kept} builds are kept. \
         Push that commit again."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    /// Releases from v1 on; upper case failed.
    fn releases(images: &str) -> Vec<ReleaseImages> {
        let release = |(version, letter): (u64, char)| ReleaseImages {
            version,
            images: [image(&letter.to_ascii_lowercase().to_string())].into(),
            failed: letter.is_ascii_uppercase(),
        };
        (1..).zip(images.chars()).map(release).collect()
    }

    fn kept(images: &str, in_use: &[&str], builds_kept: u32) -> String {
        let needed = needed(&releases(images), in_use.iter().map(|name| image(name)), builds_kept);
        ('a'..='z').filter(|letter| needed.contains(&image(&letter.to_string()))).collect()
    }

    #[test]
    fn the_newest_builds_stay_and_releases_of_one_build_count_once() {
        assert_eq!(kept("abcd", &[], 2), "cd");
        assert_eq!(kept("abcccccd", &[], 3), "bcd");
        assert_eq!(kept("abcdab", &[], 2), "ab");
        assert_eq!(kept("", &[], 2), "");
        assert_eq!(kept("ab", &[], 0), "b");
    }

    #[test]
    fn what_runs_stays_however_old_it_is() {
        assert_eq!(kept("abcd", &["a"], 1), "ad");
    }

    #[test]
    fn failed_releases_push_no_good_one_out_and_the_newest_stays_while_it_is_tried() {
        assert_eq!(kept("abCDE", &[], 2), "abe");
    }

    #[test]
    fn an_image_goes_only_when_it_was_unneeded_for_the_whole_grace_period() {
        let at = |minutes: i64| Timestamp::from_second(minutes * 60).expect("in range");
        let mut unneeded = UnusedSince::default();

        assert_eq!(unneeded.due(["a", "b"], at(0), GRACE), [""; 0]);
        assert_eq!(unneeded.due(["a"], at(59), GRACE), [""; 0]);
        assert_eq!(unneeded.due(["a", "b"], at(60), GRACE), ["a"]);
        assert_eq!(unneeded.due(["b"], at(119), GRACE), [""; 0]);
        assert_eq!(unneeded.due(["b"], at(120), GRACE), ["b"]);
    }
}
