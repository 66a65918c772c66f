//! What a server costs, as the kernel accounts it: processor time and resident memory of a process and its children.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Length of a tick in `/proc/<pid>/stat`. The kernel's ABI fixes it at a hundredth of a second on every architecture
/// that Rust's standard library supports for Linux servers.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of the given processes and their children so far, in user and kernel mode.
///
/// # Errors
/// When one of the given processes is gone.
pub fn processor_time(pids: &[u32]) -> io::Result<Duration> {
    let mut ticks = 0;
    for pid in family(pids)? {
        ticks += parse_ticks(&read(pid, "stat")?).ok_or_else(|| unreadable(pid, "stat"))?;
    }
    Ok(TICK * u32::try_from(ticks).unwrap_or(u32::MAX))
}

/// The most memory that the processes and their children have held at once since [`reset_peak`], in bytes.
///
/// # Errors
/// When one of the given processes is gone.
pub fn peak_resident(pids: &[u32]) -> io::Result<u64> {
    resident(pids, "VmHWM")
}

/// The memory that they hold now, in bytes.
///
/// # Errors
/// When one of the given processes is gone.
pub fn current_resident(pids: &[u32]) -> io::Result<u64> {
    resident(pids, "VmRSS")
}

/// Makes the memory held now the peak to count from.
///
/// # Errors
/// When a process is gone or belongs to somebody else.
pub fn reset_peak(pids: &[u32]) -> io::Result<()> {
    family(pids)?.into_iter().try_for_each(|pid| fs::write(path(pid, "clear_refs"), "5"))
}

fn resident(pids: &[u32], field: &str) -> io::Result<u64> {
    let mut bytes = 0;
    for pid in family(pids)? {
        bytes += parse_kibibytes(&read(pid, "status")?, field).ok_or_else(|| unreadable(pid, field))? * 1024;
    }
    Ok(bytes)
}

/// The given processes and the children of their main threads: nginx has workers.
fn family(pids: &[u32]) -> io::Result<Vec<u32>> {
    let mut family = pids.to_vec();
    for pid in pids {
        let children = read(*pid, &format!("task/{pid}/children"))?;
        family.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    Ok(family)
}

fn path(pid: u32, file: &str) -> PathBuf {
    format!("/proc/{pid}/{file}").into()
}

fn read(pid: u32, file: &str) -> io::Result<String> {
    let path = path(pid, file);
    fs::read_to_string(&path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn unreadable(pid: u32, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("process {pid}: cannot find {what}"))
}

/// User and system time. The name before them is in parentheses and may hold anything, even parentheses.
fn parse_ticks(stat: &str) -> Option<u64> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let (user, system) = (fields.next()?.parse::<u64>().ok()?, fields.next()?.parse::<u64>().ok()?);
    Some(user + system)
}

fn parse_kibibytes(status: &str, field: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_follow_whatever_name() {
        let stat = "42 (a ) (b) S 1 42 42 0 -1 4194304 100 0 0 0 250 31 7 8 20 0 1 0 100 1000 10";
        assert_eq!(parse_ticks(stat), Some(281));
        assert_eq!(parse_ticks(""), None);
    }

    #[test]
    fn memory_is_found_by_its_name() {
        let status = "Name:\tx\nVmHWMark:\t1 kB\nVmHWM:\t    1234 kB\nVmRSS:\t 99 kB\n";
        assert_eq!(parse_kibibytes(status, "VmHWM"), Some(1234));
        assert_eq!(parse_kibibytes(status, "VmSwap"), None);
    }

    #[test]
    fn this_process_can_be_read() {
        let this = [std::process::id()];
        assert!(processor_time(&this).is_ok());
        assert!(peak_resident(&this).unwrap() >= 1 << 20);
    }
}
