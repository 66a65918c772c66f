//! Tokens and signing keys: domain ↔ protobuf.

use super::command::required;
use super::pb::meta::v1 as pb;
use super::query::{Asked, consistency_from, consistency_to};
use super::record::{hash_from, role_from, role_to};
use super::{DecodeError, Record};
use crate::domain::principal::{SigningKey, Token, TokenUse};
use crate::domain::registry::{GroupId, SigningKeyId, TokenId};
use crate::domain::secret::SealedSecret;
use crate::domain::time::Timestamp;
use crate::state::command::CreateToken;
use crate::state::read::TokenView;
use crate::state::rows::LastUse;

pub(super) fn public_from(bytes: &[u8], message: &'static str) -> Result<[u8; 32], DecodeError> {
    bytes.try_into().map_err(|_| DecodeError::field(message, "public"))
}

pub(super) fn sealed_from(
    sealed: Option<pb::SealedSecret>,
    message: &'static str,
) -> Result<SealedSecret, DecodeError> {
    SealedSecret::from_message(required(sealed, message, "sealed")?)
}

impl Record for CreateToken {
    type Message = pb::CreateToken;

    fn to_message(&self) -> pb::CreateToken {
        pb::CreateToken {
            name: self.name.as_str().to_owned(),
            hash: self.hash.0.to_vec(),
            group: self.group.0,
            role: role_to(self.role),
            expires_at: self.expires_at.map(|at| at.0),
        }
    }

    fn from_message(m: pb::CreateToken) -> Result<Self, DecodeError> {
        const NAME: &str = "CreateToken";
        Ok(Self {
            name: m.name.parse().map_err(|_| DecodeError::field(NAME, "name"))?,
            hash: hash_from(&m.hash, NAME)?,
            group: GroupId(m.group),
            role: role_from(m.role, NAME)?,
            expires_at: m.expires_at.map(Timestamp),
        })
    }
}

impl Record for TokenUse {
    type Message = pb::TokenUse;

    fn to_message(&self) -> pb::TokenUse {
        pb::TokenUse { token: self.token.0, used_at: self.used_at.0 }
    }

    fn from_message(m: pb::TokenUse) -> Result<Self, DecodeError> {
        Ok(Self { token: TokenId(m.token), used_at: Timestamp(m.used_at) })
    }
}

impl Record for LastUse {
    type Message = pb::LastUse;

    fn to_message(&self) -> pb::LastUse {
        pb::LastUse { at: self.at.0 }
    }

    fn from_message(m: pb::LastUse) -> Result<Self, DecodeError> {
        Ok(Self { at: Timestamp(m.at) })
    }
}

impl Record for SigningKey {
    type Message = pb::SigningKey;

    fn to_message(&self) -> pb::SigningKey {
        pb::SigningKey {
            id: self.id.0,
            sealed: Some(self.sealed.to_message()),
            public: self.public.to_vec(),
            created_at: self.created_at.0,
            retired_at: self.retired_at.map(|at| at.0),
        }
    }

    fn from_message(m: pb::SigningKey) -> Result<Self, DecodeError> {
        const NAME: &str = "SigningKey";
        Ok(Self {
            id: SigningKeyId(m.id),
            sealed: sealed_from(m.sealed, NAME)?,
            public: public_from(&m.public, NAME)?,
            created_at: Timestamp(m.created_at),
            retired_at: m.retired_at.map(Timestamp),
        })
    }
}

/// Of one group, or all of them.
impl Record for Asked<Option<GroupId>> {
    type Message = pb::GetTokensRequest;

    fn to_message(&self) -> pb::GetTokensRequest {
        pb::GetTokensRequest {
            group: self.question.map(|group| group.0),
            consistency: consistency_to(self.consistency),
        }
    }

    fn from_message(m: pb::GetTokensRequest) -> Result<Self, DecodeError> {
        Ok(Self { question: m.group.map(GroupId), consistency: consistency_from(m.consistency) })
    }
}

impl Record for TokenView {
    type Message = pb::TokenView;

    fn to_message(&self) -> pb::TokenView {
        pb::TokenView { token: Some(self.token.to_message()), last_used_at: self.last_used_at.map(|at| at.0) }
    }

    fn from_message(m: pb::TokenView) -> Result<Self, DecodeError> {
        let token = Token::from_message(required(m.token, "TokenView", "token")?)?;
        Ok(Self { token, last_used_at: m.last_used_at.map(Timestamp) })
    }
}

impl Record for Vec<TokenView> {
    type Message = pb::TokensView;

    fn to_message(&self) -> pb::TokensView {
        pb::TokensView { tokens: self.iter().map(Record::to_message).collect() }
    }

    fn from_message(m: pb::TokensView) -> Result<Self, DecodeError> {
        m.tokens.into_iter().map(TokenView::from_message).collect()
    }
}
