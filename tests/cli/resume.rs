//! `todo watch` from a revision, up to a revision, and across restarts of the server.

use std::thread;

use expect_test::expect;
use todo::client::Code;

use crate::daemon::Daemon;
use crate::example_server::ExampleServer;
use crate::watch::Watching;
use crate::{client, server, session, todo};

/// Returns the first word of a line of `todo watch`.
pub fn revision(line: &str) -> i64 {
    line.split(' ').next().unwrap().parse().unwrap()
}

/// Adds tasks until the list is at a revision, also while the server restarts.
pub fn add_up_to(revision: i64, address: &str) {
    let client = client(address);
    loop {
        match client.add("task") {
            Ok(task) if task.revision >= revision => return,
            Ok(_) => {}
            Err(lost) => assert_eq!(lost.code, Code::Unavailable, "{lost}"),
        }
    }
}

#[test]
fn restarts_lose_and_repeat_no_line() {
    const ROUNDS: i64 = 4;
    const CHANGES: i64 = 50;
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Daemon::start(dir.path());
    let address = daemon.address.clone();
    let watch = Watching::start(&address, &["--all"]);
    let writer = thread::spawn(move || add_up_to(ROUNDS * CHANGES, &address));
    for expected in 1..=ROUNDS * CHANGES {
        assert_eq!(revision(&watch.line()), expected);
        if expected % CHANGES == CHANGES / 2 {
            daemon.kill();
            daemon = Daemon::start(dir.path());
        }
    }
    writer.join().unwrap();
    // At least once: the watch may miss a short restart.
    let lost = watch.message();
    assert!(lost.starts_with("todo: cannot reach unix:"), "{lost}");
    assert!(lost.ends_with("; trying again"), "{lost}");
    assert_eq!(watch.message(), "todo: connected again");
    assert_eq!(watch.kill(), [""; 0]);
}

#[test]
fn a_new_list_ends_a_watch_except_with_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path());
    let address = daemon.address.clone();
    client(&address).add("of the old list").unwrap();
    let strict = Watching::start(&address, &[]);
    let lenient = Watching::start(&address, &["--from", "0", "--snapshot"]);
    assert_eq!(lenient.line(), "1 ADDED 1 of the old list");
    daemon.kill();
    for watch in [&strict, &lenient] {
        assert!(watch.message().ends_with("; trying again"));
    }
    for file in ["todo.db", "todo.db-wal", "todo.db-shm", "todo.head"] {
        let _ = std::fs::remove_file(dir.path().join(file));
    }
    let _daemon = Daemon::start(dir.path());
    let printed = strict.end();
    assert!(
        printed.starts_with("! todo: the watch ended: the position belongs to list "),
        "{printed}"
    );
    let advice = "\n! todo: use --snapshot to start from the list as it is\nexit 4\n";
    assert!(printed.ends_with(advice), "{printed}");
    assert_eq!(lenient.line(), "- RESET");
    let synced = lenient.line();
    assert!(synced.ends_with(" SYNCED"), "{synced}");
    client(&address).add("of the new list").unwrap();
    assert_eq!(lenient.line(), "1 ADDED 1 of the new list");
}

#[test]
fn from_one_revision_to_another() {
    let (_server, address) = server();
    session(
        &address,
        &[
            "add Buy milk",
            "add Sweep",
            "done 1",
            "rm 2",
            "watch --from 0 --until-revision 3",
            "watch --from 1 --until-revision 4 --all",
            "watch --from 2 --count 1",
            // No change matches before the end.
            "watch --from 0 --until-revision 3 --deleted",
            "watch --from 0 --until-revision 4 --deleted",
            "watch --until-revision 4",
            "watch --from 3 --until-revision 2",
            "watch --snapshot --until-revision 0",
            "watch --snapshot --all --until-revision 4",
            "watch --from 5",
            "watch --from 5 --snapshot --until-revision 4",
        ],
        &expect![[r#"
            $ todo add Buy milk
            1 Buy milk
            $ todo add Sweep
            2 Sweep
            $ todo done 1
            completed 1 Buy milk
            $ todo rm 2
            deleted 2 Sweep
            $ todo watch --from 0 --until-revision 3
            1 ADDED 1 Buy milk
            2 ADDED 2 Sweep
            3 COMPLETED 1 Buy milk
            $ todo watch --from 1 --until-revision 4 --all
            2 ADDED 2 Sweep
            3 COMPLETED 1 Buy milk
            4 DELETED 2 Sweep
            $ todo watch --from 2 --count 1
            3 COMPLETED 1 Buy milk
            $ todo watch --from 0 --until-revision 3 --deleted
            $ todo watch --from 0 --until-revision 4 --deleted
            4 DELETED 2 Sweep
            $ todo watch --until-revision 4
            $ todo watch --from 3 --until-revision 2
            $ todo watch --snapshot --until-revision 0
            - RESET
            - SNAPSHOT 1 Buy milk
            4 SYNCED
            $ todo watch --snapshot --all --until-revision 4
            - RESET
            - SNAPSHOT 1 Buy milk
            - SNAPSHOT 2 Sweep
            4 SYNCED
            $ todo watch --from 5
            ! todo: revision 5 is in the future: the list is at revision 4; start from the list as it is
            ! todo: use --snapshot to start from the list as it is
            exit 4
            $ todo watch --from 5 --snapshot --until-revision 4
            - RESET
            - SNAPSHOT 1 Buy milk
            4 SYNCED
        "#]],
    );
}

#[test]
fn a_watch_ends_at_a_future_revision_that_does_not_match() {
    let (_server, address) = server();
    let watch = Watching::start(&address, &["--deleted", "--until-revision", "2"]);
    todo(&address, &["add", "a"]).status().unwrap();
    todo(&address, &["add", "b"]).status().unwrap();
    assert_eq!(watch.end(), "");
}

#[test]
fn the_examples_server_keeps_no_history() {
    let example = ExampleServer::start();
    let dir = tempfile::tempdir().unwrap();
    let state = format!("watch --state {}", dir.path().join("state").display());
    let lines =
        ["watch --from 0", "watch --snapshot", "watch --until-revision 1", &state, "list --at 1"];
    for line in lines {
        let args: Vec<&str> = line.split_whitespace().collect();
        let printed = crate::seen(&todo(&example.address, &args).output().unwrap());
        let why = format!("the server at {} keeps no history: use todod", example.address);
        assert_eq!(printed, format!("! todo: {why}\nexit 1\n"), "{line}");
    }
    assert!(!dir.path().join("state").exists());
    session(
        &example.address,
        &["wait 1", "history"],
        &expect![[r#"
        $ todo wait 1
        ! todo: 1: the server at SERVER does not have GetTask: use todod
        exit 1
        $ todo history
        ! todo: the server at SERVER does not have ListChanges: use todod
        exit 1
    "#]],
    );
}
