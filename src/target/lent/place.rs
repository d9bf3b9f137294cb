//! The directory that commands see as [`PLACE`]: made by alloy beside all that they can write to, and mounted read-only.
//! Nothing in it can be made, moved or linked by them, so that alloy may name what is in it.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use super::{AUTH_CONF, Lent, PLACE};
use crate::sandbox::Bind;

/// The directory, on this machine.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
}

impl Place {
    /// Makes it as `path`, which must not exist: with the files of `lent`, and with mount points for what is lent in it,
    /// since none can be made later. What is above `path` must be closed to other users: files in it hold passwords.
    pub fn create(path: PathBuf, lent: &Lent) -> io::Result<Self> {
        DirBuilder::new().mode(0o755).create(&path)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        let place = Self { path };
        for (name, content) in &lent.files {
            // Only root runs apt.
            place.write(name, content, if name == AUTH_CONF { 0o600 } else { 0o644 })?;
        }
        for bind in &lent.binds {
            let Ok(rest) = bind.target.strip_prefix(PLACE) else { continue };
            let point = place.path.join(name_of(rest)?);
            if bind.source.is_dir() { fs::create_dir(point)? } else { drop(File::create_new(point)?) }
        }
        Ok(place)
    }

    /// Adds a file.
    pub fn write(&self, name: &str, content: &str, mode: u32) -> io::Result<()> {
        let path = self.path.join(name_of(Path::new(name))?);
        drop(File::create_new(&path)?);
        // Before anything is in it.
        fs::set_permissions(&path, Permissions::from_mode(mode))?;
        fs::write(path, content)
    }

    /// Adds a directory of programs.
    pub fn programs(&self, directory: &str, programs: &[(&str, &str)]) -> io::Result<()> {
        let place = self.path.join(name_of(Path::new(directory))?);
        fs::create_dir(&place)?;
        programs.iter().try_for_each(|(name, script)| {
            let path = place.join(name_of(Path::new(name))?);
            fs::write(&path, script)?;
            fs::set_permissions(&path, Permissions::from_mode(0o755))
        })
    }

    /// Adds a directory with copies of files, each by its name in it.
    pub fn add(&self, directory: &str, files: &[(String, PathBuf)]) -> io::Result<()> {
        let place = self.path.join(name_of(Path::new(directory))?);
        fs::create_dir(&place)?;
        files.iter().try_for_each(|(name, from)| {
            let about = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", from.display()));
            let mut copy = File::create_new(place.join(name_of(Path::new(name))?))?;
            io::copy(&mut File::open(from).map_err(about)?, &mut copy).map(drop)
        })
    }

    /// Adds a directory with these files, and an empty one to mount a socket on, each by its name in it. Where this fails,
    /// nothing is left.
    pub fn add_loan(&self, directory: &str, files: &[(&str, String)], socket: &str) -> io::Result<()> {
        let place = self.path.join(name_of(Path::new(directory))?);
        fs::create_dir(&place)?;
        let added = || {
            files.iter().try_for_each(|(name, text)| fs::write(place.join(name_of(Path::new(name))?), text))?;
            File::create_new(place.join(name_of(Path::new(socket))?)).map(drop)
        };
        added().inspect_err(|_| drop(fs::remove_dir_all(&place)))
    }

    /// Deletes such a directory.
    pub fn remove(&self, directory: &str) -> io::Result<()> {
        fs::remove_dir_all(self.path.join(name_of(Path::new(directory))?))
    }

    /// How commands are lent it.
    pub fn bind(&self) -> Bind {
        Bind::lent(&self.path, PLACE)
    }
}

/// A name that leads nowhere else: those of packages come from a lockfile.
fn name_of(name: &Path) -> io::Result<&Path> {
    match name.components().collect::<Vec<_>>().as_slice() {
        [Component::Normal(only)] if *only == name.as_os_str() => Ok(name),
        _ => Err(io::Error::other(format!("`{}` is not the name of a file", name.display()))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_is_lent_has_its_place_and_its_mode() {
        let above = tempfile::tempdir().unwrap();
        let wheels = above.path().join("wheels");
        fs::create_dir(&wheels).unwrap();
        fs::write(above.path().join("bundle"), "ca").unwrap();
        let mut lent = Lent { files: BTreeMap::from([(AUTH_CONF.into(), "a".into())]), ..Lent::default() };
        lent.files.insert("pip.conf".into(), "p".into());
        lent.lend(wheels, format!("{PLACE}/wheels-0"));
        lent.lend(above.path().join("bundle"), format!("{PLACE}/ca.crt"));
        lent.lend("/etc/hosts", "/etc/hosts");
        let path = above.path().join("place");
        let place = Place::create(path.clone(), &lent).unwrap();
        let mode = |name: &str| path.join(name).metadata().unwrap().mode() & 0o7777;
        assert_eq!([mode(AUTH_CONF), mode("pip.conf"), mode("")], [0o600, 0o644, 0o755]);
        assert!(path.join("wheels-0").is_dir() && path.join("ca.crt").is_file());
        let bind = place.bind();
        assert!(bind.read_only && bind.no_set_id && bind.target == Path::new(PLACE));
        assert!(Place::create(path, &lent).is_err(), "what is there already may be anybody's");
    }

    #[test]
    fn no_name_leads_out() {
        let above = tempfile::tempdir().unwrap();
        let (path, outside) = (above.path().join("place"), above.path().join("outside"));
        fs::write(&outside, "mine").unwrap();
        let place = Place::create(path.clone(), &Lent::default()).unwrap();
        place.add("debs", &[("x_1_all.deb".into(), outside.clone())]).unwrap();
        assert_eq!(fs::read(path.join("debs/x_1_all.deb")).unwrap(), b"mine");
        place.remove("debs").unwrap();
        for name in ["../../outside", "..", ".", "", "/etc/passwd", "a/b", "a/"] {
            let files = [(name.to_owned(), outside.clone())];
            assert!(place.add("debs", &files).is_err(), "{name}");
            place.remove("debs").unwrap();
            assert!(place.write(name, "", 0o644).is_err() && place.remove(name).is_err(), "{name}");
        }
        // Nor is a link followed, should one be there.
        std::os::unix::fs::symlink(&outside, path.join("link")).unwrap();
        assert!(place.write("link", "theirs", 0o644).is_err());
        assert_eq!(fs::read(outside).unwrap(), b"mine");
    }
}
