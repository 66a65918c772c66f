//! Sealing of upstream passwords: AES-256-GCM under a key that never enters the metadata.

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{digest, hmac};
use roadstead_proto::domain::digest::{decode_hex, encode_hex};
use roadstead_proto::domain::secret::{SealedSecret, Secret};
use roadstead_proto::domain::upstream::CredentialId;

/// Bound into every ciphertext, so that it opens as an upstream's password and as nothing else.
const PURPOSE: &[u8] = b"roadstead upstream password v1";

/// The key that seals and opens.
pub struct Keyring {
    bytes: [u8; 32],
    cipher: LessSafeKey,
    identity: hmac::Key,
    id: [u8; 8],
}

/// Why a secret stays shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The text is not a key.
    #[error("the secret key must be 64 lower-case hexadecimal digits")]
    Key,
    /// Another key sealed it.
    #[error("sealed under another key: restore the key that was in use when the credentials were stored")]
    OtherKey,
    /// The ciphertext was changed.
    #[error("the sealed secret is damaged")]
    Damaged,
    /// The system has no randomness.
    #[error("the operating system gave no random bytes")]
    Random,
}

impl Keyring {
    /// A new random key.
    pub fn generate() -> Result<Self, SealError> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| SealError::Random)?;
        Self::from_bytes(bytes)
    }

    /// The key of a key file: 64 hexadecimal digits, white space around them allowed.
    pub fn from_hex(text: &str) -> Result<Self, SealError> {
        let bytes = decode_hex(text.trim()).and_then(|bytes| bytes.try_into().ok()).ok_or(SealError::Key)?;
        Self::from_bytes(bytes)
    }

    fn from_bytes(bytes: [u8; 32]) -> Result<Self, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| SealError::Key)?;
        // A key of its own for identities, so that neither use weakens the other.
        let derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &bytes), b"roadstead credential identity v1");
        let fingerprint = digest::digest(&digest::SHA256, &bytes);
        let mut id = [0; 8];
        id.copy_from_slice(&fingerprint.as_ref()[..8]);
        Ok(Self {
            bytes,
            cipher: LessSafeKey::new(key),
            identity: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()),
            id,
        })
    }

    /// The text of a key file.
    pub fn to_hex(&self) -> Secret {
        Secret::new(encode_hex(&self.bytes))
    }

    /// Encrypts a secret.
    pub fn seal(&self, secret: &Secret) -> Result<SealedSecret, SealError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|_| SealError::Random)?;
        let mut ciphertext = secret.expose().as_bytes().to_vec();
        self.cipher
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(PURPOSE), &mut ciphertext)
            .map_err(|_| SealError::Damaged)?;
        Ok(SealedSecret { key_id: self.id, nonce, ciphertext })
    }

    /// Decrypts a secret.
    pub fn open(&self, sealed: &SealedSecret) -> Result<Secret, SealError> {
        if sealed.key_id != self.id {
            return Err(SealError::OtherKey);
        }
        let mut bytes = sealed.ciphertext.clone();
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let plain = self.cipher.open_in_place(nonce, Aad::from(PURPOSE), &mut bytes).map_err(|_| SealError::Damaged)?;
        let text = std::str::from_utf8(plain).map_err(|_| SealError::Damaged)?;
        Ok(Secret::new(text))
    }

    /// The identity of a user name and password: equal pairs are recognised, nothing else can be learnt.
    pub fn credential_id(&self, username: &str, password: &Secret) -> CredentialId {
        let mut context = hmac::Context::with_key(&self.identity);
        context.update(&(username.len() as u64).to_be_bytes());
        context.update(username.as_bytes());
        context.update(password.expose().as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&context.sign().as_ref()[..16]);
        CredentialId(id)
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keyring({})", encode_hex(&self.id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_sealed_and_nothing_else() {
        let keyring = Keyring::generate().unwrap();
        let sealed = keyring.seal(&Secret::new("pässword")).unwrap();
        assert!(!sealed.ciphertext.windows(4).any(|window| window == b"word"));
        let again = Keyring::from_hex(keyring.to_hex().expose()).unwrap();
        assert_eq!(again.open(&sealed).unwrap().expose(), "pässword");
        assert_eq!(Keyring::generate().unwrap().open(&sealed), Err(SealError::OtherKey));
        let mut changed = sealed.clone();
        changed.ciphertext[0] ^= 1;
        assert_eq!(keyring.open(&changed), Err(SealError::Damaged));
    }

    #[test]
    fn identity_depends_on_both_parts() {
        let keyring = Keyring::generate().unwrap();
        let id = |user: &str, password: &str| keyring.credential_id(user, &Secret::new(password));
        assert_eq!(id("a", "b"), id("a", "b"));
        assert_ne!(id("a", "bc"), id("ab", "c"));
    }

    #[test]
    fn refuses_what_is_no_key() {
        for text in ["", "00", &"g".repeat(64), &"0".repeat(63)] {
            assert_eq!(Keyring::from_hex(text).err(), Some(SealError::Key), "{text}");
        }
    }
}
