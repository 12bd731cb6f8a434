//! The last table on disk, for a router that starts while no engine answers.
//!
//! One file, replaced as a whole, readable by its owner alone. It begins with its format; a file of another format
//! or a damaged one is ignored, since the engine sends everything again. It holds private keys of certificates: it
//! is sealed if there is a key for that, otherwise it must be on a volume in memory.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

use domain::routing::{RouteOwner, RouteTable};
use domain::sealing::{NONCE_BYTES, SealingError, SealingKeys};
use engine::private_file;

/// First line of the file; the number changes with the form of what follows.
const FORMAT: &str = "workflow route table 1\n";
/// Sealing context of the file.
const CONTEXT: &str = "route table";
/// Largest file that is read; 10,000 apps with a certificate each take a tenth of it.
const BYTES_MAX: u64 = 512 << 20;

/// File of the last table.
#[derive(Debug, Clone)]
pub struct LastTable {
    path: PathBuf,
    keys: Option<SealingKeys>,
}

/// A last table that could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LastTableError {
    #[error("cannot keep or read {}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("{} is not a route table of this version", path.display())]
    Format { path: PathBuf },
    #[error("{} cannot be opened with the keys at hand", path.display())]
    Sealed { path: PathBuf, source: SealingError },
    #[error("{} is damaged", path.display())]
    Damaged { path: PathBuf, source: serde_json::Error },
}

impl LastTable {
    /// Without `keys` the file is not sealed: let it lie in memory.
    pub fn new(path: impl Into<PathBuf>, keys: Option<SealingKeys>) -> Self {
        Self { path: path.into(), keys }
    }

    /// The table as it was kept, with version 0, which no engine gives; `None` where none was kept.
    pub(crate) fn load(&self) -> Result<Option<RouteTable>, LastTableError> {
        let Some(text) = self.read().map_err(|source| self.failed(source))? else { return Ok(None) };
        let format = || LastTableError::Format { path: self.path.clone() };
        let body = text.strip_prefix(FORMAT).ok_or_else(format)?;
        let damaged = |source| LastTableError::Damaged { path: self.path.clone(), source };
        let table = match &self.keys {
            None => serde_json::from_str(body).map_err(damaged)?,
            Some(keys) => {
                let sealed = |source| LastTableError::Sealed { path: self.path.clone(), source };
                let opened = keys.open(CONTEXT, body).map_err(sealed)?;
                serde_json::from_slice(&opened).map_err(damaged)?
            }
        };
        Ok(Some(RouteTable { version: 0, ..without_dead_ends(table) }))
    }

    /// Replaces the file, so that a death at any moment leaves the old or the new one.
    pub(crate) fn store(&self, table: &RouteTable) -> Result<(), LastTableError> {
        let body = serde_json::to_string(table).expect("a table has no map with odd keys");
        let body = match &self.keys {
            None => body,
            Some(keys) => keys.seal(CONTEXT, body.as_bytes(), rand::random::<[u8; NONCE_BYTES]>()),
        };
        private_file::replace(&self.path, format!("{FORMAT}{body}").as_bytes())
            .map_err(|source| self.failed(source))
    }

    fn read(&self) -> io::Result<Option<String>> {
        let file = match File::open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        let mut bytes = Vec::new();
        file.take(BYTES_MAX).read_to_end(&mut bytes)?;
        // Bytes that are not UTF-8 fail later, in the parser of the table.
        Ok(Some(String::from_utf8(bytes).unwrap_or_default()))
    }

    fn failed(&self, source: io::Error) -> LastTableError {
        LastTableError::File { path: self.path.clone(), source }
    }
}

/// A part of the platform on this machine listened on a port of its own process, which is gone: another process
/// may have that port now.
fn without_dead_ends(mut table: RouteTable) -> RouteTable {
    for route in table.routes.iter_mut().filter(|route| matches!(route.owner, RouteOwner::Platform(_))) {
        Arc::make_mut(route).backends.retain(|backend| !backend.address.ip().is_loopback());
    }
    table
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use domain::AppName;
    use domain::certs::{AttachedCert, Pair};
    use domain::edge::{AppRules, RouterRules};
    use domain::networks::Network;
    use domain::routing::{Backend, Claim, Route, ServiceRoute};

    use super::*;

    fn table() -> RouteTable {
        let backend =
            |key: &str| Backend { key: key.to_owned(), address: ([10, 0, 0, 1], 5000).into(), release: 7 };
        let app = RouteOwner::App(AppName::parse("blog").expect("a good name"));
        let pair = Arc::new(Pair { certificate: "chain".to_owned(), key: "the secret key".to_owned() });
        let mut route = Route::plain(app, "blog.test".to_owned(), vec![backend("a")]);
        route.domains = vec![Claim { host: "*.example.com".to_owned(), since_ms: 9 }];
        route.certificates = vec![AttachedCert {
            name: "foo".to_owned(),
            domains: vec!["a.com".to_owned()],
            pair: Arc::clone(&pair),
        }];
        route.rules = AppRules {
            body_bytes_max: Some(None),
            referrer_policy: Some(None),
            gzip: Some(false),
            ..AppRules::default()
        };
        route.services = vec![ServiceRoute {
            path_pattern: "/a".to_owned(),
            wanted: 2,
            backends: vec![backend("b")],
            protocol: None,
        }];
        let rules = RouterRules {
            trusted_proxies: vec![Network::parse("10.0.0.0/8").expect("a network")],
            body_bytes_max: None,
            ..RouterRules::default()
        };
        RouteTable {
            version: 42,
            routes: vec![Arc::new(route)],
            rules: Arc::new(rules),
            platform_certificate: Some(pair),
        }
    }

    fn keys(byte: char) -> Option<SealingKeys> {
        Some(SealingKeys::parse(&byte.to_string().repeat(64)).expect("64 hex digits"))
    }

    #[test]
    fn a_table_comes_back_as_it_was_kept_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for keys in [None, keys('a')] {
            let last = LastTable::new(folder.path().join("table"), keys.clone());

            last.store(&table()).expect("a folder of ours");

            assert_eq!(last.load().expect("just written"), Some(RouteTable { version: 0, ..table() }));
            let file = folder.path().join("table");
            let mode = std::fs::metadata(&file).expect("it is there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            let text = std::fs::read_to_string(&file).expect("text");
            assert_eq!(text.contains("the secret key"), keys.is_none());
        }
    }

    #[test]
    fn what_is_no_table_of_ours_is_refused_by_its_name() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("table");
        let said = |keys, text: &[u8]| {
            std::fs::write(&path, text).expect("a folder of ours");
            LastTable::new(&path, keys).load().expect_err("it is no table").to_string()
        };

        assert_eq!(LastTable::new(folder.path().join("none"), None).load().expect("none"), None);
        assert!(said(None, b"workflow route table 9\n{}").contains("not a route table of this version"));
        assert!(said(None, b"\xff\xfe").contains("not a route table of this version"));
        assert!(said(None, format!("{FORMAT}{{\"version\":1").as_bytes()).contains("damaged"));
        LastTable::new(&path, keys('a')).store(&table()).expect("a folder of ours");
        let sealed = std::fs::read(&path).expect("just written");
        assert!(said(keys('b'), &sealed).contains("cannot be opened with the keys at hand"));
        assert!(said(keys('a'), &sealed[..sealed.len() - 8]).contains("cannot be opened"));
    }

    #[test]
    fn a_part_of_the_platform_that_was_on_this_machine_is_not_looked_for_where_it_was() {
        let backend =
            |ip: [u8; 4]| Backend { key: format!("{ip:?}"), address: (ip, 5000).into(), release: 0 };
        let backends = vec![backend([127, 0, 0, 1]), backend([10, 0, 0, 1])];
        let route = Route::plain(RouteOwner::Platform("deis".to_owned()), "deis.test".to_owned(), backends);

        let table = without_dead_ends(RouteTable { routes: vec![Arc::new(route)], ..RouteTable::default() });

        assert_eq!(table.routes[0].backends, [backend([10, 0, 0, 1])]);
    }
}
