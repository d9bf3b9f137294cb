//! Bytes that come by a connection, on their way into a file: they are hashed and written by a thread beside the one
//! that drives connections, so that several files grow at once and none holds up the others.

use std::any::Any;
use std::io::{self, Write};
use std::sync::Arc;

use layers::stop::Stop;

use super::{Ended, aside};

/// Bytes that are handed over at a time: much fewer, and handing over would cost more than hashing.
const PIECE: usize = 256 << 10;

/// A writer that others wait for, with what is still to be written.
pub struct Behind<W> {
    /// Gone while it is at work, and after it failed.
    writer: Option<W>,
    pending: Vec<u8>,
    size: u64,
    /// What has to last until the last byte is written, whoever waits for it.
    held: Held,
}

/// Something that others hold as well: locks, of whoever has the file.
pub type Held = Option<Arc<dyn Any + Send + Sync>>;

impl<W: Write + Send + 'static> Behind<W> {
    /// Goes on with what `writer` has, `size` bytes. `held` is let go when nothing is written any more, also where this
    /// is dropped before.
    pub fn new(writer: W, size: u64, held: Held) -> Self {
        Self { writer: Some(writer), pending: Vec::new(), size, held }
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
        let held = self.held.clone();
        let write = move |_: &Stop| {
            let written = writer.write_all(&pending);
            drop(held);
            written.map(|()| (pending, writer))
        };
        match aside(write).await? {
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
    use crate::tasks::{Runtime, Task};

    #[test]
    fn everything_is_written_in_its_order() {
        let runtime = Runtime::start().unwrap();
        let pieces: Vec<Vec<u8>> = (0..200_u8).map(|number| vec![number; 7000]).collect();
        let written = runtime.block_on(async {
            let mut behind = Behind::new(Vec::new(), 0, None);
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
            let mut behind = Behind::new(full, 0, None);
            let error = behind.write(&vec![0; PIECE]).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
            assert!(behind.finish().await.is_err(), "there is no writer any more");
        });
    }

    #[test]
    fn what_is_held_is_held_until_the_last_byte_is_written() {
        struct Slow(std::sync::mpsc::Receiver<()>);
        impl Write for Slow {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.recv().map_err(io::Error::other)?;
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let runtime = Runtime::start().unwrap();
        let (go_on, waits) = std::sync::mpsc::channel();
        let lock: Arc<dyn Any + Send + Sync> = Arc::new(());
        let mut behind = Behind::new(Slow(waits), 0, Some(Arc::clone(&lock)));
        let task = Task::start(runtime.handle(), async move { behind.write(&vec![0; PIECE]).await.map(|_| ()) });
        while Arc::strong_count(&lock) < 3 {
            std::thread::yield_now();
        }
        drop(task);
        assert_eq!(Arc::strong_count(&lock), 2, "what is given up is still being written");
        go_on.send(()).unwrap();
        drop(runtime);
        assert_eq!(Arc::strong_count(&lock), 1);
    }
}
