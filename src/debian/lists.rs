//! apt's lists, believed only as far as signed releases vouch for them.
//!
//! apt checks the signature of an `InRelease` again when a server says that it has not changed, but not the indexes
//! that lie beside it. So lists that somebody else may have written are looked at here first.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use layers::compress::decoder;
use layers::digest::{Digest, Hasher};

use super::release::{self, Release};

const SIGNED: &str = "InRelease";
/// Endings of indexes that apt has compressed itself; releases vouch for what is in them.
const COMPRESSED: [&str; 5] = [".lz4", ".gz", ".xz", ".zst", ".bz2"];
/// Releases are small.
const RELEASE_LIMIT: u64 = 16 << 20;

/// Deletes everything in `lists`, a directory that nobody else writes to, for which no release with a good signature
/// by one of `keyrings` vouches. Gives the releases that stay, and when they were made, in seconds since 1970.
pub fn vouch(lists: &Path, keyrings: &[PathBuf], now: i64) -> io::Result<BTreeMap<String, i64>> {
    let keys: Vec<_> = keyrings.iter().filter_map(|path| release::keys(std::slice::from_ref(path)).ok()).collect();
    let keys = keys.concat();
    let mut names = Vec::new();
    for entry in fs::read_dir(lists)? {
        let entry = entry?;
        match entry.file_name().into_string() {
            Ok(name) if entry.file_type()?.is_file() => names.push(name),
            _ if entry.file_type()?.is_dir() => fs::remove_dir_all(entry.path())?,
            _ => fs::remove_file(entry.path())?,
        }
    }
    let signed = |name: &String| {
        let prefix = name.strip_suffix(SIGNED)?;
        let mut text = String::new();
        File::open(lists.join(name)).ok()?.take(RELEASE_LIMIT).read_to_string(&mut text).ok()?;
        // Whose release it is, apt knows by the file's name, and says when it is of another suite.
        let field = |field: &str| text.lines().find_map(|line| line.strip_prefix(field)).map(str::trim);
        let suite = field("Suite:").or_else(|| field("Codename:"))?.to_owned();
        let release = release::verify(&text, name, &suite, &keys, keyrings, now).ok()?;
        Some((prefix.to_owned(), (date(&release.date)?, release)))
    };
    let releases: BTreeMap<String, (i64, Release)> = names.iter().filter_map(signed).collect();
    let of = |name: &str| {
        let all = releases.iter().filter(|(prefix, _)| name.starts_with(*prefix));
        all.max_by_key(|(prefix, _)| prefix.len())
    };
    // All indexes of a release, or nothing of it: apt takes what it finds for complete.
    let (mut whole, mut broken) = (BTreeMap::<&str, Vec<&str>>::new(), BTreeSet::new());
    for (name, (prefix, (_, release))) in names.iter().filter_map(|name| Some((name.as_str(), of(name)?))) {
        match &name[prefix.len()..] {
            SIGNED => {}
            rest => match vouched(&lists.join(name), rest, release) {
                Some(true) => whole.entry(prefix).or_default().push(name),
                Some(false) => drop(broken.insert(prefix.as_str())),
                None => {}
            },
        }
    }
    whole.retain(|prefix, _| !broken.contains(prefix));
    for name in &names {
        let kept = of(name).and_then(|(prefix, _)| Some((prefix, whole.get(prefix.as_str())?)));
        if !kept.is_some_and(|(prefix, indexes)| &name[prefix.len()..] == SIGNED || indexes.contains(&name.as_str())) {
            fs::remove_file(lists.join(name))?;
        }
    }
    let dates = releases.iter().filter(|(prefix, _)| whole.contains_key(prefix.as_str()));
    Ok(dates.map(|(prefix, (date, _))| (prefix.clone(), *date)).collect())
}

/// Whether `release` vouches for the file, as it is or for what it holds; `None` for one that it does not list.
fn vouched(path: &Path, name: &str, release: &Release) -> Option<bool> {
    let listed = |name: &str| {
        // As apt makes file names of paths.
        let of = |path: &String| path.replace('_', "%5f").replace('/', "_") == name;
        release.files.iter().find(|(path, _)| of(path)).map(|(_, (digest, _))| *digest)
    };
    let file = File::open(path);
    if let Some(digest) = listed(name) {
        return Some(file.and_then(hash).is_ok_and(|found| found == digest));
    }
    let digest = COMPRESSED.iter().find_map(|ending| name.strip_suffix(ending)).and_then(listed)?;
    let inner = file.and_then(decoder).and_then(|(_, reader)| hash(reader));
    Some(inner.is_ok_and(|found| found == digest))
}

fn hash(mut reader: impl Read) -> io::Result<Digest> {
    let mut hasher = Hasher::new();
    let mut piece = vec![0; 256 << 10];
    loop {
        match reader.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            length => hasher.update(&piece[..length]),
        }
    }
}

/// Seconds since 1970 of a date as releases write it (RFC 5322, with `UTC`).
fn date(text: &str) -> Option<i64> {
    let text = text.trim().replace("UTC", "+0000");
    jiff::fmt::rfc2822::parse(&text).ok().map(|zoned| zoned.timestamp().as_second())
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
        fs::write(&path, content).unwrap();
        assert_eq!(vouched(&path, "main_binary%5fx_Packages", &release), Some(true));
        assert_eq!(vouched(&path, "main_binary_x_Packages", &release), None);
        fs::write(&path, zstd(content)).unwrap();
        assert_eq!(vouched(&path, "main_binary%5fx_Packages.zst", &release), Some(true));
        fs::write(&path, b"Package: hellO\n").unwrap();
        for name in ["main_binary%5fx_Packages", "main_binary%5fx_Packages.zst"] {
            assert_eq!(vouched(&path, name, &release), Some(false));
        }
    }

    fn zstd(content: &[u8]) -> Vec<u8> {
        let mut encoder = layers::compress::Encoder::new(Vec::new(), "zstd".parse().unwrap()).unwrap();
        io::Write::write_all(&mut encoder, content).unwrap();
        encoder.finish().unwrap()
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
