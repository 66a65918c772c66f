//! What a member says about itself.

/// A member at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The group; empty where it waits to be in one.
    pub cluster: String,
    /// The member.
    pub node: u64,
    /// What it is in the group.
    pub role: Role,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// Its term.
    pub term: u64,
    /// The voters, as it knows them.
    pub voters: Vec<u64>,
    /// The last entry of its log.
    pub last_log: Option<u64>,
    /// The last entry it knows to be committed.
    pub committed: Option<u64>,
    /// The last entry whose effect its rows hold: its revision.
    pub applied: Option<u64>,
    /// Entries it would apply again after a crash.
    pub unsynced: u64,
    /// The last entry of its snapshot.
    pub snapshot: Option<u64>,
    /// Entries in its log.
    pub log_entries: u64,
    /// Size of the log file.
    pub log_bytes: u64,
    /// Size of the state file.
    pub state_bytes: u64,
}

/// What a member is in its group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// In no group yet.
    Waiting,
    /// Receives the log and has no vote.
    Learner,
    /// Follows a leader, or waits for one.
    Follower,
    /// Wants to lead.
    Candidate,
    /// Leads.
    Leader,
    /// Has stopped.
    Stopped,
}

impl From<openraft::ServerState> for Role {
    fn from(state: openraft::ServerState) -> Self {
        match state {
            openraft::ServerState::Learner => Self::Learner,
            openraft::ServerState::Follower => Self::Follower,
            openraft::ServerState::Candidate => Self::Candidate,
            openraft::ServerState::Leader => Self::Leader,
            openraft::ServerState::Shutdown => Self::Stopped,
        }
    }
}
