//! Signs tokens so that Distribution believes them: JSON Web Tokens with Ed25519 (RFC 7519, RFC 8037).
//!
//! The signing key comes from the registry's own key, so that the token of one replica is good at another.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::registry_access::AccessKey;
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// A key pair and its public name.
pub struct Signer {
    pair: Ed25519KeyPair,
    id: String,
}

impl Signer {
    pub fn new(key: &AccessKey) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&key.signing_seed())
            .expect("any 32 bytes are a seed of Ed25519");
        let id = hex::encode(&Sha256::digest(pair.public_key().as_ref())[..8]);
        Self { pair, id }
    }

    /// The public key as a set that Distribution reads (RFC 7517).
    pub fn key_set(&self) -> Value {
        let public = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({ "keys": [{
            "kty": "OKP", "crv": "Ed25519", "x": public, "kid": self.id, "use": "sig", "alg": "EdDSA",
        }]})
    }

    pub fn sign(&self, claims: &impl Serialize) -> String {
        let header = json!({ "alg": "EdDSA", "typ": "JWT", "kid": self.id });
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let claims = serde_json::to_vec(claims).expect("claims are texts and numbers");
        let text = format!("{}.{}", part(header.to_string().as_bytes()), part(&claims));
        let signature = self.pair.sign(text.as_bytes());
        format!("{text}.{}", part(signature.as_ref()))
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    #[test]
    fn a_token_verifies_with_the_key_of_the_set_and_replicas_have_the_same() {
        let signer = Signer::new(&AccessKey::new("secret"));

        let token = signer.sign(&json!({ "sub": "app-blog" }));

        let set = Signer::new(&AccessKey::new("secret")).key_set();
        let public = set["keys"][0]["x"].as_str().expect("a text");
        let public = URL_SAFE_NO_PAD.decode(public).expect("base64");
        let (text, signature) = token.rsplit_once('.').expect("three parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64");
        UnparsedPublicKey::new(&ED25519, public).verify(text.as_bytes(), &signature).expect("it is ours");
    }
}
