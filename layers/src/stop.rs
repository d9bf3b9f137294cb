//! Work that may have to end early: whoever waits for it says so, and it notices soon.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A word that is given once, and seen by all who hold a copy.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

/// What work says that was told to stop.
const STOPPED: &str = "it was told to stop";

impl Stop {
    /// Tells all to stop.
    pub fn tell(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// True once they were told.
    pub fn is_told(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// An error once they were told.
    pub fn check(&self) -> io::Result<()> {
        if self.is_told() { Err(io::Error::other(STOPPED)) } else { Ok(()) }
    }

    /// A reader of the same bytes, which fails once they were told.
    pub fn reader<R: Read>(&self, reader: R) -> impl Read + use<R> {
        Reader { reader, stop: self.clone() }
    }
}

struct Reader<R> {
    reader: R,
    stop: Stop,
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stop.check()?;
        self.reader.read(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_fails_from_then_on() {
        let stop = Stop::default();
        let mut reader = stop.reader(io::repeat(1));
        reader.read_exact(&mut [0; 9]).unwrap();
        stop.tell();
        assert_eq!(reader.read(&mut [0; 9]).unwrap_err().to_string(), STOPPED);
    }
}
