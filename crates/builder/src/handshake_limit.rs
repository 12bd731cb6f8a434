//! Connections that have not authenticated yet: a limited number, in all and by source.
//!
//! A new connection is always accepted. If there is no room, the oldest of the source with the most connections is
//! shed: a client with a key authenticates within a second or two, a silent one only occupies a place.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use listener::Source;
use tokio_util::sync::CancellationToken;

/// Places of one listener.
#[derive(Clone)]
pub(crate) struct HandshakeLimit {
    places: Arc<Mutex<PlaceTable>>,
    total_max: usize,
    by_source_max: usize,
}

#[derive(Default)]
struct PlaceTable {
    next: u64,
    by_number: BTreeMap<u64, PlaceEntry>,
}

struct PlaceEntry {
    /// `None` for a proxy that does not say on whose behalf it connects.
    source: Option<Source>,
    /// A known key was offered.
    has_offered: bool,
    shed: CancellationToken,
}

/// One place; free again when this is dropped.
pub(crate) struct HandshakePermit {
    waiting: HandshakeLimit,
    number: u64,
    /// Set when the place is needed by another.
    pub shed: CancellationToken,
}

impl HandshakeLimit {
    pub(crate) fn new(total_max: usize, by_source_max: usize) -> Self {
        Self { places: Arc::default(), total_max, by_source_max }
    }

    /// A place for a connection from `source`; sheds another where there is none.
    pub(crate) fn take(&self, source: Option<Source>) -> HandshakePermit {
        let mut held = self.lock();
        self.make_room(&mut held, source);
        let number = held.next;
        held.next += 1;
        let shed = CancellationToken::new();
        held.by_number.insert(number, PlaceEntry { source, has_offered: false, shed: shed.clone() });
        HandshakePermit { waiting: self.clone(), number, shed }
    }

    fn make_room(&self, held: &mut PlaceTable, source: Option<Source>) {
        let mut counts = HashMap::new();
        for holder in held.by_number.values() {
            *counts.entry(holder.source).or_insert(0_usize) += 1;
        }
        let has_its_share = source.is_some() && counts.get(&source).is_some_and(|n| *n >= self.by_source_max);
        let whose = if has_its_share {
            Some(source)
        } else if held.by_number.len() >= self.total_max {
            counts.into_iter().max_by_key(|(_, count)| *count).map(|(source, _)| source)
        } else {
            None
        };
        let Some(whose) = whose else { return };
        let of_source = held.by_number.iter().filter(|(_, holder)| holder.source == whose);
        let oldest = of_source.min_by_key(|(number, holder)| (holder.has_offered, **number));
        if let Some(number) = oldest.map(|(number, _)| *number)
            && let Some(holder) = held.by_number.remove(&number)
        {
            holder.shed.cancel();
        }
    }

    fn lock(&self) -> MutexGuard<'_, PlaceTable> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HandshakePermit {
    /// The source became known: the place counts as its own from now on.
    pub(crate) fn belongs_to(&self, source: Source) {
        let mut held = self.waiting.lock();
        let Some(mut holder) = held.by_number.remove(&self.number) else { return };
        self.waiting.make_room(&mut held, Some(source));
        holder.source = Some(source);
        held.by_number.insert(self.number, holder);
    }

    /// Shed after those that have offered no known key.
    pub(crate) fn has_offered(&self) {
        if let Some(holder) = self.waiting.lock().by_number.get_mut(&self.number) {
            holder.has_offered = true;
        }
    }
}

impl Drop for HandshakePermit {
    fn drop(&mut self) {
        self.waiting.lock().by_number.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(number: u32) -> Option<Source> {
        Some(Source::V4(number))
    }

    #[test]
    fn one_source_sheds_its_own_and_nobody_elses() {
        let waiting = HandshakeLimit::new(10, 2);
        let other = waiting.take(source(2));
        let held = [(); 3].map(|()| waiting.take(source(1)));

        assert_eq!(held.each_ref().map(|place| place.shed.is_cancelled()), [true, false, false]);
        assert!(!other.shed.is_cancelled());
    }

    #[test]
    fn where_all_is_taken_the_source_with_most_sheds_its_oldest() {
        let waiting = HandshakeLimit::new(4, 3);
        let few = waiting.take(source(1));
        let many = [(); 3].map(|()| waiting.take(source(2)));
        let newcomer = waiting.take(source(3));

        assert!(!few.shed.is_cancelled() && !newcomer.shed.is_cancelled());
        assert_eq!(many.each_ref().map(|place| place.shed.is_cancelled()), [true, false, false]);
    }

    #[test]
    fn who_has_offered_a_known_key_is_shed_last() {
        let waiting = HandshakeLimit::new(10, 2);
        let (known, silent) = (waiting.take(source(1)), waiting.take(source(1)));
        known.has_offered();
        let _third = waiting.take(source(1));

        assert!(!known.shed.is_cancelled() && silent.shed.is_cancelled());
    }

    #[test]
    fn a_proxys_connection_counts_for_its_source_once_that_is_known() {
        let waiting = HandshakeLimit::new(10, 1);
        let stranger = waiting.take(source(1));
        let proxied = [(); 3].map(|()| waiting.take(None));
        proxied[0].belongs_to(Source::V4(1));

        assert!(stranger.shed.is_cancelled());
        assert!(proxied.iter().all(|place| !place.shed.is_cancelled()));
    }

    #[test]
    fn places_are_free_again_when_they_are_dropped() {
        let waiting = HandshakeLimit::new(10, 5);
        drop([waiting.take(source(1)), waiting.take(None)]);

        assert!(waiting.lock().by_number.is_empty());
    }
}
