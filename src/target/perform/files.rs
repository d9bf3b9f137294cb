//! Files that ops write: whole, and known by what was written, since others may be at work in the same directories.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use layers::apply::Ownership;
use layers::root::{FileKind, Made, Strayed};
use layers::unpack::{UnpackError, UnpackOptions, unpack};

use super::Performer;
use crate::event::listed_paths;
use crate::op::{Archive, Source};
use crate::target::{TargetError, rules, told_of_archive};

/// Device nodes that are named of those an archive has.
const SHOWN: usize = 8;

impl Performer<'_> {
    pub(super) fn write(&mut self, path: &Path, content: &[u8]) -> Result<(), TargetError> {
        if let Some(inode) = self.kept(path, |there| holds(there, content))? {
            self.wrote_file(path, inode);
            return Ok(());
        }
        self.make_parent(path)?;
        let inode = self.root().write_file(path, &mut &content[..], 0o644)?;
        self.wrote_file(path, inode);
        Ok(())
    }

    pub(super) fn place(&mut self, source: &Source, path: &Path) -> Result<(), TargetError> {
        let mut file = self.open(source)?;
        if let Some(inode) = self.kept(path, |there| same(&mut file, there))? {
            self.wrote_file(path, inode);
            return Ok(());
        }
        self.make_parent(path)?;
        let inode = self.root().write_file(path, &mut file, 0o644)?;
        self.wrote_file(path, inode);
        Ok(())
    }

    /// The inode of the file at `path` if it stays, since it holds what it is to hold and nobody else made it there.
    fn kept(
        &mut self,
        path: &Path,
        holds: impl FnOnce(&File) -> io::Result<bool>,
    ) -> Result<Option<(u64, u64)>, TargetError> {
        if self.regain(path)? {
            return Ok(None);
        }
        let root = self.root();
        let Ok(there) = root.open_file(path) else { return Ok(None) };
        let failed = |error| TargetError::Unpack(UnpackError::Read(error));
        if root.is_foreign(path)? || !holds(&there).map_err(failed)? {
            return Ok(None);
        }
        let metadata = there.metadata().map_err(failed)?;
        Ok(Some((metadata.dev(), metadata.ino())))
    }

    pub(super) fn place_rules(&mut self, source: &Source, path: &Path) -> Result<(), TargetError> {
        let Some(rules) = rules::of_package(self.open(source)?)? else { return self.place(source, path) };
        let single = rules.len() == 1;
        for (name, content) in rules {
            let path = if single { path.to_owned() } else { path.with_file_name(name) };
            self.write(&path, &content)?;
            self.beside.push(path);
        }
        Ok(())
    }

    pub(super) fn make_parent(&mut self, path: &Path) -> Result<(), TargetError> {
        path.parent().map_or(Ok(()), |parent| self.make_dir(parent).map(drop))
    }

    /// Makes the directory, and what is missing above it. Gives its inode.
    pub(super) fn make_dir(&mut self, path: &Path) -> Result<(u64, u64), TargetError> {
        self.root().check_way(path, self.owner)?;
        let missing: Vec<&Path> = match self.root().is_shared() {
            true => path.ancestors().take_while(|up| self.root().metadata(up).is_err()).collect(),
            false => Vec::new(),
        };
        let inode = self.root().create_dir_all(path, 0o755)?;
        missing.into_iter().for_each(|made| self.wrote(made));
        Ok(inode)
    }

    /// Notes a file that is of this step's making, and what was followed to it.
    pub(super) fn wrote_file(&mut self, path: &Path, inode: (u64, u64)) {
        self.wrote(path);
        if self.root().is_shared() {
            let through = self.root().through(path);
            self.written.extend(through);
        }
        self.objects.insert(path.to_owned(), inode);
    }

    /// Puts links right that were followed to `path` before and lead elsewhere now. True if a link stands where a file was
    /// made: the file that is written takes its place.
    pub(super) fn regain(&mut self, path: &Path) -> Result<bool, TargetError> {
        while let Some(strayed) = self.root().strayed(path)? {
            let (link, target) = (strayed.link.display(), strayed.target.display());
            match &strayed.made {
                Made::File => {
                    self.regained
                        .push(format!("{link} is a link to {target} now: it is replaced, {target} stays as it is"));
                    return Ok(true);
                }
                Made::Link(was) => {
                    self.root().relink(&strayed.link, was)?;
                    let was = was.display();
                    let line =
                        format!("{link} is a link to {target} now: it leads to {was} again, {target} stays as it is");
                    self.regained.push(line);
                }
                Made::Directory => return Err(strayed.refused("write", path).into()),
            }
        }
        Ok(false)
    }

    pub(super) fn open(&self, source: &Source) -> Result<File, TargetError> {
        let path = self.files.get(source).ok_or_else(|| TargetError::NoSource { wanted: source.clone() })?;
        layers::regular::open(path).map_err(|source| TargetError::Host { path: path.clone(), source })
    }

    pub(super) fn unpack(&mut self, archive: &Archive, dest: &Path, strip: u32) -> Result<(), TargetError> {
        let file = match archive {
            Archive::Source(source) => self.open(source)?,
            Archive::InTarget(path) => self.root().open_file(Path::new(path))?,
        };
        let inode = self.make_dir(dest)?;
        let strayed = self.root().strayed_below(dest);
        self.objects.insert(dest.to_owned(), inode);
        let options = UnpackOptions { strip, ownership: Ownership::Root, owned: self.owned };
        let again = file.try_clone();
        let unpacked = unpack(file, self.root(), dest, &options).map_err(|error| match archive {
            Archive::Source(source) => TargetError::unpack(source, error),
            Archive::InTarget(path) if error.is_of_archive() => {
                let hint = again.and_then(|mut file| told_of_archive(&mut file, path)).ok();
                TargetError::Archive { what: path.clone(), hint, source: error }
            }
            Archive::InTarget(_) => error.into(),
        })?;
        for Strayed { link, target, .. } in strayed {
            if self.root().metadata(&link).is_ok_and(|found| found.kind != FileKind::Symlink) {
                let (link, target) = (link.display(), target.display());
                self.regained.push(format!("{link} was a link to {target}: it is replaced, {target} stays as it is"));
            }
        }
        self.written.extend(unpacked.made);
        self.unpacked.get_or_insert_default().extend(unpacked.inodes);
        self.warnings.extend(unpacked.remarks);
        if !unpacked.devices.is_empty() {
            self.warnings
                .push(format!("device nodes of the archive are left out: {}", listed_paths(&unpacked.devices, SHOWN)));
        }
        Ok(())
    }
}

/// True if `there` holds `content` and no more.
fn holds(there: &File, content: &[u8]) -> io::Result<bool> {
    let mut found = Vec::new();
    // One byte more than expected is enough to tell.
    there.take(content.len() as u64 + 1).read_to_end(&mut found)?;
    Ok(found == content)
}

/// True if `there` holds what `file` holds, which is rewound. Both are read once, side by side.
fn same(file: &mut File, there: &File) -> io::Result<bool> {
    if file.metadata()?.len() != there.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(&*file).bytes(), BufReader::new(there).bytes());
    let mut same = true;
    while let (true, Some(byte)) = (same, one.next()) {
        same = matches!((byte, other.next()), (Ok(a), Some(Ok(b))) if a == b);
    }
    file.rewind()?;
    Ok(same)
}
