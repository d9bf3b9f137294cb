//! `openat2(2)`, whatever others rename meanwhile.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};
use rustix::path::Arg;

/// A way with `..` in it fails if anybody on the machine renames or mounts something at that moment (`EAGAIN`), since
/// the kernel cannot tell then that it stays beneath. So often it is gone anew: whoever renames without end wins some
/// of the tries, and not all of them.
const TRIES: usize = 10_000;

/// Opens `path` from `directory`, resolved as `resolve` says.
pub fn openat2(
    directory: impl AsFd,
    path: impl Arg,
    flags: OFlags,
    mode: Mode,
    resolve: ResolveFlags,
) -> Result<OwnedFd> {
    let path = path.into_c_str()?;
    let mut tries = 1;
    loop {
        match rustix::fs::openat2(&directory, &*path, flags, mode, resolve) {
            Err(Errno::AGAIN) if tries < TRIES => tries += 1,
            done => return done,
        }
        if tries % 100 == 0 {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn nobody_who_renames_keeps_a_way_from_being_found() {
        let place = tempfile::tempdir().unwrap();
        for directory in ["elsewhere", "root/a/b", "root/c"] {
            fs::create_dir_all(place.path().join(directory)).unwrap();
        }
        let way = format!("{}c", "a/b/../../".repeat(100));
        let root = fs::File::open(place.path().join("root")).unwrap();
        let ended = AtomicBool::new(false);
        let (one, other) = (place.path().join("elsewhere"), place.path().join("other"));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    fs::rename(&one, &other).unwrap();
                    fs::rename(&other, &one).unwrap();
                }
            });
            let open = || openat2(&root, way.as_str(), OFlags::PATH, Mode::empty(), ResolveFlags::IN_ROOT).map(drop);
            let failed = (0..2000).filter_map(|_| open().err()).next();
            ended.store(true, Ordering::Relaxed);
            assert_eq!(failed, None);
        });
    }
}
