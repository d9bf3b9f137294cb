//! Finished layers on their way to a registry, while later ones are made. What fails here is tried once more by the
//! push itself, which says what is wrong.

use layers::media_type::Descriptor;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::registry::Client;

/// Uploads under way.
pub(super) struct Uploads<'a> {
    runtime: &'a Handle,
    clients: Vec<Client>,
    running: Vec<JoinHandle<()>>,
}

impl<'a> Uploads<'a> {
    /// Uploads to each of `clients`.
    pub(super) fn new(runtime: &'a Handle, clients: Vec<Client>) -> Self {
        Self { runtime, clients, running: Vec::new() }
    }

    /// Begins to upload a blob of the store.
    pub(super) fn start(&mut self, blob: &Descriptor) {
        for client in self.clients.clone() {
            let blob = blob.clone();
            self.running.push(self.runtime.spawn(async move {
                let _ = client.push_blob(&blob).await;
            }));
        }
    }

    /// Waits until all are done.
    pub(super) fn finish(self) {
        for upload in self.running {
            let _ = self.runtime.block_on(upload);
        }
    }
}
