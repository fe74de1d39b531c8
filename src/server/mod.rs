//! `todod` without its command line: handlers, delivery, startup, ordered shutdown.

mod codec;
mod feed;
mod history;
mod listing;
mod reader;
mod service;
mod snapshot;
mod transport;
mod watch;

pub use transport::{ListenAddress, ListenError, TransportError, server_builder};

use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam_channel::Receiver;

use crate::limits::READER_THREADS;
use crate::model::Timestamp;
use crate::state::{self, Fatal, Hooks, Limits, Running, StateThread};
use crate::store::Store;
use codec::UpdateBatch;
use reader::{ReaderThreads, Readers};
use service::Handlers;
use transport::{CompletionQueue, Transport};

/// A running server. Drop it on the thread that started it, never on a poll thread.
pub struct Server {
    state: StateThread,
    /// `None` if the start failed before they ran.
    readers: Option<ReaderThreads>,
    transport: Transport,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Transport(#[from] TransportError),
    #[error(transparent)]
    State(#[from] Fatal),
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
}

impl Server {
    /// Loads the list and serves it. When this returns, calls are accepted. If it fails, every
    /// thread has ended and the store is closed.
    pub fn start(
        store: Box<dyn Store>,
        limits: Limits,
        listen: &[ListenAddress],
    ) -> Result<Server, StartError> {
        ListenAddress::check_all(listen).map_err(TransportError::from)?;
        let transport = Transport::start()?;
        let running = state::spawn::<UpdateBatch>(
            store,
            limits,
            hooks(transport.completions()),
            READER_THREADS,
        )?;
        let Running { handle, thread, log, histories } = running;
        let mut server = Server { state: thread, readers: None, transport };
        let completions = server.transport.completions().clone();
        let started = Readers::start(histories, &log, &completions);
        let served = started.map_err(StartError::from).and_then(|(readers, threads)| {
            server.readers = Some(threads);
            let handlers = Handlers { state: handle, log, readers, completions };
            let service = service::service(&handlers, server.transport.methods());
            Ok(server.transport.listen(service, listen)?)
        });
        if let Err(why) = served {
            // The first error is the one to report.
            let _ = server.shutdown();
            return Err(why);
        }
        Ok(server)
    }

    /// The addresses it listens on. A port 0 is replaced with the port that was assigned.
    pub fn addresses(&self) -> &[ListenAddress] {
        self.transport.addresses()
    }

    /// Disconnects if the state thread cannot continue. Then call [`Server::shutdown`], which
    /// returns the reason.
    pub fn failed(&self) -> &Receiver<()> {
        self.state.ended()
    }

    /// Accepts no more calls, ends watches with UNAVAILABLE, finishes what is queued, and closes
    /// the store. Calls that take longer than a grace period are cancelled.
    pub fn shutdown(self) -> Result<(), Fatal> {
        let Server { state, readers, mut transport } = self;
        let calls_are_over = transport.stop_accepting();
        let stopped = state.stop();
        if let Some(readers) = readers {
            readers.stop();
        }
        // After the readers, so that SQLite leaves no files beside the database.
        let result = stopped.and_then(|store| Ok(store.close()?));
        transport.finish_calls(&calls_are_over);
        result
    }
}

fn hooks(completions: &CompletionQueue) -> Hooks {
    let completions = completions.clone();
    Hooks { flush: Box::new(move || completions.flush()), clock }
}

/// The current time.
pub fn clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::net::TcpListener;

    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn a_failed_start_leaves_no_thread_behind() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Each of them can be bound, but not both.
        let listen = ["127.0.0.1", "0.0.0.0"].map(|ip| format!("{ip}:{port}").parse().unwrap());
        let failed = Server::start(Box::new(MemoryStore::new("l")), Limits::default(), &listen);
        assert!(matches!(failed, Err(StartError::Transport(_))));
        for thread in fs::read_dir("/proc/self/task").unwrap() {
            // A thread may end between the two calls.
            let name = fs::read_to_string(thread.unwrap().path().join("comm")).unwrap_or_default();
            assert!(!["state", "reader", "pacer"].contains(&name.trim()), "{name} still runs");
        }
    }
}
