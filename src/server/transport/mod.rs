//! Everything that exists because of the C core: its settings, its one poll thread, and the
//! order in which that thread completes calls and serves streams.

mod calls;
mod completion_queue;
mod listen;
mod run_queue;

pub(crate) use calls::{Call, Methods, Requests, StreamSink};
pub(crate) use completion_queue::{Answered, CompletionQueue};
pub use listen::{ListenAddress, ListenError};
#[cfg(test)]
pub(crate) use run_queue::RunQueue;
pub(crate) use run_queue::{Signal, TimeSlice};

use std::ffi::CString;
use std::io;
use std::sync::Arc;

use crossbeam_channel::{Receiver, bounded};
use grpcio::{
    Channel, ChannelBuilder, Client, EnvBuilder, Environment, ServerBuilder, Service,
    ShutdownFuture,
};

use crate::limits::{
    CALLS_PER_CONNECTION_MAX, CLIENT_PING_INTERVAL_MIN, KEEPALIVE_TIME, KEEPALIVE_TIMEOUT,
    REQUEST_BYTES_MAX, REQUEST_SLOTS, SHUTDOWN_END, SHUTDOWN_GRACE,
};
use listen::Socket;
use run_queue::PacerThread;

/// The poll thread, the pacer thread, and the server that they serve.
///
/// Dropping it ends both threads. Drop it on the thread that started it, never on a poll thread.
pub(crate) struct Transport {
    completions: CompletionQueue,
    requests: Requests,
    addresses: Vec<ListenAddress>,
    sockets: Vec<Socket>,
    /// `None` once it has ended.
    core: Option<Core>,
}

/// The C core's part, dropped in the order of the fields.
struct Core {
    /// `None` until it listens.
    server: Option<grpcio::Server>,
    /// Runs futures on the poll thread.
    spawner: Client,
    env: Arc<Environment>,
    poll_thread_ended: Receiver<()>,
    pacer: PacerThread,
}

/// Why the transport does not listen.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error("cannot start the transport")]
    Grpc(#[from] grpcio::Error),
}

impl Transport {
    /// Starts the threads. It does not listen yet.
    pub(crate) fn start() -> io::Result<Transport> {
        let requests = Requests::default();
        let (completions, pump, pacer) = CompletionQueue::open(requests.clone())?;
        let (env, poll_thread_ended) = environment();
        let spawner = Client::new(Channel::lame(env.clone(), ""));
        spawner.spawn(pump);
        let core = Core { server: None, spawner, env, poll_thread_ended, pacer };
        let (addresses, sockets) = (Vec::new(), Vec::new());
        Ok(Transport { completions, requests, addresses, sockets, core: Some(core) })
    }

    pub(crate) fn completions(&self) -> &CompletionQueue {
        &self.completions
    }

    /// A service without methods, for [`Transport::listen`].
    pub(crate) fn methods(&self) -> Methods {
        Methods::new(self.requests.clone())
    }

    /// Serves the service on these addresses. When this returns, calls are accepted.
    pub(crate) fn listen(
        &mut self,
        service: Service,
        addresses: &[ListenAddress],
    ) -> Result<(), TransportError> {
        let Some(core) = &mut self.core else { return Ok(()) };
        let builder = server_builder(&core.env).register_service(service);
        let server = core.server.insert(builder.build()?);
        for address in addresses {
            self.addresses.push(address.bind(server, &mut self.sockets)?);
        }
        server.start();
        Ok(())
    }

    /// The addresses it listens on. A port 0 is replaced with the port that was assigned.
    pub(crate) fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// Accepts no more calls. Disconnects or receives when the open calls are over.
    pub(crate) fn stop_accepting(&mut self) -> Receiver<()> {
        let (over, is_over) = bounded(1);
        let Some(core) = &mut self.core else { return is_over };
        let Some(shutdown) = core.server.as_mut().map(grpcio::Server::shutdown) else {
            return is_over;
        };
        core.spawner.spawn(async move {
            let shutdown: ShutdownFuture = shutdown;
            let _ = shutdown.await;
            let _ = over.send(());
        });
        is_over
    }

    /// Delivers what was answered. Calls that take longer than [`SHUTDOWN_GRACE`] are cancelled.
    pub(crate) fn finish_calls(&mut self, are_over: &Receiver<()>) {
        self.completions.flush();
        if !matches!(are_over.recv_timeout(SHUTDOWN_GRACE), Err(e) if e.is_timeout()) {
            return;
        }
        log::warn!("calls are still open after {SHUTDOWN_GRACE:?}: cancelling them");
        if let Some(server) = self.core.as_mut().and_then(|core| core.server.as_mut()) {
            server.cancel_all_calls();
            let _ = are_over.recv_timeout(SHUTDOWN_END);
        }
    }
}

impl Drop for Transport {
    fn drop(&mut self) {
        self.completions.close();
        if let Some(core) = self.core.take() {
            core.end();
        }
        self.sockets.iter().for_each(Socket::remove);
    }
}

impl Core {
    /// Ends both threads. The C core does not let the poll thread be joined, but the thread
    /// reports that it has ended.
    fn end(self) {
        let Core { server, spawner, env, poll_thread_ended, pacer } = self;
        drop((server, spawner, env));
        match poll_thread_ended.recv_timeout(SHUTDOWN_END) {
            Ok(()) => pacer.join(),
            // The pacer waits for the pump, which the poll thread still has.
            Err(_) => log::warn!("the poll thread did not end within {SHUTDOWN_END:?}"),
        }
    }
}

fn environment() -> (Arc<Environment>, Receiver<()>) {
    let (ended, poll_thread_ended) = bounded(1);
    let env = EnvBuilder::new()
        .cq_count(1)
        .name_prefix("grpc-poll")
        .before_stop(move || {
            let _ = ended.send(());
        })
        .build();
    (Arc::new(env), poll_thread_ended)
}

/// A server with this program's settings of the C core, and without a service.
pub fn server_builder(env: &Arc<Environment>) -> ServerBuilder {
    let channel_args = ChannelBuilder::new(env.clone())
        // By default a second server would silently share the port.
        .reuse_port(false)
        .max_receive_message_len(REQUEST_BYTES_MAX as i32)
        // The core would decompress a message before it checks its size, and one that it does
        // not decompress looks like any other. So a call that declares a compression is ended
        // at its headers, with UNIMPLEMENTED: bit 0 stands for no compression.
        .raw_cfg_int(CString::from(c"grpc.compression_enabled_algorithms_bitset"), 1)
        .raw_cfg_int(CString::from(c"grpc.per_message_decompression"), 0)
        // By default the core ends a connection that sends a ping more often than every 5 min.
        .raw_cfg_int(
            CString::from(c"grpc.http2.min_ping_interval_without_data_ms"),
            CLIENT_PING_INTERVAL_MIN.as_millis() as i32,
        )
        .max_concurrent_stream(CALLS_PER_CONNECTION_MAX)
        .keepalive_time(KEEPALIVE_TIME)
        .keepalive_timeout(KEEPALIVE_TIMEOUT)
        .keepalive_permit_without_calls(true)
        .build_args();
    ServerBuilder::new(env.clone()).channel_args(channel_args).requests_slot_per_cq(REQUEST_SLOTS)
}
