//! apt's lists, believed only as far as signed releases vouch for them.
//!
//! apt checks the signature of an `InRelease` again when a server says that it has not changed, but not the indexes
//! that lie beside it. So lists that somebody else may have written are looked at here first.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use layers::compress::decoder;
use layers::digest::Digest;
use layers::verified::HashingReader;

use super::keys::Trust;
use super::release::{self, Release};

/// What names of signed releases end with.
pub const SIGNED: &str = "InRelease";
/// Endings of indexes that apt has compressed itself; releases vouch for what is in them.
const COMPRESSED: [&str; 5] = [".lz4", ".gz", ".xz", ".zst", ".bz2"];
/// Of a release, in bytes; they are small.
pub const RELEASE_LIMIT: u64 = 16 << 20;

/// An archive whose lists may stay.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Where it is: a URI, and a suite.
    pub uri: String,
    /// The suite, which the release has to be of.
    pub suite: String,
    /// Who signs it.
    pub trust: Trust,
}

impl Archive {
    /// What apt has names of its lists begin with (apt, `URItoFileName`).
    fn prefix(&self) -> String {
        let place = self.uri.split_once("://").map_or(self.uri.as_str(), |(_, place)| place);
        let mut name = String::new();
        for byte in format!("{}/dists/{}/", place.trim_end_matches('/'), self.suite).bytes() {
            match byte {
                b'/' => name.push('_'),
                b'!'..=b'~' if !b"\\|{}[]<>\"^~_=!@#$%^&*".contains(&byte) => name.push(byte.into()),
                _ => name += &format!("%{byte:02x}"),
            }
        }
        name
    }
}

/// Deletes everything in `lists`, a directory that nobody else writes to, for which no release of one of `archives`
/// with a good signature vouches. A release counts only under the name of its own archive: one that was signed for
/// another suite is no less genuine, and would bring that suite's packages. Gives the releases that stay, and when they
/// were made, in seconds since 1970; what stays is as old as its release, or newer by as much as an archive takes to
/// publish it.
pub fn vouch(lists: &Path, archives: &[Archive], now: i64) -> io::Result<BTreeMap<String, i64>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(lists)? {
        let entry = entry?;
        match entry.file_name().into_string() {
            Ok(name) if entry.file_type()?.is_file() => names.push(name),
            _ if entry.file_type()?.is_dir() => fs::remove_dir_all(entry.path())?,
            _ => fs::remove_file(entry.path())?,
        }
    }
    let signed = |archive: &Archive| {
        let prefix = archive.prefix();
        let name = format!("{prefix}{SIGNED}");
        let mut text = String::new();
        File::open(lists.join(&name)).ok()?.take(RELEASE_LIMIT).read_to_string(&mut text).ok()?;
        let release = release::verify(&text, &name, &archive.suite, &archive.trust.readable_keys(), now).ok()?;
        Some((prefix, (release.made, Listed::of(&release))))
    };
    let releases: BTreeMap<String, (i64, Listed)> = archives.iter().filter_map(signed).collect();
    let of = |name: &str| {
        let all = releases.iter().filter(|(prefix, _)| name.starts_with(*prefix));
        all.max_by_key(|(prefix, _)| prefix.len())
    };
    // All indexes of a release, or nothing of it: apt takes what it finds for complete.
    let (mut whole, mut broken) = (BTreeMap::<&str, Vec<&str>>::new(), BTreeSet::new());
    for (name, (prefix, (_, listed))) in names.iter().filter_map(|name| Some((name.as_str(), of(name)?))) {
        match &name[prefix.len()..] {
            SIGNED => {}
            rest => match listed.vouches(&lists.join(name), rest) {
                Some(true) => whole.entry(prefix).or_default().push(name),
                Some(false) => drop(broken.insert(prefix.as_str())),
                None => {}
            },
        }
    }
    whole.retain(|prefix, _| !broken.contains(prefix));
    for name in &names {
        let kept = of(name).and_then(|(prefix, (date, _))| Some((prefix, *date, whole.get(prefix.as_str())?)));
        let stays =
            |prefix: &str, indexes: &Vec<&str>| &name[prefix.len()..] == SIGNED || indexes.contains(&name.as_str());
        match kept {
            Some((prefix, date, indexes)) if stays(prefix, indexes) => dated(&lists.join(name), date)?,
            _ => fs::remove_file(lists.join(name))?,
        }
    }
    let dates = releases.iter().filter(|(prefix, _)| whole.contains_key(prefix.as_str()));
    Ok(dates.map(|(prefix, (date, _))| (prefix.clone(), *date)).collect())
}

/// Sets the time of a file to `date`, unless it is at most a day newer. apt asks servers for what is newer than that
/// time: of a list that claims to be from tomorrow, the true one would never be fetched.
fn dated(path: &Path, date: i64) -> io::Result<()> {
    const PUBLISHING: u64 = 86_400;
    let date = UNIX_EPOCH + Duration::from_secs(u64::try_from(date).unwrap_or_default());
    let file = File::options().write(true).open(path)?;
    let modified = file.metadata()?.modified()?;
    if modified < date || modified > date + Duration::from_secs(PUBLISHING) {
        file.set_modified(date)?;
    }
    Ok(())
}

/// What a release lists, by the names that apt has for it.
struct Listed(HashMap<String, (Digest, u64)>);

impl Listed {
    fn of(release: &Release) -> Self {
        // As apt makes file names of paths.
        let name = |path: &String| path.replace('_', "%5f").replace('/', "_");
        Self(release.files.iter().map(|(path, what)| (name(path), *what)).collect())
    }

    /// Whether the release vouches for the file, as it is or for what it holds; `None` for one that it does not list.
    fn vouches(&self, path: &Path, name: &str) -> Option<bool> {
        let file = File::open(path);
        if let Some(what) = self.0.get(name) {
            return Some(file.is_ok_and(|file| is(file, *what)));
        }
        let what = COMPRESSED.iter().find_map(|ending| name.strip_suffix(ending)).and_then(|name| self.0.get(name))?;
        Some(file.and_then(decoder).is_ok_and(|(_, reader)| is(reader, *what)))
    }
}

/// True if `reader` gives that many bytes with that digest. Of more no more is read: a few bytes may unpack to any number.
fn is(reader: impl Read, (digest, size): (Digest, u64)) -> bool {
    let mut reader = HashingReader::new(reader.take(size.saturating_add(1)));
    io::copy(&mut reader, &mut io::sink()).is_ok_and(|length| length == size)
        && reader.finish().is_ok_and(|found| found == digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_are_known_by_their_hash_alone() {
        let place = tempfile::tempdir().unwrap();
        let (path, content) = (place.path().join("x"), b"Package: hello\n");
        let release = Release {
            files: [("main/binary_x/Packages".to_owned(), (Digest::of(content), 15))].into(),
            ..Release::default()
        };
        let listed = Listed::of(&release);
        fs::write(&path, content).unwrap();
        assert_eq!(listed.vouches(&path, "main_binary%5fx_Packages"), Some(true));
        assert_eq!(listed.vouches(&path, "main_binary_x_Packages"), None);
        fs::write(&path, zstd(content)).unwrap();
        assert_eq!(listed.vouches(&path, "main_binary%5fx_Packages.zst"), Some(true));
        fs::write(&path, b"Package: hellO\n").unwrap();
        for name in ["main_binary%5fx_Packages", "main_binary%5fx_Packages.zst"] {
            assert_eq!(listed.vouches(&path, name), Some(false));
        }
    }

    #[test]
    fn of_a_list_that_is_too_long_no_more_is_read() {
        struct Counted(u64);
        impl Read for Counted {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                self.0 += buffer.len() as u64;
                assert!(self.0 < 1 << 20, "what has no end is read without one");
                buffer.fill(0);
                Ok(buffer.len())
            }
        }
        assert!(!is(Counted(0), (Digest::of([0; 15]), 15)));
        assert!(is([0; 15].as_slice(), (Digest::of([0; 15]), 15)));
        assert!(!is([0; 14].as_slice(), (Digest::of([0; 14]), 15)));
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        let mut encoder = layers::compress::Encoder::new(Vec::new(), "zstd".parse().unwrap()).unwrap();
        io::Write::write_all(&mut encoder, content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn lists_are_called_as_apt_calls_them() {
        let prefix =
            |uri: &str, suite: &str| Archive { uri: uri.into(), suite: suite.into(), trust: Trust::default() }.prefix();
        assert_eq!(prefix("http://m.example/debian", "bookworm"), "m.example_debian_dists_bookworm_");
        assert_eq!(prefix("http://m:8080/a_b/~c/", "x/updates"), "m:8080_a%5fb_%7ec_dists_x_updates_");
    }

    #[test]
    fn no_list_is_from_the_future() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("list");
        let at = |seconds: u64| UNIX_EPOCH + Duration::from_secs(seconds);
        for (modified, expected) in [(999, 1000), (1000, 1000), (80_000, 80_000), (90_000, 1000), (4_102_444_800, 1000)]
        {
            File::create(&path).unwrap().set_modified(at(modified)).unwrap();
            dated(&path, 1000).unwrap();
            assert_eq!(path.metadata().unwrap().modified().unwrap(), at(expected), "{modified}");
        }
    }

    #[test]
    fn what_nobody_signed_is_deleted() {
        let place = tempfile::tempdir().unwrap();
        for name in ["a_dists_x_InRelease", "a_dists_x_main_Packages", "lock"] {
            fs::write(place.path().join(name), "Origin: x\nSuite: x\n").unwrap();
        }
        fs::create_dir(place.path().join("partial")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", place.path().join("b_InRelease")).unwrap();
        assert!(vouch(place.path(), &[], 0).unwrap().is_empty());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0);
    }
}
