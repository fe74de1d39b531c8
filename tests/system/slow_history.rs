//! A history that takes its time: what happens between two reads of it.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::never;
use todo::client::Edit;
use todo::limits::HISTORY_READ_MAX;
use todo::model::{self, Change, Remembered, RequestId, Revision, TaskId};
use todo::rpc::proto::*;
use todo::state::Limits;
use todo::store::{
    Batch, ChangeRange, CommitError, CompactionDue, History, HistoryError, Loaded, SqliteStore,
    Store, StoreError,
};

use crate::change_log::Log;
use crate::checker::Recording;
use crate::harness::{Calls, TestServer};
use crate::load::add_many;
use crate::stream::{Stream, raw};

/// One read takes this long; PROGRESS is due after two.
const READ: Duration = Duration::from_millis(60);

struct SlowStore(SqliteStore);

struct SlowHistory(Box<dyn History>);

impl Store for SlowStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.0.load()
    }

    fn find_request(&mut self, id: &RequestId) -> Result<Option<Remembered>, StoreError> {
        self.0.find_request(id)
    }

    fn commit(&mut self, batch: &Batch) -> Result<(), CommitError> {
        self.0.commit(batch)
    }

    fn history(&mut self) -> Result<Box<dyn History>, StoreError> {
        Ok(Box::new(SlowHistory(self.0.history()?)))
    }

    fn compact(&mut self, due: &CompactionDue) -> Result<Revision, CommitError> {
        self.0.compact(due)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Box::new(self.0).close()
    }
}

impl History for SlowHistory {
    fn changes(&mut self, range: &ChangeRange) -> Result<Vec<Change>, HistoryError> {
        let _ = never::<()>().recv_timeout(READ);
        self.0.changes(range)
    }

    fn tasks_at(
        &mut self,
        revision: Revision,
        after: TaskId,
        max: usize,
    ) -> Result<Vec<Arc<model::Task>>, HistoryError> {
        self.0.tasks_at(revision, after, max)
    }
}

/// Whatever does not concern the filter is passed over, block by block; what does comes
/// right behind a block's end.
#[test]
fn progress_in_the_middle_of_history_is_never_ahead_of_what_was_sent() {
    const BLOCK: usize = HISTORY_READ_MAX;
    let dir = tempfile::tempdir().unwrap();
    let open = || SqliteStore::open(dir.path()).unwrap();
    let server = TestServer::with(Box::new(open()), Limits::default());
    let client = server.client();
    add_many(&server.address, 2 * BLOCK, "task");
    for id in 1..=4 {
        let edit = if id % 2 == 0 { Edit::Delete } else { Edit::Complete };
        let revision = client.edit(id, edit).unwrap().unwrap().revision;
        assert_eq!(revision % BLOCK as i64, 1, "the first of a block");
        add_many(&server.address, 2 * BLOCK - 1, "task");
    }
    let log = Log::fetch(&client);
    let called_at = client.revision();
    server.stop().unwrap();
    // Nothing of it is in memory now.
    let server = TestServer::with(Box::new(SlowStore(open())), Limits::default());
    let mut in_history = 0;
    for after in [0, 1, BLOCK as i64 - 1, 2 * BLOCK as i64 - 1] {
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
