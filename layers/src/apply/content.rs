//! Content of a member, written to a file with the holes that it has.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;

use crate::disk;
use crate::holes::is_hole;
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
            // A layer's tar has zeros for the holes that its files have.
            Ok(length) if is_hole(&buffer[..length]) => {
                at += length as u64;
                file.seek(SeekFrom::Start(at)).map_err(failed)?;
                in_hole = true;
            }
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

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn zeros_of_a_layer_take_no_room() {
        let mut wanted = vec![0; 1 << 20];
        wanted[500_000] = 1;
        for size in [1 << 20, (1 << 20) - 1, 500_001, 70_000, 4096, 1, 0] {
            let mut file = tempfile::tempfile().unwrap();
            let mut content = wanted.as_slice().take(size);
            write(&mut content, size, &mut file, Path::new("x")).unwrap();
            let mut found = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut found).unwrap();
            assert!(found == wanted[..usize::try_from(size).unwrap()], "{size}");
            assert!(file.metadata().unwrap().blocks() * 512 <= 128 << 10, "{size}");
        }
    }
}
