//! HTTP/1.1 messages (RFC 9112): heads as lines, bodies piece by piece.

use std::io::{self, BufRead, Read, Write};

/// The first line and the headers.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) first: String,
    pub(super) headers: Vec<(String, String)>,
}

impl Head {
    /// `None` when the other side has hung up.
    pub(super) fn read(reader: &mut dyn BufRead) -> io::Result<Option<Self>> {
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).map(|_| line.trim_end().to_owned())
        };
        let first = line()?;
        if first.is_empty() {
            return Ok(None);
        }
        let mut headers = Vec::new();
        loop {
            let line = line()?;
            let Some((name, value)) = line.split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        Ok(Some(Self { first, headers }))
    }

    pub(super) fn write(&self, writer: &mut dyn Write) -> io::Result<()> {
        let headers: String = self.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        writer.write_all(format!("{}\r\n{headers}\r\n", self.first).as_bytes())
    }

    /// A word of the first line.
    pub(super) fn word(&self, at: usize) -> &str {
        self.first.split(' ').nth(at).unwrap_or_default()
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}

/// How a body is delimited, and what is left of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
    UntilClose,
}

impl Framing {
    pub(super) fn of_request(head: &Head) -> Self {
        Self::of(head).unwrap_or(Self::Length(0))
    }

    pub(super) fn of_answer(head: &Head, method: &str) -> Self {
        let status = head.word(1);
        if method == "HEAD" || status == "204" || status == "304" {
            return Self::Length(0);
        }
        Self::of(head).unwrap_or(Self::UntilClose)
    }

    fn of(head: &Head) -> Option<Self> {
        let chunked = head.get("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
        let length = || head.get("content-length")?.parse().ok().map(Self::Length);
        if chunked { Some(Self::Chunked) } else { length() }
    }

    /// The next piece; `None` at the end.
    pub(super) fn next(&mut self, reader: &mut dyn BufRead) -> io::Result<Option<Vec<u8>>> {
        const PIECE: u64 = 64 << 10;
        match self {
            Self::Length(0) => Ok(None),
            Self::Length(left) => {
                let mut piece = vec![0; usize::try_from(PIECE.min(*left)).unwrap()];
                let length = reader.read(&mut piece)?;
                piece.truncate(length);
                *left -= length as u64;
                if length == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(Some(piece)) }
            }
            Self::UntilClose => {
                let mut piece = Vec::new();
                reader.take(PIECE).read_to_end(&mut piece)?;
                Ok(Some(piece).filter(|piece| !piece.is_empty()))
            }
            Self::Chunked => {
                let mut line = String::new();
                reader.read_line(&mut line)?;
                let size = u64::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
                let mut piece = vec![0; usize::try_from(size).unwrap() + 2];
                reader.read_exact(&mut piece)?;
                piece.truncate(piece.len() - 2);
                Ok(Some(piece).filter(|piece| !piece.is_empty()))
            }
        }
    }

    /// Writes a piece the same way.
    pub(super) fn write(self, writer: &mut dyn Write, piece: &[u8]) -> io::Result<()> {
        if self != Self::Chunked {
            return writer.write_all(piece);
        }
        writer.write_all(format!("{:x}\r\n", piece.len()).as_bytes())?;
        writer.write_all(piece)?;
        writer.write_all(b"\r\n")
    }

    /// Writes what ends a body.
    pub(super) fn end(self, writer: &mut dyn Write) -> io::Result<()> {
        if self == Self::Chunked { writer.write_all(b"0\r\n\r\n") } else { Ok(()) }
    }
}
