//! Each watch may use a connection of its own, so the limit of open files also limits the number
//! of watches.

use grpcio::RpcStatusCode;
use todo::limits::OPEN_FILES_RESERVED;
use todo::wire::proto::*;

use crate::daemon::Daemon;
use crate::harness::{Calls, client, until};
use crate::stream::{Stream, environment, raw_in};

#[test]
fn watches_leave_open_files_for_other_calls() {
    const WATCHERS: usize = 50;
    let dir = tempfile::tempdir().unwrap();
    let files = OPEN_FILES_RESERVED + WATCHERS;
    let daemon = Daemon::with_open_files(dir.path(), files, &["--watchers-max", "1000"]);
    let env = environment();
    let request = WatchTasksRequest { snapshot: true, ..Default::default() };
    let open = || Stream::open(&raw_in(&env, &daemon.address, |channel| channel), &request);
    let mut watches: Vec<_> = (0..WATCHERS).map(|_| open()).collect();
    watches.iter().for_each(|watch| drop(watch.up_to("SYNCED")));
    let refused: Vec<_> = (0..10).map(|_| open()).collect();
    for watch in &refused {
        let (code, why) = watch.end();
        assert_eq!(code, RpcStatusCode::RESOURCE_EXHAUSTED);
        assert!(why.contains("the server is at its limit of 50 watches"), "{why}");
    }
    // The refused clients are still connected.
    let others: Vec<_> = (0..10).map(|_| client(&daemon.address)).collect();
    for (revision, other) in (1..).zip(&others) {
        assert_eq!(other.add("task").unwrap().revision, revision);
        assert_eq!(other.titles().len() as i64, revision);
    }
    for watch in &watches {
        for revision in 1..=others.len() as i64 {
            assert_eq!(watch.update().revision, revision);
        }
    }
    watches.pop();
    until("its place is free", || open().message().is_ok());
}
