//! Our account at the certificate authority. Its key is kept before the authority first sees it, so that a kill
//! leaves no account behind that nobody can use.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use instant_acme::{Account, Key};
use jiff::Timestamp;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use store::Store;
use tokio::sync::Mutex;

use super::order_error::OrderError;
use super::transport::AcmeTransport;
use crate::settings::AcmeSettings;

/// Retries of a request whose nonce the authority rejected.
pub(super) const NONCES_MAX: usize = 5;

pub(super) struct Authority {
    pub(super) settings: AcmeSettings,
    account: Mutex<Option<Account>>,
}

impl Authority {
    pub(super) fn new(settings: AcmeSettings) -> Self {
        Self { settings, account: Mutex::default() }
    }

    /// The account, which is made where there is none. The authority finds one that it has by its key.
    pub(super) async fn account(&self, store: &Store) -> Result<Account, OrderError> {
        let mut known = self.account.lock().await;
        if let Some(account) = &*known {
            return Ok(account.clone());
        }
        let key = self.key(store).await?;
        for _ in 0..NONCES_MAX {
            match self.open(&key).await {
                Err(OrderError::Nonce) => {}
                Err(error) => return Err(error),
                Ok(account) => return Ok(known.insert(account).clone()),
            }
        }
        Err(OrderError::Nonce)
    }

    /// Lets the next one open the account anew.
    pub(super) async fn forget_account(&self) {
        *self.account.lock().await = None;
    }

    async fn open(&self, key: &[u8]) -> Result<Account, OrderError> {
        let AcmeSettings { directory, email, ca_bundle, .. } = &self.settings;
        let transport = AcmeTransport::new(ca_bundle.as_deref())?;
        let der = PrivatePkcs8KeyDer::from(key.to_vec());
        let key = Key::from_pkcs8_der(der.clone_key())?;
        let builder = Account::builder_with_http(Box::new(transport));
        let opened = builder.create_from_key((key, PrivateKeyDer::Pkcs8(der)), directory.clone()).await;
        // Whatever it does not like here is about us, not about a domain.
        let (account, _) = opened.map_err(as_ours)?;
        account.update_contacts(&[&format!("mailto:{email}")]).await.map_err(as_ours)?;
        Ok(account)
    }

    async fn key(&self, store: &Store) -> Result<Vec<u8>, OrderError> {
        let (_, new) = Key::generate_pkcs8()?;
        let new = STANDARD.encode(new.secret_pkcs8_der());
        let kept = store.acme_account_key(&self.settings.directory, &new, Timestamp::now()).await?;
        let damaged = |error: base64::DecodeError| OrderError::Ours(format!("the account's key: {error}"));
        STANDARD.decode(kept).map_err(damaged)
    }
}

fn as_ours(error: instant_acme::Error) -> OrderError {
    match error.into() {
        OrderError::Refused(reason) | OrderError::Account(reason) => {
            OrderError::authority(format!("it gives the platform no account: {reason}"))
        }
        other => other,
    }
}
