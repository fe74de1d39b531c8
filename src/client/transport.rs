use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_executor::block_on;
use grpcio::{CallOption, ChannelBuilder, ClientUnaryReceiver, EnvBuilder, Method};

use super::{CallError, Code, Interrupt, Position, example, proto};
use crate::limits::{
    CLIENT_KEEPALIVE_TIME, KEEPALIVE_TIMEOUT, RECONNECT_BACKOFF_MAX, RECONNECT_BACKOFF_MIN,
};
use crate::os::random_hex;
use crate::wire::{Encoded, methods, raw};

/// The default address of `todod`.
pub const DEFAULT_SERVER: &str = "127.0.0.1:50051";

/// A connection to one server, made when first needed and again when lost.
#[derive(Clone)]
pub struct Client {
    pub(super) grpc: grpcio::Client,
    server: Arc<str>,
    timeout: Duration,
    /// The start of every request id of this client.
    session: Arc<str>,
    requests: Arc<AtomicU64>,
    interrupt: Option<Interrupt>,
    /// Whether the reference example's server is not supported.
    pub(super) needs_todod: bool,
}

impl Client {
    /// Makes a client of the server at `HOST:PORT` or `unix:PATH`, whose calls take at most
    /// `timeout`. It does not connect yet. Fails if the system has no random bytes.
    pub fn new(server: &str, timeout: Duration) -> Result<Client, CallError> {
        // The example's server sends the whole list in one message.
        Client::connect(server, timeout, -1, false)
    }

    /// Makes a client of `todod` only, which refuses messages of more than
    /// `message_bytes_max` (RESOURCE_EXHAUSTED).
    pub fn bounded(
        server: &str,
        timeout: Duration,
        message_bytes_max: usize,
    ) -> Result<Client, CallError> {
        let bytes_max = i32::try_from(message_bytes_max).unwrap_or(i32::MAX);
        Client::connect(server, timeout, bytes_max, true)
    }

    fn connect(
        server: &str,
        timeout: Duration,
        message_bytes_max: i32,
        needs_todod: bool,
    ) -> Result<Client, CallError> {
        let session = random_hex::<12>()
            .map_err(|e| CallError::new(Code::Internal, format!("no random bytes: {e}")))?;
        let env = Arc::new(EnvBuilder::new().cq_count(1).name_prefix("grpc-client").build());
        let channel = ChannelBuilder::new(env)
            // Two clients of one process do not share a connection or its back-off.
            .use_local_subchannel_pool(true)
            // The server is the user's own, not behind a web proxy.
            .enable_http_proxy(false)
            .initial_reconnect_backoff(RECONNECT_BACKOFF_MIN)
            .max_reconnect_backoff(RECONNECT_BACKOFF_MAX)
            // The system then closes a connection whose peer has not acknowledged what was
            // sent for this long, instead of after a quarter of an hour. Servers close
            // connections that are pinged more often than every 5 minutes.
            .keepalive_time(CLIENT_KEEPALIVE_TIME)
            .keepalive_timeout(KEEPALIVE_TIMEOUT)
            .max_receive_message_len(message_bytes_max)
            .connect(server);
        Ok(Client {
            grpc: grpcio::Client::new(channel),
            server: server.into(),
            timeout,
            session: session.into(),
            requests: Arc::default(),
            interrupt: None,
            needs_todod,
        })
    }

    /// The same client, for calls that `interrupt` can stop. A watch is stopped by dropping
    /// it.
    pub fn with_interrupt(&self, interrupt: &Interrupt) -> Client {
        Client { interrupt: Some(interrupt.clone()), ..self.clone() }
    }

    /// The same client, with a timeout of at most `most`.
    pub fn with_timeout_max(&self, most: Duration) -> Client {
        Client { timeout: self.timeout.min(most), ..self.clone() }
    }

    pub fn server(&self) -> &str {
        &self.server
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Whether a request of this client caused the update.
    pub fn is_own(&self, update: &proto::TaskUpdate) -> bool {
        update.request_id.strip_prefix(&*self.session).is_some_and(|rest| rest.starts_with('-'))
    }

    /// Returns a new request id.
    pub(super) fn request_id(&self) -> String {
        format!("{}-{}", self.session, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Makes one call of `rpc::methods`, once.
    pub fn call<Req, Resp: Unpin>(
        &self,
        method: &Method<Req, Resp>,
        request: &Req,
    ) -> Result<Resp, CallError> {
        self.wait(self.start(method, request, self.call_option()))
    }

    /// Makes a call that changes the list, and repeats it within the timeout while the
    /// server is unreachable or restarts. `request` has a request id, so the change is made
    /// once.
    pub(super) fn mutate<Req, Resp: Unpin>(
        &self,
        method: &Method<Req, Resp>,
        request: &Req,
    ) -> Result<Resp, CallError> {
        let deadline = Instant::now() + self.timeout;
        match self.call(method, request) {
            Err(lost) if lost.code == Code::Unavailable => {
                self.repeat(method, request, lost, deadline)
            }
            done => done,
        }
    }

    /// Repeats a call that was lost until it gets an answer or the deadline passes.
    pub(super) fn repeat<Req, Resp: Unpin>(
        &self,
        method: &Method<Req, Resp>,
        request: &Req,
        mut lost: CallError,
        deadline: Instant,
    ) -> Result<Resp, CallError> {
        while self.wait_for_todod(deadline) {
            let left = deadline.saturating_duration_since(Instant::now());
            let call = self.start(method, request, CallOption::default().timeout(left));
            match self.wait(call) {
                Err(again) if again.code == Code::Unavailable => lost = again,
                done => return done,
            }
            // The server is still shutting down.
            std::thread::sleep(RECONNECT_BACKOFF_MIN);
        }
        Err(lost)
    }

    /// Waits until the deadline for a server that can be reached. Returns whether it is
    /// there and knows request ids: the example's server would execute a call twice.
    fn wait_for_todod(&self, deadline: Instant) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let option = CallOption::default().timeout(left).wait_for_ready(true);
            match self.wait(self.probe(option)) {
                Ok(position) => return position.is_some(),
                Err(lost) if lost.code == Code::Unavailable => {
                    std::thread::sleep(RECONNECT_BACKOFF_MIN);
                }
                Err(_) => return false,
            }
        }
    }

    pub(super) fn wait<T>(
        &self,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        match &self.interrupt {
            Some(interrupt) => interrupt.block_on(call),
            None => block_on(call),
        }
    }

    /// Returns the server's current position; `None` from the example's server.
    pub fn position(&self) -> Result<Option<Position>, CallError> {
        self.wait(self.probe(self.call_option()))
    }

    /// Makes the cheapest call that every server answers. Returns what
    /// [`Client::position`] returns.
    pub(super) async fn probe(&self, option: CallOption) -> Result<Option<Position>, CallError> {
        let first = proto::GetTasksRequest { page_size: 1, ..Default::default() };
        self.start(&methods::GET_TASKS, &first, option).await.map(example::position_of)
    }

    /// The current position. Fails where the example's server answers.
    pub fn todod_position(&self) -> Result<Position, CallError> {
        let none = || example::needs_todod(self.server(), "keeps no history");
        self.position()?.ok_or_else(none)
    }

    /// Makes one unary call whose messages are bytes, once, without blocking.
    pub async fn call_raw(
        &self,
        path: &'static str,
        request: &Encoded,
        timeout: Duration,
    ) -> Result<Encoded, CallError> {
        self.start(&raw(path), request, CallOption::default().timeout(timeout)).await
    }

    pub(super) fn call_option(&self) -> CallOption {
        CallOption::default().timeout(self.timeout)
    }

    async fn start<Req, Resp: Unpin>(
        &self,
        method: &Method<Req, Resp>,
        request: &Req,
        option: CallOption,
    ) -> Result<Resp, CallError> {
        let sent: grpcio::Result<ClientUnaryReceiver<Resp>> =
            self.grpc.unary_call_async(method, request, option);
        let answer = match sent {
            Ok(answer) => answer.await,
            Err(e) => Err(e),
        };
        answer.map_err(|e| CallError::of(&e, method.name, &self.server))
    }
}
