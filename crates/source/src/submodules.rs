//! Submodules of a source: which of them a build fetches, and from where.
//!
//! Git itself reads `.gitmodules` and trees; here is what its answers mean. Only whole `https` URLs are fetched: a build
//! has no key for SSH, other protocols are not encrypted or read the sandbox's own files, and a push does not tell what
//! a relative URL is relative to.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::urls::without_credentials;

/// Name of the list beside a build's source: JSON of [`Submodule`]s.
pub const SUBMODULES_FILE: &str = "submodules.json";
/// Submodules of one source, those within submodules too.
pub const SUBMODULES_MAX: usize = 100;
/// Submodules within each other.
pub const SUBMODULE_DEPTH_MAX: usize = 5;
/// Bytes of a URL.
const URL_BYTES_MAX: usize = 2_048;
/// Characters of a path or URL that are shown.
const SHOWN_MAX: usize = 120;

/// A submodule that a build fetches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Submodule {
    /// Its folder, from the root of the source.
    pub path: String,
    /// The whole id of its commit.
    pub commit: String,
    /// An `https` URL; it may hold a password that the user put there.
    pub url: String,
}

/// A commit in a tree where a folder could be: what the source itself knows of a submodule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gitlink {
    pub path: String,
    pub commit: String,
}

impl Gitlink {
    /// Reads one entry of `git ls-tree -z`, `<mode> <kind> <id>\t<path>`; `None` where it is something else.
    pub fn parse(entry: &[u8]) -> Option<Self> {
        let rest = entry.strip_prefix(b"160000 commit ")?;
        let tab = rest.iter().position(|byte| *byte == b'\t')?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Some(Self { path: text(&rest[tab + 1..]), commit: text(&rest[..tab]) })
    }
}

/// A submodule whose folder stays empty without an error, and the sentence for the pusher.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfetched {
    pub path: String,
    pub why: Why,
}

/// Reason why a submodule is not fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// `.gitmodules` has no URL for its path.
    NoUrl,
    /// `update = none`, the way of git itself to leave one out.
    LeftOut,
    /// Its URL, which is not an https URL.
    NotHttps(String),
    /// Its relative URL, which cannot be resolved to an https URL.
    Relative(String),
    /// Its path has control characters or is not UTF-8.
    Name,
    /// It lies within [`SUBMODULE_DEPTH_MAX`] nested submodules.
    Depth,
}

impl fmt::Display for Unfetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Submodule {} stays empty: ", cut(&self.path))?;
        match &self.why {
            Why::NoUrl => f.write_str(
                ".gitmodules has no URL for it; add it with `git submodule add`, or its files without their `.git`",
            ),
            Why::LeftOut => f.write_str(".gitmodules has `update = none` for it"),
            Why::NotHttps(url) => {
                write!(f, "only https is fetched, and its URL in .gitmodules is {}", shown_url(url))
            }
            Why::Relative(url) => {
                write!(f, "its URL {} is relative; write the whole https URL into .gitmodules", shown_url(url))
            }
            Why::Name => f.write_str("its path is not plain text; rename its folder"),
            Why::Depth => {
                write!(f, "it lies in {SUBMODULE_DEPTH_MAX} submodules within each other, more are not fetched")
            }
        }
    }
}

/// Entries of `.gitmodules`, by path.
#[derive(Debug, Default)]
pub struct Gitmodules {
    modules: BTreeMap<String, Module>,
}

#[derive(Debug, Default)]
struct Module {
    url: Option<String>,
    update: Option<String>,
}

impl Gitmodules {
    /// Reads what `git config --null --list` prints about the file: `<key>\n<value>\0`. Of values that come twice the last
    /// counts, as in git.
    pub fn parse(list: &[u8]) -> Self {
        let mut by_name: BTreeMap<String, (Option<String>, Module)> = BTreeMap::new();
        for entry in list.split(|byte| *byte == 0) {
            let entry = String::from_utf8_lossy(entry);
            let Some((key, value)) = entry.split_once('\n') else { continue };
            let Some((name, variable)) =
                key.strip_prefix("submodule.").and_then(|rest| rest.rsplit_once('.'))
            else {
                continue;
            };
            let (path, module) = by_name.entry(name.to_owned()).or_default();
            let place = match variable {
                "path" => path,
                "url" => &mut module.url,
                "update" => &mut module.update,
                _ => continue,
            };
            *place = Some(value.to_owned());
        }
        let modules = by_name
            .into_values()
            .filter_map(|(path, module)| Some((path?.trim_end_matches('/').to_owned(), module)));
        Self { modules: modules.collect() }
    }

    /// The submodule to fetch for a link. Relative URLs are resolved against `base`, the URL that the file itself comes
    /// from.
    ///
    /// # Errors
    /// Says why the folder stays empty.
    pub fn submodule(&self, link: &Gitlink, base: Option<&str>) -> Result<Submodule, Unfetched> {
        let Gitlink { path, commit } = link;
        let url = self.url(path, base).map_err(|why| Unfetched { path: path.clone(), why })?;
        Ok(Submodule { path: path.clone(), commit: commit.clone(), url })
    }

    fn url(&self, path: &str, base: Option<&str>) -> Result<String, Why> {
        // In a path that is not UTF-8, the replacement characters would name another folder.
        if path.contains(|letter: char| letter.is_control() || letter == char::REPLACEMENT_CHARACTER) {
            return Err(Why::Name);
        }
        let Some(Module { url, update }) = self.modules.get(path) else { return Err(Why::NoUrl) };
        if update.as_deref() == Some("none") {
            return Err(Why::LeftOut);
        }
        let url = url.as_deref().filter(|url| !url.is_empty()).ok_or(Why::NoUrl)?;
        if !url.starts_with("./") && !url.starts_with("../") {
            return if is_https(url) { Ok(url.to_owned()) } else { Err(Why::NotHttps(url.to_owned())) };
        }
        let resolved = base.and_then(|base| resolve(base, url)).filter(|url| is_https(url));
        resolved.ok_or_else(|| Why::Relative(url.to_owned()))
    }
}

fn is_https(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("https://") else { return false };
    let host = rest.split('/').next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    !host.is_empty()
        && !host.starts_with('-')
        && url.len() <= URL_BYTES_MAX
        && url.bytes().all(|byte| byte.is_ascii_graphic())
}

/// As git does it (gitmodules(5)): each `../` takes the last part of the path away, of which the host is none.
fn resolve(base: &str, relative: &str) -> Option<String> {
    let scheme_bytes = "https://".len();
    let host_end = base.get(scheme_bytes..)?.find('/')? + scheme_bytes;
    let (mut base, mut rest) = (base.trim_end_matches('/'), relative);
    loop {
        if let Some(after) = rest.strip_prefix("../") {
            let slash = base.rfind('/').filter(|slash| *slash >= host_end)?;
            (base, rest) = (&base[..slash], after);
        } else if let Some(after) = rest.strip_prefix("./") {
            rest = after;
        } else {
            return Some(format!("{base}/{}", rest.trim_end_matches('/')));
        }
    }
}

fn shown_url(url: &str) -> String {
    cut(&without_credentials(url))
}

/// The beginning of a name that may be as long as a file.
fn cut(text: &str) -> String {
    let mut shown: String =
        text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).take(SHOWN_MAX).collect();
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(path: &str) -> Gitlink {
        Gitlink { path: path.to_owned(), commit: "1".repeat(40) }
    }

    fn modules(url: &str) -> Gitmodules {
        Gitmodules::parse(format!("submodule.a.b.path\nlib/a\0submodule.a.b.url\n{url}\0").as_bytes())
    }

    fn url(url: &str, base: Option<&str>) -> Result<String, Why> {
        modules(url).submodule(&link("lib/a"), base).map(|found| found.url).map_err(|unfetched| unfetched.why)
    }

    #[test]
    fn links_are_told_from_files_and_folders() {
        let entry = format!("160000 commit {}\tlib/a b", "1".repeat(40));
        assert_eq!(Gitlink::parse(entry.as_bytes()), Some(link("lib/a b")));
        for other in ["100644 blob 11\tx", "040000 tree 11\tx", "160000 commit 11", ""] {
            assert_eq!(Gitlink::parse(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn only_whole_https_urls_are_fetched() {
        for good in ["https://a.example/b.git", "https://me:word@a.example:8443/b", "https://[::1]/b"] {
            assert_eq!(url(good, None), Ok(good.to_owned()));
        }
        for bad in [
            "http://a.example/b",
            "git://a.example/b",
            "ssh://git@a.example/b",
            "git@a.example:b.git",
            "file:///etc",
            "/srv/b.git",
            "HTTPS://a.example/b",
            "https::https://a.example/b",
            "ext::sh -c x",
            "--upload-pack=x",
            "https://",
            "https://-oProxy/b",
            "https://me@/b",
            "https://a.example/a b",
            "https://a.example/\u{e4}",
            "https://a.example/a\tb",
        ] {
            assert_eq!(url(bad, None), Err(Why::NotHttps(bad.to_owned())), "{bad}");
        }
        let long = format!("https://a.example/{}", "x".repeat(URL_BYTES_MAX));
        assert!(url(&long, None).is_err());
    }

    #[test]
    fn a_relative_url_is_resolved_where_there_is_a_base_and_never_to_another_host() {
        let base = Some("https://a.example/team/app.git/");
        assert_eq!(url("../lib.git", base), Ok("https://a.example/team/lib.git".to_owned()));
        assert_eq!(url("./.././../x/lib/", base), Ok("https://a.example/x/lib".to_owned()));
        for (relative, base) in [
            ("../lib.git", None),
            ("../../../lib.git", base),
            ("../../../evil.example/lib.git", base),
            ("../x", Some("https://a.example")),
        ] {
            assert_eq!(url(relative, base), Err(Why::Relative(relative.to_owned())), "{relative}");
        }
    }

    #[test]
    fn what_stays_empty_says_why() {
        let why = |list: &str, path: &str| {
            Gitmodules::parse(list.as_bytes())
                .submodule(&link(path), None)
                .expect_err("it stays empty")
                .to_string()
        };
        assert!(why("", "lib/a").contains("Submodule lib/a stays empty: .gitmodules has no URL"));
        assert!(why("submodule.x.path\nx\0submodule.x.url\n\0", "x").contains("no URL"));
        let none = "submodule.x.path\nx/\0submodule.x.url\nhttps://a.example/x\0submodule.x.update\nnone\0";
        assert!(why(none, "x").ends_with(".gitmodules has `update = none` for it"));
        assert!(why(none, "x\u{fffd}").contains("not plain text"));
        let ssh = "submodule.x.path\nx\0submodule.x.url\nssh://me:word@a.example/x\0";
        assert!(why(ssh, "x").ends_with("is ssh://a.example/x"), "{}", why(ssh, "x"));
    }

    #[test]
    fn the_last_value_counts_and_names_may_hold_dots() {
        let list = "core.x\n1\0submodule.a.b.path\nlib/a\0submodule.a.b.url\nhttps://one/x\0\
                    submodule.a.b.url\nhttps://two/x\0submodule.flag\0";
        let found =
            Gitmodules::parse(list.as_bytes()).submodule(&link("lib/a"), None).expect("it is fetched");
        assert_eq!(found.url, "https://two/x");
    }
}
