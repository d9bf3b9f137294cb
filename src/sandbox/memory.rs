//! Why the kernel ends a process that nobody else has ended: memory that ran out, of the machine or of a control group.
//!
//! Linux `Documentation/admin-guide/cgroup-v2.rst`, "Memory".

use std::fs;
use std::path::{Path, PathBuf};

const CGROUPS: &str = "/sys/fs/cgroup";

/// What to do about a process that SIGKILL has ended.
pub fn killed_hint() -> String {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = groups(&own).find_map(|group| {
        let read = |name: &str| fs::read_to_string(Path::new(CGROUPS).join(&group).join(name)).unwrap_or_default();
        limit_met(&read("memory.max"), &read("memory.events"))
    });
    told(limit)
}

fn told(limit: Option<u64>) -> String {
    match limit {
        Some(limit) => format!(
            "the control group of this process may have {} MiB of memory, and the kernel has killed processes for want of more: \
             raise the limit (docker run --memory, podman run --memory, limits.memory of a pod)",
            limit >> 20
        ),
        None => "the kernel kills so where memory runs out: `dmesg` says whether it did".to_owned(),
    }
}

/// The group that `text` of proc_pid_cgroup(5) names, and those above it. A container sees its own as the topmost.
fn groups(text: &str) -> impl Iterator<Item = PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/")).map(PathBuf::from);
    let above: Vec<PathBuf> = path.iter().flat_map(|path| path.ancestors().map(PathBuf::from)).collect();
    above.into_iter()
}

/// The limit by `max` in bytes, if processes were killed at it by `events`.
fn limit_met(max: &str, events: &str) -> Option<u64> {
    let limit = max.trim().parse().ok()?;
    let killed = events.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|count| count.parse().ok());
    (killed.unwrap_or(0_u64) > 0).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_named_where_processes_were_killed_at_it() {
        let events = |killed: u32| format!("low 0\nhigh 0\nmax 9\noom 3\noom_kill {killed}\noom_group_kill 0\n");
        assert_eq!(limit_met("536870912\n", &events(1)), Some(512 << 20));
        assert_eq!(limit_met("536870912\n", &events(0)), None);
        assert_eq!(limit_met("max\n", &events(1)), None);
        assert_eq!(limit_met("", ""), None);
        assert!(told(Some(512 << 20)).contains("may have 512 MiB of memory"));
        let all: Vec<PathBuf> = groups("1:cpu:/x\n0::/a/b\n").collect();
        assert_eq!(all, ["a/b", "a", ""].map(PathBuf::from));
        assert_eq!(groups("1:cpu:/x\n").count(), 0);
    }
}
