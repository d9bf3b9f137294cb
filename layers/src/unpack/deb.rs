//! The members of a Debian package: an `ar` archive of three (deb(5)).

use std::io::{self, Read};

use super::UnpackError;

/// The first bytes of every `ar` archive.
pub const MAGIC: &[u8] = b"!<arch>\n";

const HEADER: usize = 60;

/// Hands the member whose name begins with `name` (`control.tar`, `data.tar`), still compressed, to `read`.
pub fn member<T>(
    mut file: impl Read + Send,
    name: &str,
    read: impl FnOnce(&mut (dyn Read + Send)) -> Result<T, UnpackError>,
) -> Result<T, UnpackError> {
    let invalid = |text: String| UnpackError::Read(io::Error::new(io::ErrorKind::InvalidData, text));
    let mut magic = [0; 8];
    file.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(invalid("not a Debian package".into()));
    }
    loop {
        let mut header = [0; HEADER];
        match file.read_exact(&mut header) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(invalid(format!("the Debian package has no {name}")));
            }
            other => other?,
        }
        // ar(5): name 16, time 12, owner 6, group 6, mode 8, size 10, two bytes of end mark.
        let field = |range: std::ops::Range<usize>| String::from_utf8_lossy(&header[range]).trim().to_owned();
        if &header[58..] != b"`\n" {
            return Err(invalid("the Debian package is damaged".into()));
        }
        let size: u64 = field(48..58).parse().map_err(|_| invalid("the Debian package is damaged".into()))?;
        let mut content = (&mut file).take(size);
        if field(0..16).starts_with(name) {
            let read = read(&mut content)?;
            // What the reader did not need must be there all the same.
            io::copy(&mut content, &mut io::sink())?;
            return if content.limit() > 0 {
                Err(invalid(format!("the Debian package is cut off in its {name}")))
            } else {
                Ok(read)
            };
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
