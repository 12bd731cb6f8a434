//! Look-alikes: names that a reader takes for another one (homographs, Unicode Technical Standard #39).
//!
//! Two names are confusable when their skeletons are equal. A skeleton is that of UTS #39, section 4, without
//! diacritics, folded further where plain ASCII is read alike: `de1s` and `deis`.

use idna::uts46::{AsciiDenyList, Hyphens, Uts46};
use unicode_security::confusable_detection::skeleton as uts39_skeleton;

/// Diacritics: U+0300 to U+036F, what a decomposed letter of a European script carries.
const DIACRITICS: std::ops::RangeInclusive<char> = '\u{300}'..='\u{36f}';

/// Returns true if a reader may take `label` for `reserved`; both are labels of host names. A label looks like
/// itself.
pub fn is_lookalike(label: &str, reserved: &str) -> bool {
    without_separators(&skeleton(label)) == without_separators(&skeleton(reserved))
}

/// Returns true if a reader may take `host`, which is neither `parent` nor below it, for one of them.
pub fn poses_below(host: &str, parent: &str) -> bool {
    let is_or_below = |name: &str, parent: &str| {
        name.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    !is_or_below(host, parent) && is_or_below(&skeleton(host), &skeleton(parent))
}

/// Form of a name for comparison: A-labels as the characters that browsers show, look-alike characters as one.
fn skeleton(name: &str) -> String {
    let (shown, _) = Uts46::new().to_unicode(name.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow);
    let plain: String = uts39_skeleton(&shown)
        .filter(|char| !DIACRITICS.contains(char))
        .flat_map(char::to_lowercase)
        .collect();
    // The skeleton writes m as rn, 1 as l and 0 as O; the rest is read alike in plain ASCII.
    plain.chars().map(folded).collect::<String>().replace("vv", "w")
}

fn folded(char: char) -> char {
    match char {
        '0' => 'o',
        '1' | 'i' => 'l',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '7' => 't',
        '8' => 'b',
        other => other,
    }
}

fn without_separators(skeleton: &str) -> String {
    skeleton.chars().filter(|char| !matches!(char, '-' | '_')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_is_read_as_another_is_a_look_alike() {
        for (label, reserved) in [
            ("deis", "deis"),
            ("de1s", "deis"),
            ("dels", "deis"),
            ("d3i5", "deis"),
            ("de-is", "deis"),
            ("deisbuilder", "deis-builder"),
            ("deis-bui1der", "deis-builder"),
            ("deis_builder", "deis-builder"),
            ("gr4fana", "grafana"),
            ("adrnin", "admin"),
            // Cyrillic е and і, a dotless i, a diacritic; as users type them and as the DNS has them.
            ("dеіs", "deis"),
            ("xn--ds-nlc6k", "deis"),
            ("deıs", "deis"),
            ("déìs", "deis"),
        ] {
            assert!(
                is_lookalike(label, reserved),
                "{label} {reserved}: {} {}",
                skeleton(label),
                skeleton(reserved)
            );
        }
        for (label, reserved) in
            [("deis2", "deis"), ("desi", "deis"), ("dei", "deis"), ("blog", "deis"), ("grafana-2", "grafana")]
        {
            assert!(!is_lookalike(label, reserved), "{label} {reserved}");
        }
    }

    #[test]
    fn a_host_poses_below_the_platform_where_it_only_looks_so() {
        for host in [
            "apps.examp1e.com",
            "deis.apps.exаmple.com",
            "shop.apps.exarnple.com",
            "apps.éxample.com",
            "apps.exampIe.com",
        ] {
            assert!(poses_below(host, "apps.example.com"), "{host}");
        }
        for host in [
            "apps.example.com",
            "deis.apps.example.com",
            "example.com",
            "myapps.example.com",
            "apps.example.org",
        ] {
            assert!(!poses_below(host, "apps.example.com"), "{host}");
        }
    }
}
