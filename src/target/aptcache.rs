//! What apt finds from builds before this one. Commands see private copies alone, which are deleted with the build; what
//! outlives it was checked by alloy, not by a sandbox:
//!
//! - Packages are downloads of the store, by their SHA-256. They are found by the hash that apt's signed index says
//!   here and now, never by a name or a size, so nobody can leave one for somebody else.
//! - Lists stay if a signed release vouches for them: of an archive that the root had among its sources, by a key that
//!   it trusted for that archive, before any command of its build ran. They are copied out first, and the copy is
//!   checked and kept, for roots that have the same sources and trust the same keys.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use layers::at_once;
use layers::digest::{Digest, Hasher};
use layers::root::Root;
use layers::stop::Stop;
use layers::store::{Lock, Store};
use layers::verified::HashingReader;
use serde::{Deserialize, Serialize};

use super::apt::Archived;
use crate::debian::{Archive, HostSource, Keyring, RELEASE_LIMIT, SIGNED, Trust, of_file, vouch};
use crate::sandbox::Bind;

/// Of all lists together; those of Debian and Ubuntu are a tenth of it.
const LISTS_LIMIT: u64 = 2 << 30;
/// A command may leave any number of files there.
const OPEN_AT_ONCE: usize = 64;
const KEYRING_LIMIT: u64 = 4 << 20;
const MOST_KEYRINGS: usize = 100;
/// Where a root has the keys that its apt trusts for every source (apt-secure(8)).
const TRUSTED: &str = "etc/apt/trusted.gpg.d";
const OLD_KEYRING: &str = "etc/apt/trusted.gpg";
/// Where it has its sources (sources.list(5)).
const SOURCES: &str = "etc/apt/sources.list.d";
const OLD_SOURCES: &str = "etc/apt/sources.list";
const SOURCES_LIMIT: u64 = 1 << 20;
/// Beside kept lists: when their releases were made.
const DATES: &str = "dates";

/// The archives of a root.
#[derive(Debug)]
struct Sources {
    /// With copies of their keyrings.
    archives: Vec<Archive>,
    /// Where lists are kept that these vouch for.
    kept: PathBuf,
}

/// apt's lists and archives for one build.
#[derive(Debug)]
pub struct AptCache {
    /// This build's own.
    path: PathBuf,
    /// The base: lists of other distributions are of no use.
    base: String,
    store: Store,
    /// As they were before the first command of the build; `None` if they could not be read then.
    sources: OnceCell<Option<Sources>>,
    /// Kept lists were lent.
    lent: OnceCell<()>,
}

impl AptCache {
    /// Makes the directories of a build at `path`; `base` is the name of the base's tree.
    pub fn new(path: PathBuf, base: &str, store: &Store) -> io::Result<Self> {
        for directory in ["lists/partial", "archives/partial", "keys"] {
            fs::create_dir_all(path.join(directory))?;
        }
        Ok(Self { path, base: base.to_owned(), store: store.clone(), sources: OnceCell::new(), lent: OnceCell::new() })
    }

    fn lists(&self) -> PathBuf {
        self.path.join("lists")
    }

    fn archives(&self) -> PathBuf {
        self.path.join("archives")
    }

    /// Before the first command of the build runs in `root`: finds out who may vouch for lists.
    pub fn prepare(&self, root: &Root) {
        self.sources.get_or_init(|| self.sources_of(root).ok());
    }

    /// Lends the lists that were kept, once, before apt asks for newer ones: what a command finds never depends on what
    /// other builds left. What goes wrong leaves apt to fetch them all.
    pub fn lend_lists(&self) {
        let Some(Some(sources)) = self.sources.get() else { return };
        self.lent.get_or_init(|| {
            if self.copy_kept(sources).is_err() {
                self.forget_lists();
            }
        });
    }

    /// Deletes what apt has of lists.
    pub fn forget_lists(&self) {
        let _ = clear(&self.lists());
    }

    fn sources_of(&self, root: &Root) -> io::Result<Sources> {
        let files = |old: &str, directory: &str| {
            let names = root.read_dir(Path::new(directory)).unwrap_or_default();
            let mut files = vec![PathBuf::from(old)];
            files.extend(names.iter().map(|name| Path::new(directory).join(name)));
            files
        };
        let mut hasher = Hasher::new();
        let mut copied = BTreeMap::new();
        let mut copy = |file: &Path, hasher: &mut Hasher| -> io::Result<Option<PathBuf>> {
            if let Some(known) = copied.get(file) {
                return Ok(Some(PathBuf::clone(known)));
            }
            let Ok(bytes) = root.read(file, KEYRING_LIMIT) else { return Ok(None) };
            if copied.len() == MOST_KEYRINGS {
                return Ok(None);
            }
            let path = self.path.join("keys").join(copied.len().to_string());
            fs::write(&path, &bytes)?;
            hasher.update(Digest::of(&bytes).as_bytes());
            copied.insert(file.to_owned(), path.clone());
            Ok(Some(path))
        };
        // Others there are none to apt either.
        let kinds = |file: &PathBuf| file.extension().is_some_and(|kind| kind == "gpg" || kind == "asc");
        let trusted: Vec<PathBuf> = files(OLD_KEYRING, TRUSTED).into_iter().filter(kinds).collect();
        for file in &trusted {
            copy(file, &mut hasher)?;
        }
        let mut all = Vec::new();
        for file in files(OLD_SOURCES, SOURCES) {
            let Ok(text) = root.read(&file, SOURCES_LIMIT) else { continue };
            for source in of_file(&file, &String::from_utf8_lossy(&text)) {
                // What is not understood vouches for nothing, nor does another source of the same.
                let trust = source.signed_by.as_ref().ok().map(|signed_by| Trust::of(signed_by, || trusted.clone()));
                hasher.update(format!("{} {} {:?}\n", source.uri, source.suite, source.signed_by).as_bytes());
                all.push((source, trust));
            }
        }
        let mut archives = Vec::new();
        for (source, trust) in &all {
            let same = |other: &&(HostSource, _)| other.0.uri == source.uri && other.0.suite == source.suite;
            let conflict = all.iter().filter(same).any(|other| other.0.signed_by != source.signed_by);
            let Some(trust) = trust.as_ref().filter(|_| !conflict) else { continue };
            let mut trust = trust.clone();
            for keyring in std::mem::take(&mut trust.keyrings) {
                trust.keyrings.extend(match keyring {
                    Keyring::File(file) => copy(&file, &mut hasher)?.map(Keyring::File),
                    of_no_file @ (Keyring::Block(_) | Keyring::Carried { .. }) => Some(of_no_file),
                });
            }
            archives.push(Archive { uri: source.uri.clone(), suite: source.suite.clone(), trust });
        }
        let kept = format!("{}-{}", self.base, hasher.finish().hex());
        Ok(Sources { archives, kept: self.store.root().join("cache/lists").join(kept) })
    }

    fn lock(&self) -> io::Result<Lock> {
        self.store.lock(&format!("lists-{}", self.base)).map_err(io::Error::other)
    }

    fn copy_kept(&self, sources: &Sources) -> io::Result<()> {
        if !sources.kept.is_dir() {
            return Ok(());
        }
        let _lock = self.lock()?;
        // They were vouched for when they were kept; the disk may have changed them since.
        let found = copy_files(&Root::open(&sources.kept).map_err(io::Error::other)?, &self.lists())?;
        if found == kept(&sources.kept).files {
            self.store.mark_used(&sources.kept);
            return Ok(());
        }
        // As long as they are there, those that apt fetches now are no news.
        fs::remove_dir_all(&sources.kept)?;
        Err(io::Error::other("what was kept is damaged"))
    }

    /// Lent to every command of the build.
    pub fn binds(&self) -> [Bind; 2] {
        [(self.lists(), "/var/lib/apt/lists"), (self.archives(), "/var/cache/apt/archives")]
            .map(|(source, target)| Bind { no_set_id: true, ..Bind::writable(source, target) })
    }

    /// Keeps the lists that a build has fetched, once no command of it runs.
    pub fn keep_lists(&self) -> io::Result<()> {
        let Some(Some(sources)) = self.sources.get() else { return Ok(()) };
        let lists = Root::open(&self.lists()).map_err(io::Error::other)?;
        if self.has_nothing_new(&lists, sources).unwrap_or(false) {
            return Ok(());
        }
        let staged = tempfile::Builder::new().prefix("lists-").tempdir_in(self.store.temporaries())?;
        let mut files = copy_files(&lists, staged.path())?;
        let dates = vouch(staged.path(), &sources.archives, now())?;
        if dates.is_empty() {
            return Ok(());
        }
        files.retain(|name, _| staged.path().join(name).is_file());
        fs::create_dir_all(self.store.root().join("cache/lists"))?;
        let _lock = self.lock()?;
        // Nobody is brought back to a release that is older than what was seen.
        let before = kept(&sources.kept).dates;
        if dates.iter().any(|(release, date)| before.get(release).is_some_and(|before| date < before)) {
            return Ok(());
        }
        fs::write(staged.path().join(DATES), serde_json::to_vec(&Kept { dates, files })?)?;
        match fs::remove_dir_all(&sources.kept) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let staged = staged.keep();
        fs::rename(&staged, &sources.kept).inspect_err(|_| drop(fs::remove_dir_all(&staged)))
    }

    /// True if `lists` has no file that is not kept, and no other release: what is kept for these is all they vouch for.
    fn has_nothing_new(&self, lists: &Root, sources: &Sources) -> io::Result<bool> {
        if !sources.kept.is_dir() {
            return Ok(false);
        }
        let _lock = self.lock()?;
        let kept = Root::open(&sources.kept).map_err(io::Error::other)?;
        let release = |root: &Root, path: &Path| root.read(path, RELEASE_LIMIT).map_err(io::Error::other);
        for name in lists.read_dir(Path::new(".")).map_err(io::Error::other)? {
            let path = Path::new(&name);
            if ["lock", "partial", "auxfiles"].iter().any(|own| name == *own) {
                continue;
            }
            let has = fs::symlink_metadata(sources.kept.join(path)).is_ok_and(|metadata| metadata.is_file());
            let same = || Ok::<_, io::Error>(release(lists, path)? == release(&kept, path)?);
            if !has || (name.to_string_lossy().ends_with(SIGNED) && !same()?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Puts those of `archives` that the store has where apt looks for them.
    pub fn lend_archives(&self, archives: &[Archived]) -> io::Result<()> {
        // Commands write there: what is made has no name yet, and no link is followed on the way.
        let place = Root::open(&self.archives()).map_err(io::Error::other)?;
        let place = place.directory(Path::new("")).map_err(io::Error::other)?;
        for one in archives {
            let name = OsStr::new(&one.name);
            let (Ok(from), Err(_)) = (File::open(self.download(one)), place.metadata(name)) else { continue };
            let mut from = HashingReader::new(from);
            io::copy(&mut from, &mut place.create_file(name, 0o644).map_err(io::Error::other)?)?;
            if from.finish()? != one.sha256 {
                // apt looks at the length alone, and fetches what is not there.
                place.remove_file(name).map_err(io::Error::other)?;
                self.store.checked_download(&one.sha256, &Stop::default()).map_err(io::Error::other)?;
            }
        }
        Ok(())
    }

    /// Takes those of `archives` into the store that apt has fetched and that are what it said they would be.
    pub fn keep_archives(&self, archives: &[Archived]) -> io::Result<()> {
        // Whatever names a command left there: links lead nowhere else, and only files are opened.
        let place = Root::open(&self.archives()).map_err(io::Error::other)?;
        for one in archives.iter().filter(|one| !self.download(one).is_file()) {
            let Ok(file) = place.open_file(Path::new(&one.name)) else { continue };
            let mut copy = self.store.temporary().map_err(io::Error::other)?;
            let mut reader = HashingReader::new(file.take(one.size.saturating_add(1)));
            io::copy(&mut reader, copy.as_file_mut())?;
            // What was copied was hashed, and what was hashed is kept.
            if reader.finish()? != one.sha256 {
                continue;
            }
            copy.as_file().sync_data()?;
            fs::set_permissions(copy.path(), Permissions::from_mode(0o444))?;
            copy.persist(self.download(one)).map_err(|error| error.error)?;
        }
        Ok(())
    }

    fn download(&self, one: &Archived) -> PathBuf {
        self.store.downloads().join(one.sha256.hex())
    }
}

/// What is written beside the lists that are kept.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    /// Of each release, when it was made, in seconds since 1970.
    dates: BTreeMap<String, i64>,
    /// What is in each file.
    files: BTreeMap<String, Digest>,
}

fn kept(place: &Path) -> Kept {
    fs::read(place.join(DATES)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

/// Copies the regular files of a directory, with their times: apt asks servers for what is newer. Gives their digests.
fn copy_files(from: &Root, to: &Path) -> io::Result<BTreeMap<String, Digest>> {
    let (mut left, mut all) = (LISTS_LIMIT, BTreeMap::new());
    let names = from.read_dir(Path::new(".")).map_err(io::Error::other)?;
    for names in names.chunks(OPEN_AT_ONCE) {
        let mut files = Vec::new();
        for name in names.iter().filter(|name| !["lock", DATES].iter().any(|own| *name == own)) {
            let Ok(source) = from.open_file(Path::new(name)) else { continue };
            let metadata = source.metadata()?;
            left = left.checked_sub(metadata.len()).ok_or_else(|| io::Error::other("the lists are too large"))?;
            files.push((name, source, metadata));
        }
        let copied = at_once::each(&files, |(name, source, metadata)| -> io::Result<_> {
            let mut copy = File::create_new(to.join(name))?;
            let mut source = HashingReader::new(source.take(metadata.len()));
            io::copy(&mut source, &mut copy)?;
            copy.set_modified(metadata.modified()?)?;
            Ok((name.to_string_lossy().into_owned(), source.finish()?))
        });
        for copied in copied {
            let (name, digest) = copied?;
            all.insert(name, digest);
        }
    }
    Ok(all)
}

fn clear(lists: &Path) -> io::Result<()> {
    fs::remove_dir_all(lists)?;
    fs::create_dir_all(lists.join("partial"))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
