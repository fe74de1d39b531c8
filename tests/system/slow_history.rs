//! A history that is slow to read, or is compacted between two reads.

use std::time::Duration;

use grpcio::RpcStatusCode;
use todo::client::Edit;
use todo::limits::HISTORY_READ_MAX;
use todo::state::Limits;
use todo::store::{HistoryError, SqliteStore};
use todo::wire::proto::*;

use crate::change_log::Log;
use crate::checker::Recording;
use crate::harness::{Calls, TestServer};
use crate::load::add_many;
use crate::stream::{Stream, raw};
use crate::test_store::{BeforeRead, TestStore, take};

/// The time that one read takes; PROGRESS is due after two.
const READ: Duration = Duration::from_millis(60);

/// The first read finds that compaction was faster.
fn compacted_at_first() -> BeforeRead {
    let mut was_read = false;
    Box::new(move |range| match std::mem::replace(&mut was_read, true) {
        true => Ok(()),
        false => Err(HistoryError::Compacted { compacted: range.after + 1 }),
    })
}

/// History that does not concern the filter is skipped, chunk by chunk. What concerns it
/// comes immediately after the end of a chunk.
#[test]
fn progress_in_the_middle_of_history_is_never_ahead_of_what_was_sent() {
    const CHUNK: usize = HISTORY_READ_MAX;
    let dir = tempfile::tempdir().unwrap();
    let open = || SqliteStore::open(dir.path()).unwrap();
    let server = TestServer::with(Box::new(open()), Limits::default());
    let client = server.client();
    add_many(&server.address, 2 * CHUNK, "task");
    for id in 1..=4 {
        let edit = if id % 2 == 0 { Edit::Delete } else { Edit::Complete };
        let revision = client.edit(id, edit).unwrap().revision;
        assert_eq!(revision % CHUNK as i64, 1, "the first of a chunk");
        add_many(&server.address, 2 * CHUNK - 1, "task");
    }
    let log = Log::fetch(&client);
    let called_at = client.revision();
    server.stop().unwrap();
    // The change log in memory is empty now.
    let slow = || -> BeforeRead {
        Box::new(|_| {
            take(READ);
            Ok(())
        })
    };
    let store = TestStore::new(open()).before_read(slow);
    let server = TestServer::with(Box::new(store), Limits::default());
    let mut in_history = 0;
    for after in [0, 1, CHUNK as i64 - 1, 2 * CHUNK as i64 - 1] {
        for filter in [Filter::COMPLETED, Filter::DELETED] {
            let request = WatchTasksRequest {
                after_revision: Some(after),
                filter: filter.into(),
                progress_interval_ms: 100,
                ..Default::default()
            };
            let stream = Stream::open(&raw(&server.address, |channel| channel), &request);
            let messages = stream.up_to("SYNCED");
            in_history += messages.iter().filter(|message| message.action == "PROGRESS").count();
            let recording = Recording { request, called_at, messages, end: None };
            log.check_up_to(&recording, called_at).unwrap_or_else(|broken| panic!("{broken:?}"));
        }
    }
    assert!(in_history > 0, "history was too fast");
}

#[test]
fn one_call_recovers_even_if_compaction_is_faster_than_its_first_read() {
    for snapshot in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let open = || SqliteStore::open(dir.path()).unwrap();
        let server = TestServer::with(Box::new(open()), Limits::default());
        add_many(&server.address, 3, "task");
        server.stop().unwrap();
        // The change log in memory is empty now.
        let store = TestStore::new(open()).before_read(compacted_at_first);
        let server = TestServer::with(Box::new(store), Limits::default());
        let request = WatchTasksRequest { after_revision: Some(1), snapshot, ..Default::default() };
        let stream = Stream::open(&raw(&server.address, |channel| channel), &request);
        if !snapshot {
            let (code, why) = stream.end();
            assert_eq!(code, RpcStatusCode::OUT_OF_RANGE, "{why}");
            assert!(why.contains("history up to revision 2 was compacted"), "{why}");
            continue;
        }
        let actions: Vec<_> = stream.up_to("SYNCED").into_iter().map(|u| u.action).collect();
        assert_eq!(actions, ["RESET", "SNAPSHOT", "SNAPSHOT", "SNAPSHOT", "SYNCED"]);
        server.client().add("live").unwrap();
        assert_eq!(stream.update().revision, 4);
    }
}
