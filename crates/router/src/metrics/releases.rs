//! Counters of each release of an app, from which a roll is reported: the requests that the release served and
//! lost, and those under way when it left the routes.
//!
//! A few places for each app, written by the thread of one worker without a lock; the oldest release is replaced.

use std::cell::Cell;
use std::sync::Arc;

use domain::routing::Route;

use super::{AppMetrics, Counter};

/// Releases of one app that are counted at a time.
const RELEASES_MAX: usize = 4;

/// The newest releases of one app at one worker.
#[derive(Default)]
pub(crate) struct Releases([ReleaseCounts; RELEASES_MAX]);

/// The counters of one release.
#[derive(Default)]
pub(crate) struct ReleaseCounts {
    /// Zero if the place is free; requests without a release are not counted.
    release: Counter,
    served: Counter,
    lost: Counter,
    under_way: Counter,
    /// Requests in hand when the release left the routes.
    under_way_at_roll: Counter,
    /// Is 1 while others serve in its place.
    has_left: Counter,
}

/// The same numbers, of one worker or of several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ReleaseSum {
    pub(crate) served: u64,
    pub(crate) lost: u64,
    pub(crate) under_way: u64,
    pub(crate) under_way_at_roll: u64,
    /// At some worker it is still in the routes.
    pub(crate) is_routed: bool,
}

impl Releases {
    /// The place of a release, made where it has none; `None` where all are taken by releases with requests in hand.
    fn place(&self, release: u64) -> Option<usize> {
        if release == 0 {
            return None;
        }
        let taken = self.0.iter().position(|counts| counts.release.get() == release);
        taken.or_else(|| {
            let idle = self.0.iter().enumerate().filter(|(_, counts)| counts.under_way.get() == 0);
            let (place, counts) = idle.min_by_key(|(_, counts)| counts.release.get())?;
            counts.begin(release);
            Some(place)
        })
    }

    /// Notes which releases a new table has no longer. Where nobody serves, as in a crash, nothing has been rolled.
    pub(super) fn note_routes(&self, route: &Route) {
        if route.all_backends().next().is_none() {
            return;
        }
        for counts in self.0.iter().filter(|counts| counts.release.get() > 0) {
            let release = counts.release.get();
            let is_routed = route.all_backends().any(|backend| backend.release == release);
            if !is_routed && counts.has_left.get() == 0 {
                counts.under_way_at_roll.set(counts.under_way.get());
            }
            counts.has_left.set(u64::from(!is_routed));
        }
    }

    /// Counts a request that no replica was there for as lost by the newest release.
    pub(crate) fn lost_without_replica(&self) {
        let newest = self.0.iter().max_by_key(|counts| counts.release.get());
        newest.filter(|counts| counts.release.get() > 0).inspect(|counts| counts.lost.add(1));
    }

    pub(crate) fn sums(&self) -> impl Iterator<Item = (u64, ReleaseSum)> {
        self.0.iter().map(|counts| (counts.release.get(), counts.sum())).filter(|(release, _)| *release > 0)
    }
}

impl ReleaseCounts {
    fn begin(&self, release: u64) {
        let Self { release: number, served, lost, under_way, under_way_at_roll, has_left } = self;
        for count in [has_left, served, lost, under_way, under_way_at_roll] {
            count.set(0);
        }
        number.set(release);
    }

    fn sum(&self) -> ReleaseSum {
        let Self { release: _, served, lost, under_way, under_way_at_roll, has_left } = self;
        ReleaseSum {
            served: served.get(),
            lost: lost.get(),
            under_way: under_way.get(),
            under_way_at_roll: under_way_at_roll.get(),
            is_routed: has_left.get() == 0,
        }
    }
}

impl ReleaseSum {
    pub(crate) fn add(&mut self, other: Self) {
        let Self { served, lost, under_way, under_way_at_roll, is_routed } = other;
        self.served += served;
        self.lost += lost;
        self.under_way += under_way;
        self.under_way_at_roll += under_way_at_roll;
        self.is_routed |= is_routed;
    }
}

/// Outcome of a request so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestEnd {
    /// The client left, or another replica is tried.
    Open,
    Served,
    Lost,
}

/// One request or switched connection of an app, for as long as a replica has it in hand.
pub(crate) struct RequestInFlight {
    metrics: Arc<AppMetrics>,
    release: u64,
    place: Option<usize>,
    end: Cell<RequestEnd>,
}

impl RequestInFlight {
    pub(crate) fn begin(metrics: &Arc<AppMetrics>, release: u64) -> Self {
        metrics.under_way.add(1);
        let place = metrics.releases.place(release);
        let begun = Self { metrics: Arc::clone(metrics), release, place, end: Cell::new(RequestEnd::Open) };
        begun.counts().inspect(|counts| counts.under_way.add(1));
        begun
    }

    pub(crate) fn metrics(&self) -> &Arc<AppMetrics> {
        &self.metrics
    }

    pub(crate) fn release(&self) -> u64 {
        self.release
    }

    /// The replica has answered.
    pub(crate) fn answered(&self) {
        self.end.set(RequestEnd::Served);
    }

    /// The replica gave no answer, or it broke off.
    pub(crate) fn lost(&self) {
        self.end.set(RequestEnd::Lost);
    }

    fn counts(&self) -> Option<&ReleaseCounts> {
        self.place.map(|place| &self.metrics.releases.0[place])
    }
}

impl Drop for RequestInFlight {
    fn drop(&mut self) {
        self.metrics.under_way.subtract(1);
        let Some(counts) = self.counts() else { return };
        counts.under_way.subtract(1);
        match self.end.get() {
            RequestEnd::Served => counts.served.add(1),
            RequestEnd::Lost => counts.lost.add(1),
            RequestEnd::Open => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use domain::AppName;
    use domain::routing::{Backend, RouteOwner};

    use super::*;

    fn route(releases: &[u64]) -> Route {
        let backend = |release: &u64| Backend {
            key: format!("r{release}"),
            address: ([127, 0, 0, 1], 1).into(),
            release: *release,
        };
        let owner = RouteOwner::App(AppName::parse("blog").expect("a good name"));
        Route::plain(owner, "blog.test".to_owned(), releases.iter().map(backend).collect())
    }

    fn sum(metrics: &AppMetrics, release: u64) -> ReleaseSum {
        metrics.releases.sums().find(|(number, _)| *number == release).expect("it is counted").1
    }

    #[test]
    fn a_release_is_counted_until_its_last_request_after_the_roll_has_ended() {
        let metrics = Arc::default();
        let (served, cut, left) = (
            RequestInFlight::begin(&metrics, 4),
            RequestInFlight::begin(&metrics, 4),
            RequestInFlight::begin(&metrics, 4),
        );
        served.answered();
        cut.answered();
        drop(served);

        metrics.releases.note_routes(&route(&[4, 5]));
        assert!(sum(&metrics, 4).is_routed);
        metrics.releases.note_routes(&route(&[5]));
        cut.lost();
        drop((cut, left));
        metrics.releases.note_routes(&route(&[5]));

        let told = ReleaseSum { served: 1, lost: 1, under_way: 0, under_way_at_roll: 2, is_routed: false };
        assert_eq!(sum(&metrics, 4), told);
    }

    #[test]
    fn a_release_that_nobody_replaces_has_not_left_and_loses_what_finds_no_replica() {
        let metrics = Arc::default();
        drop(RequestInFlight::begin(&metrics, 4));

        metrics.releases.note_routes(&route(&[]));
        metrics.releases.lost_without_replica();

        let sum = sum(&metrics, 4);
        assert_eq!((sum.lost, sum.is_routed), (1, true));
    }

    #[test]
    fn the_oldest_release_makes_room_but_not_while_it_has_requests_in_hand() {
        let metrics = Arc::default();
        let first = RequestInFlight::begin(&metrics, 1);
        (2..=6).for_each(|release| drop(RequestInFlight::begin(&metrics, release)));

        let mut counted: Vec<_> = metrics.releases.sums().map(|(release, _)| release).collect();
        counted.sort_unstable();

        assert_eq!(counted, [1, 4, 5, 6]);
        drop(first);
        assert_eq!(sum(&metrics, 1).under_way, 0);
        assert!(metrics.releases.place(0).is_none());
    }
}
