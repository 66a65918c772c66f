//! The protobuf form of every persisted value, and the way to and from the domain.
//!
//! The generated code is in [`pb`]; nobody but this folder and the raft log looks at it.

mod access;
mod cleanup;
mod command;
mod configure;
mod entries;
mod fleet;
mod identity;
mod outcome;
mod query;
mod record;
mod rule;

pub use entries::AskedEntry;
pub use fleet::KeepAlive;
pub use query::{Asked, AwaitRelease};

/// Generated from `schema/`.
#[allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]
pub mod pb {
    /// Metadata: rows and commands.
    pub mod meta {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/roadstead.meta.v1.rs"));
        }
    }
    /// Between gateways: running downloads.
    pub mod peer {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/roadstead.peer.v1.rs"));
        }
    }
    /// Administration of the group.
    pub mod admin {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/roadstead.admin.v1.rs"));
        }
    }
    /// Raft: log, vote and snapshot records, and the calls between members.
    pub mod raft {
        /// Version 1.
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/roadstead.raft.v1.rs"));
        }
    }
}

/// Stored or received bytes are not what the schema promises.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not protobuf of this message.
    #[error("not a protobuf message: {0}")]
    Protobuf(String),
    /// A field holds a value outside its domain.
    #[error("{message}.{field} is missing or invalid")]
    Field {
        /// The message.
        message: &'static str,
        /// The field.
        field: &'static str,
    },
}

impl DecodeError {
    fn field(message: &'static str, field: &'static str) -> Self {
        Self::Field { message, field }
    }
}

/// A domain value with one stored form.
pub trait Record: Sized {
    /// The generated message.
    type Message: prost::Message + Default;

    /// To the generated message.
    fn to_message(&self) -> Self::Message;

    /// From the generated message, validated.
    fn from_message(message: Self::Message) -> Result<Self, DecodeError>;

    /// To bytes.
    fn encode(&self) -> Vec<u8> {
        prost::Message::encode_to_vec(&self.to_message())
    }

    /// From bytes, validated.
    fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let message = <Self::Message as prost::Message>::decode(bytes)
            .map_err(|error| DecodeError::Protobuf(error.to_string()))?;
        Self::from_message(message)
    }
}

#[cfg(test)]
mod round_trip_tests;
