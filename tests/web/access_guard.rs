//! The access guard: which requests it refuses, and the headers of every answer.

use std::net::TcpListener;

use crate::app::{self, App};
use crate::harness::Calls;
use crate::http::{Answer, Connection, get, post, post_with, request};

fn code(answer: &Answer) -> (u16, String) {
    if answer.status == 200 { (200, String::new()) } else { answer.error() }
}

fn denied() -> (u16, String) {
    (403, "permission_denied".to_owned())
}

#[test]
fn a_rebound_host_name_is_refused() {
    let (server, app) = app::start();
    let port = app.address.port();
    for host in ["evil.example", &format!("evil.example:{port}"), "127.0.0.1.evil.example", ""] {
        for line in ["GET /", "GET /events", "POST /todo.TodoService/AddTask"] {
            let headers = [("Host", host), ("Content-Type", "application/json")];
            let answer = request(app.address, line, &headers, r#"{"title":"a"}"#);
            assert_eq!(code(&answer), denied(), "{host} {line}");
            assert!(answer.message().contains("--allow-host"), "{}", answer.message());
        }
    }
    for host in ["localhost", "list.example.org", "[::1]:1", &app.address.to_string()] {
        assert_eq!(request(app.address, "GET /", &[("Host", host)], "").status, 200, "{host}");
    }
    assert_eq!(server.client().revision(), 0);
}

#[test]
fn a_request_has_one_host_header_and_a_path() {
    let (_server, app) = app::start();
    let asked = |text: &str| {
        let mut connection = Connection::open(app.address);
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
fn a_page_of_another_site_may_not_write_or_watch() {
    let (server, app) = app::start();
    let own = format!("http://{}", app.address);
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
        let answer = post_with(app.address, "AddTask", r#"{"title":"a"}"#, &[(name, value)]);
        assert_eq!(code(&answer), denied(), "{name}: {value}");
        let answer = request(app.address, "GET /events", &[(name, value)], "");
        assert_eq!(code(&answer), denied(), "{name}: {value}");
        let answer =
            request(app.address, "OPTIONS /todo.TodoService/AddTask", &[(name, value)], "");
        assert_eq!(code(&answer), denied(), "{name}: {value}");
    }
    // Both headers must allow it.
    let half = [("Origin", &*own), ("Sec-Fetch-Site", "cross-site")];
    assert_eq!(code(&post_with(app.address, "AddTask", r#"{"title":"a"}"#, &half)), denied());
    assert_eq!(server.client().revision(), 0, "nothing was changed");

    let own = [("Origin", &*own), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(post_with(app.address, "AddTask", r#"{"title":"a"}"#, &own).status, 200);
    let proxied = [("Host", "list.example.org"), ("Origin", "https://list.example.org")];
    assert_eq!(post_with(app.address, "AddTask", r#"{"title":"a"}"#, &proxied).status, 200);
    // A link of another site may lead to the page.
    let link = [("Sec-Fetch-Site", "cross-site")];
    assert_eq!(request(app.address, "GET /", &link, "").status, 200);
}

/// A proxy listens on port 8443, ends TLS, and passes Host without the port.
#[test]
fn a_proxy_may_listen_on_another_port() {
    let (server, app) = app::start();
    let asked = |host: &str, origin: &str, site: &[(&str, &str)]| {
        let headers = [&[("Host", host), ("Origin", origin)], site].concat();
        let called = post_with(app.address, "AddTask", r#"{"title":"a"}"#, &headers);
        let mut events = Connection::open(app.address);
        let headers: String = headers.iter().map(|(n, v)| format!("{n}: {v}\r\n")).collect();
        events.send(&format!("GET /events HTTP/1.1\r\n{headers}\r\n"));
        let events = events.head().status;
        assert_eq!(events, called.status, "calls and events follow the same rule");
        events
    };
    let same = [("Sec-Fetch-Site", "same-origin")];
    let (host, origin) = ("list.example.org", "https://list.example.org:8443");
    assert_eq!(asked(host, origin, &same), 200);
    assert_eq!(asked(&app.address.to_string(), "https://127.0.0.1:8443", &same), 200);
    let added = server.client().revision();
    // Without the browser's verdict another port is another site, such as a development
    // server on the same machine.
    assert_eq!(asked(host, origin, &[]), 403);
    for verdict in ["none", "same-site", "cross-site"] {
        assert_eq!(asked(host, origin, &[("Sec-Fetch-Site", verdict)]), 403, "{verdict}");
    }
    // Neither does the verdict help another name: with a proxy that changes Host, a rebound
    // name would be same-origin.
    for origin in ["https://evil.example:8443", "https://evil.example", "null", ""] {
        assert_eq!(asked(host, origin, &same), 403, "{origin}");
    }
    assert_eq!(asked("evil.example", "https://evil.example", &same), 403);
    assert_eq!(server.client().revision(), added, "nothing was changed");
}

#[test]
fn every_answer_has_the_security_headers() {
    let (_server, app) = app::start();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let alone = App::serving(&closed.to_string(), Default::default());
    let mut events = Connection::open(app.address);
    events.send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let known = get(app.address, "/").header("etag").unwrap().to_owned();
    for (status, answer) in [
        (200, get(app.address, "/")),
        (304, request(app.address, "GET /", &[("If-None-Match", &known)], "")),
        (200, post(app.address, "AddTask", r#"{"title":"a"}"#)),
        (200, events.head()),
        (400, post(app.address, "AddTask", "x")),
        (400, get(app.address, "/events?filter=x")),
        (403, request(app.address, "GET /", &[("Host", "evil.example")], "")),
        (404, get(app.address, "/nothing")),
        (404, post(app.address, "GetTask", r#"{"taskId":7}"#)),
        (405, get(app.address, "/todo.TodoService/AddTask")),
        (405, request(app.address, "POST /", &[], "")),
        (413, post(app.address, "AddTask", &"x".repeat(100_000))),
        (415, request(app.address, "POST /todo.TodoService/AddTask", &[], "{}")),
        (501, post(app.address, "Nothing", "{}")),
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
