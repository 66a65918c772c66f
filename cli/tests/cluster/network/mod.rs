//! The network between the processes of a cluster, and what goes wrong with it.
//!
//! Two ways, which do the same to a trial:
//!
//! | file | what it holds |
//! |---|---|
//! | `namespaces.rs` | a network namespace for each process, joined by a bridge; packets are dropped (iptables), links are slow (tc tbf) |
//! | `relay.rs` | in user space, everywhere: every address that others call is a relay of this process |
//! | `caller.rs` | which process is at the other end of a connection, for the relay |
//! | `way.rs` | how one direction between two processes is; what the relay does to bytes |
//!
//! Namespaces need root, and a network namespace that this process has to itself, where it may build what it likes:
//! `.ci/cluster` makes one and says so by `ROADSTEAD_TRIALS_NETWORK=namespaces`. What a kernel has no facility for is a
//! printed skip.

mod caller;
mod namespaces;
mod relay;
mod way;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

pub(crate) use caller::OUTSIDE;
pub(crate) use namespaces::Namespaces;
pub(crate) use relay::Relays;
pub(crate) use way::Way;

/// One of the two ways.
#[derive(Debug)]
pub(crate) enum Network {
    /// In user space.
    Relay(Relays),
    /// By the kernel.
    Namespaces(Namespaces),
}

/// Where a process is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// What it listens on.
    pub(crate) ip: IpAddr,
    /// What its command line begins with.
    prefix: Vec<String>,
}

impl Place {
    /// The program, started in this place.
    pub(crate) fn command(&self, program: &std::path::Path) -> Command {
        match self.prefix.split_first() {
            None => Command::new(program),
            Some((first, rest)) => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        }
    }
}

impl Network {
    /// The way that the environment asks for.
    pub(crate) fn new() -> Self {
        match std::env::var("ROADSTEAD_TRIALS_NETWORK").as_deref() {
            Ok("namespaces") => Self::Namespaces(Namespaces::new()),
            Ok("relay") | Err(_) => Self::relay(),
            Ok(other) => panic!("ROADSTEAD_TRIALS_NETWORK is `namespaces` or `relay`, and not `{other}`"),
        }
    }

    /// In user space, whatever the environment says.
    pub(crate) fn relay() -> Self {
        Self::Relay(Relays::default())
    }

    /// A place for a process of that name.
    pub(crate) fn place(&self, name: &str) -> Place {
        match self {
            Self::Relay(_) => Place { ip: Ipv4Addr::LOCALHOST.into(), prefix: Vec::new() },
            Self::Namespaces(namespaces) => {
                let (ip, prefix) = namespaces.place(name);
                Place { ip, prefix }
            }
        }
    }

    /// Where others reach what `name` listens on at `address`.
    pub(crate) async fn reachable(&self, name: &str, address: SocketAddr) -> SocketAddr {
        match self {
            Self::Relay(relays) => relays.front(name, address).await,
            Self::Namespaces(_) => address,
        }
    }

    /// A process of that name was started.
    pub(crate) fn started(&self, name: &str, pid: u32) {
        if let Self::Relay(relays) = self {
            relays.callers().is(pid, name);
        }
    }

    /// Nothing that `from` sends reaches `to` any more. What comes the other way does.
    pub(crate) fn silence(&self, from: &str, to: &str) {
        match self {
            Self::Relay(relays) => relays.set(from, to, Way { silent: true, ..Way::default() }),
            Self::Namespaces(namespaces) => namespaces.silence(from, to),
        }
    }

    /// Nothing passes between any of these and any of those.
    pub(crate) fn part(&self, these: &[&str], those: &[&str]) {
        for this in these {
            for that in those.iter().filter(|that| *that != this) {
                self.silence(this, that);
                self.silence(that, this);
            }
        }
    }

    /// A share of all packets from `from` to `to` is lost: in user space bytes come late instead, as after a loss that TCP
    /// mends. Whether this network can do it.
    pub(crate) fn lose(&self, from: &str, to: &str, percent: u8) -> bool {
        match self {
            Self::Relay(relays) => {
                relays.set(from, to, Way { lost_percent: percent, ..Way::default() });
                true
            }
            Self::Namespaces(namespaces) => namespaces.lose(from, to, percent),
        }
    }

    /// Everything that `name` sends and receives shares a line of so many bytes per second.
    pub(crate) fn slow(&self, name: &str, others: &[&str], bytes_per_second: u64) -> bool {
        match self {
            Self::Relay(relays) => {
                for other in others.iter().filter(|other| **other != name) {
                    let way = Way { bytes_per_second: Some(bytes_per_second), ..Way::default() };
                    relays.set(name, other, way);
                    relays.set(other, name, way);
                }
                true
            }
            Self::Namespaces(namespaces) => namespaces.slow(name, bytes_per_second),
        }
    }

    /// Everything between them takes longer. Whether this network can do it.
    pub(crate) fn delay(&self, one: &str, other: &str, delay: Duration) -> bool {
        match self {
            Self::Relay(relays) => {
                let way = Way { delay, ..Way::default() };
                relays.set(one, other, way);
                relays.set(other, one, way);
                true
            }
            Self::Namespaces(_) => {
                println!("    skipped: a long way: that takes tc netem, which the relay stands in for");
                false
            }
        }
    }

    /// As if nothing had been.
    pub(crate) fn heal(&self) {
        match self {
            Self::Relay(relays) => relays.heal(),
            Self::Namespaces(namespaces) => namespaces.heal(),
        }
    }
}
