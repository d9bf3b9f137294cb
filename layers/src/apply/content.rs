//! Content of a member, written to a file with the holes that it has.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use crate::disk;
use crate::tar::{Content, TarError};

/// Bytes written at a time.
const PIECE: usize = 64 << 10;

/// Writes `size` bytes of `content`, which has to have as many, to the file that `path` is.
pub(crate) fn write(content: &mut dyn Content, size: u64, file: &mut File, path: &Path) -> Result<(), TarError> {
    // An archive is not to blame for a disk that is full.
    let failed = |source| TarError::Write { path: crate::path::shown(path.as_os_str().as_encoded_bytes()), source };
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(PIECE).min(PIECE)];
    let (mut at, mut in_hole) = (0, false);
    while at < size {
        let hole = content.hole()?.min(size - at);
        if hole > 0 {
            at += hole;
            file.seek(SeekFrom::Start(at)).map_err(failed)?;
            in_hole = true;
            continue;
        }
        let wanted = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
        match content.read(&mut buffer[..wanted]) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(length) => {
                file.write_all(&buffer[..length]).map_err(|error| failed(disk::told_of(error, &*file)))?;
                at += length as u64;
                in_hole = false;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    if in_hole { file.set_len(size).map_err(failed) } else { Ok(()) }
}
