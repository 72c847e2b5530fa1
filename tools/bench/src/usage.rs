//! Measures the resources of a process and all its descendants, from Linux's `/proc` (proc(5)).

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// The unit of CPU time in `/proc/PID/stat`: a hundredth of a second on all current architectures (USER_HZ).
const TICK: Duration = Duration::from_millis(10);

/// The CPU time and the memory of a process tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// User and kernel time, including children that have ended and were waited for.
    pub(crate) cpu: Duration,
    /// The sum of each process's peak memory, in bytes.
    pub(crate) peak: u64,
    /// The sum of each process's current memory, in bytes.
    pub(crate) resident: u64,
    /// The part of it that does not belong to files: heaps and stacks. The rest is the programs themselves,
    /// of which the kernel keeps what fits.
    pub(crate) anonymous: u64,
}

/// Returns the usage of a process and its descendants.
pub(crate) fn of_tree(root: u32) -> Result<Usage> {
    let mut usage = Usage::default();
    for Member { usage: own, .. } in members(root)? {
        usage.cpu += own.cpu;
        usage.peak += own.peak;
        usage.resident += own.resident;
        usage.anonymous += own.anonymous;
    }
    Ok(usage)
}

/// One process of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: u32,
    /// The file name of its program.
    pub(crate) program: String,
    pub(crate) usage: Usage,
}

/// Returns a process and its descendants, each with its own usage.
pub(crate) fn members(root: u32) -> Result<Vec<Member>> {
    let processes = processes()?;
    ensure!(processes.contains_key(&root), "process {root} has ended");
    let mut members = Vec::new();
    let mut family = vec![root];
    while let Some(member) = family.pop() {
        let Some(process) = processes.get(&member) else {
            continue;
        };
        let memory = status(member);
        members.push(Member {
            id: member,
            program: program(member),
            usage: Usage {
                cpu: TICK * process.ticks,
                peak: kilobytes(&memory, "VmHWM:"),
                resident: kilobytes(&memory, "VmRSS:"),
                anonymous: kilobytes(&memory, "RssAnon:"),
            },
        });
        let children = processes
            .iter()
            .filter(|(_, process)| process.parent == member)
            .map(|(child, _)| *child);
        family.extend(children);
    }
    Ok(members)
}

/// Returns the file name of a process's program. The name in its status may be that of a thread.
fn program(process: u32) -> String {
    let file = fs::read_link(format!("/proc/{process}/exe")).unwrap_or_default();
    let name = file.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

#[derive(Debug, PartialEq, Eq)]
struct Process {
    parent: u32,
    /// User and system time, including children that were waited for.
    ticks: u32,
}

fn processes() -> Result<HashMap<u32, Process>> {
    let mut processes = HashMap::new();
    for entry in fs::read_dir("/proc").context("the benchmark needs Linux's /proc")? {
        let name = entry?.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // A process that has ended meanwhile is skipped.
        let Ok(stat) = fs::read_to_string(format!("/proc/{id}/stat")) else {
            continue;
        };
        processes.insert(
            id,
            parse_stat(&stat).context("/proc/PID/stat has another format")?,
        );
    }
    Ok(processes)
}

/// Parses fields 4 (parent) and 14 to 17 (times), counted from 1. Field 2 is a name in brackets and may
/// contain anything.
fn parse_stat(stat: &str) -> Option<Process> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let times = fields.skip(9).take(4);
    let times: Vec<u32> = times.map(str::parse).collect::<Result<_, _>>().ok()?;
    (times.len() == 4).then(|| Process {
        parent,
        ticks: times.iter().sum(),
    })
}

/// Returns the kernel's status of a process, or the empty text if it has ended.
fn status(process: u32) -> String {
    fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default()
}

/// Returns the value of a line in bytes.
fn kilobytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .and_then(|number| number.parse::<u64>().ok())
        .unwrap_or_default()
        * 1024
}

#[cfg(test)]
mod tests {
    use super::{Process, kilobytes, members, of_tree, parse_stat};
    use std::process::Command;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194304 100 200 0 0 11 22 33 44 20 0 1 0 5 6 7";
        assert_eq!(
            parse_stat(stat),
            Some(Process {
                parent: 3,
                ticks: 110
            })
        );
        assert_eq!(parse_stat("7 (a) S 3"), None);
    }

    #[test]
    fn memory_is_given_in_bytes() {
        let status = "VmPeak:\t  9 kB\nVmHWM:\t    2048 kB\nVmRSS:\t 1024 kB\n";
        assert_eq!(kilobytes(status, "VmHWM:"), 2 * 1024 * 1024);
        assert_eq!(kilobytes("", "VmHWM:"), 0);
    }

    #[test]
    fn descendants_count_with_their_root() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let (own, both) = (of_tree(child.id()).unwrap(), of_tree(std::process::id()).unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(own.resident > 0);
        assert!(both.resident > own.resident);
        assert!(both.peak >= both.resident);
        assert!(0 < both.anonymous && both.anonymous < both.resident);
    }

    #[test]
    fn a_member_of_a_tree_is_told_by_its_programs_name() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let members = members(std::process::id()).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let member = members.iter().find(|member| member.id == child.id()).unwrap();
        assert!(
            ["sleep", "coreutils"].contains(&member.program.as_str()),
            "{member:?}"
        );
    }

    #[test]
    fn a_process_that_has_ended_is_an_error() {
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        assert!(of_tree(child.id()).is_err());
    }
}
