//! Sparse files, in GNU tar's own format and in its three PAX formats (GNU tar manual, "Storing Sparse Files").

use std::io::{self, Read};

use tar::GnuHeader;

/// Data at an offset of the whole file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    offset: u64,
    length: u64,
}

/// A map longer than this is not one of a file anybody has.
const MAX_SEGMENTS: usize = 1 << 20;

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the map of a sparse file is malformed")
}

/// What PAX records say of a sparse file.
#[derive(Default)]
pub(super) struct Pax {
    pub(super) name: Option<Vec<u8>>,
    size: Option<u64>,
    in_data: bool,
    segments: Vec<Segment>,
    offset: Option<u64>,
}

impl Pax {
    /// One record, its key without `GNU.sparse.`.
    pub(super) fn record(&mut self, key: &str, value: &[u8]) -> Option<()> {
        let text = std::str::from_utf8(value).ok();
        let number = || text?.parse::<u64>().ok();
        match key {
            "name" => self.name = Some(value.to_vec()),
            "realsize" | "size" => self.size = Some(number()?),
            "major" => self.in_data = number()? == 1,
            "offset" => self.offset = Some(number()?),
            "numbytes" => {
                let offset = self.offset.take()?;
                self.push(offset, number()?)?;
            }
            "map" => {
                let numbers: Vec<u64> = text?.split(',').map(|n| n.parse().ok()).collect::<Option<_>>()?;
                for pair in numbers.chunks(2) {
                    self.push(pair[0], *pair.get(1)?)?;
                }
            }
            _ => {}
        }
        Some(())
    }

    fn push(&mut self, offset: u64, length: u64) -> Option<()> {
        self.segments.push(Segment { offset, length });
        (self.segments.len() <= MAX_SEGMENTS).then_some(())
    }

    /// The size of the whole file and its segments; `None` for a file that is not sparse. Format 1.0 has them at the
    /// beginning of the content: as many as the first line says, numbers on lines, padded to a block.
    pub(super) fn segments(self, content: &mut impl Read) -> io::Result<Option<(u64, Vec<Segment>)>> {
        let Some(size) = self.size else { return Ok(None) };
        if !self.in_data {
            return Ok(Some((size, self.segments)));
        }
        let mut read = 0_u64;
        let mut number = || -> io::Result<u64> {
            let mut value = 0_u64;
            loop {
                let mut byte = [0];
                content.read_exact(&mut byte)?;
                read += 1;
                match byte[0] {
                    b'\n' => return Ok(value),
                    digit @ b'0'..=b'9' => {
                        let next = value.checked_mul(10).and_then(|v| v.checked_add(u64::from(digit - b'0')));
                        value = next.ok_or_else(malformed)?;
                    }
                    _ => return Err(malformed()),
                }
            }
        };
        let count = usize::try_from(number()?).ok().filter(|count| *count <= MAX_SEGMENTS).ok_or_else(malformed)?;
        let mut segments = Vec::new();
        for _ in 0..count {
            segments.push(Segment { offset: number()?, length: number()? });
        }
        let padding = read.next_multiple_of(512) - read;
        let mut padding = content.take(padding);
        io::copy(&mut padding, &mut io::sink())?;
        if padding.limit() > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some((size, segments)))
    }
}

/// GNU's own format: four segments in the header, more in blocks of their own after it.
pub(super) fn gnu(header: &GnuHeader, content: &mut impl Read) -> io::Result<(u64, Vec<Segment>)> {
    let size = header.real_size()?;
    let mut segments = Vec::new();
    let mut add = |sparse: &tar::GnuSparseHeader| -> io::Result<()> {
        if !sparse.is_empty() {
            segments.push(Segment { offset: sparse.offset()?, length: sparse.length()? });
        }
        if segments.len() > MAX_SEGMENTS { Err(malformed()) } else { Ok(()) }
    };
    header.sparse.iter().try_for_each(&mut add)?;
    let mut more = header.is_extended();
    while more {
        let mut block = tar::GnuExtSparseHeader::new();
        content.read_exact(block.as_mut_bytes())?;
        block.sparse().iter().try_for_each(&mut add)?;
        more = block.is_extended();
    }
    Ok((size, segments))
}

/// Whether a file of this size can have these segments: in their order, none over another, none beyond the end.
fn validate(segments: &[Segment], size: u64) -> io::Result<()> {
    let mut end = 0;
    for segment in segments {
        if segment.offset < end {
            return Err(malformed());
        }
        end = segment.offset.checked_add(segment.length).filter(|end| *end <= size).ok_or_else(malformed)?;
    }
    Ok(())
}

/// The whole file: stored data where there is some, zeros elsewhere. Data that no segment refers to is an error, since it
/// would be lost.
pub(super) struct SparseReader<R> {
    data: R,
    segments: std::vec::IntoIter<Segment>,
    current: Option<Segment>,
    at: u64,
    size: u64,
}

impl<R: Read> SparseReader<R> {
    pub(super) fn new(data: R, segments: Vec<Segment>, size: u64) -> io::Result<Self> {
        validate(&segments, size)?;
        let mut segments = segments.into_iter();
        let current = segments.next();
        Ok(Self { data, segments, current, at: 0, size })
    }

    /// Where the hole that begins here ends; not behind here if there is none.
    fn hole_end(&mut self) -> io::Result<u64> {
        while self.current.is_some_and(|segment| segment.length == 0) {
            self.current = self.segments.next();
        }
        match self.current {
            Some(segment) => Ok(segment.offset),
            None => {
                let mut rest = [0];
                loop {
                    match self.data.read(&mut rest) {
                        Ok(0) => return Ok(self.size),
                        Ok(_) => return Err(malformed()),
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }
}

impl<R: Read> super::Content for SparseReader<R> {
    fn hole(&mut self) -> io::Result<u64> {
        let until = self.hole_end()?;
        let length = until.saturating_sub(self.at);
        self.at += length;
        Ok(length)
    }
}

impl<R: Read> Read for SparseReader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let until = self.hole_end()?;
        if self.at < until {
            let length = usize::try_from(until - self.at).unwrap_or(usize::MAX).min(buf.len());
            buf[..length].fill(0);
            self.at += length as u64;
            return Ok(length);
        }
        let Some(segment) = &mut self.current else { return Ok(0) };
        let wanted = usize::try_from(segment.length).unwrap_or(usize::MAX).min(buf.len());
        let length = self.data.read(&mut buf[..wanted])?;
        if length == 0 && wanted > 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        }
        segment.offset += length as u64;
        segment.length -= length as u64;
        self.at += length as u64;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(data: &[u8], segments: &[(u64, u64)], size: u64) -> io::Result<Vec<u8>> {
        let segments = segments.iter().map(|&(offset, length)| Segment { offset, length }).collect();
        let mut whole = Vec::new();
        SparseReader::new(data, segments, size)?.read_to_end(&mut whole)?;
        Ok(whole)
    }

    #[test]
    fn data_is_where_its_map_says() {
        assert_eq!(read(b"abcd", &[(1, 2), (4, 2)], 8).unwrap(), b"\0ab\0cd\0\0");
        assert_eq!(read(b"ab", &[(0, 2), (8, 0)], 8).unwrap(), b"ab\0\0\0\0\0\0");
        assert_eq!(read(b"", &[], 3).unwrap(), b"\0\0\0");
    }

    #[test]
    fn a_map_that_would_lose_data_is_an_error() {
        for (data, segments, size) in [
            (&b"abcd"[..], &[(0, 2), (8, 2)][..], 8),
            (b"abcd", &[(0, 2), (1, 2)], 8),
            (b"abcd", &[(4, 2), (0, 2)], 8),
            (b"ab", &[(u64::MAX - 9, 10), (0, 2)], 8),
            (b"ab", &[(u64::MAX - 9, 12)], u64::MAX),
            (b"ab", &[(0, 2), (9, 0)], 8),
            (b"abcd", &[(0, 2)], 8),
            (b"a", &[], 8),
        ] {
            let error = read(data, segments, size).unwrap_err();
            assert_eq!(error.to_string(), malformed().to_string(), "{segments:?}");
        }
        assert_eq!(read(b"ab", &[(0, 3)], 8).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
