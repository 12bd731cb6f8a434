//! Waits for things that nobody announces: they look again and again, and fail with what they saw last.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Longest wait where the time is no part of the test.
pub const WAIT_MAX: Duration = Duration::from_secs(60);
/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Result of one look at the thing that is waited for: a bool, an option, or a result whose error is shown at the end.
pub trait Attempt {
    /// What the wait gives back.
    type Value;

    /// The value, or the text to fail with.
    fn value(self) -> Result<Self::Value, String>;
}

impl Attempt for bool {
    type Value = ();

    fn value(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("false".to_owned()) }
    }
}

impl<T> Attempt for Option<T> {
    type Value = T;

    fn value(self) -> Result<T, String> {
        self.ok_or_else(|| "none".to_owned())
    }
}

impl<T, E: Debug> Attempt for Result<T, E> {
    type Value = T;

    fn value(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:?}"))
    }
}

/// Waits until an attempt succeeds, and gives its value.
///
/// # Panics
///
/// After `limit`, with `what` and the last failure.
#[cfg(feature = "tokio")]
pub async fn wait_until<A: Attempt>(
    what: &str,
    limit: Duration,
    mut attempt: impl AsyncFnMut() -> A,
) -> A::Value {
    let mut last = "no attempt ended".to_owned();
    let waiting = async {
        loop {
            match attempt().await.value() {
                Ok(value) => return value,
                Err(failure) => last = failure,
            }
            tokio::time::sleep(PAUSE).await;
        }
    };
    match tokio::time::timeout(limit, waiting).await {
        Ok(value) => value,
        Err(_) => panic!("not within {limit:?}: {what}; last: {last}"),
    }
}

/// As [`wait_until`], for tests without a runtime.
///
/// # Panics
///
/// After `limit`, with `what` and the last failure.
#[track_caller]
pub fn wait_until_blocking<A: Attempt>(
    what: &str,
    limit: Duration,
    mut attempt: impl FnMut() -> A,
) -> A::Value {
    let deadline = Instant::now() + limit;
    loop {
        match attempt().value() {
            Ok(value) => return value,
            Err(last) => assert!(Instant::now() < deadline, "not within {limit:?}: {what}; last: {last}"),
        }
        std::thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(30);

    #[test]
    fn a_wait_ends_with_the_value_of_the_first_success() {
        let mut looks = 0;

        let value = wait_until_blocking("the third look", WAIT_MAX, || {
            looks += 1;
            (looks == 3).then_some(looks)
        });

        assert_eq!(value, 3);
    }

    #[test]
    #[should_panic(expected = "not within 30ms: the door opens; last: \"closed\"")]
    fn a_wait_fails_with_what_it_was_for_and_what_was_seen_last() {
        wait_until_blocking("the door opens", SHORT, || Err::<(), _>("closed"));
    }

    #[cfg(feature = "tokio")]
    #[test]
    #[should_panic(expected = "not within 30ms: the door opens; last: no attempt ended")]
    fn an_attempt_that_hangs_ends_at_the_limit() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");

        runtime.block_on(wait_until("the door opens", SHORT, async || std::future::pending::<bool>().await));
    }
}
