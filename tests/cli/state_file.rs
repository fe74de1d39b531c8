//! `todo watch --state`: each run resumes where the last one ended.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::{fs, thread};

use expect_test::expect;

use crate::daemon::Daemon;
use crate::resume::{add_up_to, revision};
use crate::watch::Watching;
use crate::{client, seen, server, todo};

/// Runs `todo watch --state FILE` with more arguments to its end.
fn watch(address: &str, state: &Path, args: &str) -> String {
    let command = &mut todo(address, &["watch", "--state"]);
    let output = command.arg(state).args(args.split_whitespace()).output().unwrap();
    seen(&output).replace(&*state.to_string_lossy(), "STATE").replace(address, "SERVER")
}

#[test]
fn each_run_resumes_where_the_last_one_ended() {
    let (_server, address) = server();
    let client = client(&address);
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    client.add("before").unwrap();
    let mut printed = Vec::new();
    let mut run = |args: &str| {
        let output = watch(&address, &state, args);
        printed.push(format!("$ {args}\n{output}{}", fs::read_to_string(&state).unwrap()));
    };
    run("--until-revision 0");
    client.add("a").unwrap();
    client.add("b").unwrap();
    run("--count 1");
    run("--until-revision 3");
    run("--until-revision 3");
    client.edit(3, todo::client::Edit::Delete).unwrap();
    client.add("c").unwrap();
    // The file exists, so --from has no effect.
    run("--completed --from 0 --until-revision 4");
    run("--snapshot --until-revision 5");
    expect![[r#"
        $ --until-revision 0
        todo-watch 1 1 test-list
        $ --count 1
        2 ADDED 2 a
        todo-watch 1 2 test-list
        $ --until-revision 3
        3 ADDED 3 b
        todo-watch 1 3 test-list
        $ --until-revision 3
        todo-watch 1 3 test-list
        $ --completed --from 0 --until-revision 4
        todo-watch 1 4 test-list
        $ --snapshot --until-revision 5
        5 ADDED 4 c
        todo-watch 1 5 test-list
    "#]]
    .assert_eq(&printed.concat());
    assert_eq!(state.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_first_run_makes_the_file_immediately() {
    let (_server, address) = server();
    let client = client(&address);
    let dir = tempfile::tempdir().unwrap();
    let state = |name: &str| dir.path().join(name);
    client.add("a").unwrap();
    let path = state("killed");
    let watching = Watching::start(&address, &["--state", path.to_str().unwrap()]);
    assert_eq!(watching.kill(), [""; 0]);
    client.add("b").unwrap();
    assert_eq!(watch(&address, &path, "--count 1"), "2 ADDED 2 b\n");
    let printed = watch(&address, &state("from"), "--from 0 --until-revision 1");
    assert_eq!(printed, "1 ADDED 1 a\n");
    let printed = watch(&address, &state("snapshot"), "--snapshot --until-revision 1");
    assert_eq!(printed, "- RESET\n- SNAPSHOT 1 a\n- SNAPSHOT 2 b\n2 SYNCED\n");
    client.add("c").unwrap();
    assert_eq!(watch(&address, &state("from"), "--until-revision 3"), "2 ADDED 2 b\n3 ADDED 3 c\n");
    assert_eq!(watch(&address, &state("snapshot"), "--until-revision 3"), "3 ADDED 3 c\n");
}

#[test]
fn kills_of_server_and_watch_lose_no_line() {
    const CHANGES: i64 = 300;
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let args = ["--all", "--state", state.to_str().unwrap()];
    let mut daemon = Daemon::start(dir.path());
    let address = daemon.address.clone();
    let mut watching = Watching::start(&address, &args);
    let writing = address.clone();
    let writer = thread::spawn(move || add_up_to(CHANGES, &writing));
    // The last revision that was printed, and the first one of this run.
    let (mut last, mut first) = (0, 1);
    while last < CHANGES {
        let next = revision(&watching.line());
        assert!(next == last + 1 || next <= last && next == first, "{next} after {last}");
        (last, first) = (next, 0);
        if next % 20 == 7 {
            for line in watching.kill() {
                assert_eq!(revision(&line), last + 1);
                last += 1;
            }
            first = saved(&state) + 1;
            assert!(first <= last + 1, "{first} is behind {last}");
            if next % 40 == 7 {
                daemon.kill();
                daemon = Daemon::start(dir.path());
            }
            watching = Watching::spawn(todo(&address, &["watch"]).args(args));
        }
    }
    writer.join().unwrap();
}

fn saved(state: &Path) -> i64 {
    let text = fs::read_to_string(state).unwrap();
    text.split(' ').nth(2).unwrap().parse().unwrap()
}

#[test]
fn an_unreachable_server_makes_no_file() {
    let (server, address) = server();
    server.shutdown().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let printed = watch(&address, &state, "");
    assert!(
        printed.starts_with("! todo: cannot reach ") && printed.ends_with("\nexit 6\n"),
        "{printed}"
    );
    assert!(!state.exists());
}

#[test]
fn an_unusable_file_says_what_to_do() {
    let (_server, address) = server();
    let (_other, elsewhere) = crate::server_with("other-list");
    client(&address).add("a").unwrap();
    client(&elsewhere).add("b").unwrap();
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    assert_eq!(watch(&address, &state, "--until-revision 1"), "");
    let before = fs::read_to_string(&state).unwrap();
    let mut printed = vec![watch(&elsewhere, &state, "")];
    assert_eq!(fs::read_to_string(&state).unwrap(), before);
    printed.push(watch(&elsewhere, &state, "--snapshot --until-revision 1"));
    assert_eq!(fs::read_to_string(&state).unwrap(), "todo-watch 1 1 other-list\n");
    let holding = Watching::start(&elsewhere, &["--state", state.to_str().unwrap()]);
    printed.push(watch(&elsewhere, &state, ""));
    drop(holding);
    fs::write(&state, "mangled").unwrap();
    printed.push(watch(&elsewhere, &state, ""));
    assert_eq!(fs::read_to_string(&state).unwrap(), "mangled");
    printed.push(
        watch(&elsewhere, &dir.path().join("none").join("state"), "")
            .replace(&*dir.path().to_string_lossy(), "DIR"),
    );
    expect![[r#"
        ! todo: the position belongs to list test-list, this is list other-list: start from the list as it is
        ! todo: use --snapshot to start from the list as it is, or remove STATE to start from now
        exit 4
        - RESET
        - SNAPSHOT 1 b
        1 SYNCED
        ! todo: STATE: another process uses this file: end that process, or use another file
        exit 1
        ! todo: STATE: not a state file of `todo watch`: use another file, or remove this file to start from now
        exit 1
        ! todo: STATE: No such file or directory (os error 2)
        exit 1
    "#]].assert_eq(&printed.concat());
}
