//! `/var/lib/alloy` of a host: its name, by which a state file is told from another host's, and the lock that keeps two
//! installations apart.

use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use layers::root::Root;

use super::InstallError;

const PLACE: &str = "var/lib/alloy";
const HOST: &str = "var/lib/alloy/host";
/// A file of root's own: whoever can open what is locked can hold it for as long as they like.
const LOCK: &str = "lock";
const NAME_LIMIT: u64 = 64;
/// How long a lock may be held by nobody who is there.
const ENDING: Duration = Duration::from_secs(5);

/// A host that this run alone installs to, as long as this value lives.
pub struct Claim {
    /// The host's name.
    pub host: String,
    _lock: File,
}

impl Claim {
    /// Takes the host with this root; one that has no name yet gets one.
    pub fn take(root: &Root) -> Result<Self, InstallError> {
        root.create_dir_all(Path::new(PLACE), 0o755)?;
        let path = root.path().join(PLACE);
        let failed = |source| InstallError::Claim { path: path.clone(), source };
        let lock = root.directory(Path::new(PLACE))?.private_file(OsStr::new(LOCK))?;
        let asked = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => break,
                Err(TryLockError::Error(error)) => return Err(failed(error)),
                Err(TryLockError::WouldBlock) => {}
            }
            let inode = lock.metadata().map_err(failed)?.ino();
            let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
            let pid = holder(&locks, inode).filter(|pid| Path::new("/proc").join(pid.to_string()).exists());
            // Of one that was killed, a process that it was just about to start may hold the lock a moment longer.
            if pid.is_some() || asked.elapsed() > ENDING {
                return Err(InstallError::Busy { pid });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let host = match name(root)? {
            Some(name) => name,
            None => {
                let name = fs::read_to_string("/proc/sys/kernel/random/uuid").map_err(failed)?;
                root.write_file(Path::new(HOST), &mut name.as_bytes(), 0o644)?;
                name.trim().to_owned()
            }
        };
        Ok(Self { host, _lock: lock })
    }
}

/// Deletes what a run that was killed has mounted on in `root`, if no other is at work there, and as far as this user may.
pub fn tidy(root: &Root) {
    let place = root.directory(Path::new(PLACE)).and_then(|place| place.handle(OsStr::new(LOCK)));
    if let Ok(lock) = place.and_then(|lock| lock.open())
        && lock.try_lock().is_ok()
    {
        // What cannot be deleted is told as what it is: a difference, or nothing that anybody installed.
        let _ = crate::target::host::clear(root);
    }
}

/// The name of the host with this root, if anything was ever installed to it.
pub fn name(root: &Root) -> Result<Option<String>, InstallError> {
    if !root.exists(Path::new(HOST))? {
        return Ok(None);
    }
    let bytes = root.read(Path::new(HOST), NAME_LIMIT)?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    if text.is_empty() {
        let source = io::Error::other("it is empty: delete it, and the host gets a new name");
        return Err(InstallError::Claim { path: root.path().join(HOST), source });
    }
    Ok(Some(text))
}

/// The process that holds the lock on a file (proc(5), `/proc/locks`); those of other containers have no number here.
fn holder(locks: &str, inode: u64) -> Option<u32> {
    let ending = format!(":{inode}");
    locks.lines().find_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, "FLOCK", _, "WRITE", pid, file, ..] = words.as_slice() else { return None };
        file.ends_with(&ending).then(|| pid.parse().ok().filter(|pid| *pid > 0))?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_the_other_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        let first = Claim::take(&root).unwrap();
        let Err(InstallError::Busy { pid }) = Claim::take(&root) else { panic!("taken twice") };
        assert_eq!(pid, Some(std::process::id()));
        let host = first.host.clone();
        drop(first);
        assert_eq!(Claim::take(&root).unwrap().host, host);
    }

    #[test]
    fn what_a_killed_one_was_starting_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        drop(Claim::take(&root).unwrap());
        // A child holds the lock of its parent, which is gone.
        let script = "exec 9<> \"$0\"; flock -n 9; (sleep 1; exit) & exit 0";
        let place = directory.path().join(PLACE).join(LOCK);
        let ended = std::process::Command::new("sh").args(["-c", script]).arg(&place).status().unwrap();
        assert!(ended.success());
        let asked = Instant::now();
        Claim::take(&root).unwrap();
        assert!(asked.elapsed() > Duration::from_millis(500), "it was not held at all");
    }

    #[test]
    fn nobody_else_can_hold_it() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::open(directory.path()).unwrap();
        drop(Claim::take(&root).unwrap());
        let place = directory.path().join(PLACE);
        // What everybody may read, everybody may lock.
        let of_a_stranger = File::open(&place).unwrap();
        of_a_stranger.lock().unwrap();
        drop(Claim::take(&root).unwrap());
        let lock = place.join(LOCK);
        assert_eq!(fs::metadata(&lock).unwrap().mode() & 0o777, 0o600);
        // Nor is one used that others could have opened.
        for (name, what) in [("link", "a link"), ("other", "open to others")] {
            fs::remove_file(&lock).unwrap();
            let other = directory.path().join(name);
            fs::write(&other, "").unwrap();
            fs::set_permissions(&other, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
            if name == "link" {
                std::os::unix::fs::symlink(&other, &lock).unwrap();
            } else {
                fs::rename(&other, &lock).unwrap();
            }
            assert!(Claim::take(&root).is_err(), "{what}");
        }
    }

    #[test]
    fn the_holder_is_found_among_all_locks() {
        let locks = "1: POSIX  ADVISORY  WRITE 11 fe:01:42 0 EOF\n2: FLOCK  ADVISORY  WRITE 22 fe:01:142 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 44 fe:01:42 0 EOF\n3: FLOCK  ADVISORY  WRITE 33 fe:01:42 0 EOF\n";
        assert_eq!(holder(locks, 42), Some(33));
        assert_eq!(holder(locks, 7), None);
    }
}
