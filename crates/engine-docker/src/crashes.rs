//! Exits of containers, from Docker's events, and the decision which of them are crashes.
//!
//! Out of memory is an event of its own, which may come before or just after the exit that it explains.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use domain::crashes::{Crashes, Exit};
use jiff::{SignedDuration, Timestamp};

use super::Inner;
use super::tasks::{AppHandle, AppState};

/// Exit code of a process that was killed, which memory may explain.
const KILLED: i64 = 137;
/// Longest time between the two events of one exit.
const APART_MAX: Duration = Duration::from_secs(1);

/// Ends of an app's containers, by container.
#[derive(Debug, Default)]
pub struct ContainerEnds {
    containers: BTreeMap<String, ContainerHistory>,
}

#[derive(Debug, Default)]
struct ContainerHistory {
    last: Option<ContainerEnd>,
    out_of_memory: Option<Timestamp>,
    /// Exits that were not judged yet, reported as one.
    unjudged: u64,
    /// The next end was asked for: a restart by the platform.
    is_asked_for: bool,
}

#[derive(Debug, Clone, Copy)]
struct ContainerEnd {
    exit: Exit,
    at: Timestamp,
    received_at: Instant,
}

impl ContainerEnds {
    /// Notes the end of a run. An event that comes again changes nothing.
    pub fn ended(&mut self, id: &str, code: i64, at: Timestamp) {
        let container = self.containers.entry(id.to_owned()).or_default();
        if container.last.is_some_and(|last| last.at >= at) {
            return;
        }
        let is_explained = container.out_of_memory.take().is_some_and(|time| is_close(time, at));
        let is_out_of_memory = code == KILLED && is_explained;
        container.last =
            Some(ContainerEnd { exit: Exit { code, is_out_of_memory }, at, received_at: Instant::now() });
        if !std::mem::take(&mut container.is_asked_for) {
            container.unjudged += 1;
        }
    }

    /// Notes that a process of the container was killed for want of memory.
    pub fn out_of_memory(&mut self, id: &str, at: Timestamp) {
        let container = self.containers.entry(id.to_owned()).or_default();
        match &mut container.last {
            Some(last) if last.exit.code == KILLED && is_close(last.at, at) => {
                last.exit.is_out_of_memory = true;
            }
            _ => container.out_of_memory = Some(at),
        }
    }

    /// The platform is about to restart the container: its end is none of the app's.
    pub fn will_be_asked_for(&mut self, id: &str, is_asked_for: bool) {
        self.containers.entry(id.to_owned()).or_default().is_asked_for = is_asked_for;
    }

    /// Exit of the container's last run, as far as events reported it.
    pub fn last(&self, id: &str) -> Option<Exit> {
        self.containers.get(id)?.last.map(|end| end.exit)
    }

    /// Forgets containers that are gone.
    pub fn retain(&mut self, is_there: impl Fn(&String) -> bool) {
        self.containers.retain(|id, container| {
            // The event may come before the list that shows a new container.
            is_there(id) || container.last.is_some_and(|last| last.received_at.elapsed() < APART_MAX)
        });
    }

    /// Returns true if there are exits to judge.
    pub fn has_unjudged(&self) -> bool {
        self.containers.values().any(|container| container.unjudged > 0)
    }

    /// Takes the ends of a container that are to be judged now: a kill only once an event would have explained it.
    fn take(&mut self, id: &str) -> Option<(u64, ContainerEnd)> {
        let container = self.containers.get_mut(id)?;
        let end = container.last.filter(|_| container.unjudged > 0)?;
        let is_explained = end.exit.code != KILLED || end.exit.is_out_of_memory;
        (is_explained || end.received_at.elapsed() >= APART_MAX)
            .then(|| (std::mem::take(&mut container.unjudged), end))
    }
}

fn is_close(one: Timestamp, other: Timestamp) -> bool {
    let apart = one.duration_since(other).abs();
    apart <= SignedDuration::try_from(APART_MAX).unwrap_or(SignedDuration::MAX)
}

/// Counts and sends the crashes of an app: ends of containers that stay.
pub fn report(inner: &Inner, app: &AppHandle) {
    let mut state = app.state();
    let AppState { desired, replicas, retiring, ends, crashes, .. } = &mut *state;
    for replica in replicas.iter() {
        let Some((times, ContainerEnd { exit, at, .. })) = ends.take(&replica.id) else { continue };
        if desired.is_removed || retiring.contains(&replica.id) {
            continue;
        }
        let before = crashes.get(&replica.id).copied();
        let now = (0..times).fold(before, |before, _| Some(Crashes::after(before, exit, at)));
        let Some(now) = now else { continue };
        crashes.insert(replica.id.clone(), now);
        if let Some(desired) = desired.workloads.get(&replica.process) {
            inner.crashes.report(desired, &replica.spec, &replica.name, now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millisecond: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millisecond).expect("a near moment")
    }

    #[test]
    fn memory_explains_a_kill_whichever_event_comes_first() {
        let mut ends = ContainerEnds::default();
        ends.out_of_memory("a", at(0));
        ends.ended("a", KILLED, at(20));
        ends.ended("b", KILLED, at(0));
        ends.out_of_memory("b", at(20));

        let killed = Exit { code: KILLED, is_out_of_memory: true };
        assert_eq!((ends.last("a"), ends.last("b")), (Some(killed), Some(killed)));
        assert!(ends.take("a").is_some() && ends.take("b").is_some());
    }

    #[test]
    fn memory_that_ran_out_before_does_not_explain_another_end() {
        let mut ends = ContainerEnds::default();
        ends.out_of_memory("a", at(0));
        ends.ended("a", 3, at(20));
        ends.ended("a", KILLED, at(40));

        assert_eq!(ends.last("a"), Some(Exit { code: KILLED, is_out_of_memory: false }));
        assert!(ends.take("a").is_none(), "the event that explains it may still come");
        assert!(ends.has_unjudged());
    }

    #[test]
    fn an_event_that_comes_twice_is_one_end_and_an_end_that_was_asked_for_none() {
        let mut ends = ContainerEnds::default();
        ends.ended("a", 3, at(0));
        ends.ended("a", 3, at(0));
        ends.will_be_asked_for("b", true);
        ends.ended("b", 0, at(0));

        assert_eq!(ends.take("a").map(|(times, _)| times), Some(1));
        assert!(ends.take("a").is_none() && ends.take("b").is_none());
        ends.ended("b", 1, at(10));
        assert!(ends.take("b").is_some());
    }
}
