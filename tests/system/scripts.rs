//! `scripts/run.sh`, as the README shows it.

use std::path::Path;

use assert_cmd::Command;

use crate::daemon::Daemon;

/// What a session with these lines prints, on a list in `dir`.
fn session(dir: &Path, lines: &str) -> (Option<i32>, String) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/run.sh");
    let out = Command::new(script)
        .env("TODO_RUN_DIR", dir)
        .env("TODO_RUN_LISTEN", "127.0.0.1:0")
        .write_stdin(lines)
        .output()
        .unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(!out.stderr.is_empty(), "it says what it does");
    (out.status.code(), said)
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
