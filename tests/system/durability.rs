//! On disk before it is acknowledged: what breaks that promise, provoked.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{never, unbounded};
use todo::client::{Client, Code, Edit};
use todo::model::{Mutation, TaskFields, Timestamp, Title};
use todo::state::Limits;
use todo::store::{Batch, Event, RecordedChange, SqliteStore, Store, StoreError, StoreErrorKind};
use todo::wire::methods;
use todo::wire::proto::*;

use crate::change_log::list_changes;
use crate::daemon::{self, Daemon};
use crate::harness::{self, Calls, TestServer, end_of, next_update, refusal, watch};
use crate::test_store::{gated, scripted, take};

/// A kill cannot show an acknowledgement that came before its sync: the kernel keeps
/// what was written. So this store counts what is synced, slowly, and whatever a
/// client receives must be counted by then.
#[test]
fn no_reply_and_no_update_leaves_before_the_sync_that_covers_it() {
    let synced = Arc::new(AtomicI64::new(0));
    let counter = synced.clone();
    let server = TestServer::with(
        scripted(move |batch| {
            // The sync takes its time: an answer that did not wait for it would arrive.
            take(Duration::from_millis(3));
            if let Some(newest) = batch.changes.last() {
                counter.store(newest.change.revision, Ordering::SeqCst);
            }
            Ok(())
        }),
        Limits::default(),
    );
    let address = &server.address;
    let client = server.client();
    let covered = |revision: i64, what: &str| {
        let synced = synced.load(Ordering::SeqCst);
        assert!(revision <= synced, "{what} of revision {revision}, synced up to {synced}");
    };
    const CHANGES: i64 = 400;
    let (live, _) = watch(&client, Filter::ANY);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let client = harness::client(address);
                for _ in 0..CHANGES / 4 {
                    covered(client.add("task").unwrap().revision, "reply");
                    covered(client.revision(), "listing");
                }
            });
        }
        for _ in 0..CHANGES {
            covered(next_update(&live).revision, "update");
        }
    });
    let (_, snapshot) = watch(&client, Filter::ANY);
    covered(snapshot.last().unwrap().revision, "snapshot");
}

#[test]
fn a_commit_that_is_held_delays_its_reply_and_update_but_no_read() {
    let (store, gate) = gated(1);
    let server = TestServer::with(store, Limits::default());
    let client = server.client();
    let (live, _) = watch(&client, Filter::ANY);
    thread::scope(|scope| {
        let add = scope.spawn(|| client.add("held").unwrap());
        gate.entered();
        // An answer or an update that did not wait for the commit would arrive by now.
        take(Duration::from_millis(100));
        assert!(!add.is_finished() && live.events().is_empty());
        // Reads see the list before it, and are answered while it is held.
        assert_eq!(refusal(client.get(1)).0, Code::NotFound);
        assert_eq!((client.titles(), client.revision()), (Vec::new(), 0));
        let (changes, last) = list_changes(&client, &ListChangesRequest::new()).unwrap();
        assert_eq!((changes.len(), last.revision), (0, 0));
        gate.open();
        assert_eq!(add.join().unwrap().revision, 1);
        assert_eq!((client.get(1).unwrap().revision, client.revision()), (1, 1));
    });
    assert_eq!(next_update(&live).revision, 1);
}

#[test]
fn a_full_disk_rejects_the_turn_and_the_server_goes_on() {
    let (fill, full) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let disk = fill.clone();
    let refusals = full.clone();
    let server = TestServer::with(
        scripted(move |_| match disk.load(Ordering::SeqCst) {
            0 => Ok(()),
            _ => {
                refusals.fetch_add(1, Ordering::SeqCst);
                Err(StoreError::new(StoreErrorKind::NoSpace, "as if"))
            }
        }),
        Limits::default(),
    );
    let client = server.client();
    client.add("milk").unwrap();
    let (live, _) = watch(&client, Filter::ANY);
    fill.store(1, Ordering::SeqCst);
    let (code, message) = refusal(client.add("bread"));
    assert_eq!(code, Code::ResourceExhausted);
    assert!(message.contains("disk is full"), "{message}");
    assert_eq!(refusal(client.edit(1, Edit::Complete)).0, Code::ResourceExhausted);
    assert_eq!(full.load(Ordering::SeqCst), 2);
    assert_eq!((client.titles(), client.revision()), (vec!["milk".to_owned()], 1));
    fill.store(0, Ordering::SeqCst);
    assert_eq!(client.add("bread").unwrap().revision, 2, "no revision was used up");
    assert_eq!(next_update(&live).task.title, "bread", "and nothing of it was published");
}

#[test]
fn a_database_that_another_program_locks_rejects_the_turn_and_the_server_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let server =
        TestServer::with(Box::new(SqliteStore::open(dir.path()).unwrap()), Limits::default());
    let client = server.client();
    client.add("milk").unwrap();
    let shell = rusqlite::Connection::open(dir.path().join("todo.db")).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    // Once: the client's own calls try again until their deadline.
    let bread = AddTaskRequest { title: "bread".to_owned(), ..Default::default() };
    let (code, message) = refusal(client.call(&methods::ADD_TASK, &bread));
    assert_eq!(code, Code::Unavailable);
    assert!(message.contains("another program has locked"), "{message}");
    assert_eq!((client.titles(), client.revision()), (vec!["milk".to_owned()], 1));
    shell.execute_batch("ROLLBACK").unwrap();
    assert_eq!(client.add("bread").unwrap().revision, 2);
    server.stop().unwrap();
}

#[test]
fn a_commit_with_an_unknown_outcome_acknowledges_nothing_and_stops_the_server() {
    let server = TestServer::with(
        scripted(|batch| {
            let tasks = batch.changes.iter().filter_map(|recorded| recorded.change.after.as_ref());
            match tasks.into_iter().any(|task| task.title.as_str() == "fatal") {
                true => Err(StoreError::new(StoreErrorKind::Failed, "the sync failed")),
                false => Ok(()),
            }
        }),
        Limits::default(),
    );
    // A client that gives up at once: the server does not come back.
    let client = Client::new(&server.address, Duration::from_secs(5)).unwrap();
    client.add("milk").unwrap();
    let (live, _) = watch(&client, Filter::ANY);
    let refused = client.add_with("fatal", "r").unwrap_err();
    assert_eq!(refused.code, Code::Unavailable, "{refused}");
    assert_eq!(end_of(&live).code, Code::Unavailable);
    assert!(server.server().failed().recv().is_err(), "the server says that it failed");
    let why = server.stop().unwrap_err();
    assert!(why.contains("the sync failed"), "{why}");
}

/// Small enough to be full soon, mounted for as long as the test runs.
struct TinyDisk(tempfile::TempDir);

impl TinyDisk {
    /// `None` where mounting is not allowed: reported as skipped, and a failure under CI.
    fn mount() -> Option<TinyDisk> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"])
            .arg(dir.path())
            .output();
        if mounted.is_ok_and(|out| out.status.success()) {
            return Some(TinyDisk(dir));
        }
        assert!(std::env::var_os("CI").is_none(), "under CI, this test must run as root");
        eprintln!("SKIPPED: this test mounts a small tmpfs, which needs root");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[test]
fn a_disk_that_is_really_full_refuses_and_takes_again_once_there_is_room() {
    let Some(disk) = TinyDisk::mount() else { return };
    let ballast = disk.path().join("ballast");
    std::fs::write(&ballast, vec![0; 256 * 1024]).unwrap();
    let data = disk.path().join("data");
    let server = TestServer::with(Box::new(SqliteStore::open(&data).unwrap()), Limits::default());
    let client = server.client();
    let title = "x".repeat(1_000);
    let mut added = 0;
    let refused = loop {
        match client.add(&title) {
            Ok(_) => added += 1,
            Err(refused) => break refused,
        }
        assert!(added < 10_000, "the disk must become full");
    };
    assert_eq!(refused.code, Code::ResourceExhausted, "{refused}");
    assert_eq!((client.titles().len(), client.revision()), (added, added as i64));
    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(client.add("room again").unwrap().revision, added as i64 + 1);
    server.stop().unwrap();
    let server = TestServer::with(Box::new(SqliteStore::open(&data).unwrap()), Limits::default());
    assert_eq!(server.client().titles().len(), added + 1);
}

/// How many rounds of kill -9: 50, or what TODO_TEST_KILLS says.
fn kill_rounds() -> u64 {
    std::env::var("TODO_TEST_KILLS").map_or(50, |rounds| rounds.parse().unwrap())
}

/// Between two syncs, within one, before a reply, after it: a kill comes at any
/// moment. What was acknowledged must be there, as it was acknowledged; what was not
/// may be, but at a revision that nobody was told of for anything else.
#[test]
fn what_was_acknowledged_survives_kill_9_at_any_moment() {
    let dir = tempfile::tempdir().unwrap();
    let mut acknowledged: Vec<Task> = Vec::new();
    for round in 0..kill_rounds() {
        let daemon = Daemon::start(dir.path(), &[]);
        let client = Client::new(&daemon.address, Duration::from_secs(5)).unwrap();
        let mut tasks = Vec::new();
        tasks.extend(client.pages(Filter::ANY).flat_map(Result::unwrap));
        for acked in &acknowledged {
            let kept = tasks.get(acked.id as usize - 1);
            assert_eq!(kept, Some(acked), "round {round}");
        }
        let newest = tasks.iter().map(|task| task.revision).max().unwrap_or(0);
        assert_eq!(client.revision(), newest, "round {round}: the revision went back");
        let kept = tasks.len();

        // A few milliseconds of load, other ones each round, then the kill.
        let load_ms = 3 + round * 7 % 60;
        let (send, receiver) = unbounded();
        thread::scope(|scope| {
            for _ in 0..4 {
                let (daemon, send) = (&daemon, send.clone());
                scope.spawn(move || {
                    // As long as it answers, and no retry once it does not.
                    let hasty = Client::new(&daemon.address, Duration::from_secs(5)).unwrap();
                    while let Ok(task) = hasty.add_with("task", "") {
                        send.send(task).unwrap();
                    }
                });
            }
            let _ = never::<()>().recv_timeout(Duration::from_millis(load_ms));
            daemon.kill();
        });
        drop(send);
        acknowledged = tasks;
        let mut new: Vec<Task> = receiver.iter().collect();
        new.sort_by_key(|task| task.id);
        let twice = new.windows(2).find(|pair| pair[0].id == pair[1].id);
        assert_eq!(twice, None, "round {round}: one id, acknowledged twice");
        for task in new {
            assert!(task.id as usize > kept && task.revision > newest, "round {round}: {task}");
            acknowledged.retain(|known| known.id != task.id);
            acknowledged.push(task);
        }
    }
    assert!(!acknowledged.is_empty(), "the load must have got something acknowledged");
}

/// A start writes to the database, its log and `todo.head`. A kill between any two of these
/// writes must leave files that the next start accepts, with the same list.
#[test]
fn start_killed_at_any_moment_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let start = |args: &[&str]| Daemon::start(dir.path(), args);
    for round in 0..kill_rounds() {
        let daemon = start(&[]);
        let client = harness::client(&daemon.address);
        assert_eq!(client.titles().len() as u64, round, "round {round}");
        client.add("task").unwrap();
        daemon.kill();
        daemon.wait();
        for kill in 0..3 {
            let mut starting = daemon::command(dir.path(), &daemon::ANY_PORT).spawn().unwrap();
            let _ = never::<()>().recv_timeout(Duration::from_millis((round * 3 + kill) % 25));
            starting.kill().unwrap();
            starting.wait().unwrap();
        }
    }
}

/// What `rm data/todo.db*` under a running server did: changes were acknowledged, and lost
/// when it ended.
#[test]
fn removed_database_ends_the_server_before_it_acknowledges_more() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(dir.path(), &[]);
    let client = Client::new(&daemon.address, Duration::from_secs(2)).unwrap();
    client.add("milk").unwrap();
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(dir.path().join(format!("todo.db{suffix}"))).unwrap();
    }
    let refused = client.add_with("bread", "r").unwrap_err();
    assert_eq!(refused.code, Code::Unavailable, "{refused}");
    assert_eq!(daemon.wait().code(), Some(1));

    // The next start does not take the loss for a new list, unless it is told so.
    let said = daemon::refused(dir.path(), &daemon::ANY_PORT);
    assert!(said.contains("a list was kept there") && said.contains("--init"), "{said}");
    let daemon = Daemon::start(dir.path(), &["--init"]);
    assert_eq!(harness::client(&daemon.address).titles(), [""; 0]);
}

/// Runs `todod check`. Returns the exit code and what it printed.
fn check(path: &Path) -> (Option<i32>, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_todod"));
    let out = command.arg("check").arg(path).output().unwrap();
    (out.status.code(), String::from_utf8([out.stdout, out.stderr].concat()).unwrap())
}

/// What a check that must fail says on stderr.
fn refused_check(args: &[&str]) -> String {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_todod"));
    let out = command.arg("check").args(args).output().unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(out.status.code() == Some(1) && !said.contains("--data-dir"), "{said}");
    said
}

/// `todod check` reads the list of a stopped server and a backup file, on a path of any
/// name, and neither changes them nor leaves files beside them.
#[test]
fn check_reports_a_sound_list_and_names_damage() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("what? 100% #1");
    let daemon = Daemon::start(&data, &[]);
    let client = harness::client(&daemon.address);
    client.add("milk").unwrap();
    let (code, said) = check(&data);
    assert!(code == Some(1) && said.contains("in use by todod"), "{said}");
    assert!(said.contains("stop that process, or check a backup"), "{said}");
    client.edit(1, Edit::Complete).unwrap();
    daemon.kill();
    daemon.wait();
    let sound =
        ": 1 task, 2 changes, 2 idempotency records; revision 2, compacted up to revision 0";
    for _ in 0..2 {
        let (code, said) = check(&data);
        assert!(code == Some(0) && said.contains(sound), "{said}");
    }
    // The first start after the kill moves the log into the database.
    let daemon = Daemon::start(&data, &[]);
    daemon.signal(rustix::process::Signal::TERM);
    assert_eq!(daemon.wait().code(), Some(0));
    let backups = dir.path().join("backups");
    std::fs::create_dir(&backups).unwrap();
    let backup = backups.join("todo.db");
    let mut bytes = std::fs::read(data.join("todo.db")).unwrap();
    std::fs::write(&backup, &bytes).unwrap();
    let (code, said) = check(&backup);
    assert!(code == Some(0) && said.contains(sound), "{said}");

    // The last page is in use: pages in the middle may be free.
    let page = bytes.len() - 4096;
    bytes[page..].fill(0x5a);
    std::fs::write(&backup, &bytes).unwrap();
    let (code, said) = check(&backup);
    assert!(code == Some(1) && said.contains("is damaged: "), "{said}");
    assert!(std::fs::read(&backup).unwrap() == bytes);
    assert_eq!(backups.read_dir().unwrap().count(), 1);
    let (code, said) = check(&backups.join("none.db"));
    assert!(code == Some(1) && said.contains("the file is missing or empty"), "{said}");
    // The command takes a path, and has no --data-dir.
    std::fs::write(&backup, "somebody's notes").unwrap();
    let (code, said) = check(&backup);
    assert!(
        code == Some(1) && said.contains("is not a todo database: give the data dir"),
        "{said}"
    );
    let backup = backup.to_str().unwrap();
    let said = refused_check(&["--repair-times", backup]);
    assert!(said.contains("is not a directory, and --repair-times needs"), "{said}");
    let said = refused_check(&["--repair-times", "/nonexistent"]);
    assert!(said.contains("no list in /nonexistent/todo.db: "), "{said}");
}

/// A disk flips one byte in an old change and in the record of an old request. Only a call
/// that needs one of these rows fails, after each start; `todod check` names them.
#[test]
fn damaged_old_rows_fail_only_the_calls_that_need_them() {
    let dir = tempfile::tempdir().unwrap();
    let stop = |daemon: Daemon| {
        daemon.signal(rustix::process::Signal::TERM);
        assert_eq!(daemon.wait().code(), Some(0));
    };
    let daemon = Daemon::start(dir.path(), &[]);
    let client = harness::client(&daemon.address);
    client.add_with("needle", "old").unwrap();
    client.edit(1, Edit::Retitle("thread".to_owned())).unwrap();
    client.add_with("bread", "new").unwrap();
    stop(daemon);
    let database = dir.path().join("todo.db");
    let mut bytes = std::fs::read(&database).unwrap();
    let found: Vec<usize> =
        (0..bytes.len() - 6).filter(|at| &bytes[*at..*at + 6] == b"needle").collect();
    assert!(found.len() >= 3, "in a change, in a fingerprint and in a record: {found:?}");
    found.iter().for_each(|at| bytes[*at] ^= 1);
    std::fs::write(&database, &bytes).unwrap();

    for start in 1..=2 {
        let daemon = Daemon::start(dir.path(), &[]);
        let client = harness::client(&daemon.address);
        for _ in 0..2 {
            let history =
                client.call(&methods::LIST_CHANGES, &ListChangesRequest::default()).unwrap_err();
            assert_eq!(history.code, Code::Internal, "{history}");
            assert!(history.message.contains("cannot read its database"), "{history}");
            let replay = client.add_with("needle", "old").unwrap_err();
            assert_eq!(replay.code, Code::Internal, "{replay}");
            assert!(replay.message.contains("cannot read its database"), "{replay}");
            assert_eq!(client.add_with("bread", "new").unwrap().id, 2);
        }
        client.add("more").unwrap();
        assert_eq!(client.titles().len(), 2 + start);
        stop(daemon);
    }
    let (code, said) = check(dir.path());
    assert_eq!(code, Some(1), "{said}");
    for row in ["change 1", "idempotency record 1"] {
        assert!(said.contains(&format!("{row}: it does not match its checksum\n")), "{said}");
    }
    assert!(said.contains("is damaged: 2 findings"), "{said}");
}

/// The clock was ahead when the list was made. The program corrects the times of the stopped
/// server's list, and a client sees them.
#[test]
fn repaired_times_are_not_in_the_future() {
    const YEAR_9923: Timestamp = Timestamp(251_000_000_000_000_000);
    let dir = tempfile::tempdir().unwrap();
    let mut store = SqliteStore::open(dir.path()).unwrap();
    let mut list = store.load().unwrap().list(10);
    let fields = TaskFields { title: Title::new("milk").unwrap() };
    let applied = list.apply(&Mutation::Add(fields).into(), YEAR_9923).unwrap();
    let changes = applied.changes.into_iter().map(RecordedChange::from).collect();
    store.propose(Arc::new(Batch { changes, head: list.head(), ..Batch::default() }));
    assert!(matches!(store.next(), Ok(Some(Event::Committed))));
    Box::new(store).close().unwrap();

    let out = std::process::Command::new(env!("CARGO_BIN_EXE_todod"))
        .args(["check", "--repair-times"])
        .arg(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success() && out.stderr.is_empty(), "{said}");
    assert!(said.starts_with("corrected the times of 2 rows\nno damage found in "), "{said}");
    let daemon = Daemon::start(dir.path(), &[]);
    let client = harness::client(&daemon.address);
    client.add("bread").unwrap();
    let request = GetTasksRequest::default();
    let tasks = client.call(&methods::GET_TASKS, &request).unwrap().tasks;
    let year_2100 = 4_102_444_800;
    assert_eq!(tasks.len(), 2);
    assert!(tasks.iter().all(|task| task.updated_at.seconds < year_2100), "{tasks:?}");
}
