//! Content of a member, written to a file with the holes that it has.

use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use crate::tar::Content;

/// Bytes written at a time.
const PIECE: usize = 64 << 10;

/// Writes `size` bytes of `content`, which has to have as many.
pub(crate) fn write(content: &mut dyn Content, size: u64, file: &mut File) -> io::Result<()> {
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(PIECE).min(PIECE)];
    let (mut at, mut in_hole) = (0, false);
    while at < size {
        let hole = content.hole()?.min(size - at);
        if hole > 0 {
            at += hole;
            file.seek(SeekFrom::Start(at))?;
            in_hole = true;
            continue;
        }
        let wanted = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
        match content.read(&mut buffer[..wanted]) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => {
                file.write_all(&buffer[..length])?;
                at += length as u64;
                in_hole = false;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if in_hole { file.set_len(size) } else { Ok(()) }
}
