//! User namespaces in which two ids have changed places: how the caller of `alloy run -v` becomes the image's user.
//!
//! To an ordinary user, ids on the disk are ids inside: what is lent belongs to root there. A command for which root and the
//! image's user have changed places is that owner, and its root is one of the caller's subordinate ids; the trees that it
//! stands on are unpacked with the two exchanged as well (`layers::ids`). Root has the ids of what is lent translated, and
//! the owner of the directory and the image's user change places in that mount alone.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use layers::ids::Exchange;
use rustix::process::{Gid, Pid, Signal, Uid, WaitOptions, kill_process, waitpid};
use rustix::thread::{
    LinkNameSpaceType, move_into_link_name_space, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

/// One line of a map: user_namespaces(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    inside: u32,
    outside: u32,
    count: u32,
}

fn parse(text: &str) -> Vec<Range> {
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map(str::parse);
        let mut next = || numbers.next().and_then(Result::ok);
        Some(Range { inside: next()?, outside: next()?, count: next()? })
    };
    text.lines().filter_map(range).collect()
}

/// The map in which `one` and `other` of `ranges` have changed places. The same map where one of them is not in it.
fn exchanged(ranges: &[Range], one: u32, other: u32) -> String {
    let holds = |range: &&Range, id: u32| id >= range.inside && id - range.inside < range.count;
    let outside = |id| ranges.iter().find(|range| holds(range, id)).map(|range| range.outside + (id - range.inside));
    let line = |inside: u32, outside: u32, count: u32| format!("{inside} {outside} {count}\n");
    let (Some(of_one), Some(of_other)) = (outside(one), outside(other)) else {
        return ranges.iter().map(|range| line(range.inside, range.outside, range.count)).collect();
    };
    let mut map = String::new();
    for range in ranges {
        let mut from = 0;
        let mut cuts = [(one, of_other), (other, of_one)].map(|(id, outside)| (id, outside, holds(&range, id)));
        cuts.sort_unstable();
        for (id, outside, _) in cuts.into_iter().filter(|(.., holds)| *holds) {
            let at = id - range.inside;
            if at < from {
                continue;
            }
            if at > from {
                map += &line(range.inside + from, range.outside + from, at - from);
            }
            map += &line(id, outside, 1);
            from = at + 1;
        }
        if from < range.count {
            map += &line(range.inside + from, range.outside + from, range.count - from);
        }
    }
    map
}

/// A child of this process's user namespace with the same ids, but for root and those of `ids`.
pub(super) fn below(ids: Exchange) -> io::Result<OwnedFd> {
    let map = |file: &str, id: u32| {
        let ranges = parse(&fs::read_to_string(file)?);
        let same: Vec<Range> = ranges.into_iter().map(|range| Range { outside: range.inside, ..range }).collect();
        Ok::<_, io::Error>(exchanged(&same, 0, id))
    };
    namespace(&map("/proc/self/uid_map", ids.uid)?, &map("/proc/self/gid_map", ids.gid)?)
}

/// A map for what is lent to the user namespace of process `pid`: of the disk's ids, those of `owner` and of `user` have
/// changed places.
pub(super) fn for_loan(pid: u32, owner: (u32, u32), user: (u32, u32)) -> io::Result<OwnedFd> {
    let map = |file: &str, owner, user| {
        let ranges = parse(&fs::read_to_string(format!("/proc/{pid}/{file}"))?);
        Ok::<_, io::Error>(exchanged(&ranges, owner, user))
    };
    namespace(&map("uid_map", owner.0, user.0)?, &map("gid_map", owner.1, user.1)?)
}

/// A user namespace that is nothing but these maps.
#[allow(unsafe_code)]
fn namespace(uids: &str, gids: &str) -> io::Result<OwnedFd> {
    let (mut reader, writer) = io::pipe()?;
    // SAFETY: the child makes system calls alone, which are async-signal-safe, and goes on to nothing else: it ends with
    // `_exit`, or is ended below. What it is given was made before.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: as above; the byte lives.
        unsafe {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            if libc::unshare(libc::CLONE_NEWUSER) != 0 {
                libc::_exit(1);
            }
            libc::write(std::os::fd::AsRawFd::as_raw_fd(&writer), [1_u8].as_ptr().cast(), 1);
            loop {
                libc::pause();
            }
        }
    }
    drop(writer);
    let child = Pid::from_raw(child).filter(|_| child > 0).ok_or_else(io::Error::last_os_error)?;
    let mut there = || {
        if io::Read::read(&mut reader, &mut [0])? == 0 {
            return Err(io::Error::other("the kernel makes no further user namespace"));
        }
        let place = format!("/proc/{}", child.as_raw_nonzero());
        fs::write(format!("{place}/uid_map"), uids)?;
        fs::write(format!("{place}/gid_map"), gids)?;
        Ok(File::open(format!("{place}/ns/user"))?.into())
    };
    let namespace = there();
    let _ = kill_process(child, Signal::KILL);
    let _ = waitpid(Some(child), WaitOptions::empty());
    namespace
}

/// Makes the child of `command` root of `namespace`.
#[allow(unsafe_code)]
pub(super) fn enter(command: &mut Command, namespace: OwnedFd, keep_groups: bool) {
    let sets_groups = !keep_groups && super::init::may_set_groups();
    // SAFETY: only system calls, which are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::User))?;
            if sets_groups {
                set_thread_groups(&[])?;
            }
            set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT)?;
            set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT)?;
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_ids_change_places() {
        let same = [Range { inside: 0, outside: 0, count: 65_537 }];
        assert_eq!(exchanged(&same, 0, 1000), "0 1000 1\n1 1 999\n1000 0 1\n1001 1001 64536\n");
        assert_eq!(exchanged(&same, 1000, 0), exchanged(&same, 0, 1000));
        assert_eq!(exchanged(&same, 0, 65_536), "0 65536 1\n1 1 65535\n65536 0 1\n");
        assert_eq!(exchanged(&same, 0, 0), "0 0 1\n1 1 65536\n");
        assert_eq!(exchanged(&same, 0, 70_000), "0 0 65537\n", "an id that is not in it");
        let ranges = parse("0 100000 65536\n65536 1879113728 100\n");
        assert_eq!(
            exchanged(&ranges, 3, 65_600),
            "0 100000 3\n3 1879113792 1\n4 100004 65532\n65536 1879113728 64\n65600 100003 1\n65601 1879113793 35\n"
        );
    }
}
