//! Parts of a file that a client asks for (RFC 9110, section 14).

use std::ops::Range;

/// Result of a range request.
#[derive(Debug, PartialEq, Eq)]
pub enum RangeRequest {
    /// None is asked for that is served: the whole file is the answer.
    Whole,
    /// These bytes.
    Bytes(Range<u64>),
    /// The file has no such bytes: 416.
    OutOfReach,
}

/// Reads `Range: bytes=0-99`, `bytes=100-` or `bytes=-100`. Several parts, other units and what cannot be read are ignored,
/// as the RFC allows.
pub fn part(range: Option<&str>, length: u64) -> RangeRequest {
    let Some(asked) = range.and_then(|range| range.strip_prefix("bytes=")) else {
        return RangeRequest::Whole;
    };
    let Some((first, last)) = asked.trim().split_once('-') else { return RangeRequest::Whole };
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than a number holds are more bytes than a file has.
        is_number.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let bytes = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
        (Some(first), None) if last.is_empty() => first..length,
        (None, Some(last)) if first.is_empty() => length.saturating_sub(last)..length,
        _ => return RangeRequest::Whole,
    };
    if bytes.is_empty() { RangeRequest::OutOfReach } else { RangeRequest::Bytes(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_cut_to_the_file() {
        for (asked, expected) in [
            ("bytes=0-3", RangeRequest::Bytes(0..4)),
            ("bytes=2-", RangeRequest::Bytes(2..10)),
            ("bytes=8-100", RangeRequest::Bytes(8..10)),
            ("bytes=-3", RangeRequest::Bytes(7..10)),
            ("bytes=-100", RangeRequest::Bytes(0..10)),
            ("bytes=10-", RangeRequest::OutOfReach),
            ("bytes=99999999999999999999999-", RangeRequest::OutOfReach),
            ("bytes=-0", RangeRequest::OutOfReach),
            ("bytes=3-2", RangeRequest::Whole),
            ("bytes=0-1,3-4", RangeRequest::Whole),
            ("bytes=a-b", RangeRequest::Whole),
            ("bytes=-", RangeRequest::Whole),
            ("lines=0-1", RangeRequest::Whole),
        ] {
            assert_eq!(part(Some(asked), 10), expected, "{asked}");
        }
        assert_eq!(part(None, 10), RangeRequest::Whole);
        assert_eq!(part(Some("bytes=0-0"), 0), RangeRequest::OutOfReach);
    }
}
