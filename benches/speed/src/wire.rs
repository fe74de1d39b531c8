//! Calls over plain HTTP/2, for what h2load cannot do: checking answers, and examining every
//! update of a watch. The messages have only the fields that are examined, with the numbers
//! of proto/todo.proto.

use anyhow::{Context as _, Result, bail, ensure};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request};
use prost::Message;
use tokio::net::TcpStream;

/// Flow-control window, large enough that the client never slows the server.
const WINDOW_BYTES: u32 = 1 << 30;

pub const ADD_TASK: &str = "AddTask";
pub const COMPLETE_TASK: &str = "CompleteTask";
pub const GET_TASK: &str = "GetTask";
pub const GET_TASKS: &str = "GetTasks";
pub const WATCH_TASKS: &str = "WatchTasks";

#[derive(Clone, PartialEq, Message)]
pub struct AddTaskRequest {
    #[prost(string, tag = "1")]
    pub title: String,
}

#[derive(Clone, PartialEq, Message)]
pub struct CompleteTaskRequest {
    #[prost(int32, tag = "1")]
    pub task_id: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetTaskRequest {
    #[prost(int32, tag = "1")]
    pub task_id: i32,
}

/// The answer of AddTask, CompleteTask and GetTask, of which no field is needed.
#[derive(Clone, PartialEq, Message)]
pub struct ChangeResponse {}

#[derive(Clone, PartialEq, Message)]
pub struct GetTasksRequest {
    #[prost(int32, tag = "2")]
    pub page_size: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct GetTasksResponse {
    /// The tasks in their encoded form.
    #[prost(bytes = "bytes", repeated, tag = "1")]
    pub tasks: Vec<Bytes>,
    #[prost(int64, tag = "3")]
    pub revision: i64,
}

impl GetTasksResponse {
    /// The number of changes. The seed's server does not count them: there, the number of tasks.
    pub fn changes(&self) -> u64 {
        if self.revision > 0 { self.revision as u64 } else { self.tasks.len() as u64 }
    }
}

#[derive(Clone, PartialEq, Message)]
pub struct WatchTasksRequest {
    #[prost(bool, tag = "2")]
    pub snapshot: bool,
    #[prost(int32, tag = "4")]
    pub max_updates_per_message: i32,
}

#[derive(Clone, PartialEq, Message)]
pub struct TaskUpdate {
    #[prost(message, optional, tag = "1")]
    pub task: Option<Task>,
    #[prost(string, tag = "2")]
    pub action: String,
    #[prost(int64, tag = "3")]
    pub revision: i64,
    #[prost(message, repeated, tag = "5")]
    pub more: Vec<TaskUpdate>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Task {
    #[prost(message, optional, tag = "6")]
    pub updated_at: Option<Timestamp>,
}

#[derive(Clone, PartialEq, Message)]
pub struct Timestamp {
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

/// The body of a request: a prefix of 5 bytes, then the message.
pub fn body(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0); // not compressed
    bytes.put_u32(message.encoded_len() as u32);
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

/// A connection.
pub struct Connection {
    calls: SendRequest<Bytes>,
    authority: String,
}

impl Connection {
    pub async fn open(port: u16) -> Result<Connection> {
        let (calls, connection) = handshake(port, WINDOW_BYTES).await?;
        // A failure of the connection shows in its calls.
        tokio::spawn(connection);
        Ok(Connection { calls, authority: format!("127.0.0.1:{port}") })
    }

    /// Opens a connection with so small a window that the client reads nothing, until `widen`
    /// is done.
    pub async fn open_narrow(
        port: u16,
        window_bytes: u32,
        widen: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Connection> {
        let (calls, mut connection) = handshake(port, window_bytes).await?;
        tokio::spawn(async move {
            let is_over = tokio::select! {
                _ = &mut connection => true,
                () = widen => connection.set_initial_window_size(WINDOW_BYTES).is_err(),
            };
            if !is_over {
                let _ = connection.await;
            }
        });
        Ok(Connection { calls, authority: format!("127.0.0.1:{port}") })
    }

    /// Makes a unary call. Any status but OK is an error.
    pub async fn call<Resp: Message + Default>(
        &mut self,
        method: &str,
        request: &impl Message,
    ) -> Result<Resp> {
        let mut answer = self.start(method, request).await?;
        let message = answer.next().await?.with_context(|| format!("{method}: no answer"))?;
        ensure!(answer.next().await?.is_none(), "{method}: two answers");
        Ok(Resp::decode(message)?)
    }

    /// Returns the first task, and the number of changes.
    pub async fn first_page(&mut self) -> Result<GetTasksResponse> {
        self.call(GET_TASKS, &GetTasksRequest { page_size: 1 }).await
    }

    /// Returns the number of changes.
    pub async fn changes(&mut self) -> Result<u64> {
        Ok(self.first_page().await?.changes())
    }

    /// Starts a call. Returns when the answer begins.
    pub async fn start(&mut self, method: &str, request: &impl Message) -> Result<Answer> {
        let head = Request::post(format!("http://{}/todo.TodoService/{method}", self.authority))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let mut calls = self.calls.clone().ready().await?;
        let (response, mut send) = calls.send_request(head, false)?;
        send.send_data(body(request), true)?;
        let response = response.await?;
        ensure!(response.status().is_success(), "{method}: HTTP {}", response.status());
        check_status(method, response.headers())?;
        let method = method.to_owned();
        Ok(Answer { method, body: response.into_body(), buffer: BytesMut::new() })
    }
}

type Handshake = (SendRequest<Bytes>, h2::client::Connection<TcpStream>);

async fn handshake(port: u16, window_bytes: u32) -> Result<Handshake> {
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.context("cannot connect")?;
    tcp.set_nodelay(true)?;
    Ok(h2::client::Builder::new()
        .initial_window_size(window_bytes)
        .initial_connection_window_size(WINDOW_BYTES)
        .handshake(tcp)
        .await?)
}

/// The messages of an answer.
pub struct Answer {
    method: String,
    body: RecvStream,
    buffer: BytesMut,
}

impl Answer {
    /// Returns the next message, or `None` at the end if the status is OK.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(message) = self.take_message() {
                return Ok(Some(message));
            }
            match self.body.data().await {
                Some(Ok(data)) => {
                    self.body.flow_control().release_capacity(data.len())?;
                    self.buffer.extend_from_slice(&data);
                }
                // A server may send this after a complete answer.
                Some(Err(e)) if e.reason() == Some(Reason::NO_ERROR) => return Ok(None),
                Some(Err(e)) => return Err(e).context(self.method.clone()),
                None => {
                    let trailers = self.body.trailers().await?.unwrap_or_default();
                    check_status(&self.method, &trailers)?;
                    return Ok(None);
                }
            }
        }
    }

    fn take_message(&mut self) -> Option<Bytes> {
        let length = self.buffer.get(1..5)?.get_u32() as usize;
        if self.buffer.len() < 5 + length {
            return None;
        }
        self.buffer.advance(5);
        Some(self.buffer.split_to(length).freeze())
    }
}

/// gRPC reports errors in its own status, within HTTP status 200.
fn check_status(method: &str, headers: &HeaderMap) -> Result<()> {
    match headers.get("grpc-status") {
        Some(status) if status != "0" => {
            let why = headers.get("grpc-message").and_then(|m| m.to_str().ok()).unwrap_or_default();
            bail!("{method}: gRPC status {}: {why}", status.to_str().unwrap_or_default())
        }
        Some(_) | None => Ok(()),
    }
}
