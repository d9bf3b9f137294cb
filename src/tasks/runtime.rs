//! The runtime: one thread that drives connections, clocks and tasks. Whatever the machine refuses it, a thread or a
//! descriptor, is an error of its beginning; what comes later asks for nothing that has no error.

use std::future::Future;
use std::io;
use std::thread::{Builder, JoinHandle};

use tokio::runtime::{Builder as Tokio, Handle};
use tokio::sync::oneshot::{Sender, channel};

use super::pool::FILES;

/// A runtime. When it is dropped, its tasks are given up, and nothing of them is at work on files afterwards.
#[derive(Debug)]
pub struct Runtime {
    handle: Handle,
    end: Option<Sender<()>>,
    driver: Option<JoinHandle<()>>,
}

impl Runtime {
    /// Starts one.
    ///
    /// # Errors
    ///
    /// The machine refuses a thread or a descriptor.
    pub fn start() -> io::Result<Self> {
        FILES.ready()?;
        let runtime = Tokio::new_current_thread().enable_io().enable_time().build()?;
        let handle = runtime.handle().clone();
        let (end, ended) = channel();
        let drive = move || {
            // Dropped is as good as told.
            let _ = runtime.block_on(ended);
        };
        let driver = Builder::new().name("network".into()).spawn(drive)?;
        Ok(Self { handle, end: Some(end), driver: Some(driver) })
    }

    /// For who starts tasks.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Waits for `work`, on this thread. Not for tasks: they would keep the runtime from going on.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.handle.block_on(work)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.end.take();
        if let Some(driver) = self.driver.take() {
            // It ends without a word, or has told of its panic.
            let _ = driver.join();
        }
        FILES.finish();
    }
}
