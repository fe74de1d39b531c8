//! `todo wait`.

use expect_test::expect;
use serde_json::Value;
use todo::client::Edit;

use crate::daemon::Daemon;
use crate::watch::Watching;
use crate::{client, seen, server, session, todo};

/// Starts a `todo wait` that has read its task.
pub fn waiting(address: &str, args: &str, title: &str) -> Watching {
    let waiting = Watching::spawn(todo(address, &["wait"]).args(args.split_whitespace()));
    let id = args.split(' ').next().unwrap();
    assert_eq!(waiting.message(), format!("waiting for {id} {title}"));
    waiting
}

#[test]
fn a_condition_that_holds_ends_the_wait_immediately() {
    let (_server, address) = server();
    session(
        &address,
        &[
            "add a",
            "add b",
            "done 1",
            "wait 1",
            "wait 1 --completed",
            "wait 1 --revision 3",
            "wait 7",
            "rm 1 2",
            "wait 1",
            "wait 1 --deleted",
            "wait 2 --deleted",
            "wait 2",
        ],
        &expect![[r#"
            $ todo add a
            1 a
            $ todo add b
            2 b
            $ todo done 1
            completed 1 a
            $ todo wait 1
            1 a
            $ todo wait 1 --completed
            1 a
            $ todo wait 1 --revision 3
            1 a
            $ todo wait 7
            ! todo: 7: Task not found
            exit 3
            $ todo rm 1 2
            deleted 1 a
            deleted 2 b
            $ todo wait 1
            1 a
            $ todo wait 1 --deleted
            1 a
            $ todo wait 2 --deleted
            2 b
            $ todo wait 2
            ! todo: 2: the task is deleted, so it will not be completed
            exit 4
        "#]],
    );
}

#[test]
fn the_time_limit_ends_the_wait() {
    let (_server, address) = server();
    for title in ["a", "b"] {
        client(&address).add(title).unwrap();
    }
    client(&address).edit(2, Edit::Delete).unwrap();
    for (args, what) in [
        ("1", "completed"),
        ("1 --deleted", "deleted"),
        ("1 --revision 2", "at revision 2"),
        // It may be restored.
        ("2 --revision 9", "at revision 9"),
    ] {
        let args = format!("wait {args} --timeout 300ms");
        let printed = seen(&todo(&address, &args.split(' ').collect::<Vec<_>>()).output().unwrap());
        let id = &args[5..6];
        let end = format!("! todo: {id}: not {what} in time: raise --timeout\nexit 6\n");
        assert!(printed.ends_with(&end), "{args}: {printed}");
    }
}

#[test]
fn the_wait_ends_when_the_condition_holds() {
    let (_server, address) = server();
    let client = client(&address);
    for title in ["a", "b", "c"] {
        client.add(title).unwrap();
    }
    let done = waiting(&address, "1", "a");
    let deleted = waiting(&address, "1 --deleted", "a");
    let fifth = waiting(&address, "1 --revision 5", "a");
    let json = waiting(&address, "1 --json", "a");
    let never = waiting(&address, "2", "b");
    client.edit(1, Edit::Retitle("new".to_owned())).unwrap();
    client.edit(1, Edit::Complete).unwrap();
    assert_eq!(done.end(), "1 new\n");
    assert_eq!(fifth.end(), "1 new\n");
    let task: Value = serde_json::from_str(&json.line()).unwrap();
    assert_eq!((&task["completed"], &task["revision"]), (&true.into(), &"5".into()));
    assert_eq!(json.end(), "");
    client.edit(1, Edit::Reopen).unwrap();
    client.edit(1, Edit::Delete).unwrap();
    assert_eq!(deleted.end(), "1 new\n");
    client.edit(2, Edit::Delete).unwrap();
    let why = "! todo: 2: the task is deleted, so it will not be completed\nexit 4\n";
    assert_eq!(never.end(), why);
    let interrupted = waiting(&address, "3", "c");
    interrupted.interrupt();
    assert_eq!(interrupted.end(), "exit 130\n");
}

#[test]
fn it_outlives_its_server() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let address = daemon.address.clone();
    client(&address).add("a").unwrap();
    let wait = waiting(&address, "1", "a");
    daemon.kill();
    assert!(wait.message().ends_with("; trying again"));
    let daemon = Daemon::start(dir.path());
    // Perhaps before it is connected again.
    client(&address).edit(1, Edit::Complete).unwrap();
    assert_eq!(wait.end(), "1 a\n! todo: connected again\n");
    daemon.kill();
    let printed = seen(&todo(&address, &["wait", "1"]).output().unwrap());
    assert!(
        printed.starts_with("! todo: cannot reach ") && printed.ends_with("\nexit 6\n"),
        "{printed}"
    );
}
