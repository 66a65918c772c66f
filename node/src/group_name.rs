//! Which group a member belongs to: nothing while it waits, then one name for good.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};

use roadstead_proto::wire::pb::raft::v1 as pb;

use crate::store::marker::{self, Marker};

/// A name that no other group has.
pub(crate) fn new_name() -> io::Result<String> {
    let mut name = [0; 16];
    getrandom::fill(&mut name).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(format!("{:032x}", u128::from_be_bytes(name)))
}

/// The name, in memory and in the marker of the directory.
#[derive(Debug)]
pub(crate) struct GroupName {
    directory: PathBuf,
    node: u64,
    name: OnceLock<String>,
    /// Held while the marker is written.
    adopting: Mutex<()>,
}

/// Why a member does not take a name.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptError {
    #[error("node {node} belongs to cluster {found}, not to cluster {asked}")]
    Other { node: u64, found: String, asked: String },
    #[error("the name of a cluster is not empty")]
    Nameless,
    #[error("the marker of the data directory cannot be written: {0}")]
    Storage(#[from] io::Error),
}

/// Why a message is not for this member.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Misdirected {
    #[error("the message says neither whose it is nor for whom")]
    NoEnvelope,
    #[error("this is node {found}, not node {asked}")]
    OtherNode { found: u64, asked: u64 },
    #[error("this node belongs to cluster {found}, not to cluster {asked}")]
    OtherCluster { found: String, asked: String },
    #[error("this node is in no cluster yet")]
    Waiting,
}

impl GroupName {
    pub(crate) fn new(directory: PathBuf, marker: &Marker) -> Self {
        let name = OnceLock::new();
        if !marker.cluster.is_empty() {
            let _ = name.set(marker.cluster.clone());
        }
        Self { directory, node: marker.node, name, adopting: Mutex::new(()) }
    }

    /// The name, once there is one.
    pub(crate) fn get(&self) -> Option<&str> {
        self.name.get().map(String::as_str)
    }

    /// Takes a name, durably. Blocks.
    pub(crate) fn adopt(&self, name: &str) -> Result<(), AdoptError> {
        let _adopting = self.adopting.lock().unwrap_or_else(PoisonError::into_inner);
        match self.get() {
            _ if name.is_empty() => Err(AdoptError::Nameless),
            Some(found) if found == name => Ok(()),
            Some(found) => Err(AdoptError::Other { node: self.node, found: found.to_owned(), asked: name.to_owned() }),
            None => {
                marker::write(&self.directory, &Marker { cluster: name.to_owned(), node: self.node })?;
                let _ = self.name.set(name.to_owned());
                Ok(())
            }
        }
    }

    /// What goes in front of a message to member `to`.
    pub(crate) fn envelope(&self, to: u64) -> pb::Envelope {
        pb::Envelope { cluster: self.get().unwrap_or_default().to_owned(), from: self.node, to }
    }

    /// Whether a message is for this member, by its number alone.
    pub(crate) fn check_node(&self, envelope: Option<pb::Envelope>) -> Result<pb::Envelope, Misdirected> {
        let envelope = envelope.ok_or(Misdirected::NoEnvelope)?;
        if envelope.to != self.node {
            return Err(Misdirected::OtherNode { found: self.node, asked: envelope.to });
        }
        Ok(envelope)
    }

    /// Whether a message is for this member of this group.
    pub(crate) fn check(&self, envelope: Option<pb::Envelope>) -> Result<pb::Envelope, Misdirected> {
        let envelope = self.check_node(envelope)?;
        match self.get() {
            Some(name) if name == envelope.cluster => Ok(envelope),
            Some(name) => Err(Misdirected::OtherCluster { found: name.to_owned(), asked: envelope.cluster }),
            None => Err(Misdirected::Waiting),
        }
    }
}
