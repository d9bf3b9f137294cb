//! The end of a compressed stream and its failure, told apart: a decoder's end is believed only when its format has
//! proved it, and who has seen an error once sees it again.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Format;
use super::behind::Behind;

/// What a decoder reads from. A signal ends no read here: a decoder that gives up in the middle of a step because of
/// one cannot go on.
pub(super) struct Input<R> {
    inner: R,
    failed: Arc<AtomicBool>,
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.inner.read(buf) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failed.store(true, Ordering::Relaxed);
                    return Err(error);
                }
                Ok(length) => return Ok(length),
            }
        }
    }
}

/// The input of a decoder, and what tells whether it failed.
pub(super) fn input<R: Read>(inner: R) -> (Input<R>, Arc<AtomicBool>) {
    let failed = Arc::new(AtomicBool::new(false));
    (Input { inner, failed: Arc::clone(&failed) }, failed)
}

/// A decoder whose errors stay, and say which format is damaged.
pub(super) struct Whole<R> {
    decoder: R,
    format: Format,
    input_failed: Arc<AtomicBool>,
    failure: Option<(io::ErrorKind, String)>,
    /// The stream is whole, and is followed by what is none: told as often as one asks.
    behind: Option<Behind>,
}

impl<R: Read> Whole<R> {
    pub(super) fn new(decoder: R, format: Format, input_failed: Arc<AtomicBool>) -> Self {
        Self { decoder, format, input_failed, failure: None, behind: None }
    }

    /// An error of the input is the input's; one of the decoder speaks of the format.
    fn told(&self, error: io::Error) -> io::Error {
        let Some(name) = self.format.name() else { return error };
        if self.input_failed.load(Ordering::Relaxed) {
            return error;
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => io::Error::new(error.kind(), format!("the {name} stream is cut off")),
            io::ErrorKind::OutOfMemory => error,
            kind => match Behind::of(&error) {
                Some(behind) => behind.named(name).error(),
                None => io::Error::new(kind, format!("the {name} stream is damaged: {error}")),
            },
        }
    }
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if let Some(behind) = &self.behind {
            return Err(behind.error());
        }
        if let Some((kind, text)) = &self.failure {
            return Err(io::Error::new(*kind, text.clone()));
        }
        match self.decoder.read(buf) {
            Ok(length) => Ok(length),
            Err(error) => {
                let error = self.told(error);
                self.failure = Some((error.kind(), error.to_string()));
                self.behind = Behind::of(&error).cloned();
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_seen_by_whoever_reads_on() {
        struct Once(u8);
        impl Read for Once {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                self.0 += 1;
                match self.0 {
                    1 => Err(io::ErrorKind::Interrupted.into()),
                    2 => Err(io::Error::other("the disk is gone")),
                    _ => Ok(0),
                }
            }
        }
        let (input, failed) = input(Once(0));
        let mut whole = Whole::new(input, Format::Gzip, failed);
        for _ in 0..3 {
            assert_eq!(whole.read(&mut [0; 4]).unwrap_err().to_string(), "the disk is gone");
        }
    }
}
