//! Reading on a thread of its own, some pieces ahead: whoever consumes and whoever decodes both have a core.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// Bytes handed on at a time, and how many such pieces may wait: bounds memory.
const PIECE: usize = 1 << 20;
const WAITING: usize = 4;

/// Hands `consume` a reader of the same bytes, filled by another thread.
pub fn read_ahead<T>(reader: impl Read + Send, consume: impl FnOnce(&mut (dyn Read + Send)) -> T) -> T {
    std::thread::scope(|scope| {
        let (to, from) = sync_channel(WAITING);
        let (back, spare) = sync_channel(WAITING + 2);
        scope.spawn(move || fill(reader, &to, &spare));
        // Dropped at the end, which ends the thread.
        let mut ahead = Ahead { from, back, piece: Vec::new(), at: 0, ended: false };
        consume(&mut ahead)
    })
}

fn fill(mut reader: impl Read, to: &SyncSender<io::Result<Vec<u8>>>, spare: &Receiver<Vec<u8>>) {
    loop {
        let mut piece = spare.try_recv().unwrap_or_default();
        piece.clear();
        piece.reserve(PIECE);
        let read = (&mut reader).take(PIECE as u64).read_to_end(&mut piece);
        let end = piece.is_empty();
        let sent = match read {
            Ok(_) => to.send(Ok(piece)),
            Err(error) => {
                let _ = to.send(Ok(piece));
                let _ = to.send(Err(error));
                return;
            }
        };
        // Nobody reads any more, or there is nothing left.
        if sent.is_err() || end {
            return;
        }
    }
}

struct Ahead {
    from: Receiver<io::Result<Vec<u8>>>,
    back: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            if self.ended {
                return Ok(0);
            }
            let lost = |_| io::Error::other("the decoder died");
            let next = self.from.recv().map_err(lost).and_then(|piece| piece).inspect_err(|_| self.ended = true)?;
            let used = std::mem::replace(&mut self.piece, next);
            let _ = self.back.try_send(used);
            self.at = 0;
            self.ended = self.piece.is_empty();
        }
        let length = buf.len().min(self.piece.len() - self.at);
        buf[..length].copy_from_slice(&self.piece[self.at..self.at + length]);
        self.at += length;
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_bytes_and_the_same_end() {
        let data: Vec<u8> = (0..5_000_000_u32).map(|n| (n % 251) as u8).collect();
        let mut back = Vec::new();
        read_ahead(data.as_slice(), |reader| reader.read_to_end(&mut back)).unwrap();
        assert!(back == data);
        // A consumer that stops early ends the other thread.
        read_ahead(io::repeat(1), |reader| reader.read_exact(&mut [0; 10])).unwrap();
    }

    #[test]
    fn errors_come_behind_what_was_read() {
        struct Broken(bool);
        impl Read for Broken {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("cut"));
                }
                buf[0] = 9;
                Ok(1)
            }
        }
        let mut back = Vec::new();
        let error = read_ahead(Broken(false), |reader| reader.read_to_end(&mut back)).unwrap_err();
        assert_eq!((error.to_string().as_str(), back.as_slice()), ("cut", &[9][..]));
    }
}
