//! Content codings that a client accepts, with their weights (RFC 9110 section 12.5.3).

use domain::edge::Gzip;
use http::header::{self, HeaderMap};

use crate::body::compress::Coding;

/// Qualities from 0, which is not welcome, to 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct AcceptedCodings {
    gzip: f32,
    zstd: f32,
    /// Weight of the uncompressed form; 0 unless it is named.
    identity: f32,
}

impl AcceptedCodings {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
        let (mut gzip, mut zstd, mut identity, mut others) = (None, None, None, None);
        for coding in values.flat_map(|value| value.split(',')) {
            let (name, quality) = quality(coding);
            match name.to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => gzip = Some(quality),
                "zstd" => zstd = Some(quality),
                "identity" => identity = Some(quality),
                "*" => others = Some(quality),
                _ => {}
            }
        }
        let or_other = |named: Option<f32>| named.or(others).unwrap_or(0.0);
        Self { gzip: or_other(gzip), zstd: or_other(zstd), identity: identity.unwrap_or(0.0) }
    }

    /// The best coding of those there are; zstd where both are as welcome.
    pub(super) fn best(self, gzip: &Gzip, has_zstd: bool) -> Option<Coding> {
        let zstd = if has_zstd { self.zstd } else { 0.0 };
        let (coding, quality) = match zstd > 0.0 && zstd >= self.gzip {
            true => (Coding::Zstd, zstd),
            false => (Coding::Gzip { level: gzip.level }, self.gzip),
        };
        (quality > 0.0 && quality >= self.identity).then_some(coding)
    }
}

/// The coding and its quality; one that is no number from 0 to 1 is not welcome.
fn quality(coding: &str) -> (&str, f32) {
    let mut parts = coding.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let number = |text: &str| text.parse().ok().filter(|quality| (0.0..=1.0).contains(quality));
    (name, quality.map_or(1.0, |text| number(text).unwrap_or(0.0)))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn best(accept: &'static str, has_zstd: bool) -> &'static str {
        let headers = HeaderMap::from_iter([(header::ACCEPT_ENCODING, HeaderValue::from_static(accept))]);
        match AcceptedCodings::of(&headers).best(&Gzip::default(), has_zstd) {
            Some(Coding::Gzip { .. }) => "gzip",
            Some(Coding::Zstd) => "zstd",
            None => "",
        }
    }

    #[test]
    fn the_most_welcome_coding_is_used_and_zstd_where_both_are_as_welcome() {
        for (accept, with_zstd, without) in [
            ("gzip", "gzip", "gzip"),
            ("br, GZIP;q=0.5", "gzip", "gzip"),
            ("gzip;q=0, *", "zstd", ""),
            ("*", "zstd", "gzip"),
            ("*;q=0", "", ""),
            ("br", "", ""),
            ("", "", ""),
            ("gzip, deflate, br, zstd", "zstd", "gzip"),
            ("gzip;q=1.0, zstd;q=0.9", "gzip", "gzip"),
            ("gzip;q=0.2, zstd;q=0.9", "zstd", "gzip"),
            ("zstd", "zstd", ""),
            ("zstd;q=0, gzip", "gzip", "gzip"),
            ("zstd;q=high", "", ""),
            ("zstd;q=nan, gzip;q=7", "", ""),
            ("identity, gzip;q=0.5", "", ""),
            ("identity;q=0.5, gzip", "gzip", "gzip"),
            ("x-gzip", "gzip", "gzip"),
        ] {
            assert_eq!((best(accept, true), best(accept, false)), (with_zstd, without), "{accept}");
        }
        assert_eq!(AcceptedCodings::of(&HeaderMap::new()), AcceptedCodings::default());
    }
}
