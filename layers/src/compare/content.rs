//! Where two contents differ: the line of a text, the byte of anything else.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::Source;
use crate::tar::{Kind, TarError, for_each};
use crate::tree::Difference;

/// The field's name, before it is known where.
pub(super) const FIELD: &str = "content";
/// Bytes of a line that are shown, and of anything that is no text.
const LINE: usize = 160;
const BYTES: usize = 8;

/// Says of every content that differs where it does, and what it is there; of files that not everybody may read, only
/// where.
pub(super) fn explain(
    left: &dyn Source,
    right: &dyn Source,
    found: &mut [Difference],
    spill: &Path,
) -> Result<(), TarError> {
    let wanted: Vec<&Path> =
        found.iter().filter(|found| found.field == FIELD).map(|found| found.path.as_path()).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let wanted: BTreeMap<PathBuf, usize> =
        wanted.iter().enumerate().map(|(index, path)| ((*path).to_owned(), index)).collect();
    let place = |side: char, index: usize| spill.join(format!("{side}{index}"));
    let mut private = BTreeSet::new();
    for (side, source) in [('a', left), ('b', right)] {
        for_each::<_, TarError>(source.open()?, |entry, reader| {
            if let (Some(index), Kind::File) = (wanted.get(&entry.path), entry.kind) {
                io::copy(reader, &mut File::create(place(side, *index))?)?;
                // Keys and hashes of passwords have no place in a terminal, or in the log of a CI job.
                if entry.mode & 0o004 == 0 {
                    private.insert(*index);
                }
            }
            Ok(())
        })?;
    }
    for found in found.iter_mut().filter(|found| found.field == FIELD) {
        let Some(index) = wanted.get(&found.path) else { continue };
        let (a, b) = (place('a', *index), place('b', *index));
        // A link in place of a file has no content: the digests stay.
        if a.exists()
            && b.exists()
            && let Some((field, left, right)) = first(&a, &b)?
        {
            found.field = field;
            if !private.contains(index) {
                (found.left, found.right) = (left, right);
            }
        }
        for path in [a, b] {
            let _ = std::fs::remove_file(path);
        }
    }
    Ok(())
}

/// The first byte in which the tars themselves differ.
pub(super) fn offset(left: &dyn Source, right: &dyn Source) -> io::Result<Option<u64>> {
    Ok(differing(left.open()?, right.open()?)?.map(|place| place.offset))
}

/// The first difference of two files: field, and both values.
fn first(left: &Path, right: &Path) -> io::Result<Option<(String, String, String)>> {
    let (mut a, mut b) = (File::open(left)?, File::open(right)?);
    let Some(place) = differing(&a, &b)? else { return Ok(None) };
    let lines = (window(&mut a, place.line_start, LINE)?, window(&mut b, place.line_start, LINE)?);
    // Far into a line, its start says nothing.
    let near = place.offset - place.line_start < LINE as u64;
    Ok(Some(match (line(&lines.0), line(&lines.1)) {
        (Some(one), Some(other)) if near && one != other => (format!("line {}", place.line), one, other),
        _ => {
            let show = |bytes: Vec<u8>| if bytes.is_empty() { "ends here".to_owned() } else { quoted(&bytes) };
            let (one, other) = (window(&mut a, place.offset, BYTES)?, window(&mut b, place.offset, BYTES)?);
            (format!("byte {}", place.offset), show(one), show(other))
        }
    }))
}

/// The first line, if it is text.
fn line(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let line = &bytes[..end];
    let text = match std::str::from_utf8(line) {
        Ok(text) => text,
        // Cut in the middle of a character.
        Err(error) if bytes.len() == LINE && error.error_len().is_none() => {
            std::str::from_utf8(&line[..error.valid_up_to()]).ok()?
        }
        Err(_) => return None,
    };
    let odd = text.chars().any(|c| c.is_control() && c != '\t' && c != '\r');
    (!odd).then(|| if bytes.is_empty() { "ends here".to_owned() } else { format!("{text:?}") })
}

/// Bytes as text where they are, in hexadecimal digits where not.
pub(super) fn quoted(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => format!("{text:?}"),
        _ => bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" "),
    }
}

fn window(file: &mut File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(at))?;
    let mut bytes = Vec::new();
    file.take(length as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Where two streams part.
struct Place {
    offset: u64,
    /// From 1.
    line: u64,
    line_start: u64,
}

fn differing(left: impl Read, right: impl Read) -> io::Result<Option<Place>> {
    let mut left = BufReader::with_capacity(64 << 10, left).bytes();
    let mut right = BufReader::with_capacity(64 << 10, right).bytes();
    let mut place = Place { offset: 0, line: 1, line_start: 0 };
    loop {
        match (left.next().transpose()?, right.next().transpose()?) {
            (None, None) => return Ok(None),
            (Some(a), Some(b)) if a == b => {
                place.offset += 1;
                if a == b'\n' {
                    place.line += 1;
                    place.line_start = place.offset;
                }
            }
            _ => return Ok(Some(place)),
        }
    }
}
