//! Files and directories of the blueprint that tasks copy: what belongs to them, what they hold, and the tar of which
//! they are made. Times, owners, and the modes that a checkout or a umask gives count for nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use layers::digest::Digest;
use layers::holes::Holes;
use layers::key::KeyHasher;
use layers::root::{FileKind, Root, RootError};
use layers::store::Store;
use layers::tar::{Entry, Kind, TarWriter, plain_directory};
use layers::verified::HashingReader;
use layers::{at_once, disk, regular, whiteout};
use tempfile::NamedTempFile;

use super::excludes::Excludes;
use super::{ResolveError, Resolver, Result, files};
use crate::op::Step;

/// What is git's or alloy's own, whatever it is in.
const OURS: [&str; 4] = [".git", ".alloy-clone.json", "alloy.lock.yml", "alloy.state.yml"];
/// Variables of one machine, which may be secrets, beside a manifest: no published blueprint has them.
const ENV_FILE: &str = ".env";
/// More than this is no directory of a blueprint, but somebody's home.
const MOST: usize = 1 << 20;
/// As the kernel has it (`PATH_MAX`).
const LONGEST: usize = 4096;
/// Bytes that are written at a time.
const COPIED: usize = 64 << 10;
/// The first element of all paths in the tar: a single file's, and a directory's.
const FILE: &str = "file";
const DIRECTORY: &str = "directory";

/// What one path of a tree is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Member {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link, and where it points.
    Link(PathBuf),
}

/// What belongs to the file or directory `path` of the blueprint, without `excludes`, by its path in it; that of `path`
/// itself is empty. Nothing outside of the blueprint is reached.
pub fn members(directory: &Path, path: &str, excludes: &[String]) -> io::Result<BTreeMap<PathBuf, Member>> {
    let top = Root::open(directory).map_err(RootError::into_source)?;
    let path = itself(path);
    let held = top.beneath(path).map_err(leads_out)?;
    let mut found = BTreeMap::new();
    match held.metadata().map_err(RootError::into_source)?.kind {
        FileKind::File => {
            found.insert(PathBuf::new(), Member::File);
            return Ok(found);
        }
        FileKind::Directory => found.insert(PathBuf::new(), Member::Directory),
        _ => return Err(io::Error::other("it is neither a file nor a directory")),
    };
    let excludes = Excludes::new(excludes)?;
    // Only to see where links lead from here, as they will where it is copied to.
    let tree = Root::open(&directory.join(path).canonicalize()?).map_err(RootError::into_source)?;
    let mut left = vec![PathBuf::new()];
    while let Some(inside) = left.pop() {
        let opened =
            top.beneath(&path.join(&inside)).and_then(layers::root::Handle::into_directory).map_err(leads_out)?;
        for name in opened.names().map_err(RootError::into_source)? {
            let at = inside.join(&name);
            let private = name == ENV_FILE && path.join(&inside) == Path::new(".");
            if private || OURS.iter().any(|ours| name == *ours) || excludes.leave_out(&at) {
                continue;
            }
            let wrong = |problem: &str| Err(io::Error::other(format!("{} {problem}", at.display())));
            if name.as_bytes().starts_with(whiteout::PREFIX.as_bytes()) {
                return wrong("has a name that no layer can hold: `.wh.` marks deleted files");
            }
            if at.as_os_str().len() > LONGEST || found.len() >= MOST {
                return wrong("is too deep in directories, or there are too many files; name a smaller directory");
            }
            let member = match opened.metadata(&name).map_err(RootError::into_source)?.kind {
                FileKind::File => Member::File,
                FileKind::Directory => {
                    left.push(at.clone());
                    Member::Directory
                }
                FileKind::Symlink => {
                    let target = opened.read_link(&name).map_err(RootError::into_source)?;
                    let out = matches!(tree.beneath(&at), Err(error) if error.kind() == io::ErrorKind::CrossesDevices);
                    if out || !stays(&inside, &target) {
                        let target = target.display();
                        return wrong(&format!(
                            "is a link to {target}, out of what is copied; leave it out by `excludes`"
                        ));
                    }
                    Member::Link(target)
                }
                _ => return wrong("is a device, named pipe or socket; leave it out by `excludes`"),
            };
            found.insert(at, member);
        }
    }
    Ok(found)
}

/// True if a file or directory `inside` of a directory that is copied without `excludes` would belong to it.
pub fn copies(excludes: &[String], inside: &Path) -> bool {
    let Ok(excludes) = Excludes::new(excludes) else { return true };
    let left_out =
        |at: &Path| at.file_name().is_some_and(|name| OURS.iter().any(|ours| name == *ours)) || excludes.leave_out(at);
    !inside.ancestors().filter(|at| !at.as_os_str().is_empty()).any(left_out)
}

fn itself(path: &str) -> &Path {
    Path::new(if path.is_empty() { "." } else { path })
}

fn leads_out(error: RootError) -> io::Error {
    match error.kind() {
        io::ErrorKind::CrossesDevices => io::Error::other("it leads out of the blueprint, through a link"),
        _ => error.into_source(),
    }
}

/// True if a link in the directory `inside` to `target` does not leave the top, as far as names tell.
fn stays(inside: &Path, target: &Path) -> bool {
    let mut depth = inside.iter().count();
    target.components().all(|component| match component {
        Component::Normal(_) => {
            depth += 1;
            true
        }
        Component::CurDir => true,
        Component::ParentDir => match depth.checked_sub(1) {
            Some(less) => {
                depth = less;
                true
            }
            None => false,
        },
        Component::RootDir | Component::Prefix(_) => false,
    })
}

/// What a file holds, and whether it may be executed.
type Held = (Digest, bool);

fn held(store: &Store, directory: &Path, at: &Path, remember: bool) -> io::Result<Held> {
    let file = regular::beneath(directory, at)?;
    let executable = file.metadata()?.permissions().mode() & 0o111 != 0;
    Ok((files::digest_of(store, &directory.join(at), file, remember)?, executable))
}

/// What a tree comes to.
struct TreeHasher(KeyHasher);

impl TreeHasher {
    fn new() -> Self {
        Self(KeyHasher::new("alloy-tree-1"))
    }

    fn member(&mut self, path: &Path, member: &Member, held: Option<&Held>) {
        self.0.part(path.as_os_str().as_bytes());
        match (member, held) {
            (Member::File, Some((digest, executable))) => {
                self.0.part(if *executable { "program" } else { "file" });
                self.0.part(digest.as_bytes());
            }
            (Member::File | Member::Directory, _) => self.0.part(b"directory"),
            (Member::Link(target), _) => {
                self.0.part(b"link");
                self.0.part(target.as_os_str().as_bytes());
            }
        }
    }
}

/// What the file or directory `path` of the blueprint holds. With `remember`, what was read is recorded.
fn digest(store: &Store, directory: &Path, path: &str, excludes: &[String], remember: bool) -> io::Result<Digest> {
    let members: Vec<_> = members(directory, path, excludes)?.into_iter().collect();
    let read = at_once::each(&members, |(at, member)| {
        let full = if at.as_os_str().is_empty() { itself(path).to_owned() } else { itself(path).join(at) };
        let read = (*member == Member::File).then(|| held(store, directory, &full, remember));
        read.transpose().map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", full.display())))
    });
    let mut hasher = TreeHasher::new();
    for ((at, member), held) in members.iter().zip(read) {
        hasher.member(at, member, held?.as_ref());
    }
    Ok(hasher.0.finish())
}

/// The file or directory as a tar, which is what `digest` says: what is written to it meanwhile is in no layer. The
/// first element of all paths in it says which of both it is; see [`crate::op::Op::Copy`].
pub fn taken_tree(
    store: &Store,
    directory: &Path,
    path: &str,
    excludes: &[String],
    digest: &Digest,
) -> io::Result<NamedTempFile> {
    let mut copy = store.temporary().map_err(io::Error::other)?;
    let found = write(copy.as_file_mut(), directory, path, excludes);
    if found.map_err(|error| disk::told(error, copy.path()))? != *digest {
        return Err(io::Error::other("it has changed since this began; whoever writes it has to be done first"));
    }
    copy.rewind()?;
    Ok(copy)
}

/// Writes the file or directory to `to`, and says what was written.
fn write(to: &mut File, directory: &Path, path: &str, excludes: &[String]) -> io::Result<Digest> {
    let mut tar = TarWriter::new(io::BufWriter::with_capacity(COPIED, Holes::new(to)));
    let mut hasher = TreeHasher::new();
    let members = members(directory, path, excludes)?;
    let top = if members.get(Path::new("")) == Some(&Member::File) { FILE } else { DIRECTORY };
    for (at, member) in members {
        let empty = at.as_os_str().is_empty();
        let entry = plain_directory(&if empty { PathBuf::from(top) } else { Path::new(top).join(&at) });
        let mut held = None;
        match &member {
            Member::Directory => tar.append(&entry, &mut io::empty())?,
            Member::Link(target) => {
                tar.append(
                    &Entry { kind: Kind::Symlink, link: target.clone(), mode: 0o777, ..entry },
                    &mut io::empty(),
                )?;
            }
            Member::File => {
                let full = if empty { itself(path).to_owned() } else { itself(path).join(&at) };
                let file = regular::beneath(directory, &full)?;
                let metadata = file.metadata()?;
                let executable = metadata.permissions().mode() & 0o111 != 0;
                let mode = if executable { 0o755 } else { 0o644 };
                let mut file = HashingReader::new(file);
                tar.append(&Entry { kind: Kind::File, mode, size: metadata.len(), ..entry }, &mut file)?;
                held = Some((file.finish()?, executable));
            }
        }
        hasher.member(&at, &member, held.as_ref());
    }
    tar.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
    Ok(hasher.0.finish())
}

impl Resolver<'_> {
    pub(super) fn local_digest(&self, directory: &Path, step: &Step, path: &str, remember: bool) -> Result<Digest> {
        files::digest(self.store, directory, path, remember).map_err(unread(step, path))
    }

    pub(super) fn tree_digest(
        &self,
        directory: &Path,
        step: &Step,
        path: &str,
        excludes: &[String],
        remember: bool,
    ) -> Result<Digest> {
        digest(self.store, directory, path, excludes, remember).map_err(unread(step, path))
    }
}

fn unread(step: &Step, path: &str) -> impl FnOnce(io::Error) -> ResolveError {
    let (task, place) = (step.name.clone(), super::place(step));
    let path = path.to_owned();
    move |error| ResolveError::Local { task, place, path, message: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;

    fn blueprint() -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        fs::create_dir_all(at("conf/sub/empty")).unwrap();
        fs::create_dir_all(at("conf/.git")).unwrap();
        for name in ["conf/a", "conf/sub/b.o", "conf/sub/c", "conf/.git/config", "conf/alloy.lock.yml"] {
            fs::write(at(name), name).unwrap();
        }
        symlink("../a", at("conf/sub/link")).unwrap();
        place
    }

    fn names(directory: &Path, excludes: &[&str]) -> Vec<String> {
        let excludes: Vec<String> = excludes.iter().map(|text| (*text).to_owned()).collect();
        let found = members(directory, "conf", &excludes).unwrap();
        found.keys().map(|path| path.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn a_tree_is_what_it_holds_without_what_is_excluded() {
        let place = blueprint();
        let all = ["", "a", "sub", "sub/b.o", "sub/c", "sub/empty", "sub/link"];
        assert_eq!(names(place.path(), &[]), all);
        assert_eq!(names(place.path(), &["**/*.o", "sub/empty"]), ["", "a", "sub", "sub/c", "sub/link"]);
        assert_eq!(names(place.path(), &["*.o"]), all, "`*` does not pass a `/`");
        assert_eq!(names(place.path(), &["sub"]), ["", "a"]);
        assert_eq!(names(place.path(), &["sub/**"]).len(), 3);
    }

    #[test]
    fn variables_beside_the_manifest_are_left_out() {
        let place = blueprint();
        fs::write(place.path().join(".env"), "TOKEN=x").unwrap();
        fs::write(place.path().join("conf/.env"), "KIND=x").unwrap();
        for all in [".", "./"] {
            let found = members(place.path(), all, &[]).unwrap();
            assert!(!found.contains_key(Path::new(".env")) && found.contains_key(Path::new("conf/.env")), "{found:?}");
        }
        assert!(members(place.path(), "conf", &[]).unwrap().contains_key(Path::new(".env")));
    }

    #[test]
    fn every_change_counts_and_times_and_modes_do_not() {
        let place = blueprint();
        let home = tempfile::tempdir().unwrap();
        let store = Store::open(home.path()).unwrap();
        let of = || digest(&store, place.path(), "conf", &[], false).unwrap();
        let at = |name: &str| place.path().join("conf").join(name);
        let mode = |name: &str, mode| fs::set_permissions(at(name), PermissionsExt::from_mode(mode)).unwrap();
        let first = of();
        mode("a", 0o600);
        mode("sub", 0o700);
        fs::write(at("a"), "conf/a").unwrap();
        assert_eq!(of(), first);
        let mut all = std::collections::BTreeSet::from([first]);
        let changes: [&dyn Fn(); 6] = [
            &|| mode("a", 0o700),
            &|| fs::write(at("a"), "other").unwrap(),
            &|| fs::write(at("new"), "").unwrap(),
            &|| fs::remove_file(at("sub/c")).unwrap(),
            &|| fs::remove_dir(at("sub/empty")).unwrap(),
            &|| {
                fs::remove_file(at("sub/link")).unwrap();
                symlink("b.o", at("sub/link")).unwrap();
            },
        ];
        for (index, change) in changes.iter().enumerate() {
            change();
            assert!(all.insert(of()), "change {index}");
        }
        // What is taken is what was said, or nothing.
        let digest = of();
        assert!(taken_tree(&store, place.path(), "conf", &[], &digest).is_ok());
        fs::write(at("a"), "later").unwrap();
        let error = taken_tree(&store, place.path(), "conf", &[], &digest).unwrap_err();
        assert!(error.to_string().contains("has changed since"), "{error}");
    }

    #[test]
    fn nothing_outside_is_reached_and_no_device_is_read() {
        let place = blueprint();
        let at = |name: &str| place.path().join(name);
        let refused = |path: &str| members(place.path(), path, &[]).unwrap_err().to_string();
        symlink("/etc", at("etc")).unwrap();
        assert!(refused("etc").contains("out of the blueprint"));
        assert!(refused("etc/passwd").contains("out of the blueprint"));
        for target in ["/etc/passwd", "../../x", "../manifest.yml"] {
            symlink(target, at("conf/out")).unwrap();
            assert!(refused("conf").starts_with("out is a link to"), "{target}");
            fs::remove_file(at("conf/out")).unwrap();
        }
        // By names it stays inside; by where the names lead, it does not.
        symlink("..", at("conf/sub/empty/up")).unwrap();
        symlink("sub/empty/up/../..", at("conf/out")).unwrap();
        assert!(refused("conf").starts_with("out is a link to"));
        fs::remove_file(at("conf/out")).unwrap();
        let _socket = UnixListener::bind(at("conf/socket")).unwrap();
        assert!(refused("conf").starts_with("socket is a device, named pipe or socket"));
        fs::remove_file(at("conf/socket")).unwrap();
        fs::write(at("conf/.wh.x"), "").unwrap();
        assert!(refused("conf").contains("no layer can hold"));
    }
}
