//! Input and output of a command that has no terminal: pipes and sockets of alloy's caller as they are, and of all else
//! nothing whose mode or owner a command could change, and no device that does what it is told.
//!
//! Where the command is the owner of what it holds, it may give an open file another mode: the log that the caller
//! redirects to, the caller's terminal, or, as root of the machine, its `/dev/null`. A terminal takes orders from whoever
//! can read it, and a directory leads to all that is below it. Whatever a command cannot hold is copied through a pipe.

use std::fs::File;
use std::io::{self, IsTerminal, PipeReader, PipeWriter};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

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
        let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
        let input = kind(stdin.as_fd(), "standard input")?;
        let (out, errors) = (kind(stdout.as_fd(), "standard output")?, kind(stderr.as_fd(), "standard error")?);
        let mut streams = Self::default();
        if in_the_background(stdin.as_fd()) {
            // A job there that reads from the terminal is stopped; in a session of its own it is not.
            command.stdin(nothing()?);
        } else if !input.as_it_is() {
            match unchangeable(stdin.as_fd(), &input) {
                Some(again) => {
                    command.stdin(again.try_clone()?);
                    streams.input = Some(again);
                }
                None => drop(command.stdin(read_for_it(stdin.as_fd(), owner)?)),
            }
        }
        // One pipe for both keeps their order.
        let same = out == errors && is_written(stdout.as_fd()) == is_written(stderr.as_fd());
        if !out.as_it_is() {
            let pipe = streams.copy(stdout.as_fd(), owner)?;
            if same {
                command.stderr(pipe.try_clone()?);
            }
            command.stdout(pipe);
        }
        if !errors.as_it_is() && !same {
            command.stderr(streams.copy(stderr.as_fd(), owner)?);
        }
        Ok(streams)
    }

    /// Gives `command`, which gets a terminal of its own, what this process has for errors, unless that is a terminal.
    pub(super) fn attach_errors(command: &mut Command, owner: &Identity) -> io::Result<Self> {
        let mut streams = Self::default();
        let stderr = io::stderr();
        if !kind(stderr.as_fd(), "standard error")?.as_it_is() && !stderr.is_terminal() {
            command.stderr(streams.copy(stderr.as_fd(), owner)?);
        }
        Ok(streams)
    }

    /// A pipe that is copied to `to`.
    fn copy(&mut self, to: BorrowedFd<'_>, owner: &Identity) -> io::Result<PipeWriter> {
        let (mut reader, writer) = pipe_of(owner)?;
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

/// What ends at once: `/dev/null` itself would be the machine's.
fn nothing() -> io::Result<PipeReader> {
    io::pipe().map(|(reader, _)| reader)
}

fn pipe_of(owner: &Identity) -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    // Who opens `/dev/stdout` has to be its owner. One that is not mapped cannot.
    let _ = rustix::fs::fchown(&writer, Some(Uid::from_raw(owner.uid)), Some(Gid::from_raw(owner.gid)));
    Ok((reader, writer))
}

/// True for a terminal on which it is another job's turn.
fn in_the_background(fd: BorrowedFd<'_>) -> bool {
    rustix::termios::tcgetpgrp(fd).is_ok_and(|group| group != getpgrp())
}

/// How long a job waits in the background before it looks whether it is its turn again.
const TURN: Duration = Duration::from_millis(50);

/// A pipe that `from` is copied to as long as somebody can read it.
fn read_for_it(from: BorrowedFd<'_>, owner: &Identity) -> io::Result<PipeReader> {
    let (reader, writer) = pipe_of(owner)?;
    let from = from.try_clone_to_owned()?;
    let copy = move || {
        let mut buffer = [0; 16 << 10];
        loop {
            // A pipe without a reader is an error that is always told.
            let mut waited = [PollFd::new(&from, PollFlags::IN), PollFd::new(&writer, PollFlags::empty())];
            match poll(&mut waited, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
            let [given, taken] = waited.map(|fd| fd.revents());
            if !taken.is_empty() {
                return;
            }
            if given.is_empty() {
                continue;
            }
            if in_the_background(from.as_fd()) {
                // What is typed there is for others.
                std::thread::sleep(TURN);
                continue;
            }
            let mut rest = match rustix::io::read(&from, &mut buffer) {
                Ok(0) => return,
                Ok(length) => &buffer[..length],
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(_) => return,
            };
            while !rest.is_empty() {
                match rustix::io::write(&writer, rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(Errno::INTR) => {}
                    Err(_) => return,
                }
            }
        }
    };
    // Nobody waits for its end: at a terminal it comes when somebody types.
    std::thread::Builder::new().name("input".into()).spawn(copy)?;
    Ok(reader)
}

/// False for what was opened for reading alone.
fn is_written(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fcntl_getfl(fd).is_ok_and(|flags| flags & OFlags::RWMODE != OFlags::RDONLY)
}

/// What a stream is, and what tells it from another.
#[derive(PartialEq, Eq)]
struct Kind {
    file: FileType,
    /// Of a device: which.
    device: (u32, u32),
    which: (u64, u64),
}

impl Kind {
    /// True for what a command gets itself.
    fn as_it_is(&self) -> bool {
        matches!(self.file, FileType::Fifo | FileType::Socket)
    }

    /// True for what is opened once more: files, and the devices that hold nothing and do nothing.
    fn opens_again(&self) -> bool {
        let (null, zero) = ((1, 3), (1, 5));
        let harmless = [null, zero].contains(&self.device);
        self.file == FileType::RegularFile || (self.file == FileType::CharacterDevice && harmless)
    }
}

/// What the stream `name` is, if a command may have such a thing at all.
fn kind(fd: BorrowedFd<'_>, name: &str) -> io::Result<Kind> {
    let found = fstat(fd)?;
    let file = FileType::from_raw_mode(found.st_mode);
    let what = match file {
        FileType::RegularFile
        | FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice => {
            let device = (rustix::fs::major(found.st_rdev), rustix::fs::minor(found.st_rdev));
            return Ok(Kind { file, device, which: (found.st_dev, found.st_ino) });
        }
        FileType::Directory => "a directory: a command would reach what is below it",
        _ => "neither a file, a pipe, a socket nor a device",
    };
    let message = format!("{name} is {what}; give it a file, a pipe or /dev/null");
    Err(io::Error::new(io::ErrorKind::InvalidInput, message))
}

/// The same file or device once more, by a mount of its own that is read-only. `None` where it cannot be had.
fn unchangeable(fd: BorrowedFd<'_>, as_found: &Kind) -> Option<OwnedFd> {
    if !as_found.opens_again() {
        return None;
    }
    let name = std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).ok()?;
    let mount = read_only(&name)?;
    if kind(mount.as_fd(), "it").ok()? != *as_found {
        return None;
    }
    let place = format!("/proc/self/fd/{}", mount.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::NOCTTY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let opened = rustix::fs::open(place, flags, Mode::empty()).ok()?;
    let status = rustix::fs::fcntl_getfl(fd).ok()?;
    rustix::fs::fcntl_setfl(&opened, status & OFlags::NONBLOCK).ok()?;
    // What cannot be sought in has no place to begin at.
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
