//! Python bytecode names its source's time; when the layer clamps that time, the bytecode has to follow, or Python
//! would compile every module anew in every container (PEP 552).

use std::io::{self, Read};

const HEADER: u64 = 16;

/// The first bytes of `file` with the time clamped to `mtime_max`; `file` then stands behind them. Files that are
/// not bytecode, or that go by a hash of the source, come through unchanged.
pub(crate) fn clamped_header(file: &mut impl Read, mtime_max: u64) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(HEADER).read_to_end(&mut head)?;
    if let [_, _, b'\r', b'\n', 0, 0, 0, 0, a, b, c, d, ..] = head[..] {
        let mtime = u32::from_le_bytes([a, b, c, d]);
        let clamped = u64::from(mtime).min(mtime_max);
        head[8..12].copy_from_slice(&u32::try_from(clamped).unwrap_or(u32::MAX).to_le_bytes());
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_time_of_the_source_changes() {
        let bytecode = b"\xa7\r\r\n\0\0\0\0\xff\xff\xff\x7f\x01\0\0\0code";
        let mut rest = &bytecode[..];
        let head = clamped_header(&mut rest, 0x0102_0304).unwrap();
        assert_eq!(head, b"\xa7\r\r\n\0\0\0\0\x04\x03\x02\x01\x01\0\0\0");
        assert_eq!(rest, b"code");
        let by_hash = b"\xa7\r\r\n\x01\0\0\0\xff\xff\xff\x7f\x01\0\0\0";
        assert_eq!(clamped_header(&mut &by_hash[..], 0).unwrap(), by_hash);
        assert_eq!(clamped_header(&mut &b"x"[..], 0).unwrap(), b"x");
    }
}
