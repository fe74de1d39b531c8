use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_executor::block_on;
use grpcio::{
    CallOption, ChannelBuilder, ClientUnaryReceiver, ConnectivityState, EnvBuilder, Method,
};

use super::{CallError, Code, Interrupt, Place, proto};
use crate::limits::{
    CLIENT_KEEPALIVE_TIME, KEEPALIVE_TIMEOUT, RECONNECT_BACKOFF_MAX, RECONNECT_BACKOFF_MIN,
};
use crate::os::random_hex;
use crate::wire::{Encoded, methods, raw};

/// Where `todod` listens unless told otherwise.
pub const DEFAULT_SERVER: &str = "127.0.0.1:50051";

/// A connection to one server, made when first needed and again when lost.
#[derive(Clone)]
pub struct Client {
    pub(super) grpc: grpcio::Client,
    server: Arc<str>,
    timeout: Duration,
    /// Starts every request id of this client.
    session: Arc<str>,
    requests: Arc<AtomicU64>,
    /// `None`: the calls take as long as they take.
    interrupt: Option<Interrupt>,
}

impl Client {
    /// `server`: `HOST:PORT` or `unix:PATH`. Calls take `timeout` at most. Connects
    /// nothing yet. Fails if the system has no random bytes.
    pub fn new(server: &str, timeout: Duration) -> Result<Client, CallError> {
        // The seed's server sends the whole list in one message.
        Client::connect(server, timeout, -1)
    }

    /// The same, for who does not trust the server to send little: messages of more than
    /// `message_bytes_max` are refused (RESOURCE_EXHAUSTED).
    pub fn bounded(
        server: &str,
        timeout: Duration,
        message_bytes_max: usize,
    ) -> Result<Client, CallError> {
        Client::connect(server, timeout, i32::try_from(message_bytes_max).unwrap_or(i32::MAX))
    }

    fn connect(
        server: &str,
        timeout: Duration,
        message_bytes_max: i32,
    ) -> Result<Client, CallError> {
        let session = random_hex::<12>()
            .map_err(|e| CallError::new(Code::Internal, format!("no random bytes: {e}")))?;
        let env = Arc::new(EnvBuilder::new().cq_count(1).name_prefix("grpc-client").build());
        let channel = ChannelBuilder::new(env)
            // Two clients of one process do not share what becomes of a connection.
            .use_local_subchannel_pool(true)
            // The list is on a server of one's own, not behind a web proxy.
            .enable_http_proxy(false)
            .initial_reconnect_backoff(RECONNECT_BACKOFF_MIN)
            .max_reconnect_backoff(RECONNECT_BACKOFF_MAX)
            // With it the system ends a connection whose peer has not acknowledged for so
            // long what was sent: without, it tries for a quarter of an hour. Servers end
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
        })
    }

    /// The same client, for calls that `interrupt` can stop. Watches are stopped by
    /// dropping them.
    pub fn with_interrupt(&self, interrupt: &Interrupt) -> Client {
        Client { interrupt: Some(interrupt.clone()), ..self.clone() }
    }

    /// The same client, for calls that take no longer than `most`.
    pub fn within(&self, most: Duration) -> Client {
        Client { timeout: self.timeout.min(most), ..self.clone() }
    }

    pub fn server(&self) -> &str {
        &self.server
    }

    /// Whether this client caused the update.
    pub fn caused(&self, update: &proto::TaskUpdate) -> bool {
        update.request_id.strip_prefix(&*self.session).is_some_and(|rest| rest.starts_with('-'))
    }

    /// A request id that nobody used before.
    pub(super) fn request_id(&self) -> String {
        format!("{}-{}", self.session, self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// One call of `rpc::methods`, made once.
    pub fn call<Req, Resp: Unpin>(
        &self,
        method: &Method<Req, Resp>,
        request: &Req,
    ) -> Result<Resp, CallError> {
        self.wait(self.start(method, request, self.call_option()))
    }

    /// One change of the list, made again if the connection was lost on the way: the
    /// request id in it keeps that from happening twice. Never made again on a server
    /// that knows no request ids.
    pub(super) fn mutate<Req, Resp: Unpin>(
        &self,
        method: &Method<Req, Resp>,
        request: &Req,
    ) -> Result<Resp, CallError> {
        let deadline = Instant::now() + self.timeout;
        let state = self.grpc.channel().check_connectivity_state(false);
        let mut had_connection = state == ConnectivityState::GRPC_CHANNEL_READY;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let call = self.start(method, request, CallOption::default().timeout(left));
            match self.wait(call) {
                Err(lost) if lost.code == Code::Unavailable => {
                    if !self.is_connected_again(had_connection, deadline) {
                        return Err(lost);
                    }
                    had_connection = true;
                    std::thread::sleep(RECONNECT_BACKOFF_MIN);
                }
                done => return done,
            }
        }
    }

    /// After a call was lost: waits until the deadline for a server that knows request
    /// ids. At once `false` if there was no connection to lose.
    fn is_connected_again(&self, had_connection: bool, deadline: Instant) -> bool {
        let state = self.grpc.channel().check_connectivity_state(true);
        if state == ConnectivityState::GRPC_CHANNEL_TRANSIENT_FAILURE && !had_connection {
            return false;
        }
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let option = CallOption::default().timeout(left).wait_for_ready(true);
            match self.wait(self.probe(option)) {
                Ok(place) => return place.is_some(),
                // Still the server that is going away.
                Err(gone) if gone.code == Code::Unavailable => {
                    std::thread::sleep(RECONNECT_BACKOFF_MIN);
                }
                Err(_) => return false,
            }
        }
    }

    fn wait<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, CallError> {
        match &self.interrupt {
            Some(interrupt) => interrupt.block_on(call),
            None => block_on(call),
        }
    }

    /// Where the server's list is now; `None` from the seed's server, which counts no
    /// revisions.
    pub fn place(&self) -> Result<Option<Place>, CallError> {
        self.wait(self.probe(self.call_option()))
    }

    /// Whether the server is there, and what [`Client::place`] says.
    pub(super) async fn probe(&self, option: CallOption) -> Result<Option<Place>, CallError> {
        let first = proto::GetTasksRequest { page_size: 1, ..Default::default() };
        let page = self.start(&methods::GET_TASKS, &first, option).await?;
        let place = Place { list_id: page.list_id, revision: page.revision };
        Ok(Some(place).filter(|place| !place.list_id.is_empty()))
    }

    /// One unary call whose messages are bytes, made once, without blocking.
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
