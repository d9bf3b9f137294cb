//! Frames that hold nothing of the content, which zstd (RFC 8878, 3.1.2) and LZ4 ("LZ4 Frame Format Description",
//! "Skippable frames") have in common.

use std::io::{self, BufRead, Cursor, Read};

/// True for the mark of such a frame.
pub(super) fn is_mark(mark: [u8; 4]) -> bool {
    u32::from_le_bytes(mark) & !0xf == 0x184d_2a50
}

/// Passes over the frame whose mark has been read.
pub(super) fn pass(input: &mut impl BufRead) -> io::Result<()> {
    let mut size = [0; 4];
    input.read_exact(&mut size)?;
    let size = u64::from(u32::from_le_bytes(size));
    if io::copy(&mut input.take(size), &mut io::sink())? < size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

/// The bytes by which a format is told.
const HEAD: u64 = 512;

/// The first bytes of `input` that are in no such frame, and whether there was one. However large frames are, no more than
/// these bytes are kept.
pub(super) fn head(input: &mut impl BufRead) -> io::Result<(Vec<u8>, bool)> {
    let mut head = Vec::new();
    let mut passed = false;
    loop {
        input.take(HEAD - head.len() as u64).read_to_end(&mut head)?;
        if !head.first_chunk().is_some_and(|mark| is_mark(*mark)) {
            return Ok((head, passed));
        }
        let mut rest = Cursor::new(head.split_off(4)).chain(&mut *input);
        pass(&mut rest)?;
        let (left, _) = rest.into_inner();
        let read = usize::try_from(left.position()).unwrap_or_default();
        head = left.into_inner().split_off(read);
        passed = true;
    }
}

/// What follows the frames that `head` begins with, as far as it goes.
pub(super) fn behind(mut head: &[u8]) -> &[u8] {
    while let Some((_, rest)) = head.split_first_chunk().filter(|(mark, _)| is_mark(**mark)) {
        let size = rest.first_chunk().and_then(|size| usize::try_from(u32::from_le_bytes(*size)).ok());
        head = size.and_then(|size| rest.get(size.checked_add(4)?..)).unwrap_or_default();
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(size: u32) -> Vec<u8> {
        let content = vec![7; usize::try_from(size).unwrap()];
        [&[0x53, 0x2a, 0x4d, 0x18][..], &size.to_le_bytes(), &content].concat()
    }

    #[test]
    fn frames_of_any_size_are_passed_over() {
        for sizes in [&[][..], &[0], &[3], &[3, 0, 9], &[504], &[505], &[600, 3], &[100_000, 1, 100_000]] {
            let frames: Vec<u8> = sizes.iter().flat_map(|size| frame(*size)).collect();
            for content in [&b""[..], b"x", &[9; 2000]] {
                let bytes = [frames.as_slice(), content].concat();
                let mut input = io::BufReader::with_capacity(97, bytes.as_slice());
                let (mut found, passed) = head(&mut input).unwrap();
                assert!(found.len() <= 512 && passed != sizes.is_empty());
                input.read_to_end(&mut found).unwrap();
                assert!(found == content, "{sizes:?}");
                assert!(behind(&bytes) == content);
            }
            let cut = frames.len().saturating_sub(1);
            let error = head(&mut &frames[..cut]).err().map(|error| error.kind());
            assert!(sizes.is_empty() || error == Some(io::ErrorKind::UnexpectedEof) || *sizes == [0], "{sizes:?}");
        }
    }
}
