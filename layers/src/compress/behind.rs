//! What stands behind the end of a compressed stream: another one, zeros with which tapes and some mirrors fill up a
//! block, or something that is none of it. All formats are read alike.

use std::io::{self, BufRead, Read};

/// Something follows the end of a stream, and is none itself. The stream is whole; whether what it holds needs what
/// follows is known by whoever reads that.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}there is something behind its end that is no {what}", stream.map_or(String::new(), damaged))]
pub(crate) struct Behind {
    /// What could follow.
    what: &'static str,
    /// What the stream is called.
    stream: Option<&'static str>,
}

fn damaged(stream: &str) -> String {
    format!("the {stream} stream is damaged: ")
}

impl Behind {
    /// That error, if it is one.
    pub(super) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What is to be said of it where the stream held all that was wanted.
    pub(crate) fn remark(error: &io::Error) -> Option<String> {
        let stream = Self::of(error)?.stream.unwrap_or("compressed");
        Some(format!("what follows the end of its {stream} stream is left out: the archive in it is whole"))
    }

    /// Such an error, for a stream that could be followed by `what`.
    pub(super) fn no(what: &'static str) -> io::Error {
        Self { what, stream: None }.error()
    }

    /// The same, of a stream that is called so.
    pub(super) fn named(&self, stream: &'static str) -> Self {
        Self { what: self.what, stream: Some(stream) }
    }

    pub(super) fn error(&self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self.clone())
    }
}

/// The first `N` bytes of what follows a stream; none where nothing does. With `zeros`, those may follow, up to the end of
/// all. `what` could follow.
pub(super) fn mark<const N: usize>(
    input: &mut impl BufRead,
    zeros: bool,
    what: &'static str,
) -> io::Result<Option<[u8; N]>> {
    let mut mark = Vec::new();
    input.take(N as u64).read_to_end(&mut mark)?;
    if mark.is_empty() {
        return Ok(None);
    }
    if zeros && mark.iter().all(|byte| *byte == 0) && only_zeros(input)? {
        return Ok(None);
    }
    mark.try_into().map(Some).map_err(|_| Behind::no(what))
}

/// Reads on to the first byte that is no zero; true if there is none.
fn only_zeros(input: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let rest = input.fill_buf()?;
        let (length, zeros) = (rest.len(), rest.iter().all(|byte| *byte == 0));
        if length == 0 || !zeros {
            return Ok(zeros);
        }
        input.consume(length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_up_to_the_end_are_nothing() {
        let four = |bytes: &[u8], zeros| mark::<4>(&mut io::BufReader::with_capacity(3, bytes), zeros, "x");
        for nothing in [&b""[..], &[0], &[0; 3], &[0; 4], &[0; 700]] {
            assert_eq!(four(nothing, true).unwrap(), None);
        }
        assert_eq!(four(b"", false).unwrap(), None);
        assert_eq!(four(b"mark and more", true).unwrap(), Some(*b"mark"));
        assert_eq!(four(&[0; 4], false).unwrap(), Some([0; 4]));
        assert!(Behind::of(&four(b"x", true).unwrap_err()).is_some());
        assert!(Behind::of(&four(&[0], false).unwrap_err()).is_some());
        // It is no mark of anything.
        assert_eq!(four(b"\0\0\0\0\0\0\0x", true).unwrap(), Some([0; 4]));
    }
}
