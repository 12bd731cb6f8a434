//! Text form of times, for people and on the wire.

use jiff::Timestamp;

/// A time in UTC to the second, as in `2026-01-02T03:04:05Z`.
pub fn second(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
