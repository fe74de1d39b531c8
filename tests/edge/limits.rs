//! Requests that are too large, too slow, too many, and readers that do not read.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
use todo::limits::{WEB_BODY_BYTES_MAX, WEB_HEADER_BYTES_MAX, WEB_HEADERS_MAX};
use todo::web::Limits;

use crate::edge;
use crate::harness::{Calls, until};
use crate::http::{Connection, Events, get, post, request, revision_of};

/// Short enough for a test, long enough for a busy machine to do what it must in time.
const SHORT: Duration = Duration::from_millis(700);

#[test]
fn a_body_that_is_too_large_is_refused_whether_it_says_so_or_not() {
    let (server, edge) = edge::start();
    let title = |bytes: usize| format!(r#"{{"title":"{}"}}"#, "x".repeat(bytes - 12));
    // Too long a title for todod, but not too large a body.
    assert_eq!(post(edge.address, "AddTask", &title(WEB_BODY_BYTES_MAX)).error().0, 400);
    let over = post(edge.address, "AddTask", &title(WEB_BODY_BYTES_MAX + 1));
    assert_eq!(over.error(), (413, "resource_exhausted".to_owned()));
    assert!(over.message().contains("65536"), "{}", over.message());

    let head = format!(
        "POST /todo.TodoService/AddTask HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n",
        edge.address
    );
    let mut announced = Connection::open(edge.address);
    announced.send(&format!("{head}Content-Length: 99999999999\r\n\r\n"));
    assert_eq!(announced.answer().error().0, 413, "before any of it was sent");

    let mut endless = Connection::open(edge.address);
    endless.send(&format!("{head}Transfer-Encoding: chunked\r\n\r\n"));
    let piece = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
    endless.send(&piece.repeat(WEB_BODY_BYTES_MAX / 0x1000 + 1));
    assert_eq!(endless.answer().error().0, 413);
    assert_eq!(server.client().revision(), 0);
}

#[test]
fn headers_that_are_too_large_or_too_many_are_refused() {
    let (_server, edge) = edge::start();
    for text in [
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
            "x".repeat(WEB_HEADER_BYTES_MAX)
        ),
        format!("GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n", "X: x\r\n".repeat(WEB_HEADERS_MAX)),
    ] {
        let mut connection = Connection::open(edge.address);
        connection.send(&text);
        assert_eq!(connection.head().status, 431);
    }
    let mut connection = Connection::open(edge.address);
    connection.send(&format!("GET /{} HTTP/1.1\r\n", "x".repeat(WEB_HEADER_BYTES_MAX)));
    let status = connection.head().status;
    assert!([414, 431].contains(&status), "{status}");
    let fits = [("X", &*"x".repeat(WEB_HEADER_BYTES_MAX - 1_000))];
    assert_eq!(request(edge.address, "GET /", &fits, "").status, 200);
}

#[test]
fn headers_that_do_not_come_end_the_connection() {
    let (_server, edge) = edge::start_with(Limits { header_timeout: SHORT, ..Limits::default() });
    for text in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: localhost\r\nX: "] {
        let mut connection = Connection::open(edge.address);
        connection.send(text);
        assert!(!connection.rest().contains("200 OK"), "{text:?}");
    }
    // Nor does one that was used keep its place.
    let mut used = Connection::open(edge.address);
    used.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(used.answer().status, 404);
    assert_eq!(used.rest(), "");
}

#[test]
fn a_body_that_does_not_come_is_given_up() {
    let (_server, edge) = edge::start_with(Limits { body_timeout: SHORT, ..Limits::default() });
    let mut connection = Connection::open(edge.address);
    connection.send(
        "POST /todo.TodoService/AddTask HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"title\"",
    );
    let answer = connection.answer();
    assert_eq!(answer.error(), (408, "deadline_exceeded".to_owned()));
    assert!(answer.message().contains("700ms"), "{}", answer.message());
    assert_eq!(connection.rest(), "", "what may still come is no request");
}

#[test]
fn one_connection_more_than_there_may_be_is_told_so() {
    let (_server, edge) = edge::start_with(Limits { connections_max: 2, ..Limits::default() });
    let mut first = Events::open(edge.address, "any");
    let second = Events::open(edge.address, "any");
    first.snapshot();
    let turned_away = Connection::open(edge.address).rest();
    assert!(turned_away.starts_with("HTTP/1.1 503 "), "{turned_away}");
    assert!(turned_away.ends_with("Too many connections at once: try again later\n"));
    drop(second);
    // As soon as it is noticed that one left.
    until("there is room", || {
        let mut connection = Connection::open(edge.address);
        connection.send("GET /nothing HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        connection.rest().starts_with("HTTP/1.1 404 ")
    });
}

#[test]
fn one_page_more_than_may_follow_is_told_to_come_later() {
    let (_server, edge) = edge::start_with(Limits { event_streams_max: 1, ..Limits::default() });
    let mut first = Events::open(edge.address, "any");
    first.snapshot();
    let second = get(edge.address, "/events");
    assert_eq!((second.status, second.header("content-type")), (200, Some("text/event-stream")));
    assert!(second.body.starts_with("retry: 10000\n\nevent: offline\ndata: {"), "{}", second.body);
    assert!(second.body.contains("Too many pages"), "{}", second.body);
    drop(first);
    until("there is room", || {
        let mut next = Connection::open(edge.address);
        next.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        next.head().header("transfer-encoding").is_some()
    });
}

/// A connection whose side here takes little.
fn narrow(address: std::net::SocketAddr) -> Connection {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&socket, 4_096).unwrap();
    connect(&socket, &address).unwrap();
    Connection::over(TcpStream::from(socket))
}

/// More than all buffers between hold.
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
fn a_browser_that_stops_reading_is_cut_off_and_holds_up_nobody() {
    let stall_timeout = Duration::from_secs(3);
    let (server, edge) =
        edge::start_with(Limits { event_streams_max: 2, stall_timeout, ..Limits::default() });
    let stopped = Events::over(narrow(edge.address), edge.address, "any", "");
    let mut reader = Events::open(edge.address, "any");
    reader.snapshot();
    let updates = std::thread::scope(|scope| {
        let reading = scope.spawn(|| reader.updates_to(TASKS as i64));
        add_much(&server.client());
        reading.join().unwrap()
    });
    let revisions: Vec<_> = updates.iter().map(|(update, _)| revision_of(update)).collect();
    assert_eq!(revisions, (1..=TASKS as i64).collect::<Vec<_>>());
    // It has one of two places, until it is cut off.
    until("its place is free", || {
        let mut next = Connection::open(edge.address);
        next.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
        next.head().header("transfer-encoding").is_some()
    });
    drop(stopped);
}

#[test]
fn a_browser_that_pauses_gets_everything_in_order_when_it_goes_on() {
    let (server, edge) = edge::start();
    let mut events = Events::over(narrow(edge.address), edge.address, "any", "");
    events.snapshot();
    add_much(&server.client());
    let updates = events.updates_to(TASKS as i64);
    let revisions: Vec<_> = updates.iter().map(|(update, _)| revision_of(update)).collect();
    assert_eq!(revisions, (1..=TASKS as i64).collect::<Vec<_>>());
}

#[test]
fn many_half_open_connections_hold_up_nobody() {
    let (_server, edge) = edge::start();
    let _half_open: Vec<_> = (0..500)
        .map(|n| {
            let mut stream = TcpStream::connect(edge.address).unwrap();
            let part = ["", "GET / HT", "POST /todo.TodoService/AddTask HTTP/1.1\r\nHost: "][n % 3];
            stream.write_all(part.as_bytes()).unwrap();
            stream
        })
        .collect();
    assert_eq!(post(edge.address, "AddTask", r#"{"title":"a"}"#).status, 200);
}
