//! The table of certificates, and their dates.

use api::certs::Cert;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

const HEADINGS: [&str; 8] =
    ["Name", "Common Name", "SubjectAltName", "Expires", "Fingerprint", "Domains", "Updated", "Created"];

/// One row a certificate, each column as wide as its longest cell.
pub fn table(certs: &[Cert], now: Timestamp) -> String {
    let rows: Vec<_> = certs.iter().map(|cert| cells(cert, now)).collect();
    let longest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 8] = std::array::from_fn(|column| longest(column).max(HEADINGS[column].len()));
    let heading: Vec<_> =
        HEADINGS.iter().zip(widths).map(|(text, width)| format!("{text:^width$}")).collect();
    let rule: Vec<_> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    let line = |row: &[String; 8]| {
        let cells: Vec<_> = row.iter().zip(widths).map(|(text, width)| format!("{text:width$}")).collect();
        format!("  {}  \n", cells.join(" | "))
    };
    let body: String = rows.iter().map(line).collect();
    format!("  {}  \n+{}+\n{body}", heading.join(" | "), rule.join("+"))
}

fn cells(cert: &Cert, now: Timestamp) -> [String; 8] {
    [
        cert.name.clone(),
        cert.common_name.clone().unwrap_or_default(),
        cert.san.join(","),
        expiry(cert, now),
        shortened(&cert.fingerprint),
        cert.domains.join(","),
        day(Some(&cert.updated)),
        day(Some(&cert.created)),
    ]
}

/// The first and the last five characters of a fingerprint.
fn shortened(fingerprint: &str) -> String {
    let (start, end) = (fingerprint.get(..5), fingerprint.get(fingerprint.len().saturating_sub(5)..));
    match (start, end) {
        (Some(start), Some(end)) => format!("{start}[...]{end}"),
        _ => fingerprint.to_owned(),
    }
}

/// A time as a day, such as `9 Jun 2016`.
pub fn day(time: Option<&str>) -> String {
    match time.and_then(parse) {
        Some(time) => time.date().strftime("%-d %b %Y").to_string(),
        None => "unknown".to_owned(),
    }
}

/// When it expires and how soon that is; of one that the platform renews, that it does.
fn expiry(cert: &Cert, now: Timestamp) -> String {
    let time = cert.expires.as_deref();
    let Some(expires) = time.and_then(parse) else { return "unknown".to_owned() };
    let (shown, now) = (day(time), TimeZone::UTC.to_datetime(now));
    let automatic = if cert.automatic { ", automatic" } else { "" };
    if expires < now {
        return format!("{shown} (expired{automatic})");
    }
    format!("{shown} (in{}{automatic})", distance(now.date(), expires.date()))
}

/// The largest of years, months and days between two dates; nothing on the same day.
fn distance(from: Date, to: Date) -> String {
    let years = i32::from(to.year()) - i32::from(from.year());
    let months = i32::from(to.month()) - i32::from(from.month());
    let days = i32::from(to.day()) - i32::from(from.day());
    let largest =
        [(years, "year"), (months, "month"), (days, "day")].into_iter().find(|(number, _)| *number > 0);
    match largest {
        Some((1, unit)) => format!(" 1 {unit}"),
        Some((number, unit)) => format!(" {number} {unit}s"),
        None => String::new(),
    }
}

/// Reads `YYYY-MM-DDThh:mm:ss` and takes whatever zone follows for UTC, as the controller sends no other.
fn parse(time: &str) -> Option<DateTime> {
    time.get(..19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cert(name: &str, expires: &str) -> Cert {
        Cert {
            id: 1,
            owner: "admin".to_owned(),
            domains: vec!["a.com".to_owned()],
            san: vec![],
            created: "2016-06-09T00:00:00UTC".to_owned(),
            updated: "2016-06-09T00:00:00Z".to_owned(),
            name: name.to_owned(),
            common_name: Some("test.com".to_owned()),
            fingerprint: "AB:12:AB:12:AB:CD:EF".to_owned(),
            expires: Some(expires.to_owned()),
            starts: None,
            issuer: String::new(),
            subject: String::new(),
            automatic: false,
        }
    }

    #[test]
    fn the_table_has_centred_headings_and_left_aligned_cells() {
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let certs = [cert("test-example-com", "2040-11-10T00:00:00Z"), cert("old", "2014-01-01T00:00:00")];
        let text = table(&certs, now);
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines[0].starts_with(
                "        Name       | Common Name | SubjectAltName |          Expires          |"
            )
        );
        assert!(lines[0].ends_with("|  Updated   |  Created    "), "{:?}", lines[0]);
        assert!(
            lines[1].starts_with(
                "+------------------+-------------+----------------+---------------------------+"
            )
        );
        assert!(
            lines[2].contains(
                "| 10 Nov 2040 (in 14 years) | AB:12[...]CD:EF | a.com   | 9 Jun 2016 | 9 Jun 2016  "
            )
        );
        assert!(
            lines[3].starts_with(
                "  old              | test.com    |                | 1 Jan 2014 (expired)      |"
            )
        );
    }

    #[test]
    fn the_distance_is_in_the_largest_unit() {
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let shown = |time| expiry(&cert("any", time), now);
        assert_eq!(shown("2026-06-03T00:00:00Z"), "3 Jun 2026 (in 2 days)");
        assert_eq!(shown("2026-07-01T00:00:00Z"), "1 Jul 2026 (in 1 month)");
        assert_eq!(shown("2026-06-01T09:00:00Z"), "1 Jun 2026 (in)");
        assert_eq!(expiry(&Cert { expires: None, ..cert("any", "") }, now), "unknown");
        let automatic = Cert { automatic: true, ..cert("any", "2026-08-30T00:00:00Z") };
        assert_eq!(expiry(&automatic, now), "30 Aug 2026 (in 2 months, automatic)");
    }
}
