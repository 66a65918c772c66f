//! Which nodes there are: their names, the addresses these stand for, the nearest of them, and the leader.

use std::sync::{Mutex, MutexGuard, PoisonError};

use roadstead_proto::domain::limits;
use roadstead_proto::meta::MetaError;
use roadstead_proto::rpc::{Dialer, Role};
use tokio::time::Instant;
use tonic::transport::Channel;
use tracing::{debug, warn};

/// The nodes of a group, as this client knows them.
pub(super) struct Members {
    names: Vec<String>,
    dialer: Dialer,
    known: Mutex<Known>,
    /// Held while names are looked up, so that callers that come meanwhile want that answer.
    looking_up: tokio::sync::Mutex<()>,
    /// Held by whoever finds out whether somebody is back.
    finding_out: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    addresses: Vec<String>,
    looked_up_at: Option<Instant>,
    /// Who answered first when all were asked, and when that was.
    nearest: Option<(String, Instant)>,
    leader: Option<String>,
    /// Who let the time of a call that only the leader serves go by, and has not answered one since. A leader that is cut off
    /// from the other nodes does so: it goes on believing that it leads.
    late: Vec<String>,
    /// Nobody answered when somebody was asked last.
    is_dark: bool,
    /// A whole call went by without a leader.
    is_leaderless: bool,
}

impl Members {
    pub(super) fn new(names: Vec<String>, dialer: Dialer) -> Self {
        Self {
            names,
            dialer,
            known: Mutex::default(),
            looking_up: tokio::sync::Mutex::default(),
            finding_out: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn channel(&self, address: &str) -> Result<Channel, MetaError> {
        self.dialer.channel(address, Role::Node).map_err(|error| MetaError::Unavailable(error.to_string()))
    }

    /// The addresses of all members, looked up anew where that is due.
    pub(super) async fn addresses(&self) -> Result<Vec<String>, MetaError> {
        let (known, is_due) = {
            let known = self.known();
            let is_due = known.looked_up_at.is_none_or(|at| at.elapsed() >= limits::META_LOOK_AROUND_EVERY);
            (known.addresses.clone(), is_due)
        };
        if !is_due {
            return Ok(known);
        }
        self.look_up().await
    }

    /// Looks all names up. What a name stood for before goes on to count while DNS does not answer.
    pub(super) async fn look_up(&self) -> Result<Vec<String>, MetaError> {
        let before = self.known().looked_up_at;
        let _guard = self.looking_up.lock().await;
        if self.known().looked_up_at != before {
            return Ok(self.known().addresses.clone());
        }
        let lookups = futures::future::join_all(self.names.iter().map(|name| self.resolve(name))).await;
        let mut addresses = Vec::new();
        let mut failed = None;
        for lookup in lookups {
            match lookup {
                Ok(found) => addresses.extend(found),
                Err(error) => failed = Some(error),
            }
        }
        let mut known = self.known();
        known.looked_up_at = Some(Instant::now());
        if failed.is_some() {
            addresses.append(&mut known.addresses);
        }
        let mut unique = std::collections::HashSet::new();
        addresses.retain(|address| unique.insert(address.clone()));
        known.addresses = addresses;
        if known.addresses.is_empty() {
            known.looked_up_at = None;
            let reason = failed.unwrap_or_else(|| "no node is named".to_owned());
            return Err(MetaError::Unavailable(reason));
        }
        Ok(known.addresses.clone())
    }

    async fn resolve(&self, name: &str) -> Result<Vec<String>, String> {
        match tokio::time::timeout(limits::RPC_CONNECT_TIMEOUT, self.dialer.resolve(name)).await {
            Ok(Ok(found)) if !found.is_empty() => Ok(found),
            Ok(Ok(_)) => Err(format!("`{name}` stands for no address")),
            Ok(Err(error)) => Err(format!("`{name}` was not found: {error}")),
            Err(_) => Err(format!("nobody said in time what `{name}` stands for")),
        }
        .inspect_err(|reason| warn!(reason, "a name of nodes could not be looked up"))
    }

    /// The nearest member, unless it is time to look around.
    pub(super) fn nearest(&self) -> Option<String> {
        let known = self.known();
        let (address, since) = known.nearest.as_ref()?;
        (since.elapsed() < limits::META_LOOK_AROUND_EVERY).then(|| address.clone())
    }

    /// `address` answered before all others, or alone.
    pub(super) fn is_nearest(&self, address: &str) {
        let mut known = self.known();
        known.is_dark = false;
        if known.nearest.as_ref().is_none_or(|(nearest, _)| nearest != address) {
            debug!(address, "the nearest node");
        }
        known.nearest = Some((address.to_owned(), Instant::now()));
    }

    /// Some member answered.
    pub(super) fn somebody_answers(&self) {
        self.known().is_dark = false;
    }

    /// Nobody answered for a whole call.
    pub(super) fn nobody_answers(&self) {
        let mut known = self.known();
        known.nearest = None;
        if !std::mem::replace(&mut known.is_dark, true) {
            warn!(nodes = ?self.names, "no node answers");
        }
    }

    /// Whether nobody answered when somebody was asked last.
    pub(super) fn is_dark(&self) -> bool {
        self.known().is_dark
    }

    /// The right to find out whether somebody is back, which one caller at a time has.
    pub(super) fn alone_in_the_dark(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        self.finding_out.try_lock().ok()
    }

    /// The leader, where known.
    pub(super) fn leader(&self) -> Option<String> {
        self.known().leader.clone()
    }

    /// `address` leads.
    pub(super) fn leads(&self, address: &str) {
        let mut known = self.known();
        known.is_leaderless = false;
        if known.leader.as_deref() != Some(address) {
            debug!(address, "the leading node");
            known.leader = Some(address.to_owned());
        }
    }

    /// `address` does not lead, or does not answer.
    pub(super) fn does_not_lead(&self, address: &str) {
        let mut known = self.known();
        if known.leader.as_deref() == Some(address) {
            known.leader = None;
        }
    }

    /// `address` let the time of a leader's call go by: others are asked before it from now on.
    pub(super) fn is_late(&self, address: &str) {
        let mut known = self.known();
        if known.late.iter().all(|late| late != address) {
            known.late.push(address.to_owned());
        }
    }

    /// `address` answered a leader's call, whatever it said.
    pub(super) fn is_in_time(&self, address: &str) {
        self.known().late.retain(|late| late != address);
    }

    /// Whether `address` was late the last time.
    pub(super) fn was_late(&self, address: &str) -> bool {
        self.known().late.iter().any(|late| late == address)
    }

    /// A whole call went by without a leader.
    pub(super) fn nobody_leads(&self) {
        self.known().is_leaderless = true;
    }

    /// Whether a whole call went by without a leader, and none has been found since.
    pub(super) fn is_leaderless(&self) -> bool {
        self.known().is_leaderless
    }
}
