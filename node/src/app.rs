//! One member put together: directory, raft, jobs.
//!
//! Starting, in this order: lock the directory; sweep what an interrupted write left; open log, state and snapshot; check or write
//! the marker; start raft; found the group or stand for election where there is nobody to wait for; start the jobs.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openraft::async_runtime::WatchReceiver;
use openraft::network::NetSnapshot;
use openraft::{RaftMetrics, RaftNetworkFactory, SnapshotPolicy};
use roadstead_proto::domain::epoch::Revision;
use roadstead_proto::domain::limits;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::blocking::blocking;
use crate::config::{Components, Config, Formation};
use crate::directory::Directory;
use crate::error::{StartError, Stopped};
use crate::group_name::GroupName;
use crate::local::LocalMeta;
use crate::membership::Membership;
use crate::raft::log::{LogFile, LogStore};
use crate::raft::machine::Machine;
use crate::raft::network::{MembershipWatch, Peers};
use crate::raft::snapshot::{SnapshotFile, Snapshots};
use crate::raft::writer::Writer;
use crate::raft::{Group, LogId, Types};
use crate::sessions::Sessions;
use crate::status::{Role, Status};
use crate::store::files::Closed;
use crate::store::keys::{LOG_FILE, STATE_FILE};
use crate::store::marker::DirectoryLock;
use crate::watch::Publisher;

/// How long a stopping member waits for those who still read its files.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// A running member.
pub struct Node {
    directory: PathBuf,
    membership: Arc<Membership>,
    meta: Arc<LocalMeta>,
    pub(crate) snapshots: Arc<Snapshots>,
    /// Until it is shut down.
    log: Mutex<Option<OpenLog>>,
    jobs: TaskTracker,
    /// Ends the jobs, also where a member is dropped and not shut down.
    stop: DropGuard,
    /// The last entry of the log when this member started: it may have applied and shown so much before.
    started_with: Option<u64>,
}

/// What is held only while the member runs.
struct OpenLog {
    file: Arc<LogFile>,
    closed: Closed,
    writer: Writer,
    _lock: DirectoryLock,
}

impl Node {
    /// Starts the member of a directory, in its group or waiting for one.
    ///
    /// # Errors
    /// Where the directory is another's, in use, incomplete or damaged.
    pub async fn start(config: Config, components: Components) -> Result<Self, StartError> {
        let dialer = components.dialer.clone();
        let me = config.node_id;
        Self::start_with(config, components, |name| {
            let peers = Peers::new(me, name, dialer);
            let follower = peers.clone();
            (peers, Box::new(move |membership| follower.follow(membership)))
        })
        .await
    }

    /// Starts a member that reaches the others through the network that `connect` makes; that one is told of the membership.
    pub(crate) async fn start_with<N>(
        config: Config,
        components: Components,
        connect: impl FnOnce(Arc<GroupName>) -> (N, Box<dyn FnOnce(MembershipWatch) + Send>),
    ) -> Result<Self, StartError>
    where
        N: RaftNetworkFactory<Types>,
        N::Network: NetSnapshot<Types, SnapshotData = SnapshotFile>,
    {
        let raft_config = Arc::new(raft_config(&config).validate()?);
        let storage_error = |source| StartError::Storage { directory: config.data_dir.clone(), source };
        let directory = {
            let (config, medium) = (config.clone(), Arc::clone(&components.medium));
            // A file that a crash left is repaired while it is opened.
            blocking(move || Ok(Directory::open(&config, medium))).await.map_err(storage_error)??
        };
        let Directory { marker, log, log_closed, state, snapshots, lock } = directory;
        let started_with = log.last_index();
        let publisher = Arc::new(Publisher::new(Revision(state.applied_index().unwrap_or(0))));
        let machine = Machine::new(
            Arc::clone(&state),
            Arc::clone(&snapshots),
            Arc::clone(&publisher),
            Arc::clone(log.compactor()),
        )
        .map_err(storage_error)?;
        let writer = Writer::start(Arc::clone(&log));
        let store = LogStore::new(Arc::clone(&log), writer.clone(), Arc::clone(&state));
        let name = Arc::new(GroupName::new(config.data_dir.clone(), &marker));
        let (network, tell_membership) = connect(Arc::clone(&name));
        let group = Group::new(config.node_id, raft_config, network, store, machine).await.map_err(raft_error)?;
        tell_membership(group.server_metrics());
        let meta = Arc::new(LocalMeta {
            group,
            compactor: Arc::clone(log.compactor()),
            state,
            publisher,
            sessions: Sessions::default(),
            clock: components.clock,
            patience: config.timing.patience,
        });
        let membership = Arc::new(Membership {
            id: config.node_id,
            address: config.address,
            timing: config.timing,
            name,
            dialer: components.dialer,
            ending: Arc::default(),
            group: meta.group.clone(),
            heard_at: Mutex::default(),
            unbelieved: Mutex::default(),
        });
        let node = Self {
            directory: config.data_dir,
            membership,
            meta,
            snapshots,
            log: Mutex::new(Some(OpenLog { file: log, closed: log_closed, writer, _lock: lock })),
            jobs: TaskTracker::new(),
            stop: CancellationToken::new().drop_guard(),
            started_with,
        };
        node.take_up(&config.formation).await?;
        node.start_jobs();
        Ok(node)
    }

    /// Goes on where the directory says; founds a group of one where that is wanted; stands for election where this member is
    /// its group's only voter: there is nobody whose silence would have to be waited for.
    async fn take_up(&self, formation: &Formation) -> Result<(), StartError> {
        let is_founded = self.group().is_initialized().await.map_err(raft_error)?;
        let is_free = self.membership.name.get().is_none();
        if is_free && (is_founded || *formation == Formation::Alone) {
            self.membership.found().await.map_err(raft_error)?;
        }
        if self.group().voter_ids().eq([self.membership.id]) {
            self.group().trigger().elect(false).await.map_err(raft_error)?;
        }
        Ok(())
    }

    fn start_jobs(&self) {
        let timing = &self.membership.timing;
        let meta = Arc::clone(&self.meta);
        self.every(timing.session_check, move || {
            let meta = Arc::clone(&meta);
            async move {
                if let Err(error) = meta.end_silent_sessions().await {
                    tracing::debug!(%error, "silent sessions could not be ended");
                }
            }
        });
        let (publisher, membership) = (Arc::clone(&self.meta.publisher), Arc::clone(&self.membership));
        self.every(limits::WATCH_HEARTBEAT, move || {
            if membership.is_current() {
                publisher.beat();
            }
            std::future::ready(())
        });
        let membership = Arc::clone(&self.membership);
        self.every(timing.greet, move || {
            let membership = Arc::clone(&membership);
            async move { membership.greet().await }
        });
        let state = Arc::clone(&self.meta.state);
        self.every(timing.checkpoint, move || {
            let state = Arc::clone(&state);
            async move {
                // Where it fails, the next apply fails too, and raft stops with the reason.
                if let Err(error) = blocking(move || state.checkpoint()).await {
                    tracing::error!(%error, "the state file could not be synced");
                }
            }
        });
    }

    fn every<F: Future<Output = ()> + Send>(&self, period: Duration, mut step: impl FnMut() -> F + Send + 'static) {
        let stop = self.stop.token().clone();
        self.jobs.spawn(async move {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            while stop.run_until_cancelled(ticks.tick()).await.is_some() {
                step().await;
            }
        });
    }

    /// The metadata, as this member serves it.
    pub fn meta(&self) -> Arc<LocalMeta> {
        Arc::clone(&self.meta)
    }

    /// What changes the group.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    pub(crate) fn group(&self) -> &Group {
        &self.meta.group
    }

    /// The name of the group, once this member is in one: made up when it was founded, the same on every member.
    pub fn cluster(&self) -> Option<&str> {
        self.membership.name.get()
    }

    /// Returns once there is a leader and this member has applied what it may have shown before it was last stopped.
    ///
    /// # Errors
    /// Where it stopped instead.
    pub async fn ready(&self) -> Result<(), Stopped> {
        // The group's commit index is never one from the disk: where it covers the old log, a leader of now has either
        // committed that log or replaced it.
        let is_ready = |metrics: &RaftMetrics<Types>| {
            let index = |id: &Option<LogId>| id.map(|id| id.index);
            metrics.current_leader.is_some()
                && metrics.cluster_committed.is_some()
                && metrics.last_applied.is_some()
                && index(&metrics.cluster_committed) >= self.started_with
                && index(&metrics.last_applied) >= self.started_with
        };
        let is_over = |metrics: &RaftMetrics<Types>| metrics.running_state.is_err() || is_ready(metrics);
        match self.meta.group.wait(None).metrics(is_over, "ready").await {
            Ok(metrics) if metrics.running_state.is_ok() => Ok(()),
            _ => Err(Stopped { reason: self.stopped().await }),
        }
    }

    /// Returns once this member cannot go on, with the reason: its disk fails, it was removed from the group, or another
    /// member sent what it cannot understand. It has to be shut down then.
    pub async fn stopped(&self) -> String {
        tokio::select! {
            reason = self.membership.ending.wait() => reason,
            reason = self.raft_stopped() => reason,
        }
    }

    async fn raft_stopped(&self) -> String {
        let mut metrics = self.meta.group.metrics();
        loop {
            if let Err(reason) = &metrics.borrow_watched().running_state {
                return reason.to_string();
            }
            if metrics.changed().await.is_err() {
                return "raft is gone".to_owned();
            }
        }
    }

    /// Lets this member write a snapshot now, and forget the log behind it. Returns when it has begun.
    ///
    /// # Errors
    /// Where the member has stopped.
    pub async fn compact(&self) -> Result<(), Stopped> {
        self.meta.compactor.demand();
        self.meta.group.trigger().snapshot().await.map_err(|error| Stopped { reason: error.to_string() })
    }

    /// What this member says about itself.
    pub fn status(&self) -> Status {
        let metrics = self.meta.group.metrics().borrow_watched().clone();
        let is_waiting = metrics.membership_config.membership().nodes().next().is_none();
        let log_entries = self.log().as_ref().map_or(0, |log| log.file.length());
        let size = |name: &str| std::fs::metadata(self.directory.join(name)).map_or(0, |file| file.len());
        Status {
            cluster: self.cluster().unwrap_or_default().to_owned(),
            node: metrics.id,
            role: if is_waiting { Role::Waiting } else { metrics.state.into() },
            leader: metrics.current_leader,
            term: metrics.current_term,
            voters: metrics.membership_config.voter_ids().collect(),
            last_log: metrics.last_log_index,
            committed: metrics.local_committed.map(|id| id.index),
            applied: self.meta.state.applied_index(),
            unsynced: self.meta.state.unsynced(),
            snapshot: metrics.snapshot.map(|id| id.index),
            log_entries,
            log_bytes: size(LOG_FILE),
            state_bytes: size(STATE_FILE),
        }
    }

    /// Closes the files as they are, without handing anything over: what a crash leaves, for tests that cut the power before.
    #[cfg(any(test, feature = "test-util"))]
    pub async fn crash(&self) {
        // That nothing can be written is what it says.
        let _ = self.close().await;
    }

    fn log(&self) -> std::sync::MutexGuard<'_, Option<OpenLog>> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops: the leadership is handed over, everything applied becomes durable, and the files are closed when this returns.
    /// A second call does nothing.
    ///
    /// # Errors
    /// Where something could not be written. The files are closed all the same, and nothing that was acknowledged is lost:
    /// the log holds it.
    pub async fn shutdown(&self) -> io::Result<()> {
        self.membership.hand_over().await;
        self.close().await
    }

    /// Ends without a word to the others.
    pub(crate) async fn close(&self) -> io::Result<()> {
        let Some(OpenLog { file, closed: log_closed, writer, _lock }) = self.log().take() else {
            return Ok(());
        };
        self.stop.token().cancel();
        self.jobs.close();
        self.jobs.wait().await;
        if let Err(error) = self.meta.group.shutdown().await {
            tracing::warn!(%error, "raft did not stop cleanly");
        }
        let flushed = writer.flush().await;
        let state = Arc::clone(&self.meta.state);
        let synced = blocking(move || state.checkpoint()).await;
        let state_closed = self.meta.state.close();
        drop((writer, file));
        let closed = async {
            log_closed.wait().await;
            if let Some(closed) = state_closed {
                closed.wait().await;
            }
        };
        if tokio::time::timeout(CLOSE_PATIENCE, closed).await.is_err() {
            tracing::warn!("somebody still reads the metadata; its files stay open");
        }
        flushed.and(synced)
    }
}

fn raft_error(error: impl std::fmt::Display) -> StartError {
    StartError::Raft(error.to_string())
}

fn raft_config(config: &Config) -> openraft::Config {
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    openraft::Config {
        cluster_name: "roadstead".to_owned(),
        heartbeat_interval: millis(config.timing.heartbeat),
        election_timeout_min: millis(config.timing.election_min),
        election_timeout_max: millis(config.timing.election_max),
        // A member that was cut off must not depose the leader when it comes back.
        enable_pre_vote: Some(true),
        // Apply does not sync, and the saved commit index may lag: a restarted leader that went on without an election
        // could answer a linearizable read from an older state. The first entry of a new term brings everything forward.
        enable_leader_restore: Some(false),
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.compaction.snapshot_every),
        max_in_snapshot_log_to_keep: config.compaction.keep,
        // What bounds a request is its size in bytes; of small entries, all that wait travel together.
        max_payload_entries: 4096,
        // How far a new member may be behind to count as caught up.
        replication_lag_threshold: config.compaction.keep.max(1_000),
        // For a whole snapshot; a transfer that moves no byte is ended by the transport.
        install_snapshot_timeout: 600_000,
        ..openraft::Config::default()
    }
}
