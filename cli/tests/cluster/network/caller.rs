//! Which process is at the other end of a connection on this machine, from `/proc`.
//!
//! All processes call from one loopback address, so that the address says nothing. The kernel's table of connections has
//! the inode of the caller's socket, and the caller's descriptors name it.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

/// The processes that count, by their ids.
#[derive(Debug, Default)]
pub(crate) struct Callers {
    names: Mutex<HashMap<u32, String>>,
}

/// Whoever is none of them: the trial itself, a load balancer.
pub(crate) const OUTSIDE: &str = "outside";

impl Callers {
    /// A process has that name from now on.
    pub(crate) fn is(&self, pid: u32, name: &str) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        // One name, one process: an id may be given out anew after its process has ended.
        names.retain(|_, known| known != name);
        names.insert(pid, name.to_owned());
    }

    /// Who called from `caller` to `called`.
    pub(crate) fn name(&self, caller: SocketAddr, called: SocketAddr) -> String {
        let Some(inode) = socket_inode(caller, called) else { return OUTSIDE.to_owned() };
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let owner = names.into_iter().find(|(pid, _)| has_socket(*pid, inode));
        owner.map_or_else(|| OUTSIDE.to_owned(), |(_, name)| name)
    }
}

fn socket_inode(local: SocketAddr, remote: SocketAddr) -> Option<u64> {
    let (local, remote) = (spelt(local)?, spelt(remote)?);
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    table.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        if words.next()? != local || words.next()? != remote {
            return None;
        }
        words.nth(6)?.parse().ok()
    })
}

/// As the kernel's table spells it: the address as a number of this machine's own byte order.
fn spelt(address: SocketAddr) -> Option<String> {
    let SocketAddr::V4(address) = address else { return None };
    let ip: &Ipv4Addr = address.ip();
    Some(format!("{:08X}:{:04X}", u32::from_ne_bytes(ip.octets()), address.port()))
}

fn has_socket(pid: u32, inode: u64) -> bool {
    let wanted = format!("socket:[{inode}]");
    let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    descriptors.flatten().any(|entry| fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == &*wanted))
}
