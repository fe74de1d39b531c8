//! HTTP/1.1 by hand, so that tests see what a browser would hide.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use crate::harness::DEADLINE;

/// An HTTP response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_str(&self.body).unwrap()
    }

    /// The status and the code of an error response.
    pub fn error(&self) -> (u16, String) {
        let code = self.json()["code"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned();
        (self.status, code)
    }

    pub fn message(&self) -> String {
        self.json()["message"].as_str().unwrap().to_owned()
    }
}

/// A connection with its unread input.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    pub fn open(address: SocketAddr) -> Connection {
        Connection::over(TcpStream::connect(address).unwrap())
    }

    pub fn over(stream: TcpStream) -> Connection {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Connection(BufReader::new(stream))
    }

    pub fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }

    /// Reads the status line and the headers of a response.
    pub fn head(&mut self) -> Answer {
        let status = self.line();
        let (version, status) = status.split_once(' ').unwrap_or_else(|| panic!("{status:?}"));
        assert!(["HTTP/1.0", "HTTP/1.1"].contains(&version), "{version}");
        let status = status[..3].parse().unwrap();
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else {
                assert_eq!(line, "");
                return Answer { status, headers, body: String::new() };
            };
            headers.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Reads a whole response that has a Content-Length.
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).unwrap();
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    /// Waits for the other side to close, and returns what it sent before.
    pub fn rest(mut self) -> String {
        let mut rest = Vec::new();
        if let Err(e) = self.0.read_to_end(&mut rest) {
            // Closing a socket with unread input resets the connection.
            assert_eq!(e.kind(), ErrorKind::ConnectionReset, "{e}");
        }
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// One line without its end; empty at the end of all.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end_matches(['\r', '\n']).to_owned()
    }

    /// Reads the next chunk of a chunked body; `None` at its end.
    pub fn chunk(&mut self) -> Option<String> {
        let line = self.line();
        let size = usize::from_str_radix(&line, 16).expect("an end, not a break");
        let mut chunk = vec![0; size];
        self.0.read_exact(&mut chunk).unwrap();
        self.line();
        (size > 0).then(|| String::from_utf8(chunk).unwrap())
    }
}

/// One request on a connection of its own. `headers` may take the place of Host.
pub fn request(address: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut connection = Connection::open(address);
    connection.send(&text(address, line, headers, body));
    let answer = connection.answer();
    // HEAD tells of a length that does not come.
    assert!(line.starts_with("HEAD") || connection.0.buffer().is_empty(), "{answer:?}");
    answer
}

fn text(address: SocketAddr, line: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{line} HTTP/1.1\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        text += &format!("Host: {address}\r\n");
    }
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    text + "\r\n" + body
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, &format!("GET {path}"), &[], "")
}

/// Calls a method.
pub fn post(address: SocketAddr, method: &str, json: &str) -> Answer {
    post_with(address, method, json, &[])
}

pub fn post_with(
    address: SocketAddr,
    method: &str,
    json: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let headers = [&[("Content-Type", "application/json")], headers].concat();
    request(address, &format!("POST /todo.TodoService/{method}"), &headers, json)
}

/// An event as a browser dispatches it.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The last event id after this event, which the browser keeps.
    pub last_id: String,
    pub name: String,
    pub data: Value,
}

/// A stream of events.
pub struct Events {
    connection: Connection,
    unread: VecDeque<String>,
    last_id: String,
}

impl Events {
    pub fn open(address: SocketAddr, filter: &str) -> Events {
        Events::over(Connection::open(address), address, filter, "")
    }

    /// Reconnects with the last event id of an earlier stream.
    pub fn resume(address: SocketAddr, filter: &str, last_id: &str) -> Events {
        Events::over(Connection::open(address), address, filter, last_id)
    }

    pub fn over(
        mut connection: Connection,
        address: SocketAddr,
        filter: &str,
        last_id: &str,
    ) -> Events {
        let headers = [("Accept", "text/event-stream"), ("Last-Event-ID", last_id)];
        let headers = if last_id.is_empty() { &headers[..1] } else { &headers };
        connection.send(&text(address, &format!("GET /events?filter={filter}"), headers, ""));
        let head = connection.head();
        assert_eq!(head.status, 200, "{head:?}");
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        let last_id = last_id.to_owned();
        Events { connection, unread: VecDeque::new(), last_id }
    }

    /// The next event; `None` at the end of the stream.
    pub fn next(&mut self) -> Option<Event> {
        let (mut name, mut data) = (String::new(), String::new());
        loop {
            let line = self.line()?;
            match line.split_once(':').unwrap_or((&line, "")) {
                ("event", value) => name = value.trim_start().to_owned(),
                ("data", value) => data += value.trim_start(),
                ("id", value) => self.last_id = value.trim_start().to_owned(),
                ("retry", value) => assert!(value.trim_start().parse::<u32>().is_ok(), "{line}"),
                ("", _) if data.is_empty() => name.clear(),
                ("", _) => {
                    let data = serde_json::from_str(&data).expect(&data);
                    return Some(Event { last_id: self.last_id.clone(), name, data });
                }
                _ => panic!("unknown field: {line}"),
            }
        }
    }

    /// Reads the next event, which must have this name. Skips signs of life, unless this is one.
    pub fn expect(&mut self, name: &str) -> Event {
        let event = self.next().unwrap_or_else(|| panic!("the stream ended before {name}"));
        if event.name == "alive" && name != "alive" {
            return self.expect(name);
        }
        assert_eq!(event.name, name, "{event:?}");
        event
    }

    /// Reads updates up to this revision, each with the id of its event.
    pub fn updates_to(&mut self, revision: i64) -> Vec<(Value, String)> {
        let mut updates = Vec::new();
        loop {
            let event = self.expect("updates");
            for update in event.data.as_array().unwrap() {
                updates.push((update.clone(), event.last_id.clone()));
            }
            if updates.last().is_some_and(|(update, _)| revision_of(update) == revision) {
                return updates;
            }
        }
    }

    /// Reads a snapshot up to `synced`. Returns its tasks and the position after it.
    pub fn snapshot(&mut self) -> (Vec<Value>, String) {
        let reset = self.expect("reset");
        assert_eq!(reset.last_id, "", "a browser that is cut off in a snapshot starts anew");
        let mut tasks = Vec::new();
        loop {
            let event = self.next().unwrap();
            if event.name == "synced" {
                return (tasks, event.last_id);
            }
            assert_eq!((&*event.name, &*event.last_id), ("updates", ""));
            for update in event.data.as_array().unwrap() {
                assert_eq!(update["action"], "SNAPSHOT");
                tasks.push(update["task"].clone());
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        while self.unread.is_empty() {
            let chunk = self.connection.chunk()?;
            assert!(chunk.ends_with('\n'), "an event comes in one piece: {chunk}");
            self.unread.extend(chunk.lines().map(str::to_owned));
        }
        self.unread.pop_front()
    }
}

/// The mapping writes 64-bit numbers as strings.
pub fn revision_of(update: &Value) -> i64 {
    update["revision"].as_str().unwrap_or_else(|| panic!("{update}")).parse().unwrap()
}
