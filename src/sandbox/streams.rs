//! Input and output of a command that has no terminal: pipes and sockets of alloy's caller as they are, and of all else
//! nothing whose mode or owner a command could change.
//!
//! Where the command is the owner of what it holds, it may give an open file another mode: the log that the caller
//! redirects to, the caller's terminal, or, as root of the machine, its `/dev/null`.

use std::fs::File;
use std::io::{self, IsTerminal, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::{Command, Stdio as Std};
use std::thread::JoinHandle;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags, SeekFrom, fstat, seek};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, OpenTreeFlags, open_tree};
use rustix::process::{Gid, Uid, getpgrp};

use super::mounts::restrict;
use super::spec::Identity;

/// What has to be done when the command has ended.
#[derive(Default)]
pub(super) struct Streams {
    copies: Vec<JoinHandle<io::Result<()>>>,
    input: Option<OwnedFd>,
}

impl Streams {
    /// Gives `command`, which runs as `owner`, the streams of this process.
    pub(super) fn attach(command: &mut Command, owner: &Identity) -> io::Result<Self> {
        let mut streams = Self::default();
        let stdin = io::stdin();
        if stdin.is_terminal() && rustix::termios::tcgetpgrp(&stdin).is_ok_and(|group| group != getpgrp()) {
            // In the background, a job that reads from the terminal is stopped; in a session of its own it is not.
            command.stdin(Std::null());
        } else {
            match Input::of(stdin.as_fd())? {
                Input::AsItIs => {}
                Input::Unchangeable(input) => {
                    command.stdin(input.try_clone()?);
                    streams.input = Some(input);
                }
                Input::Copied => drop(command.stdin(fed(stdin.as_fd(), owner)?)),
            }
        }
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let (out, errors) = (copied(stdout.as_fd()), copied(stderr.as_fd()));
        // One pipe for both keeps their order.
        let same = out.is_some() && out == errors;
        if out.is_some() {
            let pipe = streams.copy(stdout.as_fd(), owner)?;
            if same {
                command.stderr(pipe.try_clone()?);
            }
            command.stdout(pipe);
        }
        if errors.is_some() && !same {
            command.stderr(streams.copy(stderr.as_fd(), owner)?);
        }
        Ok(streams)
    }

    /// A pipe that is copied to `to`.
    fn copy(&mut self, to: BorrowedFd<'_>, owner: &Identity) -> io::Result<PipeWriter> {
        let (mut reader, writer) = io::pipe()?;
        // Who opens `/dev/stdout` has to be its owner. One that is not mapped cannot.
        let _ = rustix::fs::fchown(&writer, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)));
        let mut to = File::from(to.try_clone_to_owned()?);
        // Of a full disk the command learns only by its pipe, which breaks when it writes on: what it wrote before is
        // lost, and alloy has to say so. Of a reader that is gone nobody wants to hear.
        let copy = move || match io::copy(&mut reader, &mut to) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
            _ => Ok(()),
        };
        self.copies.push(std::thread::Builder::new().name("output".into()).spawn(copy)?);
        Ok(writer)
    }

    /// Waits until everything is written. Whoever reads from the same input goes on where the command has left off.
    pub(super) fn finish(self) -> io::Result<()> {
        let mut written = Ok(());
        for copy in self.copies {
            let copied = copy.join().unwrap_or_else(|_| Err(io::Error::other("the thread that copies has failed")));
            written = written.and(copied);
        }
        let read = self.input.and_then(|input| seek(&input, SeekFrom::Current(0)).ok());
        let _ = read.map(|read| seek(io::stdin(), SeekFrom::Start(read)));
        written
    }
}

/// How a command gets alloy's input.
enum Input {
    /// A pipe, a socket, or a file that has no name any more.
    AsItIs,
    /// A file that nothing can be done to.
    Unchangeable(OwnedFd),
    /// What comes from a terminal or another device: whoever holds one may change its settings, or write to it.
    Copied,
}

impl Input {
    fn of(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let Some((kind, _)) = kind(fd) else { return Ok(Self::AsItIs) };
        match kind {
            FileType::Fifo | FileType::Socket => Ok(Self::AsItIs),
            FileType::RegularFile => Ok(unchangeable(fd).map_or(Self::AsItIs, Self::Unchangeable)),
            FileType::CharacterDevice | FileType::BlockDevice => Ok(Self::Copied),
            _ => Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "standard input is a directory, by which a command could reach all files of this machine: give it a file \
                 or a pipe (`< /dev/null`)",
            )),
        }
    }
}

/// A pipe that holds what comes from `from`, until the command has closed it.
fn fed(from: BorrowedFd<'_>, owner: &Identity) -> io::Result<PipeReader> {
    let (reader, mut writer) = io::pipe()?;
    // Who opens `/dev/stdin` has to be its owner. One that is not mapped cannot.
    let _ = rustix::fs::fchown(&reader, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)));
    let mut from = File::from(from.try_clone_to_owned()?);
    let feed = move || {
        let mut piece = vec![0; 64 << 10];
        loop {
            // Nothing is taken from the terminal that nobody waits for.
            let mut ready = [PollFd::new(&writer, PollFlags::empty()), PollFd::new(&from, PollFlags::IN)];
            match poll(&mut ready, None) {
                Err(Errno::INTR) => continue,
                Ok(_) if ready[0].revents().is_empty() => {}
                _ => return,
            }
            match from.read(&mut piece) {
                Ok(length) if length > 0 && writer.write_all(&piece[..length]).is_ok() => {}
                _ => return,
            }
        }
    };
    std::thread::Builder::new().name("input".into()).spawn(feed)?;
    Ok(reader)
}

fn kind(fd: BorrowedFd<'_>) -> Option<(FileType, (u64, u64))> {
    let found = fstat(fd).ok()?;
    Some((FileType::from_raw_mode(found.st_mode), (found.st_dev, found.st_ino)))
}

/// What tells one output from another, for those that a command does not get itself.
fn copied(fd: BorrowedFd<'_>) -> Option<(u64, u64)> {
    kind(fd).filter(|(kind, _)| !matches!(kind, FileType::Fifo | FileType::Socket)).map(|(_, which)| which)
}

/// The same file once more, by a mount of its own that is read-only. `None` where there is no need, or no name.
fn unchangeable(fd: BorrowedFd<'_>) -> Option<OwnedFd> {
    let (_, which) = kind(fd).filter(|(kind, _)| !matches!(kind, FileType::Fifo | FileType::Socket))?;
    let name = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
    let mount = read_only(&name)?;
    if kind(mount.as_fd())?.1 != which {
        return None;
    }
    let place = format!("/proc/self/fd/{}", mount.as_raw_fd());
    let opened = rustix::fs::open(place, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let _ = seek(fd, SeekFrom::Current(0)).map(|at| seek(&opened, SeekFrom::Start(at)));
    Some(opened)
}

/// A mount of a file or directory alone that nothing can be changed through, and that appears nowhere.
pub(super) fn read_only(path: &Path) -> Option<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mount = open_tree(CWD, path, flags).ok()?;
    restrict(&mount, MountAttrFlags::MOUNT_ATTR_RDONLY).ok()?;
    let read_only = rustix::fs::fstatvfs(&mount).ok()?.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY);
    read_only.then_some(mount)
}
