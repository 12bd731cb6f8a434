//! TLS: the certificate for each name.
//!
//! Each table has its own configuration, made once for all workers: handshakes read it without a lock, and open
//! connections keep theirs. Sessions can be resumed across tables.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::certs::{AttachedCert, Pair};
use domain::challenges::{self, Challenge};
use domain::edge::TlsVersion;
use domain::hosts::HostIndex;
use domain::routing::RouteTable;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{
    ClientHello, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache, StoresServerSessions,
};
use rustls::sign::CertifiedKey;
use rustls::version::{TLS12, TLS13};
use rustls::{Error, InconsistentKeys, ServerConfig};
use sha2::{Digest as _, Sha256};

use crate::error::RouterError;

/// Sessions of TLS 1.2 that are remembered; newer ones travel in tickets.
const SESSIONS_MAX: usize = 4_096;
/// Most certificates of one chain that are sent.
const CHAIN_LENGTH_MAX: usize = 20;

/// Makes the configuration of each table.
pub(crate) struct TlsConfigs {
    provider: Arc<CryptoProvider>,
    tickets: Arc<dyn ProducesTickets>,
    sessions: Arc<dyn StoresServerSessions>,
    self_signed: Arc<CertifiedKey>,
    made: Mutex<TlsState>,
}

#[derive(Default)]
struct TlsState {
    newest: Option<(u64, Arc<ServerConfig>)>,
    /// Keys that the newest table uses, by the memory address of their pair: pairs are shared, so that none is
    /// parsed twice. Each entry keeps its pair alive, so the address is not reused.
    keys: HashMap<usize, LoadedPair>,
    /// Answers to TLS-ALPN-01 in the newest table.
    challenges: HashMap<Challenge, Arc<CertifiedKey>>,
}

/// A pair that was read; `None` where it is not good for TLS.
#[derive(Clone)]
struct LoadedPair {
    _pair: Arc<Pair>,
    key: Option<Arc<CertifiedKey>>,
}

impl TlsConfigs {
    /// Makes a certificate for these names too, for as long as there is no better one.
    pub(crate) fn new(self_signed_names: &[String]) -> Result<Self, RouterError> {
        let provider = Arc::new(default_provider());
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| RouterError::SelfSigned {
            names: self_signed_names.join(", "),
            source,
        };
        let pair = self_signed(self_signed_names).map_err(|error| failed(Box::new(error)))?;
        let self_signed = certified(&pair, &provider).map_err(|error| failed(error.into()))?;
        let tickets = Ticketer::new().map_err(|error| failed(Box::new(error)))?;
        let sessions = ServerSessionMemoryCache::new(SESSIONS_MAX);
        Ok(Self { provider, tickets, sessions, self_signed: Arc::new(self_signed), made: Mutex::default() })
    }

    /// The configuration for a table. A worker that comes late gets that of the newest one.
    pub(crate) fn config(&self, table: &RouteTable, index: &HostIndex) -> Arc<ServerConfig> {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((version, config)) = &made.newest
            && *version >= table.version
        {
            return Arc::clone(config);
        }
        let mut keys = HashMap::new();
        let mut read = |pair: &Arc<Pair>, name: &str| -> Option<Arc<CertifiedKey>> {
            let place = Arc::as_ptr(pair) as usize;
            let known = keys.entry(place).or_insert_with(|| match made.keys.get(&place) {
                Some(known) => known.clone(),
                None => self.read(pair, name),
            });
            known.key.clone()
        };
        let mut names = CertificateIndex::with_default(&self.self_signed);
        let mut answers = HashMap::new();
        let platform = table.platform_certificate.as_ref();
        if let Some(key) = platform.and_then(|pair| read(pair, "of the platform")) {
            names.default = key;
        }
        for (position, route) in table.routes.iter().enumerate() {
            for AttachedCert { name, domains, pair } in &route.certificates {
                let Some(key) = read(pair, name) else { continue };
                let own = domains.iter().filter(|domain| index.owner(domain) == Some(position));
                own.for_each(|domain| names.add(domain, &key));
            }
            for challenge in route.challenges.iter().filter(|it| index.owner(&it.host) == Some(position)) {
                let known = made.challenges.get(challenge).cloned();
                let Some(answer) = known.or_else(|| self.challenge_answer(challenge)) else { continue };
                names.challenges.insert(challenge.host.clone(), Arc::clone(&answer));
                answers.insert(challenge.clone(), answer);
            }
        }
        let config = Arc::new(self.configured(table, names));
        *made = TlsState { newest: Some((table.version, Arc::clone(&config))), keys, challenges: answers };
        config
    }

    fn configured(&self, table: &RouteTable, names: CertificateIndex) -> ServerConfig {
        let versions = match table.rules.tls_minimum {
            TlsVersion::V1_2 => &[&TLS13, &TLS12][..],
            TlsVersion::V1_3 => &[&TLS13][..],
        };
        let config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)
            .expect("the provider has suites for both versions")
            .with_no_client_auth();
        let h2 = table.rules.http2.then(|| b"h2".to_vec());
        let acme = (!names.challenges.is_empty()).then(|| challenges::ALPN.to_vec());
        let mut config = config.with_cert_resolver(Arc::new(names));
        config.alpn_protocols = h2.into_iter().chain([b"http/1.1".to_vec()]).chain(acme).collect();
        config.ignore_client_order = true;
        config.ticketer = Arc::clone(&self.tickets);
        config.session_storage = Arc::clone(&self.sessions);
        config
    }

    /// The certificate that answers TLS-ALPN-01; any key will do, as it proves nothing else.
    fn challenge_answer(&self, challenge: &Challenge) -> Option<Arc<CertifiedKey>> {
        let pair = answering(challenge).map_err(|error| error.to_string());
        let answer = pair.and_then(|pair| certified(&pair, &self.provider));
        if let Err(reason) = &answer {
            tracing::warn!(host = challenge.host, reason, "a TLS-ALPN-01 challenge cannot be answered");
        }
        answer.ok().map(Arc::new)
    }

    fn read(&self, pair: &Arc<Pair>, name: &str) -> LoadedPair {
        let key = certified(pair, &self.provider).map(Arc::new);
        if let Err(reason) = &key {
            tracing::warn!(certificate = name, reason, "a certificate cannot be served; the platform's is");
        }
        LoadedPair { _pair: Arc::clone(pair), key: key.ok() }
    }
}

/// Certificates by the names that they are served for.
#[derive(Debug)]
struct CertificateIndex {
    exact: HashMap<String, Arc<CertifiedKey>>,
    /// Keyed by what follows `*.`.
    wildcard: HashMap<String, Arc<CertifiedKey>>,
    default: Arc<CertifiedKey>,
    /// Shown only to clients that offer the ALPN protocol of certificate authorities.
    challenges: HashMap<String, Arc<CertifiedKey>>,
}

impl CertificateIndex {
    fn with_default(key: &Arc<CertifiedKey>) -> Self {
        let default = Arc::clone(key);
        Self { exact: HashMap::new(), wildcard: HashMap::new(), default, challenges: HashMap::new() }
    }

    fn add(&mut self, domain: &str, key: &Arc<CertifiedKey>) {
        match domain.strip_prefix("*.") {
            Some(parent) => self.wildcard.insert(parent.to_owned(), Arc::clone(key)),
            None => self.exact.insert(domain.to_owned(), Arc::clone(key)),
        };
    }

    /// As hosts are found: an exact name first, then the longest wildcard.
    fn find(&self, name: &str) -> &Arc<CertifiedKey> {
        if let Some(key) = self.exact.get(name) {
            return key;
        }
        let mut rest = name;
        while let Some((_, parent)) = rest.split_once('.') {
            if let Some(key) = self.wildcard.get(parent) {
                return key;
            }
            rest = parent;
        }
        &self.default
    }
}

impl ResolvesServerCert for CertificateIndex {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        let name = name.trim_end_matches('.');
        if !self.challenges.is_empty() && wants_challenge(&hello) {
            return self.challenges.get(name).cloned();
        }
        Some(Arc::clone(self.find(name)))
    }
}

/// An authority offers its protocol and no other (RFC 8737 section 3).
fn wants_challenge(hello: &ClientHello<'_>) -> bool {
    let Some(mut offered) = hello.alpn() else { return false };
    offered.next() == Some(challenges::ALPN) && offered.next().is_none()
}

/// Checks that a pair can be served; the reason contains nothing of the key.
pub fn check_pair(pair: &Pair) -> Result<(), String> {
    certified(pair, &default_provider()).map(drop)
}

/// Builds the TLS form of a pair; the reason contains nothing of the key.
fn certified(pair: &Pair, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pair.certificate.as_bytes())
        .take(CHAIN_LENGTH_MAX)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("its chain cannot be read: {error}"))?;
    if chain.is_empty() {
        return Err("its chain holds no certificate in PEM form".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes())
        .map_err(|_| "its key cannot be read as PEM".to_owned())?;
    let key =
        provider.key_provider.load_private_key(key).map_err(|_| "its key is of no known kind".to_owned())?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err("its key is that of another certificate".to_owned())
        }
        // The client decides about a certificate that only looks odd.
        _ => Ok(certified),
    }
}

fn answering(challenge: &Challenge) -> Result<Pair, rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new([challenge.host.clone()])?;
    let digest = Sha256::digest(&challenge.key_authorization);
    params.custom_extensions = vec![rcgen::CustomExtension::new_acme_identifier(&digest)];
    Ok(Pair { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}

fn self_signed(names: &[String]) -> Result<Pair, rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(names)?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "Deis Workflow, self-signed");
    Ok(Pair { certificate: params.self_signed(&key)?.pem(), key: key.serialize_pem() })
}
