//! The server's SSH host keys: made on first start and kept, so that clients continue to trust the server. In a
//! cluster they come from a Secret, which outlives the builder's volume.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, EcdsaCurve, PrivateKey, decode_secret_key};

use crate::BuilderError;

/// Files of keys; one that is not there is made.
const ED25519: &str = "ssh-host-ed25519-key";
const ECDSA: &str = "ssh-host-ecdsa-key";
/// Host key of older platforms: not used, since its signatures can be timed (RUSTSEC-2023-0071).
const RSA: &str = "ssh-host-rsa-key";

/// The keys in `folder`. A file that cannot be read stops the start: a new key would lock out every client.
pub(crate) fn load_or_make(folder: &Path) -> Result<Vec<PrivateKey>, BuilderError> {
    make_private_folder(folder)?;
    let ecdsa = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
    let mut keys = Vec::new();
    for (name, algorithm) in [(ED25519, Algorithm::Ed25519), (ECDSA, ecdsa)] {
        let path = folder.join(name);
        keys.push(match load(&path)? {
            Some(key) => key,
            None => make(&path, algorithm)?,
        });
    }
    warn_of_rsa(folder);
    Ok(keys)
}

/// The keys in a folder that is not ours to write to; at least one must be there.
pub(crate) fn load_given(folder: &Path) -> Result<Vec<PrivateKey>, BuilderError> {
    let mut keys = Vec::new();
    for name in [ED25519, ECDSA] {
        keys.extend(load(&folder.join(name))?);
    }
    if keys.is_empty() {
        let reason = format!("neither {ED25519} nor {ECDSA} is in the folder");
        return Err(BuilderError::HostKey { path: folder.to_owned(), reason });
    }
    warn_of_rsa(folder);
    Ok(keys)
}

fn warn_of_rsa(folder: &Path) {
    let path = folder.join(RSA);
    if path.exists() {
        tracing::warn!("the RSA host key {} is not used; clients are shown the others", path.display());
    }
}

/// Makes a folder that only we may enter.
pub(crate) fn make_private_folder(folder: &Path) -> Result<(), BuilderError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| BuilderError::Prepare { path: folder.to_owned(), source })
}

fn load(path: &Path) -> Result<Option<PrivateKey>, BuilderError> {
    let unusable = |reason: String| BuilderError::HostKey { path: path.to_owned(), reason };
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(error.to_string())),
    };
    // OpenSSH's form, or PKCS #8 and SEC 1, which tools without ssh-keygen make.
    let key = decode_secret_key(&text, None).map_err(|error| unusable(error.to_string()))?;
    if key.is_encrypted() {
        return Err(unusable("it is encrypted".to_owned()));
    }
    Ok(Some(key))
}

/// Made beside its place and moved there, so that no half-written key is ever found.
fn make(path: &Path, algorithm: Algorithm) -> Result<PrivateKey, BuilderError> {
    let unusable = |reason: String| BuilderError::HostKey { path: path.to_owned(), reason };
    let key = PrivateKey::random(&mut rand::rng(), algorithm).map_err(|error| unusable(error.to_string()))?;
    let text = key.to_openssh(LineEnding::LF).map_err(|error| unusable(error.to_string()))?;
    let unfinished = path.with_extension("new");
    let write = || {
        let mut file = private_file(&unfinished)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|source| BuilderError::Prepare { path: path.to_owned(), source })?;
    Ok(key)
}

fn private_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn keys_are_made_once_and_only_for_us() {
        let folder = tempfile::tempdir().unwrap();

        let first = load_or_make(folder.path()).unwrap();
        let second = load_or_make(folder.path()).unwrap();

        let publics =
            |keys: &[PrivateKey]| keys.iter().map(|key| key.public_key().clone()).collect::<Vec<_>>();
        assert_eq!(publics(&first), publics(&second));
        assert_eq!(first.len(), 2);
        for name in [ED25519, ECDSA] {
            let mode = fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn given_keys_are_read_in_the_forms_that_a_chart_makes_and_none_is_made() {
        let folder = tempfile::tempdir().unwrap();
        assert!(load_given(folder.path()).is_err());
        // Output of sprig's genPrivateKey for "ed25519" and "ecdsa".
        fs::write(folder.path().join(ED25519), include_str!("../tests/keys/ed25519.pkcs8.pem")).unwrap();
        fs::write(folder.path().join(ECDSA), include_str!("../tests/keys/ecdsa.sec1.pem")).unwrap();

        let keys = load_given(folder.path()).unwrap();

        let ecdsa = Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 };
        assert_eq!(keys.iter().map(PrivateKey::algorithm).collect::<Vec<_>>(), [Algorithm::Ed25519, ecdsa]);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn an_rsa_host_key_is_left_alone_and_is_not_enough() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(RSA), "anything").unwrap();

        assert_eq!(load_or_make(&folder.path().join("ssh")).unwrap().len(), 2);
        assert!(load_given(folder.path()).unwrap_err().to_string().contains("neither"));
    }

    #[test]
    fn a_broken_key_stops_the_start_instead_of_being_replaced() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(ECDSA), "not a key").unwrap();

        let error = load_or_make(folder.path()).unwrap_err().to_string();

        assert!(error.contains(ECDSA), "{error}");
        assert_eq!(fs::read(folder.path().join(ECDSA)).unwrap(), b"not a key");
    }
}
