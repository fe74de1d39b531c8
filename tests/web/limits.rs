//! Requests that are too large, too slow or too many, and browsers that do not read.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
use todo::limits::{WEB_BODY_BYTES_MAX, WEB_HEADER_BYTES_MAX, WEB_HEADERS_MAX};
use todo::web::Limits;

use crate::app;
use crate::harness::{Calls, until};
use crate::http::{Connection, Events, post, request, revision_of};

/// Short enough for a test to wait for.
const SHORT: Duration = Duration::from_millis(700);

#[test]
fn too_large_a_body_is_refused_with_and_without_a_length() {
    let (server, app) = app::start();
    let title = |bytes: usize| format!(r#"{{"title":"{}"}}"#, "x".repeat(bytes - 12));
    // The title is too long for todod, but the body is not too large.
    assert_eq!(post(app.address, "AddTask", &title(WEB_BODY_BYTES_MAX)).error().0, 400);
    let over = post(app.address, "AddTask", &title(WEB_BODY_BYTES_MAX + 1));
    assert_eq!(over.error(), (413, "resource_exhausted".to_owned()));
    assert!(over.message().contains("65536"), "{}", over.message());

    let head = format!(
        "POST /todo.TodoService/AddTask HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n",
        app.address
    );
    let mut announced = Connection::open(app.address);
    announced.send(&format!("{head}Content-Length: 99999999999\r\n\r\n"));
    assert_eq!(announced.answer().error().0, 413, "before any of it was sent");

    let mut endless = Connection::open(app.address);
    endless.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
    let piece = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    endless.send(&piece.repeat(WEB_BODY_BYTES_MAX / 0x1000 + 1));
    assert_eq!(endless.answer().error().0, 413);
    assert_eq!(server.client().revision(), 0);
}

#[test]
fn too_large_or_too_many_headers_are_refused() {
    let (_server, app) = app::start();
    for text in [
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
            "x".repeat(WEB_HEADER_BYTES_MAX)
        ),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: x\r\n".repeat(WEB_HEADERS_MAX)),
    ] {
        let mut connection = Connection::open(app.address);
        connection.send(&text);
        assert_eq!(connection.head().status, 431);
    }
    let mut connection = Connection::open(app.address);
    connection.send(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(WEB_HEADER_BYTES_MAX)));
    let status = connection.head().status;
    assert!([414, 431].contains(&status), "{status}");
    let fits = [("X", &*"x".repeat(WEB_HEADER_BYTES_MAX - 1_000))];
    assert_eq!(request(app.address, "GET /", &fits, "").status, 200);
}

#[test]
fn missing_headers_end_the_connection() {
    let (_server, app) = app::start_with(Limits { header_timeout: SHORT, ..Limits::default() });
    for text in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: localhost\r\nX: "] {
        let mut connection = Connection::open(app.address);
        connection.send(text);
        assert!(!connection.rest().contains("200 OK"), "{text:?}");
    }
    // A connection that was used before ends as well.
    let mut used = Connection::open(app.address);
    used.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(used.answer().status, 404);
    assert_eq!(used.rest(), "");
}

#[test]
fn a_missing_body_is_answered_408() {
    let (_server, app) = app::start_with(Limits { body_timeout: SHORT, ..Limits::default() });
    let mut connection = Connection::open(app.address);
    connection.send(
        "POST /todo.TodoService/AddTask HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"title\"",
    );
    let answer = connection.answer();
    assert_eq!(answer.error(), (408, "deadline_exceeded".to_owned()));
    assert!(answer.message().contains("700ms"), "{}", answer.message());
    assert_eq!(connection.rest(), "", "the rest of the body is not taken for a request");
}

#[test]
fn one_connection_too_many_is_answered_503() {
    let (_server, app) = app::start_with(Limits { connections_max: 2, ..Limits::default() });
    let mut first = Events::open(app.address, "any");
    let second = Events::open(app.address, "any");
    first.snapshot();
    let turned_away = Connection::open(app.address).rest();
    assert!(turned_away.starts_with("HTTP/1.1 503 "), "{turned_away}");
    assert!(turned_away.ends_with("too many connections: try again later\n"));
    drop(second);
    // The server notices that one left.
    until("there is room", || {
        let mut connection = Connection::open(app.address);
        connection.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        connection.rest().starts_with("HTTP/1.1 404 ")
    });
}

#[test]
fn one_event_stream_too_many_is_told_to_retry_later() {
    let (_server, app) = app::start_with(Limits { event_streams_max: 1, ..Limits::default() });
    let mut first = Events::open(app.address, "any");
    first.snapshot();
    let mut second = Connection::open(app.address);
    second.send("GET /events HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let head = second.head();
    assert_eq!((head.status, head.header("content-type")), (200, Some("text/event-stream")));
    let body = second.rest();
    assert!(body.contains("event: offline\ndata: {"), "{body}");
    assert!(body.contains("too many open event streams"), "{body}");
    assert!(body.contains("\nretry: 10000\n\n"), "{body}");
    drop(first);
    until("there is room", || {
        let mut next = Connection::open(app.address);
        next.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        next.head();
        next.chunk().is_some_and(|chunk| chunk.starts_with("retry: 1000\n"))
    });
}

/// A connection with a small receive buffer.
fn narrow(address: std::net::SocketAddr) -> Connection {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 4_096).unwrap();
    connect(&socket, &address).unwrap();
    Connection::over(TcpStream::from(socket))
}

/// Together more than all buffers on the way hold.
const TITLE: usize = 1_024;
const TASKS: usize = 8_000;

fn add_much(client: &todo::client::Client) {
    let title = "\u{1F600}".repeat(TITLE);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..TASKS / 8).for_each(|_| drop(client.add(&title).unwrap())));
        }
    });
}

#[test]
fn a_browser_that_stops_reading_is_cut_off_and_delays_nobody() {
    let stall_timeout = Duration::from_secs(3);
    let (server, app) =
        app::start_with(Limits { event_streams_max: 2, stall_timeout, ..Limits::default() });
    let stopped = Events::over(narrow(app.address), app.address, "any", "");
    let mut reader = Events::open(app.address, "any");
    reader.snapshot();
    let updates = std::thread::scope(|scope| {
        let reading = scope.spawn(|| reader.updates_to(TASKS as i64));
        add_much(&server.client());
        reading.join().unwrap()
    });
    let revisions: Vec<_> = updates.iter().map(|(update, _)| revision_of(update)).collect();
    assert_eq!(revisions, (1..=TASKS as i64).collect::<Vec<_>>());
    // The stalled stream holds one of two places until it is cut off.
    until("its place is free", || {
        let mut next = Connection::open(app.address);
        next.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        next.head();
        next.chunk().is_some_and(|chunk| chunk.starts_with("retry: 1000\n"))
    });
    drop(stopped);
}

#[test]
fn a_browser_that_pauses_gets_everything_in_order() {
    let (server, app) = app::start();
    let mut events = Events::over(narrow(app.address), app.address, "any", "");
    events.snapshot();
    add_much(&server.client());
    let updates = events.updates_to(TASKS as i64);
    let revisions: Vec<_> = updates.iter().map(|(update, _)| revision_of(update)).collect();
    assert_eq!(revisions, (1..=TASKS as i64).collect::<Vec<_>>());
}

#[test]
fn half_open_connections_delay_nobody() {
    let (_server, app) = app::start();
    let _half_open: Vec<_> = (0..500)
        .map(|n| {
            let mut stream = TcpStream::connect(app.address).unwrap();
            let part = ["", "GET / HT", "POST /todo.TodoService/AddTask HTTP/1.1\r\nHost: "][n % 3];
            stream.write_all(part.as_bytes()).unwrap();
            stream
        })
        .collect();
    assert_eq!(post(app.address, "AddTask", r#"{"title":"a"}"#).status, 200);
}
