//! Work of the runtime, and who owns it: a task ends before its owner does.

mod behind;
mod pool;
mod runtime;

use std::future::Future;
use std::io;

use layers::stop::Stop;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use behind::{Behind, Held};
use pool::{FILES, NAMES, Pool};
pub use runtime::Runtime;

/// Why there is nothing to wait for.
#[derive(Debug, thiserror::Error)]
pub enum Ended {
    /// A task was given up.
    #[error("a task of alloy's own ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// A thread died.
    #[error("a thread of alloy's own ended early")]
    Thread,
    /// There is no thread to do it.
    #[error("cannot start threads: {0}")]
    Refused(io::Error),
}

/// A task that runs while its owner does something else. Dropped before it is done, it is given up: whatever it waits for
/// is let go, and it has ended then.
#[derive(Debug)]
pub struct Task<T> {
    runtime: Handle,
    running: JoinHandle<T>,
}

impl<T: Send + 'static> Task<T> {
    /// Begins `work`.
    pub fn start(runtime: &Handle, work: impl Future<Output = T> + Send + 'static) -> Self {
        Self { runtime: runtime.clone(), running: runtime.spawn(work) }
    }
}

impl<T> Task<T> {
    /// Waits until it is done. Not for tasks: they would keep the runtime from going on.
    pub fn wait(mut self) -> Result<T, Ended> {
        Ok(self.runtime.block_on(&mut self.running)?)
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        if self.running.is_finished() {
            return;
        }
        self.running.abort();
        // Inside of a task nobody may wait like that; the runtime, which has an end of its own, does it then.
        if Handle::try_current().is_err() {
            let _ = self.runtime.block_on(&mut self.running);
        }
    }
}

/// Does what waits for files, or takes long, where nothing else waits for it. Whoever gives up waiting tells it to stop,
/// and does not wait for that: what it must have until it is done, a lock say, has to be its own.
pub async fn aside<T: Send + 'static>(work: impl FnOnce(&Stop) -> T + Send + 'static) -> Result<T, Ended> {
    done_in(&FILES, work).await
}

/// The same for what asks a name server, and touches nothing: it may be at work when everything else has ended.
pub async fn looked_up<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Ended> {
    done_in(&NAMES, |_| work()).await
}

async fn done_in<T: Send + 'static>(
    pool: &'static Pool,
    work: impl FnOnce(&Stop) -> T + Send + 'static,
) -> Result<T, Ended> {
    /// Tells it when the future is dropped; when it is done, that means nothing any more.
    struct Tell(Stop);
    impl Drop for Tell {
        fn drop(&mut self) {
            self.0.tell();
        }
    }
    let stop = Stop::default();
    let _tell = Tell(stop.clone());
    let (tell, told) = oneshot::channel();
    // Where nobody waits any more, nobody is told.
    let work = move || drop(tell.send(work(&stop)));
    pool.start(work).map_err(Ended::Refused)?;
    told.await.map_err(|_| Ended::Thread)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    fn runtime() -> Runtime {
        Runtime::start().unwrap()
    }

    #[test]
    fn what_is_waited_for_is_had() {
        let runtime = runtime();
        assert_eq!(Task::start(runtime.handle(), async { 7 }).wait().unwrap(), 7);
    }

    #[test]
    fn a_task_has_ended_when_its_owner_has() {
        let runtime = runtime();
        let (held, gone) = channel::<()>();
        let (begun, begins) = channel();
        let task = Task::start(runtime.handle(), async move {
            begun.send(()).unwrap();
            std::future::pending::<()>().await;
            drop(held);
        });
        begins.recv().unwrap();
        drop(task);
        // What it held is dropped: not some time later, but by now.
        assert_eq!(gone.try_recv(), Err(std::sync::mpsc::TryRecvError::Disconnected));
    }

    #[test]
    fn what_is_done_aside_is_told_to_stop() {
        let runtime = runtime();
        let (begun, begins) = channel();
        let (stopped, stops) = channel();
        let task = Task::start(runtime.handle(), async move {
            let _ = aside(move |stop| {
                begun.send(()).unwrap();
                while !stop.is_told() {
                    std::thread::yield_now();
                }
                stopped.send(()).unwrap();
            })
            .await;
        });
        begins.recv().unwrap();
        drop(task);
        stops.recv().unwrap();
    }

    #[test]
    fn nothing_is_at_work_after_its_runtime() {
        let runtime = runtime();
        let (begun, begins) = channel();
        let (done, ends) = channel();
        runtime.handle().spawn(aside(move |stop| {
            begun.send(()).unwrap();
            while !stop.is_told() {
                std::thread::yield_now();
            }
            done.send(()).unwrap();
        }));
        begins.recv().unwrap();
        drop(runtime);
        ends.try_recv().unwrap();
    }

    #[test]
    fn much_is_done_aside_at_once() {
        let runtime = runtime();
        // More than threads, and some of them only after others.
        let works = (0..500_usize).map(|number| Task::start(runtime.handle(), aside(move |_| number)));
        let works: Vec<_> = works.collect();
        let done: Vec<usize> = works.into_iter().map(|work| work.wait().unwrap().unwrap()).collect();
        assert_eq!(done, (0..500).collect::<Vec<_>>());
    }
}
