//! Clients that nobody here wrote: gRPC's own for Python, with stubs from the reference example's
//! interface alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::daemon::Daemon;

/// A Python with `tests/interop/requirements.txt`: `scripts/test.sh` makes one and
/// says where in TODO_TEST_PYTHON.
pub fn python() -> PathBuf {
    match std::env::var_os("TODO_TEST_PYTHON") {
        Some(python) => python.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("target/venv/bin/python"),
    }
}

pub fn script(name: &str) -> Command {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop").join(name);
    assert!(python().exists(), "{} is missing: run scripts/test.sh", python().display());
    let mut command = Command::new(python());
    command.arg(script);
    command
}

#[test]
fn an_independent_client_gets_what_the_reference_example_promised() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), &[]);
    for fresh in [&["--fresh"][..], &[]] {
        let out = script("driver.py").args(fresh).arg(&daemon.address).output().unwrap();
        assert!(out.status.success(), "{out:#?}");
    }
}

#[test]
fn the_menu_client_of_the_reference_example_works_against_todod() {
    use std::io::Write;
    use std::process::Stdio;

    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), &[]);
    let mut child = script("example_client.py")
        .arg(&daemon.address)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let typed = "1\nBuy milk\n1\nBread\n3\n1\n2\n4\n";
    child.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{said}");
    for line in ["Added task ID: 1", "Added task ID: 2", "Success!", "✓ 1: Buy milk", "  2: Bread"]
    {
        assert!(said.contains(line), "{line:?} is missing in:\n{said}");
    }
}
