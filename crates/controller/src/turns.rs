//! Turns for expensive work of callers who are not authenticated: few at a time, and a short queue in which
//! callers without failures go first.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

/// Reason why no turn is available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TurnError {
    /// Others go first, since many attempts come from the same place.
    #[error("Too many logins from this address, try again in a moment.")]
    OthersFirst,
    #[error("Too many logins at once, try again in a moment.")]
    Full,
}

/// Bounds of turns.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TurnLimits {
    pub(crate) at_once_max: usize,
    pub(crate) waiting_max: usize,
    pub(crate) wait_max: Duration,
}

/// A handle; clones share the turns.
#[derive(Clone)]
pub(crate) struct Turns {
    limits: TurnLimits,
    queue: Arc<Mutex<TurnQueue>>,
}

#[derive(Default)]
struct TurnQueue {
    taken: usize,
    next: u64,
    waiting: Vec<Waiter>,
}

struct Waiter {
    /// Lower ranks go first, then earlier callers.
    rank: (u32, u64),
    turn: oneshot::Sender<Turn>,
}

/// A turn, until it is dropped.
pub(crate) struct Turn(Option<Arc<Mutex<TurnQueue>>>);

impl Turns {
    pub(crate) fn new(limits: TurnLimits) -> Self {
        Self { limits, queue: Arc::default() }
    }

    /// Waits for a turn; `rank` is 0 for callers without failures, and grows with them.
    pub(crate) async fn take(&self, rank: u32) -> Result<Turn, TurnError> {
        let turn = self.enter(rank)?;
        match timeout(self.limits.wait_max, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            // A caller with a better rank took the place.
            Ok(Err(_)) => Err(TurnError::OthersFirst),
            Err(_) => Err(error_for(rank)),
        }
    }

    fn enter(&self, rank: u32) -> Result<oneshot::Receiver<Turn>, TurnError> {
        let mut queue = lock(&self.queue);
        let (sender, receiver) = oneshot::channel();
        if queue.taken < self.limits.at_once_max {
            queue.taken += 1;
            // It cannot fail: the other end is here.
            let _ = sender.send(Turn(Some(Arc::clone(&self.queue))));
            return Ok(receiver);
        }
        let rank = (rank, queue.next);
        queue.next += 1;
        if queue.waiting.len() >= self.limits.waiting_max {
            queue.waiting.retain(|waiting| !waiting.turn.is_closed());
        }
        if queue.waiting.len() >= self.limits.waiting_max {
            let last = queue.waiting.iter().enumerate().max_by_key(|(_, waiting)| waiting.rank);
            let Some((last, _)) = last.filter(|(_, waiting)| waiting.rank.0 > rank.0) else {
                return Err(error_for(rank.0));
            };
            queue.waiting.swap_remove(last);
        }
        queue.waiting.push(Waiter { rank, turn: sender });
        Ok(receiver)
    }
}

fn error_for(rank: u32) -> TurnError {
    if rank > 0 { TurnError::OthersFirst } else { TurnError::Full }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(shared) = self.0.take() else { return };
        let mut queue = lock(&shared);
        loop {
            let first = queue.waiting.iter().enumerate().min_by_key(|(_, waiting)| waiting.rank);
            let Some((first, _)) = first else {
                queue.taken -= 1;
                return;
            };
            let waiting = queue.waiting.swap_remove(first);
            match waiting.turn.send(Turn(Some(Arc::clone(&shared)))) {
                Ok(()) => return,
                // Waits no more; the turn comes back, and must not lock again.
                Err(mut turn) => turn.0 = None,
            }
        }
    }
}

fn lock(queue: &Mutex<TurnQueue>) -> MutexGuard<'_, TurnQueue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turns(waiting_max: usize) -> Turns {
        Turns::new(TurnLimits { at_once_max: 1, waiting_max, wait_max: Duration::from_secs(20) })
    }

    #[tokio::test]
    async fn who_has_done_nothing_bad_goes_before_a_flood() {
        let turns = turns(8);
        let taken = turns.take(5).await.expect("a turn");
        let mut flood: Vec<_> = (0..8).map(|_| turns.enter(5).expect("a place")).collect();

        let good = turns.enter(0).expect("a place of the flood's");
        assert_eq!(turns.enter(5).err(), Some(TurnError::OthersFirst));
        drop(taken);

        let turn = good.await.expect("the next turn");
        let mut served = || flood.iter_mut().map(|place| u8::from(place.try_recv().is_ok())).sum::<u8>();
        assert_eq!(served(), 0);
        drop(turn);
        assert_eq!(served(), 7, "one after another");
    }

    #[tokio::test]
    async fn turns_of_those_who_went_away_go_on() {
        let turns = turns(2);
        let taken = turns.take(0).await.expect("a turn");
        drop((turns.enter(0), turns.enter(0)));
        let waits = turns.enter(0).expect("the places of those who went away");
        drop(taken);

        drop(waits.await.expect("a turn"));
        assert_eq!(lock(&turns.queue).taken, 0);
    }

    #[tokio::test]
    async fn the_wait_is_bounded() {
        let turns = Turns {
            limits: TurnLimits { wait_max: Duration::from_millis(20), ..turns(2).limits },
            ..turns(2)
        };
        let _taken = turns.take(0).await.expect("a turn");

        assert_eq!(turns.take(0).await.err(), Some(TurnError::Full));
        assert_eq!(turns.take(3).await.err(), Some(TurnError::OthersFirst));
    }
}
