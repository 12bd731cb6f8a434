//! Eviction of build caches: first those above the bound of one app, then the least recently used of all.

use std::time::Duration;

/// Bounds of what builds keep for the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BuildCaches {
    /// Largest cache of one app; a larger one is not kept.
    pub app_bytes_max: u64,
    /// Largest sum of all apps' caches; those that were not used for the longest time go first.
    pub all_bytes_max: u64,
    /// Most caches.
    pub count_max: usize,
}

/// Cache of one app's builds of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildCache {
    pub name: String,
    pub size_bytes: u64,
    /// Time since the last use, as exact as it is known: two builds may end within the same second.
    pub unused: Duration,
}

/// Names of the caches that must go.
pub fn surplus(mut caches: Vec<BuildCache>, bounds: &BuildCaches) -> Vec<String> {
    let BuildCaches { app_bytes_max, all_bytes_max, count_max } = *bounds;
    caches.sort_by(|one, other| (one.unused, &one.name).cmp(&(other.unused, &other.name)));
    let (mut kept_bytes, mut kept_count) = (0_u64, 0);
    let mut goes = |cache: &BuildCache| {
        let sum = kept_bytes.saturating_add(cache.size_bytes);
        if cache.size_bytes > app_bytes_max || sum > all_bytes_max || kept_count >= count_max {
            return true;
        }
        kept_bytes = sum;
        kept_count += 1;
        false
    };
    caches.retain(|cache| goes(cache));
    caches.into_iter().map(|cache| cache.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(caches: &[(&str, u64, u64)], app: u64, all: u64, count: usize) -> Vec<String> {
        let caches = caches.iter().map(|(name, size_bytes, unused_ms)| BuildCache {
            name: (*name).to_owned(),
            size_bytes: *size_bytes,
            unused: Duration::from_millis(*unused_ms),
        });
        surplus(caches.collect(), &BuildCaches { app_bytes_max: app, all_bytes_max: all, count_max: count })
    }

    #[test]
    fn a_cache_above_the_bound_of_one_app_is_not_kept() {
        assert_eq!(names(&[("a", 11, 0), ("b", 10, 9)], 10, 100, 9), ["a"]);
    }

    #[test]
    fn of_all_caches_the_least_recently_used_go_until_the_rest_fits() {
        let caches = [("new", 40, 1), ("old", 40, 3), ("middle", 40, 2)];

        assert_eq!(names(&caches, 100, 100, 9), ["old"]);
        assert_eq!(names(&caches, 100, 79, 9), ["middle", "old"]);
        assert_eq!(names(&caches, 100, 1_000, 1), ["middle", "old"]);
        assert!(names(&caches, 100, 120, 3).is_empty());
    }

    #[test]
    fn of_two_uses_within_one_second_the_later_one_stays() {
        assert_eq!(names(&[("blog", 1, 900), ("shop", 1, 100)], 100, 100, 1), ["blog"]);
        assert_eq!(names(&[("blog", 1, 100), ("shop", 1, 900)], 100, 100, 1), ["shop"]);
    }
}
