//! The memo of build caches: their sizes and last uses, and the choice of those that must go. It is in memory only;
//! the next process asks the registry again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use domain::AppName;
use domain::build_caches::{BuildCache, BuildCaches, surplus};
use domain::registry_access::cache_repository;

/// Tag of a cache in its app's repository of caches.
pub type Tag = &'static str;
/// Sizes of an app's caches in bytes. A tag without a manifest is no cache.
pub type CacheSizes = BTreeMap<Tag, u64>;

/// Build caches of all apps, as far as this process knows them.
#[derive(Default)]
pub struct CacheMemo(BTreeMap<AppName, AppCaches>);

/// Caches and builds of one app.
#[derive(Default)]
struct AppCaches {
    /// Builds that run in this process.
    running: usize,
    /// Builds of this process that have ended.
    ended: u64,
    /// Value of `ended` at the last answer of the registry.
    measured_at: Option<u64>,
    sizes: CacheSizes,
    /// Last use of each cache by this process.
    used: BTreeMap<Tag, Instant>,
}

impl AppCaches {
    fn is_measured(&self) -> bool {
        self.measured_at == Some(self.ended)
    }

    /// A cache that this process has not used is older than all that it has used.
    fn unused(&self, tag: Tag, now: Instant) -> Duration {
        match self.used.get(tag) {
            _ if self.running > 0 => Duration::ZERO,
            Some(used) => now.saturating_duration_since(*used),
            None => Duration::MAX,
        }
    }
}

/// An app between two builds: answers about its caches hold until the next build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppMoment {
    pub app: AppName,
    ended: u64,
}

/// A cache that must go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurplusCache {
    pub moment: AppMoment,
    pub tag: Tag,
}

impl CacheMemo {
    /// Notes the start of a build: until its end no cache of the app is removed.
    pub fn begin(&mut self, app: &AppName) {
        self.0.entry(app.clone()).or_default().running += 1;
    }

    /// Notes the end of a build that used this cache.
    pub fn end(&mut self, app: &AppName, tag: Tag, now: Instant) {
        let caches = self.0.entry(app.clone()).or_default();
        caches.running = caches.running.saturating_sub(1);
        caches.ended += 1;
        caches.used.insert(tag, now);
    }

    /// Apps to ask the registry about, those with builds first: those never asked about, those built since, and those
    /// that no longer exist, whose caches were or will be removed with them. `existing` is `None` if it is not known.
    pub fn unmeasured(&mut self, existing: Option<&BTreeSet<AppName>>) -> Vec<AppMoment> {
        if let Some(existing) = existing {
            self.0.retain(|app, caches| {
                let is_gone = caches.running == 0 && caches.is_measured() && caches.sizes.is_empty();
                existing.contains(app) || !is_gone
            });
            for app in existing {
                self.0.entry(app.clone()).or_default();
            }
        }
        let is_missing = |app: &AppName| existing.is_some_and(|existing| !existing.contains(app));
        let due = self
            .0
            .iter()
            .filter(|(app, caches)| caches.running == 0 && (!caches.is_measured() || is_missing(app)));
        let mut due: Vec<_> =
            due.map(|(app, caches)| AppMoment { app: app.clone(), ended: caches.ended }).collect();
        due.sort_by_key(|moment| moment.ended == 0);
        due
    }

    /// Takes the registry's answer about the caches of an app.
    pub fn record(&mut self, moment: &AppMoment, sizes: CacheSizes) {
        if let Some(caches) = self.0.get_mut(&moment.app) {
            caches.measured_at = Some(moment.ended);
            caches.sizes = sizes;
        }
    }

    /// Caches beyond the bounds, except those of apps whose build is running. These count as just used.
    pub fn surplus(&self, bounds: &BuildCaches, now: Instant) -> Vec<SurplusCache> {
        let mut known = Vec::new();
        let mut removable = BTreeMap::new();
        for (app, caches) in &self.0 {
            for (tag, size_bytes) in &caches.sizes {
                let name = format!("{}:{tag}", cache_repository(app));
                let unused = caches.unused(tag, now);
                known.push(BuildCache { name: name.clone(), size_bytes: *size_bytes, unused });
                if caches.running == 0 {
                    let moment = AppMoment { app: app.clone(), ended: caches.ended };
                    removable.insert(name, SurplusCache { moment, tag });
                }
            }
        }
        surplus(known, bounds).iter().filter_map(|name| removable.remove(name)).collect()
    }

    /// Returns true if no build of the app has begun since.
    pub fn is_unchanged(&self, moment: &AppMoment) -> bool {
        self.0.get(&moment.app).is_some_and(|caches| caches.running == 0 && caches.ended == moment.ended)
    }

    /// Forgets a cache that was removed, unless a build of the app has ended since.
    pub fn removed(&mut self, cache: &SurplusCache) {
        let caches = self.0.get_mut(&cache.moment.app).filter(|caches| caches.ended == cache.moment.ended);
        if let Some(caches) = caches {
            caches.sizes.remove(cache.tag);
            caches.used.remove(cache.tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACKS: Tag = "latest";
    const LAYERS: Tag = "layers";

    fn app(name: &str) -> AppName {
        AppName::parse(name).expect("a good name")
    }

    fn existing(names: &[&str]) -> BTreeSet<AppName> {
        names.iter().map(|name| app(name)).collect()
    }

    fn bounds(all_bytes_max: u64, count_max: usize) -> BuildCaches {
        BuildCaches { app_bytes_max: 100, all_bytes_max, count_max }
    }

    /// Names of the apps that the registry is asked about; it has a cache of 10 bytes of each.
    fn measure(memo: &mut CacheMemo, names: &[&str]) -> Vec<String> {
        let asked = memo.unmeasured(Some(&existing(names)));
        for moment in &asked {
            memo.record(moment, CacheSizes::from([(PACKS, 10)]));
        }
        asked.iter().map(|moment| moment.app.to_string()).collect()
    }

    fn build(memo: &mut CacheMemo, name: &str, now: Instant) {
        memo.begin(&app(name));
        memo.end(&app(name), PACKS, now);
    }

    fn surplus_names(memo: &CacheMemo, bounds: &BuildCaches, now: Instant) -> Vec<String> {
        memo.surplus(bounds, now).iter().map(|cache| format!("{}:{}", cache.moment.app, cache.tag)).collect()
    }

    #[test]
    fn caches_that_this_process_has_not_used_go_before_the_least_recently_used() {
        let (mut memo, start) = (CacheMemo::default(), Instant::now());
        let now = start + Duration::from_secs(9);
        build(&mut memo, "first", start);
        build(&mut memo, "second", start + Duration::from_secs(5));
        measure(&mut memo, &["first", "second", "unknown"]);

        assert!(surplus_names(&memo, &bounds(30, 3), now).is_empty());
        assert_eq!(surplus_names(&memo, &bounds(29, 3), now), ["unknown:latest"]);
        assert_eq!(surplus_names(&memo, &bounds(30, 1), now), ["first:latest", "unknown:latest"]);

        build(&mut memo, "unknown", now);
        assert_eq!(surplus_names(&memo, &bounds(30, 2), now), ["first:latest"]);
    }

    #[test]
    fn each_cache_of_an_app_has_its_own_last_use() {
        let (mut memo, start) = (CacheMemo::default(), Instant::now());
        build(&mut memo, "blog", start);
        memo.begin(&app("blog"));
        memo.end(&app("blog"), LAYERS, start + Duration::from_secs(5));
        let asked = memo.unmeasured(None);
        memo.record(&asked[0], CacheSizes::from([(PACKS, 10), (LAYERS, 10)]));

        let now = start + Duration::from_secs(9);
        assert_eq!(surplus_names(&memo, &bounds(19, 9), now), ["blog:latest"]);
    }

    #[test]
    fn the_cache_of_an_app_whose_build_runs_counts_and_stays() {
        let (mut memo, now) = (CacheMemo::default(), Instant::now());
        measure(&mut memo, &["blog", "shop"]);
        memo.begin(&app("shop"));

        assert_eq!(surplus_names(&memo, &bounds(10, 9), now), ["blog:latest"]);
        assert_eq!(surplus_names(&memo, &bounds(9, 9), now), ["blog:latest"]);
        memo.end(&app("shop"), PACKS, now);
        assert_eq!(surplus_names(&memo, &bounds(9, 9), now), ["shop:latest", "blog:latest"]);
    }

    #[test]
    fn a_build_that_begins_after_the_choice_keeps_its_cache() {
        let (mut memo, now) = (CacheMemo::default(), Instant::now());
        measure(&mut memo, &["blog"]);
        let surplus = memo.surplus(&bounds(9, 9), now);
        assert!(memo.is_unchanged(&surplus[0].moment));

        memo.begin(&app("blog"));
        assert!(!memo.is_unchanged(&surplus[0].moment));
        memo.end(&app("blog"), PACKS, now);
        assert!(!memo.is_unchanged(&surplus[0].moment), "that build may have stored another");
        memo.removed(&surplus[0]);
        assert_eq!(memo.surplus(&bounds(9, 9), now).len(), 1);

        memo.removed(&memo.surplus(&bounds(9, 9), now)[0].clone());
        assert!(memo.surplus(&bounds(9, 9), now).is_empty());
    }

    #[test]
    fn the_registry_is_asked_once_about_an_app_and_again_after_each_of_its_builds() {
        let (mut memo, now) = (CacheMemo::default(), Instant::now());
        let names = ["blog", "shop", "wiki"];
        build(&mut memo, "shop", now);

        assert_eq!(measure(&mut memo, &names), ["shop", "blog", "wiki"], "builds first");
        assert!(measure(&mut memo, &names).is_empty());
        memo.begin(&app("wiki"));
        assert!(measure(&mut memo, &names).is_empty(), "its cache is about to change");
        memo.end(&app("wiki"), PACKS, now);
        assert_eq!(measure(&mut memo, &names), ["wiki"]);

        build(&mut memo, "blog", now);
        let asked = memo.unmeasured(None);
        build(&mut memo, "blog", now);
        memo.record(&asked[0], CacheSizes::new());
        assert_eq!(measure(&mut memo, &names), ["blog"], "the answer is older than the last build");
    }

    #[test]
    fn apps_that_the_registry_gave_no_answer_for_are_asked_about_again() {
        let mut memo = CacheMemo::default();

        for _ in 0..2 {
            assert_eq!(memo.unmeasured(Some(&existing(&["blog"]))).len(), 1);
        }
        assert_eq!(memo.unmeasured(None).len(), 1, "also if the apps cannot be listed");
    }

    #[test]
    fn caches_of_an_app_that_no_longer_exists_do_not_count() {
        let (mut memo, now) = (CacheMemo::default(), Instant::now());
        measure(&mut memo, &["blog", "shop"]);

        let asked = memo.unmeasured(Some(&existing(&["shop"])));
        assert_eq!(asked.len(), 1);
        memo.record(&asked[0], CacheSizes::new());

        assert_eq!(surplus_names(&memo, &bounds(9, 9), now), ["shop:latest"]);
        assert!(memo.unmeasured(Some(&existing(&["shop"]))).is_empty(), "it is forgotten");
        assert_eq!(memo.0.len(), 1);
    }

    #[test]
    fn an_app_without_a_namespace_keeps_its_place_after_its_first_build() {
        let (mut memo, start) = (CacheMemo::default(), Instant::now());
        measure(&mut memo, &["shop"]);
        build(&mut memo, "blog", start);

        assert_eq!(measure(&mut memo, &["shop"]), ["blog"]);
        let now = start + Duration::from_secs(9);
        assert_eq!(surplus_names(&memo, &bounds(10, 9), now), ["shop:latest"]);
    }
}
