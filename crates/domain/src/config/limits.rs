//! Memory and CPU limits: `64M`, `0/100M`, `500m/1` (docs/spec/api.md 4.7 and 6.7).

/// A request and a limit in bytes, 0 where there is none.
///
/// One value is the limit; two are request and limit. K, M and G are powers of 1024.
pub fn memory_bytes(text: &str) -> (u64, u64) {
    parse_memory(text).map_or((0, 0), |(first, second)| second.map_or((0, first), |limit| (first, limit)))
}

/// A request and a limit in thousandths of a CPU, 0 where there is none.
pub fn cpu_millis(text: &str) -> (u64, u64) {
    parse_cpu(text).map_or((0, 0), |(first, second)| second.map_or((0, first), |limit| (first, limit)))
}

/// `(digits unit | 0)( / digits unit )?`
pub(super) fn parse_memory(text: &str) -> Option<(u64, Option<u64>)> {
    let first = |text| if text == "0" { Some(0) } else { size(text) };
    match text.split_once('/') {
        Some((request, limit)) => Some((first(request)?, Some(size(limit)?))),
        None => Some((first(text)?, None)),
    }
}

fn size(text: &str) -> Option<u64> {
    let unit_at = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (digits, unit) = text.split_at(unit_at);
    let power = match unit.to_ascii_uppercase().as_str() {
        "B" => 0,
        "K" | "KB" => 10,
        "M" | "MB" => 20,
        "G" | "GB" => 30,
        _ => return None,
    };
    if digits.is_empty() {
        return None;
    }
    Some(digits.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(1 << power))
}

/// `value` or `value/value`, a value being a decimal with an optional sign and an optional `m`.
pub(super) fn parse_cpu(text: &str) -> Option<(u64, Option<u64>)> {
    match text.split_once('/') {
        Some((request, limit)) => Some((millis(request)?, Some(millis(limit)?))),
        None => Some((millis(text)?, None)),
    }
}

fn millis(text: &str) -> Option<u64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (number, scale) = match unsigned.strip_suffix('m') {
        Some(number) => (number, 1.0),
        None => (unsigned, 1000.0),
    };
    let fraction = number.split_once('.').map_or(number, |(_, fraction)| fraction);
    let digits_only = number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if fraction.is_empty() || !digits_only {
        return None;
    }
    let value: f64 = number.parse().ok()?;
    // Rounded up, so that a small share does not become none; a negative share is none.
    Some(if text.starts_with('-') { 0 } else { (value * scale).ceil() as u64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_memory_limit_is_a_number_with_a_unit_or_two_of_them() {
        for (text, wanted) in [
            ("1G", (0, 1 << 30)),
            ("64M", (0, 64 << 20)),
            ("20gb", (0, 20 << 30)),
            ("0", (0, 0)),
            ("0/100M", (0, 100 << 20)),
            ("50M/100MB", (50 << 20, 100 << 20)),
            ("512B", (0, 512)),
        ] {
            assert!(parse_memory(text).is_some(), "{text}");
            assert_eq!(memory_bytes(text), wanted, "{text}");
        }
        for bad in ["", "128", "128Mi", "1G/", "20MK", "/1G", "G", "1G/0", "1G/1G/1G", "-1G", "1.5G", "1 G"] {
            assert_eq!(parse_memory(bad), None, "{bad}");
        }
        assert_eq!(memory_bytes("99999999999999999999999G"), (0, u64::MAX));
    }

    #[test]
    fn a_cpu_limit_is_a_decimal_or_thousandths_or_two_of_them() {
        for (text, wanted) in [
            ("1", (0, 1000)),
            ("500m", (0, 500)),
            ("0.5/1", (500, 1000)),
            (".123", (0, 123)),
            ("+.5", (0, 500)),
            ("-1", (0, 0)),
        ] {
            assert!(parse_cpu(text).is_some(), "{text}");
            assert_eq!(cpu_millis(text), wanted, "{text}");
        }
        for bad in ["", "foo", "1/", "500m/1M", ".", "1.", "1.2.3", "m", "+", "1e3", "inf"] {
            assert_eq!(parse_cpu(bad), None, "{bad}");
        }
    }
}
