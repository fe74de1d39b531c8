//! Who may ask, and what every answer carries.

use std::net::TcpListener;

use crate::edge::{self, Edge};
use crate::harness::Calls;
use crate::http::{Answer, Connection, get, post, post_with, request};

fn code(answer: &Answer) -> (u16, String) {
    if answer.status == 200 { (200, String::new()) } else { answer.error() }
}

fn denied() -> (u16, String) {
    (403, "permission_denied".to_owned())
}

#[test]
fn a_name_that_was_made_to_lead_here_is_refused() {
    let (server, edge) = edge::start();
    let port = edge.address.port();
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", ""] {
        for line in ["GET /", "GET /events", "POST /todo.TodoService/AddTask"] {
            let headers = [("Host", host), ("Content-Type", "application/json")];
            let answer = request(edge.address, line, &headers, r#"{"title":"a"}"#);
            assert_eq!(code(&answer), denied(), "{host} {line}");
            assert!(answer.message().contains("--allow-host"), "{}", answer.message());
        }
    }
    for host in ["localhost", "list.example.org", "[::1]:1", &edge.address.to_string()] {
        assert_eq!(request(edge.address, "GET /", &[("Host", host)], "").status, 200, "{host}");
    }
    assert_eq!(server.client().revision(), 0);
}

#[test]
fn a_request_has_one_host_and_no_other_in_its_line() {
    let (_server, edge) = edge::start();
    let asked = |text: &str| {
        let mut connection = Connection::open(edge.address);
        connection.send(text);
        connection.answer()
    };
    for text in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n\r\n",
        "GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let answer = asked(text);
        assert_eq!(code(&answer), (400, "invalid_argument".to_owned()), "{text}");
    }
}

#[test]
fn a_page_of_another_site_may_not_write_or_listen() {
    let (server, edge) = edge::start();
    let own = format!("http://{}", edge.address);
    for (name, value) in [
        ("Origin", "http://evil.example"),
        ("Origin", "null"),
        ("Origin", ""),
        ("Origin", "file://"),
        ("Origin", "http://127.0.0.1:1"),
        ("Origin", &format!("{own}.evil.example")),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-site"),
        ("Sec-Fetch-Site", "new-word"),
    ] {
        let answer = post_with(edge.address, "AddTask", r#"{"title":"a"}"#, &[(name, value)]);
        assert_eq!(code(&answer), denied(), "{name}: {value}");
        let answer = request(edge.address, "GET /events", &[(name, value)], "");
        assert_eq!(code(&answer), denied(), "{name}: {value}");
        let answer =
            request(edge.address, "OPTIONS /todo.TodoService/AddTask", &[(name, value)], "");
        assert_eq!(code(&answer), denied(), "{name}: {value}");
    }
    // Both must be right.
    let half = [("Origin", &*own), ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(code(&post_with(edge.address, "AddTask", r#"{"title":"a"}"#, &half)), denied());
    assert_eq!(server.client().revision(), 0, "nothing was done");

    let own = [("Origin", &*own), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(post_with(edge.address, "AddTask", r#"{"title":"a"}"#, &own).status, 200);
    let proxied = [("Host", "list.example.org"), ("Origin", "https://list.example.org")];
    assert_eq!(post_with(edge.address, "AddTask", r#"{"title":"a"}"#, &proxied).status, 200);
    // A link from elsewhere leads to the page.
    let link = [("Sec-Fetch-Site", "cross-site")];
    assert_eq!(request(edge.address, "GET /", &link, "").status, 200);
}

#[test]
fn every_answer_carries_the_headers_that_keep_others_out() {
    let (_server, edge) = edge::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let alone = Edge::before(&closed.to_string(), Default::default());
    let mut events = Connection::open(edge.address);
    events.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let known = get(edge.address, "/").header("etag").unwrap().to_owned();
    for (status, answer) in [
        (200, get(edge.address, "/")),
        (304, request(edge.address, "GET /", &[("If-None-Match", &known)], "")),
        (200, post(edge.address, "AddTask", r#"{"title":"a"}"#)),
        (200, events.head()),
        (400, post(edge.address, "AddTask", "x")),
        (400, get(edge.address, "/events?filter=x")),
        (403, request(edge.address, "GET /", &[("Host", "evil.example")], "")),
        (404, get(edge.address, "/nothing")),
        (404, post(edge.address, "GetTask", r#"{"taskId":7}"#)),
        (405, get(edge.address, "/todo.TodoService/AddTask")),
        (405, request(edge.address, "POST /", &[], "")),
        (413, post(edge.address, "AddTask", &"x".repeat(100_000))),
        (415, request(edge.address, "POST /todo.TodoService/AddTask", &[], "{}")),
        (501, post(edge.address, "Nothing", "{}")),
        (503, post(alone.address, "AddTask", r#"{"title":"a"}"#)),
    ] {
        assert_eq!(answer.status, status, "{answer:?}");
        let csp = answer.header("content-security-policy").unwrap();
        assert!(csp.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"));
        assert!(csp.contains("frame-ancestors 'none'") && !csp.contains("unsafe"), "{csp}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{answer:?}");
        }
        assert!(answer.header("cache-control").is_some_and(|how| how.starts_with("no-")));
        let cors = answer.headers.iter().find(|(name, _)| name.starts_with("access-control"));
        assert_eq!(cors, None);
    }
}
