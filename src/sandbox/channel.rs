//! Framed messages over a socket pair: values as JSON, and what commands print as raw bytes. A value may bring a
//! descriptor along (unix(7), `SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Mutex;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The largest frame taken; requests carry whole steps, with the files they write.
const LIMIT: u32 = 256 << 20;
const VALUE: u8 = 0;
const OUTPUT: u8 = 1;
/// A value after which one byte comes that carries a descriptor.
const VALUE_AND_DESCRIPTOR: u8 = 2;

/// One end of a socket pair. Frames may be sent from several threads; one thread receives. Where one is cut off, nobody
/// could tell where the next begins: it is the last, for both ends.
pub struct Channel {
    reader: UnixStream,
    writer: Mutex<UnixStream>,
    /// What came with the last value.
    came: Mutex<Option<OwnedFd>>,
}

/// What came over the channel.
#[derive(Debug)]
pub enum Frame<T> {
    /// A value.
    Value(T),
    /// A piece of a command's output.
    Output(Vec<u8>),
}

impl Channel {
    /// A connected pair.
    pub fn pair() -> io::Result<(Self, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((Self::from_stream(ours)?, theirs))
    }

    /// The inherited end.
    pub fn from_fd(fd: OwnedFd) -> io::Result<Self> {
        Self::from_stream(fd.into())
    }

    fn from_stream(reader: UnixStream) -> io::Result<Self> {
        let writer = Mutex::new(reader.try_clone()?);
        Ok(Self { reader, writer, came: Mutex::default() })
    }

    /// Sends a value.
    pub fn send(&self, value: &impl Serialize) -> io::Result<()> {
        self.frame(VALUE, &serde_json::to_vec(value)?, None)
    }

    /// Sends a value and a descriptor.
    pub fn send_with(&self, value: &impl Serialize, descriptor: &impl AsFd) -> io::Result<()> {
        self.frame(VALUE_AND_DESCRIPTOR, &serde_json::to_vec(value)?, Some(descriptor.as_fd()))
    }

    /// The descriptor that came with the last value.
    pub fn take_descriptor(&self) -> io::Result<OwnedFd> {
        let came = self.came.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        came.ok_or_else(|| io::Error::other("a message without its descriptor"))
    }

    /// Sends a piece of output.
    pub fn send_output(&self, bytes: &[u8]) -> io::Result<()> {
        self.frame(OUTPUT, bytes, None)
    }

    /// Ends it, so that nobody waits for what does not come.
    pub fn end(&self) {
        // What is closed already needs no end.
        let _ = self.reader.shutdown(Shutdown::Both);
    }

    fn frame(&self, kind: u8, payload: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let sent = self.write(kind, payload, descriptor);
        if sent.is_err() {
            self.end();
        }
        sent
    }

    fn write(&self, kind: u8, payload: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let length = u32::try_from(payload.len()).ok().filter(|length| *length <= LIMIT);
        let length = length.ok_or_else(|| io::Error::other("message too large"))?;
        let mut head = [kind; 5];
        head[1..].copy_from_slice(&length.to_le_bytes());
        let mut writer = self.writer.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        writer.write_all(&head)?;
        writer.write_all(payload)?;
        let Some(descriptor) = descriptor else { return Ok(()) };
        let descriptors = [descriptor];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        sendmsg(&*writer, &[IoSlice::new(&[0])], &mut control, SendFlags::NOSIGNAL)?;
        Ok(())
    }

    fn receive_descriptor(&self) -> io::Result<OwnedFd> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        recvmsg(&self.reader, &mut [IoSliceMut::new(&mut [0])], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        let mut all = control.drain().filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        all.next().ok_or_else(|| io::Error::other("a message without its descriptor"))
    }

    /// The next frame; `None` when the other end is closed.
    pub fn receive<T: DeserializeOwned>(&self) -> io::Result<Option<Frame<T>>> {
        let received = self.read();
        if received.is_err() {
            self.end();
        }
        received
    }

    fn read<T: DeserializeOwned>(&self) -> io::Result<Option<Frame<T>>> {
        let mut reader = &self.reader;
        let mut head = [0; 5];
        if let Err(error) = reader.read_exact(&mut head) {
            let closed = matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
            return if closed { Ok(None) } else { Err(error) };
        }
        let [kind, length @ ..] = head;
        let length = u32::from_le_bytes(length);
        if length > LIMIT {
            return Err(io::Error::other("message too large"));
        }
        let mut payload = vec![0; length as usize];
        reader.read_exact(&mut payload)?;
        match kind {
            VALUE_AND_DESCRIPTOR => {
                let came = self.receive_descriptor()?;
                *self.came.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(came);
                Ok(Some(Frame::Value(serde_json::from_slice(&payload)?)))
            }
            VALUE => Ok(Some(Frame::Value(serde_json::from_slice(&payload)?))),
            OUTPUT => Ok(Some(Frame::Output(payload))),
            other => Err(io::Error::other(format!("unknown frame kind {other}"))),
        }
    }

    /// The next value, with output frames handed to `output`.
    pub fn receive_value<T: DeserializeOwned>(&self, mut output: impl FnMut(Vec<u8>)) -> io::Result<Option<T>> {
        loop {
            match self.receive()? {
                None => return Ok(None),
                Some(Frame::Value(value)) => return Ok(Some(value)),
                Some(Frame::Output(bytes)) => output(bytes),
            }
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reader.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_output_arrive_in_order() {
        let (ours, theirs) = Channel::pair().unwrap();
        let theirs = Channel::from_fd(theirs.into()).unwrap();
        ours.send_output(b"hello").unwrap();
        ours.send(&vec![1, 2, 3]).unwrap();
        drop(ours);
        let mut printed = Vec::new();
        let value: Option<Vec<u32>> = theirs.receive_value(|bytes| printed.extend(bytes)).unwrap();
        assert_eq!((value, printed.as_slice()), (Some(vec![1, 2, 3]), b"hello".as_slice()));
        assert!(theirs.receive::<u32>().unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_read_is_the_last_for_both() {
        let (ours, theirs) = Channel::pair().unwrap();
        let theirs = Channel::from_fd(theirs.into()).unwrap();
        ours.send(&"text").unwrap();
        assert!(theirs.receive_value::<u32>(|_| ()).is_err());
        assert!(ours.send(&1).is_err());
        assert!(ours.receive_value::<u32>(|_| ()).unwrap().is_none());
    }

    #[test]
    fn a_descriptor_comes_with_its_value_and_is_not_inherited() {
        let (ours, theirs) = Channel::pair().unwrap();
        let theirs = Channel::from_fd(theirs.into()).unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"content").unwrap();
        ours.send(&1).unwrap();
        ours.send_with(&2, &file).unwrap();
        ours.send(&3).unwrap();
        let next = || theirs.receive_value::<u32>(|_| ()).unwrap();
        assert_eq!(next(), Some(1));
        assert!(theirs.take_descriptor().is_err());
        assert_eq!(next(), Some(2));
        let came = theirs.take_descriptor().unwrap();
        assert_eq!(next(), Some(3));
        assert!(rustix::io::fcntl_getfd(&came).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        assert_eq!(std::fs::File::from(came).metadata().unwrap().len(), 7);
    }
}
