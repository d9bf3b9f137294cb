//! The members of a Debian package: an `ar` archive of three (deb(5)).

use std::io::{self, Read};

use super::UnpackError;

/// The first bytes of every `ar` archive.
pub const MAGIC: &[u8] = b"!<arch>\n";

const HEADER: usize = 60;

/// What a package consists of, in this order; members between them whose names begin with `_` are nobody's.
const MEMBERS: [&str; 3] = ["debian-binary", "control.tar", "data.tar"];

/// How the tars may be compressed.
const ENDS: [&str; 6] = ["", ".gz", ".xz", ".zst", ".bz2", ".lzma"];

/// Hands the member `name` (`control.tar`, `data.tar`), still compressed, to `read`.
pub fn member<T>(
    mut file: impl Read + Send,
    name: &str,
    read: impl FnOnce(&mut (dyn Read + Send)) -> Result<T, UnpackError>,
) -> Result<T, UnpackError> {
    let mut magic = [0; 8];
    file.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(invalid("not a Debian package".into()));
    }
    let mut wanted = MEMBERS.iter();
    loop {
        let (found, size) = header(&mut file, name)?;
        let mut content = (&mut file).take(size);
        if !found.starts_with('_') {
            let expected = *wanted.next().unwrap_or(&name);
            let end = found.strip_prefix(expected);
            if !end.is_some_and(|end| ENDS.contains(&end) && (end.is_empty() || expected != MEMBERS[0])) {
                let path = crate::path::shown(found.as_bytes());
                return Err(invalid(format!("the Debian package has `{path}` where {expected} belongs")));
            }
            if expected == MEMBERS[0] {
                version(&mut content)?;
            }
            if expected == name {
                let read = read(&mut content)?;
                // What the reader did not need must be there all the same.
                io::copy(&mut content, &mut io::sink())?;
                let cut = || invalid(format!("the Debian package is cut off in its {name}"));
                return if content.limit() > 0 { Err(cut()) } else { Ok(read) };
            }
        }
        io::copy(&mut content, &mut io::sink())?;
        if content.limit() > 0 {
            return Err(invalid("the Debian package is cut off".into()));
        }
        if size % 2 == 1 {
            file.read_exact(&mut [0])?;
        }
    }
}

fn invalid(text: String) -> UnpackError {
    UnpackError::Read(io::Error::new(io::ErrorKind::InvalidData, text))
}

/// Name and size of the next member (ar(5): name 16, time 12, owner 6, group 6, mode 8, size 10, two bytes of end
/// mark). There must be one, since `name` has not come yet.
fn header(file: &mut impl Read, name: &str) -> Result<(String, u64), UnpackError> {
    let mut header = [0; HEADER];
    match file.read_exact(&mut header) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(invalid(format!("the Debian package has no {name}")));
        }
        other => other?,
    }
    let field = |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]).trim_end().to_owned();
    let size = field(48..58);
    let digits = !size.is_empty() && size.bytes().all(|byte| byte.is_ascii_digit());
    let size = size.parse().ok().filter(|_| digits && &header[58..] == b"`\n");
    let size = size.ok_or_else(|| invalid("the Debian package is damaged".into()))?;
    // Some tools end names with a slash.
    let found = field(0..16);
    Ok((found.strip_suffix('/').unwrap_or(&found).to_owned(), size))
}

/// deb(5): the first line of `debian-binary` is the version of the format, of which 2 is understood.
fn version(content: &mut impl Read) -> Result<(), UnpackError> {
    let mut text = Vec::new();
    content.take(16).read_to_end(&mut text)?;
    if text.starts_with(b"2.") && text.contains(&b'\n') {
        return Ok(());
    }
    Err(invalid("the Debian package is of a version of the format that is not known; 2.0 is".into()))
}
