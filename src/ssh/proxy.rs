//! A socket that speaks for the agent, as long as it is lent.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::os::unix::net::UnixListener as Bound;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::Handle;

use super::{SOCKET, Ssh, message};
use crate::tasks::Task;

/// Connections at a time. Those that come when there are so many wait.
const MOST: usize = 16;
/// How long it waits where the machine has no descriptor for a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// An agent that is lent. When this is dropped, the socket is gone, every connection is closed, and nothing is at work
/// any more.
#[derive(Debug)]
pub struct Proxy {
    socket: PathBuf,
    /// Deleted with it.
    directory: Option<PathBuf>,
    task: Option<Task<()>>,
}

impl Ssh {
    /// Lends the agent by a socket in `directory`, which must not exist, and which nobody else on the machine may enter:
    /// to a sandbox, whose users all may connect.
    pub fn lend_in(&self, directory: PathBuf, runtime: &Handle) -> io::Result<Proxy> {
        DirBuilder::new().mode(0o700).create(&directory)?;
        let mut proxy = Proxy { socket: directory.join(SOCKET), directory: Some(directory), task: None };
        let bound = bind(&proxy.socket)?;
        fs::set_permissions(&proxy.socket, Permissions::from_mode(0o666))?;
        proxy.task = Some(self.serve(bound, runtime)?);
        Ok(proxy)
    }

    /// Lends the agent by a socket in `directory`, in which only its owner may make names: to one user of the machine,
    /// and to root.
    pub fn lend_to(&self, directory: &Path, (uid, gid): (u32, u32), runtime: &Handle) -> io::Result<Proxy> {
        let mut proxy = Proxy { socket: directory.join(SOCKET), directory: None, task: None };
        let bound = bind(&proxy.socket)?;
        chown(&proxy.socket, Some(uid), Some(gid))?;
        proxy.task = Some(self.serve(bound, runtime)?);
        Ok(proxy)
    }

    fn serve(&self, bound: Bound, runtime: &Handle) -> io::Result<Task<()>> {
        bound.set_nonblocking(true)?;
        let listener = {
            let _inside = runtime.enter();
            UnixListener::from_std(bound)?
        };
        Ok(Task::start(runtime, accept(listener, self.agent.clone())))
    }
}

impl Proxy {
    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.take();
        // What cannot be deleted goes with the directory of the build.
        let _ = fs::remove_file(&self.socket);
        let _ = self.directory.as_ref().map(fs::remove_dir);
    }
}

/// Binds a socket that is its owner's alone. Its path may be longer than a socket's name may be (unix(7)): it is named by
/// its directory's descriptor.
fn bind(path: &Path) -> io::Result<Bound> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::other("no name for a socket"));
    };
    let directory = fs::File::open(parent)?;
    let bound = Bound::bind(Path::new(&format!("/proc/self/fd/{}", directory.as_raw_fd())).join(name))?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    Ok(bound)
}

async fn accept(listener: UnixListener, agent: PathBuf) {
    let mut connections = FuturesUnordered::new();
    loop {
        tokio::select! {
            accepted = listener.accept(), if connections.len() < MOST => match accepted {
                Ok((stream, _)) => connections.push(converse(stream, &agent)),
                Err(_) => tokio::time::sleep(PAUSE).await,
            },
            // Whoever is done, or speaks as no client of an agent does, is let go.
            Some(_) = connections.next() => {}
        }
    }
}

/// Answers one client. It has a connection to the agent of its own: what is said of a session holds for it alone.
async fn converse(mut client: UnixStream, agent: &Path) -> io::Result<()> {
    let mut own: Option<UnixStream> = None;
    while let Some(request) = read(&mut client).await? {
        let answer = match message::allowed(&request) {
            true => ask(&mut own, agent, &request).await.unwrap_or_else(|_| vec![message::FAILURE]),
            false => vec![message::FAILURE],
        };
        client.write_all(&message::frame(&answer)).await?;
    }
    Ok(())
}

async fn ask(own: &mut Option<UnixStream>, agent: &Path, request: &[u8]) -> io::Result<Vec<u8>> {
    let stream = match own {
        Some(stream) => stream,
        None => own.insert(UnixStream::connect(agent).await?),
    };
    let asked = async {
        stream.write_all(&message::frame(request)).await?;
        read(stream).await?.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
    };
    let answer = asked.await;
    if answer.is_err() {
        // Half an answer may still be on its way.
        *own = None;
    }
    answer
}

/// One message; `None` at the end.
async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    };
    let length = message::length(length).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))?;
    let mut message = vec![0; length];
    from.read_exact(&mut message).await?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::net::UnixStream as Stream;
    use std::sync::mpsc::channel;

    use super::*;
    use crate::tasks::Runtime;

    /// An agent that says which messages it gets, and answers each with the kind of the message and one byte more.
    fn agent(path: &Path) -> std::sync::mpsc::Receiver<Vec<u8>> {
        let listener = Bound::bind(path).unwrap();
        let (tell, told) = channel();
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let tell = tell.clone();
                std::thread::spawn(move || {
                    let mut length = [0; 4];
                    while stream.read_exact(&mut length).is_ok() {
                        let mut body = vec![0; message::length(length).unwrap()];
                        stream.read_exact(&mut body).unwrap();
                        let answer = message::frame(&[12, body[0]]);
                        tell.send(body).unwrap();
                        stream.write_all(&answer).unwrap();
                    }
                });
            }
        });
        told
    }

    fn asked(stream: &mut Stream, message: &[u8]) -> Vec<u8> {
        stream.write_all(&message::frame(message)).unwrap();
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let mut body = vec![0; message::length(length).unwrap()];
        stream.read_exact(&mut body).unwrap();
        body
    }

    fn lent(agent: PathBuf) -> Ssh {
        Ssh { agent, keys: 1, known_hosts: String::new(), files: Vec::new(), stall: 1 }
    }

    #[test]
    fn what_is_refused_reaches_no_agent() {
        let runtime = Runtime::start().unwrap();
        let place = tempfile::tempdir().unwrap();
        let told = agent(&place.path().join("own"));
        let directory = place.path().join("ssh");
        let proxy = lent(place.path().join("own")).lend_in(directory.clone(), runtime.handle()).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o7777;
        assert_eq!((mode(&directory), mode(proxy.socket())), (0o700, 0o666));
        let mut stream = Stream::connect(proxy.socket()).unwrap();
        assert_eq!(asked(&mut stream, &[message::REQUEST_IDENTITIES]), [12, message::REQUEST_IDENTITIES]);
        assert_eq!(told.recv().unwrap(), [message::REQUEST_IDENTITIES]);
        // Adding and removing keys, locking, smartcards, and extensions that are not known.
        for kind in [17, 18, 19, 20, 21, 22, 23, 25, 26, 27] {
            assert_eq!(asked(&mut stream, &[kind, 0, 0, 0, 1, b'x']), [message::FAILURE], "{kind}");
        }
        assert!(told.try_recv().is_err());
        // Whoever announces too much is let go, and others are not.
        let mut other = Stream::connect(proxy.socket()).unwrap();
        other.write_all(&[0xFF; 8]).unwrap();
        assert_eq!(other.read(&mut [0; 8]).unwrap_or_default(), 0);
        assert_eq!(asked(&mut stream, &[message::REQUEST_IDENTITIES])[0], 12);
        drop(proxy);
        assert_eq!(stream.read(&mut [0; 8]).unwrap_or_default(), 0, "a connection outlives the loan");
        assert!(!directory.exists());
    }

    #[test]
    fn many_connections_take_turns() {
        let runtime = Runtime::start().unwrap();
        // Longer than the name of a socket may be.
        let place = tempfile::tempdir().unwrap();
        let _told = agent(&place.path().join("own"));
        let deep = place.path().join("d".repeat(120));
        let proxy = lent(place.path().join("own")).lend_in(deep.clone(), runtime.handle()).unwrap();
        let directory = fs::File::open(&deep).unwrap();
        let short = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()));
        let mut streams: Vec<Stream> = (0..3 * MOST).map(|_| Stream::connect(&short).unwrap()).collect();
        while let Some(mut stream) = streams.pop() {
            if streams.len() < MOST {
                assert_eq!(asked(&mut stream, &[message::REQUEST_IDENTITIES])[0], 12);
            }
        }
        drop(proxy);
    }

    #[test]
    fn an_agent_that_is_gone_refuses() {
        let runtime = Runtime::start().unwrap();
        let place = tempfile::tempdir().unwrap();
        let proxy = lent(place.path().join("gone")).lend_in(place.path().join("ssh"), runtime.handle()).unwrap();
        let mut stream = Stream::connect(proxy.socket()).unwrap();
        assert_eq!(asked(&mut stream, &[message::REQUEST_IDENTITIES]), [message::FAILURE]);
    }

    #[test]
    fn a_user_of_the_machine_is_lent_it_alone() {
        let runtime = Runtime::start().unwrap();
        let place = tempfile::tempdir().unwrap();
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        let proxy = lent(place.path().join("own")).lend_to(place.path(), (uid, gid), runtime.handle()).unwrap();
        let found = proxy.socket().metadata().unwrap();
        assert_eq!((found.mode() & 0o7777, found.uid()), (0o600, uid));
        drop(proxy);
        assert!(!place.path().join(SOCKET).exists());
    }
}
