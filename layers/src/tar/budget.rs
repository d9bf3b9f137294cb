//! What one archive may come to, in sum: a limit for each piece is none for many pieces.

use std::path::Path;

use super::{Entry, TarError};
use crate::path;

/// Bytes of the names of an archive's members, and of the directories that they imply. Whoever unpacks remembers each;
/// the largest root file systems have a tenth of this.
const MAX_NAMES: u64 = 512 << 20;
/// What remembering a name costs beside its bytes.
const NAME_COST: u64 = 128;
/// Sizes of all sparse files of an archive, holes included: zeros that cost an archive nothing cost whoever writes,
/// hashes or compresses them.
const MAX_SPARSE: u64 = 256 << 30;

/// Names that are remembered for one archive.
#[derive(Debug, Default)]
pub(crate) struct Names {
    used: u64,
}

impl Names {
    /// Counts a name, which is refused when there were too many.
    pub(crate) fn count(&mut self, name: &Path) -> Result<(), TarError> {
        self.used = self.used.saturating_add(name.as_os_str().len() as u64).saturating_add(NAME_COST);
        if self.used <= MAX_NAMES {
            return Ok(());
        }
        Err(refused(name, "is one of more names than alloy remembers for one archive (512 MiB of names)"))
    }
}

/// What a walk through one archive has come to.
#[derive(Default)]
pub(super) struct Budget {
    names: Names,
    sparse: u64,
}

impl Budget {
    /// Counts a member.
    pub(super) fn member(&mut self, entry: &Entry, sparse: bool) -> Result<(), TarError> {
        self.names.count(&entry.path)?;
        self.names.count(&entry.link)?;
        if sparse {
            self.sparse = self.sparse.saturating_add(entry.size);
        }
        if self.sparse <= MAX_SPARSE {
            return Ok(());
        }
        Err(refused(&entry.path, "is a sparse file with which those of the archive have more than 256 GiB"))
    }
}

fn refused(name: &Path, problem: &'static str) -> TarError {
    use std::os::unix::ffi::OsStrExt;
    TarError::Member { path: path::shown(name.as_os_str().as_bytes()), problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_add_up() {
        let (mut names, name) = (Names::default(), "d/".repeat(2000));
        let fit = MAX_NAMES / (4000 + NAME_COST);
        (0..fit).for_each(|_| names.count(Path::new(&name)).unwrap());
        assert!(names.count(Path::new(&name)).unwrap_err().to_string().contains("512 MiB of names"));
    }
}
