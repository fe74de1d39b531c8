//! `scripts/run.sh`, as the README shows it.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use assert_cmd::Command;

use crate::daemon::Daemon;

/// What a session with these lines prints, on a list in `dir`.
fn session(dir: &Path, lines: &str) -> (Option<i32>, String) {
    let (code, out, said) = session_with_page(dir, lines, "127.0.0.1:0");
    assert!(said.contains("The page is at http://127.0.0.1:"), "{said}");
    (code, out)
}

/// With what it says on stderr.
fn session_with_page(dir: &Path, lines: &str, listen: &str) -> (Option<i32>, String, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/run.sh");
    let out = Command::new(script)
        .env("TODO_RUN_DIR", dir)
        .env("TODO_RUN_LISTEN", "127.0.0.1:0")
        .env("TODO_RUN_WEB_LISTEN", listen)
        .write_stdin(lines)
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

/// Where it says that the page is.
fn page(said: &str) -> SocketAddr {
    let url = said.split("http://").nth(1).unwrap().split(": open").next().unwrap();
    url.parse().unwrap()
}

#[test]
fn the_page_gives_way_to_who_has_its_port_and_ends_with_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let (code, out, said) = session_with_page(dir.path(), "list\n", &listen);
    assert_eq!((code, &*out), (Some(0), ""), "{said}");
    assert!(said.contains(&format!("{listen} is taken, so the page is at http://")), "{said}");
    assert!(TcpStream::connect(page(&said)).is_err(), "todo-web has ended");
}

#[test]
fn one_command_builds_serves_and_stops_and_the_next_finds_the_list() {
    let dir = tempfile::tempdir().unwrap();
    let list = "    ID  STATE      TITLE\n     1  open       Buy milk\n";
    let added = (Some(0), format!("1 Buy milk\n{list}"));
    assert_eq!(session(dir.path(), "add Buy milk\nlist\n"), added);
    assert_eq!(session(dir.path(), "list\n"), (Some(0), list.to_owned()));
    assert_eq!(session(dir.path(), "show 7\nlist\n"), (Some(3), list.to_owned()));
    // The server is gone, so the directory is free.
    drop(Daemon::start(dir.path(), &[]));
}
