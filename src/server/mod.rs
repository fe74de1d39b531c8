//! `todod` without its command line: handlers, delivery, startup, ordered shutdown.

mod blocks;
mod catch_up;
mod feed;
mod listing;
mod past;
mod reader;
mod service;
mod snapshot;
mod transport;
mod watch;

pub use transport::{ListenAddress, ListenError, TransportError, server_builder};

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam_channel::Receiver;

use crate::model::Timestamp;
use crate::rpc::Burst;
use crate::state::{self, Fatal, HistoryReader, Hooks, Limits, StateHandle, StateThread};
use crate::store::Store;
use reader::{Reader, ReaderThread};
use service::Handlers;
use transport::{CompletionQueue, Transport};

/// A running server. Drop it on the thread that started it, never on a poll thread.
pub struct Server {
    state: StateThread,
    /// `None` if the start failed before it.
    reader: Option<ReaderThread>,
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
        let (handle, state, history) = state::spawn(store, limits, hooks(transport.completions()))?;
        let mut server = Server { state, reader: None, transport };
        if let Err(why) = server.serve(handle, history, listen) {
            // The first error is the one to report.
            let _ = server.shutdown();
            return Err(why);
        }
        Ok(server)
    }

    fn serve(
        &mut self,
        state: StateHandle<Arc<Burst>>,
        history: HistoryReader,
        listen: &[ListenAddress],
    ) -> Result<(), StartError> {
        let completions = self.transport.completions().clone();
        let (reader, thread) = Reader::start(history, completions.clone())?;
        self.reader = Some(thread);
        let handlers = Handlers { state, reader, completions };
        let service = service::service(&handlers, self.transport.methods());
        Ok(self.transport.listen(service, listen)?)
    }

    /// The addresses it listens on. A port 0 is replaced by the port that was assigned.
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
        let Server { state, reader, mut transport } = self;
        let calls_are_over = transport.stop_accepting();
        let stopped = state.stop();
        if let Some(reader) = reader {
            reader.stop();
        }
        // After the reader, so that SQLite leaves no files beside the database.
        let result = stopped.and_then(|store| Ok(store.close()?));
        transport.finish_calls(&calls_are_over);
        result
    }
}

fn hooks(completions: &CompletionQueue) -> Hooks<Arc<Burst>> {
    let (turn_done, run_queue) = (completions.clone(), completions.run_queue().clone());
    Hooks {
        encode: |changes| Arc::new(Burst::new(changes.iter().copied())),
        delivering: Box::new(move || run_queue.has_waiting()),
        turn_done: Box::new(move || turn_done.flush()),
        clock: now,
    }
}

fn now() -> Timestamp {
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
