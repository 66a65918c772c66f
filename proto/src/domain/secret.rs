//! Secrets: no `Display`, no readable `Debug`, no serialisation, zeroed on drop.

use std::fmt;

use zeroize::Zeroizing;

/// A secret text. The only way to the content is [`Secret::expose`], so that every use can be found.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over a secret.
    pub fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    /// The secret itself. Call it where the bytes leave for their one purpose, nowhere else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// A secret encrypted at rest (AES-256-GCM) under a key that comes from outside the metadata.
/// The metadata store sees only this form; the gateway seals and opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// Which key sealed it: the first 8 bytes of the key's SHA-256, so that a rotation can tell old from new.
    pub key_id: [u8; 8],
    /// The nonce, unique per sealing.
    pub nonce: [u8; 12],
    /// Ciphertext and tag.
    pub ciphertext: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_tell() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(…)");
    }
}
