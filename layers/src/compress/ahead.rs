//! Reading on a thread of its own, some pieces ahead: whoever consumes and whoever decodes both have a core.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{Builder, scope};

/// Bytes handed on at a time, and how many such pieces may wait: bounds memory.
const PIECE: usize = 1 << 20;
const WAITING: usize = 4;

/// What the other thread has to tell. That there is no more is said, never concluded from having got nothing.
enum Told {
    Piece(Vec<u8>),
    End,
    Failed(io::Error),
}

/// Hands `consume` a reader of the same bytes, filled by another thread where one is to be had.
pub fn read_ahead<T>(reader: impl Read + Send, consume: impl FnOnce(&mut (dyn Read + Send)) -> T) -> T {
    // Who takes it: the other thread, or the caller if there is none.
    let reader = Mutex::new(Some(reader));
    let take = || reader.lock().unwrap_or_else(PoisonError::into_inner).take();
    scope(|scope| {
        let (to, from) = sync_channel(WAITING);
        let (back, spare) = sync_channel(WAITING + 2);
        let ahead = move || take().into_iter().for_each(|reader| fill(reader, &to, &spare));
        if Builder::new().name("decode".into()).spawn_scoped(scope, ahead).is_err()
            && let Some(mut reader) = take()
        {
            return consume(&mut reader);
        }
        // Dropped at the end, which ends the thread.
        let mut ahead = Ahead { from, back, piece: Vec::new(), at: 0, over: None };
        consume(&mut ahead)
    })
}

fn fill(mut reader: impl Read, to: &SyncSender<Told>, spare: &Receiver<Vec<u8>>) {
    loop {
        let mut piece = spare.try_recv().unwrap_or_default();
        piece.clear();
        piece.reserve(PIECE);
        let read = (&mut reader).take(PIECE as u64).read_to_end(&mut piece);
        let last = match read {
            Err(error) => Some(Told::Failed(error)),
            Ok(_) if piece.len() < PIECE => Some(Told::End),
            Ok(_) => None,
        };
        // Nobody reads any more, or there is nothing left.
        let sent = piece.is_empty() || to.send(Told::Piece(piece)).is_ok();
        if let Some(last) = last.filter(|_| sent) {
            let _ = to.send(last);
            return;
        }
        if !sent {
            return;
        }
    }
}

struct Ahead {
    from: Receiver<Told>,
    back: SyncSender<Vec<u8>>,
    piece: Vec<u8>,
    at: usize,
    /// How it ended, once it has: an error is told as often as one reads on.
    over: Option<Result<(), (io::ErrorKind, String)>>,
}

impl Read for Ahead {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.at == self.piece.len() {
            match &self.over {
                Some(Ok(())) => return Ok(0),
                Some(Err((kind, text))) => return Err(io::Error::new(*kind, text.clone())),
                None => {}
            }
            let told = self.from.recv().unwrap_or_else(|_| Told::Failed(io::Error::other("the decoder died")));
            let next = match told {
                Told::Piece(piece) => piece,
                Told::End => {
                    self.over = Some(Ok(()));
                    return Ok(0);
                }
                Told::Failed(error) => {
                    self.over = Some(Err((error.kind(), error.to_string())));
                    return Err(error);
                }
            };
            let used = std::mem::replace(&mut self.piece, next);
            let _ = self.back.try_send(used);
            self.at = 0;
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

    #[test]
    fn an_error_at_the_boundary_of_a_piece_is_no_end() {
        struct Broken(usize);
        impl Read for Broken {
            fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
                let length = self.0.min(buf.len());
                self.0 -= length;
                if length == 0 { Err(io::Error::other("cut")) } else { Ok(length) }
            }
        }
        for pieces in 0..8 {
            for around in [PIECE - 1, PIECE, PIECE + 1] {
                let size = pieces * PIECE + around;
                read_ahead(Broken(size), |reader| {
                    let mut back = Vec::new();
                    assert_eq!(reader.read_to_end(&mut back).unwrap_err().to_string(), "cut", "{size}");
                    assert_eq!(back.len(), size);
                    assert_eq!(reader.read(&mut [0]).unwrap_err().to_string(), "cut", "{size}");
                });
            }
        }
    }
}
