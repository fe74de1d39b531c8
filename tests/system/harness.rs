//! A server in this process, and calls to it.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};
use grpcio::Method;
use todo::client::{
    CallError, Client, Code, UpdateKind, Watch, WatchEvent, WatchOptions, WatchStart,
};
use todo::server::Server;
use todo::state::Limits;
use todo::store::{MemoryStore, Store};
use todo::wire::methods;
use todo::wire::proto::*;

/// How long a test waits for an event that must happen. Not a measure of speed.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A server in this process.
pub struct TestServer {
    server: Option<Server>,
    pub address: String,
}

impl TestServer {
    pub fn start() -> TestServer {
        TestServer::with(Box::new(MemoryStore::new("test-list")), Limits::default())
    }

    pub fn with(store: Box<dyn Store>, limits: Limits) -> TestServer {
        let server = Server::start(store, limits, &["127.0.0.1:0".parse().unwrap()]).unwrap();
        let address = server.addresses()[0].to_string();
        TestServer { server: Some(server), address }
    }

    pub fn client(&self) -> Client {
        client(&self.address)
    }

    /// Shuts it down. The error is why it had stopped before.
    pub fn stop(mut self) -> Result<(), String> {
        self.server.take().unwrap().shutdown().map_err(|fatal| fatal.to_string())
    }

    pub fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            let _ = server.shutdown();
        }
    }
}

pub fn client(address: &str) -> Client {
    Client::new(address, DEADLINE).unwrap()
}

/// Calls that the client has no methods for.
pub trait Calls {
    fn make<Req, Resp: Unpin>(&self, m: &Method<Req, Resp>, r: &Req) -> Result<Resp, CallError>;

    fn add_with(&self, title: &str, request_id: &str) -> Result<Task, CallError> {
        let request = AddTaskRequest {
            title: title.to_owned(),
            request_id: request_id.to_owned(),
            ..Default::default()
        };
        Ok(self.make(&methods::ADD_TASK, &request)?.task.unwrap())
    }

    fn page(&self, filter: Filter, size: i32, token: &str) -> Result<GetTasksResponse, CallError> {
        let request = GetTasksRequest {
            filter: filter.into(),
            page_size: size,
            page_token: token.to_owned(),
            ..Default::default()
        };
        self.make(&methods::GET_TASKS, &request)
    }

    fn titles(&self) -> Vec<String> {
        let page = self.page(Filter::ANY, 0, "").unwrap();
        page.tasks.into_iter().map(|task| task.title).collect()
    }

    fn revision(&self) -> i64 {
        self.page(Filter::ANY, 1, "").unwrap().revision
    }
}

impl Calls for Client {
    fn make<Req, Resp: Unpin>(&self, m: &Method<Req, Resp>, r: &Req) -> Result<Resp, CallError> {
        self.call(m, r)
    }
}

/// The status of a call that must be refused.
pub fn refusal<T: std::fmt::Debug>(answer: Result<T, CallError>) -> (Code, String) {
    let refused = answer.expect_err("the call should have been refused");
    (refused.code, refused.message)
}

/// A watch that is registered: its SYNCED has arrived. Also returns its snapshot.
pub fn watch(client: &Client, filter: Filter) -> (Watch, Vec<TaskUpdate>) {
    let options = WatchOptions { filter, start: WatchStart::Snapshot, ..Default::default() };
    let watch = client.watch(options).unwrap();
    let mut before = Vec::new();
    loop {
        let update = next_update(&watch);
        before.push(update);
        if before[before.len() - 1].action == "SYNCED" {
            return (watch, before);
        }
    }
}

pub fn next_update(watch: &Watch) -> TaskUpdate {
    match next_event(watch) {
        WatchEvent::Connected { .. } => next_update(watch),
        // It comes on a slow machine.
        WatchEvent::Update(update) if UpdateKind::from(&update) == UpdateKind::Progress => {
            next_update(watch)
        }
        WatchEvent::Update(update) => update,
        WatchEvent::Lost(why) | WatchEvent::Ended(why) => panic!("the watch ended: {why}"),
    }
}

/// Why the watch ends. Skips what comes before.
pub fn end_of(watch: &Watch) -> CallError {
    loop {
        if let WatchEvent::Ended(why) = next_event(watch) {
            return why;
        }
    }
}

pub fn next_event(watch: &Watch) -> WatchEvent {
    receive(watch.events(), "an event of the watch")
}

pub fn receive<T>(from: &Receiver<T>, what: &str) -> T {
    match from.recv_timeout(DEADLINE) {
        Ok(received) => received,
        Err(RecvTimeoutError::Timeout) => panic!("{what} did not come in {DEADLINE:?}"),
        Err(RecvTimeoutError::Disconnected) => panic!("{what} will not come"),
    }
}

/// Waits for a condition that no event announces.
pub fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "{what} in {DEADLINE:?}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}
