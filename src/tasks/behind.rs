//! Bytes that come by a connection, on their way into a file: they are hashed and written by a thread beside the one
//! that drives connections, so that several files grow at once and none holds up the others.

use std::io::{self, Write};

use super::{Ended, aside};

/// Bytes that are handed over at a time: much fewer, and handing over would cost more than hashing.
const PIECE: usize = 256 << 10;

/// A writer that others wait for, with what is still to be written.
#[derive(Debug)]
pub struct Behind<W> {
    /// Gone while it is at work, and after it failed.
    writer: Option<W>,
    pending: Vec<u8>,
    size: u64,
}

impl<W: Write + Send + 'static> Behind<W> {
    /// Goes on with what `writer` has, `size` bytes.
    pub fn new(writer: W, size: u64) -> Self {
        Self { writer: Some(writer), pending: Vec::new(), size }
    }

    /// Bytes that have come, written or not.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes `bytes`, and writes what has come together.
    ///
    /// # Errors
    ///
    /// The writer's; it is gone then.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<io::Result<()>, Ended> {
        self.pending.extend_from_slice(bytes);
        self.size += bytes.len() as u64;
        if self.pending.len() < PIECE {
            return Ok(Ok(()));
        }
        self.settle().await
    }

    /// Writes what is pending.
    async fn settle(&mut self) -> Result<io::Result<()>, Ended> {
        if self.pending.is_empty() {
            return Ok(Ok(()));
        }
        let (pending, mut writer) = (std::mem::take(&mut self.pending), self.writer.take().ok_or(Ended::Thread)?);
        let write = move || writer.write_all(&pending).map(|()| (pending, writer));
        match aside(move |_| write()).await? {
            Ok((mut written, writer)) => {
                written.clear();
                (self.pending, self.writer) = (written, Some(writer));
                Ok(Ok(()))
            }
            Err(error) => Ok(Err(error)),
        }
    }

    /// The writer, which has all that came.
    ///
    /// # Errors
    ///
    /// The writer's.
    pub async fn finish(mut self) -> Result<io::Result<W>, Ended> {
        if let Err(error) = self.settle().await? {
            return Ok(Err(error));
        }
        self.writer.map(Ok).ok_or(Ended::Thread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::Runtime;

    #[test]
    fn everything_is_written_in_its_order() {
        let runtime = Runtime::start().unwrap();
        let pieces: Vec<Vec<u8>> = (0..200_u8).map(|number| vec![number; 7000]).collect();
        let written = runtime.block_on(async {
            let mut behind = Behind::new(Vec::new(), 0);
            for piece in &pieces {
                behind.write(piece).await.unwrap().unwrap();
            }
            assert_eq!(behind.size(), 200 * 7000);
            behind.finish().await.unwrap().unwrap()
        });
        assert_eq!(written, pieces.concat());
    }

    #[test]
    fn an_error_of_the_writer_is_told_and_nothing_is_lost_silently() {
        let runtime = Runtime::start().unwrap();
        runtime.block_on(async {
            let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
            let mut behind = Behind::new(full, 0);
            let error = behind.write(&vec![0; PIECE]).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert!(behind.finish().await.is_err(), "there is no writer any more");
        });
    }
}
