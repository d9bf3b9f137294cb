//! Content of a member, written to a file with the holes that it has.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::disk;
use crate::tar::{Content, TarError};

/// Bytes read at a time.
const PIECE: usize = 64 << 10;
/// The least that becomes a hole: file systems keep track of blocks.
const BLOCK: u64 = 4 << 10;

/// Writes `size` bytes of `content`, which has to have as many, to the file that `path` is, which is empty.
pub(crate) fn write(content: &mut dyn Content, size: u64, file: &mut File, path: &Path) -> Result<(), TarError> {
    // An archive is not to blame for a disk that is full.
    let failed = |source| TarError::Write { path: crate::path::shown(path.as_os_str().as_encoded_bytes()), source };
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(PIECE).min(PIECE)];
    let (mut at, mut written) = (0, 0);
    while at < size {
        let hole = content.hole()?.min(size - at);
        if hole > 0 {
            at += hole;
            continue;
        }
        let wanted = usize::try_from(size - at).unwrap_or(PIECE).min(PIECE);
        match content.read(&mut buffer[..wanted]) {
            Ok(0) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Ok(length) => {
                for (from, data) in runs(&buffer[..length], at, size) {
                    file.write_all_at(data, from).map_err(|error| failed(disk::told_of(error, &*file)))?;
                    written = from + data.len() as u64;
                }
                at += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    if written < size { file.set_len(size).map_err(failed) } else { Ok(()) }
}

/// What of `bytes`, which are at `at` of a file of `size` bytes, has to be written, and where: all but the blocks of zeros,
/// since a layer's tar has those for the holes that its files have.
fn runs(bytes: &[u8], at: u64, size: u64) -> Vec<(u64, &[u8])> {
    let mut runs = Vec::new();
    if size < BLOCK {
        runs.push((at, bytes));
        return runs;
    }
    // Where the present run of data begins, if there is one.
    let (mut begins, mut done) = (None, 0);
    while done < bytes.len() {
        let left = BLOCK - (at + done as u64) % BLOCK;
        let end = usize::try_from(left).unwrap_or(PIECE).saturating_add(done).min(bytes.len());
        if bytes[done..end].iter().any(|byte| *byte != 0) {
            begins = begins.or(Some(done));
        } else if let Some(begins) = begins.take() {
            runs.push((at + begins as u64, &bytes[begins..done]));
        }
        done = end;
    }
    if let Some(begins) = begins {
        runs.push((at + begins as u64, &bytes[begins..]));
    }
    runs
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Seek};
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
            assert!(file.metadata().unwrap().blocks() * 512 <= 8 << 10, "{size}");
        }
    }

    #[test]
    fn blocks_of_zeros_are_told_wherever_pieces_end() {
        let mut bytes = vec![0; 20 << 10];
        for at in [0, 5000, 12_288, 20_479] {
            bytes[at] = 1;
        }
        let whole = runs(&bytes, 0, 20 << 10);
        let places: Vec<_> = whole.iter().map(|(at, data)| (*at, data.len())).collect();
        assert_eq!(places, [(0, 8192), (12_288, 8192)]);
        for piece in [1, 100, 4096, 5000, 13_000] {
            let mut back = vec![0; bytes.len()];
            for (number, part) in bytes.chunks(piece).enumerate() {
                for (at, data) in runs(part, (number * piece) as u64, bytes.len() as u64) {
                    let at = usize::try_from(at).unwrap();
                    assert!(!(8192..12_288).contains(&at), "{piece}");
                    back[at..at + data.len()].copy_from_slice(data);
                }
            }
            assert!(back == bytes, "{piece}");
        }
        assert_eq!(runs(&[0; 9], 0, 9), [(0, &[0; 9][..])]);
    }
}
