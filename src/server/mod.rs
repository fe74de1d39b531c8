//! `todod` without its command line: handlers, delivery, startup, ordered shutdown.

mod blocks;
mod catch_up;
mod feed;
mod large_call;
mod listen;
mod listing;
mod outbox;
mod past;
mod reader;
mod service;
mod snapshot;
mod wakes;
mod watch;

pub use listen::{ListenAddress, ListenError};

use std::ffi::CString;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam_channel::{Receiver, bounded};
use grpcio::{
    Channel, ChannelBuilder, Client, EnvBuilder, Environment, ServerBuilder, ServerCredentials,
};
use rustix::fs::Mode;

use crate::limits::{
    CALLS_PER_CONNECTION_MAX, KEEPALIVE_TIME, KEEPALIVE_TIMEOUT, REQUEST_BYTES_MAX, REQUEST_SLOTS,
    SHUTDOWN_END, SHUTDOWN_GRACE,
};
use crate::model::Timestamp;
use crate::rpc::Burst;
use crate::state::{self, Fatal, Hooks, Limits, StateThread};
use crate::store::Store;
use outbox::Outbox;
use reader::{Reader, ReaderThread};
use service::Handlers;
use wakes::PacerThread;

/// A running server. Drop it on the thread that started it, never on a poll thread.
pub struct Server {
    addresses: Vec<ListenAddress>,
    sockets: Vec<Socket>,
    state: StateThread,
    reader: ReaderThread,
    outbox: Outbox,
    pacer: PacerThread,
    transport: Transport,
}

/// A unix socket that we made. The inode says whether a path still leads to it.
struct Socket {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// The C core's part, dropped in the order of the fields.
struct Transport {
    server: grpcio::Server,
    /// Runs futures on the poll thread.
    spawner: Client,
    env: Arc<Environment>,
    poll_thread_ended: Receiver<()>,
}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    State(#[from] Fatal),
    #[error("cannot start a thread")]
    Thread(#[from] std::io::Error),
    #[error("cannot listen on {address}, the transport gave no reason: give another --listen")]
    Bind { address: ListenAddress },
    #[error("cannot start the transport")]
    Transport(#[from] grpcio::Error),
}

impl Server {
    /// Loads the list and serves it. When this returns, calls are accepted.
    pub fn start(
        store: Box<dyn Store>,
        limits: Limits,
        listen: &[ListenAddress],
    ) -> Result<Server, StartError> {
        ListenAddress::check_all(listen)?;
        let (outbox, pump, pacer) = outbox::outbox()?;
        let (turn_done, wakes) = (outbox.clone(), outbox.wakes().clone());
        let hooks = Hooks {
            encode: |changes| Arc::new(Burst::new(changes.iter().copied())),
            delivering: Box::new(move || wakes.are_waiting()),
            turn_done: Box::new(move || turn_done.flush()),
            clock: now,
        };
        let (handle, state, history) = state::spawn(store, limits, hooks)?;
        let (reader, reader_thread) = Reader::start(history, outbox.clone())?;
        let (env, poll_thread_ended) = environment();
        let spawner = Client::new(Channel::lame(env.clone(), ""));
        spawner.spawn(pump);
        let handlers = Handlers { state: handle, reader, outbox: outbox.clone() };
        let mut server = transport(&env).register_service(service::service(&handlers)).build()?;
        let mut sockets = Vec::new();
        let addresses = listen
            .iter()
            .map(|address| bind(&mut server, address, &mut sockets))
            .collect::<Result<Vec<_>, StartError>>()
            .inspect_err(|_| sockets.iter().for_each(remove_socket))?;
        server.start();
        let transport = Transport { server, spawner, env, poll_thread_ended };
        Ok(Server { addresses, sockets, state, reader: reader_thread, outbox, pacer, transport })
    }

    /// Where it listens; ports that were 0 are the ones that were picked.
    pub fn addresses(&self) -> &[ListenAddress] {
        &self.addresses
    }

    /// Disconnects if the state thread cannot go on: shut down then, and take the reason.
    pub fn failed(&self) -> &Receiver<()> {
        self.state.ended()
    }

    /// Takes no more calls, ends watches with UNAVAILABLE, finishes what is queued,
    /// closes the store. Calls that take longer than [`SHUTDOWN_GRACE`] are cancelled.
    pub fn shutdown(self) -> Result<(), Fatal> {
        let Server { addresses: _, sockets, state, reader, outbox, pacer, mut transport } = self;
        let shutdown = transport.server.shutdown();
        let (done, finished) = bounded(1);
        transport.spawner.spawn(async move {
            let _ = shutdown.await;
            let _ = done.send(());
        });
        let stopped = state.stop();
        reader.stop();
        // Last of those who have it open, so that nothing is left beside the database.
        let result = stopped.and_then(|store| Ok(store.close()?));
        outbox.flush();
        if finished.recv_timeout(SHUTDOWN_GRACE).is_err() {
            log::warn!("clients are still connected after {SHUTDOWN_GRACE:?}: cutting them off");
            transport.server.cancel_all_calls();
            let _ = finished.recv_timeout(SHUTDOWN_END);
        }
        outbox.close();
        transport.end();
        pacer.join();
        sockets.iter().for_each(remove_socket);
        result
    }
}

impl Transport {
    /// Ends the poll thread. The C core does not let it be joined, but it says when it
    /// is done.
    fn end(self) {
        let Transport { server, spawner, env, poll_thread_ended } = self;
        drop((server, spawner, env));
        if poll_thread_ended.recv_timeout(SHUTDOWN_END).is_err() {
            log::warn!("the poll thread did not end");
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

/// A server of the transport with this program's settings, and no service yet.
pub fn transport(env: &Arc<Environment>) -> ServerBuilder {
    let channel_args = ChannelBuilder::new(env.clone())
        // By default a second server would share the port, silently.
        .reuse_port(false)
        .max_receive_message_len(REQUEST_BYTES_MAX as i32)
        // The core would decompress a message before it looks at its size.
        .raw_cfg_int(CString::from(c"grpc.per_message_decompression"), 0)
        .max_concurrent_stream(CALLS_PER_CONNECTION_MAX)
        .keepalive_time(KEEPALIVE_TIME)
        .keepalive_timeout(KEEPALIVE_TIMEOUT)
        .keepalive_permit_without_calls(true)
        .build_args();
    ServerBuilder::new(env.clone()).channel_args(channel_args).requests_slot_per_cq(REQUEST_SLOTS)
}

/// Binds, and says where: a port 0 becomes the one that was picked.
fn bind(
    server: &mut grpcio::Server,
    address: &ListenAddress,
    sockets: &mut Vec<Socket>,
) -> Result<ListenAddress, StartError> {
    let credentials = ServerCredentials::insecure();
    let failed = |_| StartError::Bind { address: address.clone() };
    match address {
        ListenAddress::Tcp(tcp) => {
            let port =
                server.add_listening_port(address.to_string(), credentials).map_err(failed)?;
            Ok(ListenAddress::Tcp(SocketAddr::new(tcp.ip(), port)))
        }
        ListenAddress::Unix(path) => {
            // When it closes, the C core removes whatever socket has the name that it
            // bound, a new server's, too. So it gets a name that nobody else uses.
            let own_name = listen::own_name(path);
            let target = ListenAddress::Unix(own_name.clone()).to_string();
            // For its owner only, from the moment the socket is there.
            let umask = rustix::process::umask(Mode::from_raw_mode(0o177));
            let bound = server.add_listening_port(target, credentials);
            rustix::process::umask(umask);
            bound.map_err(failed)?;
            let socket = place(&own_name, path)
                .map_err(|reason| ListenError::Bind { address: address.clone(), reason })?;
            sockets.push(socket);
            Ok(address.clone())
        }
    }
}

/// Gives a socket its name.
fn place(socket: &Path, path: &Path) -> std::io::Result<Socket> {
    let found = socket.symlink_metadata()?;
    std::fs::rename(socket, path)?;
    Ok(Socket { path: path.to_owned(), device: found.dev(), inode: found.ino() })
}

/// Unless the path leads to another socket by now: a new server's.
fn remove_socket(socket: &Socket) {
    let Ok(found) = socket.path.symlink_metadata() else { return };
    if (found.dev(), found.ino()) != (socket.device, socket.inode) {
        return;
    }
    if let Err(e) = std::fs::remove_file(&socket.path) {
        log::warn!("cannot remove {}: {e}", socket.path.display());
    }
}

fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
