//! Following links in a root in which others are at work.
//!
//! On a live host the path of a task may lead through directories of an ordinary user, who may put a link there at any
//! time. Root would follow it, and change what it leads to. So a link that somebody other than root owns leads only to
//! what is that user's own, as the kernel has it for `/tmp` (proc(5), `protected_symlinks`). So does a link of root's
//! that stands in a directory of somebody else, who may have put it there under that name. Links that an archive has
//! brought are root's, or whose the task says: they lead no further than where the archive was unpacked.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{DIRECTORY, Directory, Metadata, Root, RootError, by_descriptor};
use crate::beneath::openat2;

/// How many links one path may lead through, as many as the kernel follows (path_resolution(7)).
pub(super) const MOST_LINKS: u32 = 40;

/// What is still to be done on the way.
enum Next {
    Up,
    Name(OsString),
    /// A link has led here that these decide about.
    Vouch(Deciders),
}

/// Who may have made a link what it is: whoever owns it, and whoever may give its name to another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deciders {
    owner: u32,
    directory: u32,
    /// Others may put what they like into its directory.
    anybody: bool,
}

impl Deciders {
    /// Of the link `link` in `directory`.
    pub(super) fn of(link: &Metadata, directory: &Metadata) -> Self {
        // In a sticky directory nobody else's files can be renamed.
        let anybody = directory.mode & 0o002 != 0 && directory.mode & 0o1000 == 0;
        Self { owner: link.uid, directory: directory.uid, anybody }
    }

    /// An error unless what the link led to, which `found` owns, is for them to decide about.
    pub(super) fn vouch(self, found: u32) -> io::Result<()> {
        if self.anybody {
            let message = "a link on the way is in a directory that everybody may write to, so anybody may have put it \
                           there. Write the path that is meant, or take the right to write away from others";
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
        }
        [self.owner, self.directory].into_iter().try_for_each(|one| vouched(one, found))
    }
}

/// What is said of a link that leads to what its author may not decide about.
fn refused(link_owner: u32, found: u32) -> io::Error {
    io::Error::new(
        io::ErrorKind::PermissionDenied,
        format!(
            "a link on the way belongs to user {link_owner}, or is in a directory of theirs, but leads to what belongs \
             to user {found}: root follows links of others only to what is their own. Write the path that is meant, or \
             delete the link"
        ),
    )
}

/// Is an error unless what a link of `link_owner` led to, which `found` owns, is that user's own.
fn vouched(link_owner: u32, found: u32) -> io::Result<()> {
    if link_owner == 0 || link_owner == found { Ok(()) } else { Err(refused(link_owner, found)) }
}

impl Root {
    /// True for a root in which others may be at work.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// An error if the way to `path` leads in a shared root through what somebody made in a directory that everybody may
    /// write to, and who is neither root nor `owner`: whatever is put there is theirs to exchange.
    pub fn check_way(&self, path: &Path, owner: Option<u32>) -> Result<(), RootError> {
        if !self.shared {
            return Ok(());
        }
        self.check_made(path)?;
        let mut way: Vec<&Path> = path.ancestors().filter(|up| up.file_name().is_some()).collect();
        way.reverse();
        for up in way {
            let (parent, name) = match self.parent_to_read(up) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                other => other?,
            };
            match parent.metadata(name) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                found => self.check_guessed(&parent, &found?, up, owner)?,
            }
        }
        Ok(())
    }

    /// The same of `found` in `parent`.
    pub(crate) fn check_guessed(
        &self,
        parent: &Directory,
        found: &Metadata,
        path: &Path,
        owner: Option<u32>,
    ) -> Result<(), RootError> {
        if !self.shared || found.uid == 0 || Some(found.uid) == owner {
            return Ok(());
        }
        if parent.metadata(OsStr::new("."))?.mode & 0o002 == 0 {
            return Ok(());
        }
        let message = format!(
            "it belongs to user {}, who made it in a directory that everybody may write to, and could exchange what root \
             puts there. Use a place of root's own, or delete it first",
            found.uid
        );
        Err(RootError::new("use", path, io::Error::new(io::ErrorKind::PermissionDenied, message)))
    }

    /// The directory that `path`, relative to `top`, leads to, links followed as long as they stay beneath `top`, and
    /// in a shared root only as far as their owners may decide. With `rooted`, `top` is the root.
    pub(crate) fn directory_beneath(&self, top: &Directory, path: &Path, rooted: bool) -> Result<Directory, RootError> {
        if !self.shared {
            return top.beneath(path, rooted);
        }
        let found = self.directory(&top.path().join(path))?;
        if found.real_path()?.starts_with(top.real_path()?) {
            return Ok(found);
        }
        Err(RootError::new("open", path, Errno::XDEV))
    }

    /// Opens the directory `path`, to change what is in it: links are followed inside the root, and in a shared root
    /// only as far as their owners may decide.
    pub(super) fn open_to_change(&self, path: &Path) -> io::Result<OwnedFd> {
        if !self.shared {
            return Ok(self.openat(path, DIRECTORY)?);
        }
        self.check_made(path).map_err(RootError::into_source)?;
        let opened = self.open_vouched(path)?;
        self.within(path, &opened)?;
        Ok(opened)
    }

    /// An error if `path` begins with a directory that archives were unpacked into, and `found` is outside of that.
    pub(super) fn within(&self, path: &Path, found: &OwnedFd) -> io::Result<()> {
        let path = Path::new("/").join(path);
        let bounds = self.bounds.iter().filter(|bound| path.starts_with(bound) && path != **bound);
        // The outermost: an archive may well bring a link to where the next one goes.
        let Some(bound) = bounds.min_by_key(|bound| bound.as_os_str().len()) else { return Ok(()) };
        let real = |fd: &OwnedFd| std::fs::read_link(by_descriptor(fd.as_fd()));
        if real(found)?.starts_with(real(&self.open_vouched(bound)?)?) {
            return Ok(());
        }
        Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!(
                "a link on the way leads out of {}, which an archive is unpacked into: no link of an archive is \
                 followed so far. Write the path that is meant",
                bound.display()
            ),
        ))
    }

    fn open_vouched(&self, path: &Path) -> io::Result<OwnedFd> {
        let plain = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_SYMLINKS;
        match openat2(&self.fd, plain, DIRECTORY, Mode::empty(), resolve) {
            Err(Errno::LOOP) => self.walk(path),
            opened => Ok(opened?),
        }
    }

    /// Name by name: every link is held before it is looked at, so that nobody can exchange it in between.
    fn walk(&self, path: &Path) -> io::Result<OwnedFd> {
        const HELD: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
        let mut next = VecDeque::new();
        prepend(&mut next, path);
        // The directories passed; the last entry is where the walk is.
        let mut passed = vec![rustix::fs::openat(&self.fd, ".", HELD, Mode::empty())?];
        let mut links = 0;
        while let Some(step) = next.pop_front() {
            let here = passed.last().ok_or(Errno::NOENT)?;
            let name = match step {
                Next::Up => {
                    // `..` of the root is the root.
                    passed.truncate((passed.len() - 1).max(1));
                    continue;
                }
                Next::Vouch(deciders) => {
                    deciders.vouch(rustix::fs::fstat(here)?.st_uid)?;
                    continue;
                }
                Next::Name(name) => name,
            };
            let found = rustix::fs::openat(here, &name, HELD, Mode::empty())?;
            let stat = rustix::fs::fstat(&found)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
                passed.push(found);
                continue;
            }
            links += 1;
            if links > MOST_LINKS {
                return Err(Errno::LOOP.into());
            }
            let target = rustix::fs::readlinkat(&found, "", Vec::new())?;
            let target: &OsStr = std::os::unix::ffi::OsStrExt::from_bytes(target.as_bytes());
            let here = Metadata::from(rustix::fs::fstat(here)?);
            next.push_front(Next::Vouch(Deciders::of(&Metadata::from(stat), &here)));
            prepend(&mut next, Path::new(target));
            if Path::new(target).is_absolute() {
                passed.truncate(1);
            }
        }
        let end = passed.pop().ok_or(Errno::NOENT)?;
        // An error for what is no directory.
        Ok(rustix::fs::openat(&end, ".", DIRECTORY, Mode::empty())?)
    }
}

/// Puts the elements of `path` before what is to come.
fn prepend(next: &mut VecDeque<Next>, path: &Path) {
    for element in path.components().rev() {
        match element {
            Component::Normal(name) => next.push_front(Next::Name(name.to_owned())),
            Component::ParentDir => next.push_front(Next::Up),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{lchown, symlink};

    use super::*;

    /// A root with a user's directory that has links of that user: to the system's files, and to the user's own.
    fn system() -> (tempfile::TempDir, bool) {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for path in ["etc", "home/dev/own", "usr/lib"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        std::fs::write(at("etc/passwd"), "root").unwrap();
        let links = [
            ("home/dev/system", "/etc"),
            ("home/dev/up", "../../etc"),
            ("home/dev/mine", "own"),
            ("home/dev/file", "/etc/passwd"),
            ("home/dev/new", "/etc/new"),
            ("home/dev/chain", "/lib"),
        ];
        links.iter().for_each(|(link, target)| symlink(target, at(link)).unwrap());
        symlink("usr/lib", at("lib")).unwrap();
        symlink("home/dev", at("dev")).unwrap();
        // Without root all of it is one user's own.
        let root = rustix::process::geteuid().is_root();
        let users = links.iter().map(|(link, _)| *link).chain(["home/dev", "home/dev/own"]);
        users.filter(|_| root).for_each(|path| lchown(at(path), Some(3211), Some(3211)).unwrap());
        (place, root)
    }

    #[test]
    fn links_of_others_lead_only_to_their_own() {
        let (place, refused) = system();
        let root = Root::shared(place.path()).unwrap();
        let alone = Root::open(place.path()).unwrap();
        for path in ["home/dev/system", "/home/dev/up", "dev/system", "home/dev/chain", "home/dev/mine/../system"] {
            alone.directory(Path::new(path)).unwrap();
            let opened = root.directory(Path::new(path));
            assert_eq!(opened.is_err(), refused, "{path}");
            if let Err(error) = opened {
                let error = error.to_string();
                assert!(
                    error.contains("or is in a directory of theirs, but leads to what belongs to user 0"),
                    "{path}: {error}"
                );
                let below = Path::new(path).join("passwd");
                assert!(root.create_dir_all(&below, 0o755).is_err(), "{path}");
                assert!(root.resolve(&below).is_err(), "{path}");
                assert!(root.remove_all(&below).is_err(), "{path}");
            }
        }
        for path in ["home/dev/mine", "dev/mine", "dev/own", "lib", "lib/../lib", "", "/"] {
            root.directory(Path::new(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        assert!(root.directory(Path::new("etc/passwd")).is_err() && root.directory(Path::new("dev/file")).is_err());
    }

    #[test]
    fn files_are_written_through_links_of_their_owners() {
        let (place, refused) = system();
        let root = Root::shared(place.path()).unwrap();
        for path in ["home/dev/file", "home/dev/new", "dev/file"] {
            let written = root.write_file(Path::new(path), &mut &b"dev"[..], 0o644);
            assert_eq!(written.is_err(), refused, "{path}");
        }
        assert_eq!(place.path().join("etc/new").exists(), !refused);
        let expected: &[u8] = if refused { b"root" } else { b"dev" };
        assert_eq!(std::fs::read(place.path().join("etc/passwd")).unwrap(), expected);
        root.write_file(Path::new("dev/mine/file"), &mut &b"mine"[..], 0o644).unwrap();
        assert!(place.path().join("home/dev/own/file").metadata().unwrap().is_file());
        // Looking is not changing.
        assert!(root.exists(Path::new("home/dev/file")).unwrap());
        assert!(root.metadata(Path::new("home/dev/system/passwd")).is_ok());
    }

    #[test]
    fn links_of_an_archive_lead_no_further_than_its_destination() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for path in ["etc", "opt/t/real/deep", "data/opt/u"] {
            std::fs::create_dir_all(at(path)).unwrap();
        }
        for (link, target) in [
            ("opt/t/lib", "/etc"),
            ("opt/t/up", "../../etc"),
            ("opt/t/top", "/"),
            ("opt/t/good", "real"),
            ("opt/t/own", "/opt/t/real"),
            ("opt/t/file", "/etc/file"),
            ("opt/u", "/data/opt/u"),
        ] {
            symlink(target, at(link)).unwrap();
        }
        let mut root = Root::shared(place.path()).unwrap();
        root.bound(["/opt/t", "/opt/t/lib", "/opt/u"].map(std::path::PathBuf::from));
        for path in ["opt/t/lib", "/opt/t/lib/x", "opt/t/up", "opt/t/top/etc", "opt/t/good/../lib"] {
            let made = root.create_dir_all(Path::new(path), 0o755).unwrap_err().to_string();
            assert!(made.contains("leads out of /opt/t, which an archive is unpacked into"), "{path}: {made}");
        }
        let written = root.write_file(Path::new("/opt/t/file"), &mut &b"x"[..], 0o644).unwrap_err().to_string();
        assert!(written.contains("leads out of /opt/t"), "{written}");
        assert_eq!(std::fs::read_dir(at("etc")).unwrap().count(), 0);
        for path in ["opt/t", "opt/t/good/deep/x", "opt/t/own/x", "opt/u/x", "etc/x"] {
            root.create_dir_all(Path::new(path), 0o755).unwrap_or_else(|error| panic!("{path}: {error}"));
        }
        assert!(at("opt/t/real/x").exists() && at("data/opt/u/x").exists());
    }

    #[test]
    fn a_users_link_does_not_lead_into_the_system() {
        let place = tempfile::tempdir().unwrap();
        let link = place.path().join("link");
        symlink("/usr", &link).unwrap();
        if rustix::process::geteuid().is_root() {
            lchown(&link, Some(3211), Some(3211)).unwrap();
        }
        let error = Root::shared(Path::new("/")).unwrap().directory(&link).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }
}
