//! Who asks: tokens known by their hash, and roles.

use sha2::{Digest as _, Sha256};

use super::registry::{GroupId, SigningKeyId, TokenId};
use super::secret::SealedSecret;
use super::time::Timestamp;

/// Prefix of every token, so that secret scanners recognise a leaked one.
pub const TOKEN_PREFIX: &str = "rst_";

/// SHA-256 of a token. Tokens are 256 random bits, so that a plain hash is enough and costs nothing per pull.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// The hash of a presented token.
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// What a token may do; each includes the ones before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Pull, list and read.
    Reader,
    /// Create, change and delete in its group.
    Maintainer,
    /// Everything, in every group.
    Admin,
}

/// An access token's record. The token itself is nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// Its public number.
    pub id: TokenId,
    /// Its name.
    pub name: String,
    /// Its hash.
    pub hash: TokenHash,
    /// The group it is confined to; an admin is not.
    pub group: GroupId,
    /// What it may do.
    pub role: Role,
    /// When it was issued.
    pub created_at: Timestamp,
    /// When it ends, if ever.
    pub expires_at: Option<Timestamp>,
}

/// A token's use since the last report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenUse {
    /// The token.
    pub token: TokenId,
    /// When it was last used.
    pub used_at: Timestamp,
}

/// A key pair that signs our own JWTs (Ed25519). Every gateway holds all of them: one signs, another verifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningKey {
    /// The `kid` of what it signs.
    pub id: SigningKeyId,
    /// Its private part, opened by gateways only.
    pub sealed: SealedSecret,
    /// Its public part.
    pub public: [u8; 32],
    /// When it was added. The newest that is not retired signs.
    pub created_at: Timestamp,
    /// Since when it signs no more. What it signed before is good until it expires.
    pub retired_at: Option<Timestamp>,
}
