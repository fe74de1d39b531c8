//! A log in memory: nothing outlives the process. For trying things out, and for tests.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use crossbeam_channel::Receiver;
use parking_lot::RwLock;

use super::{
    Batch, BatchLimits, ChangeRange, CompactionDue, Event, History, HistoryError, Loaded,
    RecordedChange, RequestNumber, Store, StoreError, refuse_compacted,
};
use crate::limits::{BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, COMPACTION_STEP, HISTORY_READ_MAX};
use crate::model::{Action, Head, IdempotencyRecord, Revision, Task, TaskId, Timestamp};

/// A list in memory.
pub struct MemoryStore {
    log: Arc<RwLock<MemoryLog>>,
    events: VecDeque<Event>,
    /// Every event is caused by a call of the owner.
    ready: Receiver<()>,
}

impl MemoryStore {
    /// An empty list with this id.
    pub fn new(list_id: &str) -> MemoryStore {
        let log = Arc::new(RwLock::new(MemoryLog::new(list_id)));
        MemoryStore { log, events: VecDeque::new(), ready: crossbeam_channel::never() }
    }
}

impl Store for MemoryStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        Ok(self.log.read().loaded())
    }

    fn batch_limits(&self) -> BatchLimits {
        BatchLimits { commands: BATCH_COMMANDS_MAX, bytes: BATCH_BYTES_MAX }
    }

    fn propose(&mut self, batch: Arc<Batch>) {
        self.log.write().append(&batch);
        self.events.push_back(Event::Committed);
    }

    fn is_sole_writer(&self) -> bool {
        true
    }

    fn request_barrier(&mut self) {
        self.events.push_back(Event::BarrierPassed);
    }

    fn next(&mut self) -> Result<Option<Event>, StoreError> {
        Ok(self.events.pop_front())
    }

    fn ready(&self) -> &Receiver<()> {
        &self.ready
    }

    fn next_deadline(&self) -> Option<Instant> {
        None
    }

    fn on_deadline(&mut self, _now: Instant) -> Result<(), StoreError> {
        Ok(())
    }

    fn find_request(
        &mut self,
        number: RequestNumber,
    ) -> Result<Option<IdempotencyRecord>, StoreError> {
        Ok(self.log.read().find_request(number))
    }

    fn history(&mut self) -> Result<Box<dyn History>, StoreError> {
        Ok(Box::new(MemoryHistory { log: self.log.clone() }))
    }

    fn compact(&mut self, due: &CompactionDue) -> Result<Revision, StoreError> {
        Ok(self.log.write().compact(due))
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

/// What the log holds. Locked for one batch, one step of compaction or one short copy at
/// a time.
pub(crate) struct MemoryLog {
    list_id: Arc<str>,
    tasks: BTreeMap<TaskId, Arc<Task>>,
    head: Head,
    changes: BTreeMap<Revision, RecordedChange>,
    /// The revisions of each task's changes.
    by_task: BTreeSet<(TaskId, Revision)>,
    compacted: Revision,
    requests: VecDeque<(Timestamp, IdempotencyRecord)>,
    last_request: RequestNumber,
}

impl MemoryLog {
    pub(crate) fn new(list_id: &str) -> MemoryLog {
        MemoryLog {
            list_id: list_id.into(),
            tasks: BTreeMap::new(),
            head: Head::default(),
            changes: BTreeMap::new(),
            by_task: BTreeSet::new(),
            compacted: 0,
            requests: VecDeque::new(),
            last_request: 0,
        }
    }

    pub(crate) fn loaded(&self) -> Loaded {
        let hash_and_time =
            |(at, request): &(Timestamp, IdempotencyRecord)| (request.request_id.hash(), *at);
        Loaded {
            list_id: self.list_id.clone(),
            tasks: self.tasks.values().cloned().collect(),
            head: self.head,
            compacted: self.compacted,
            requests: self.requests.iter().map(hash_and_time).collect(),
            last_request: self.last_request,
        }
    }

    /// Adds the entry after the head.
    pub(crate) fn append(&mut self, batch: &Batch) {
        debug_assert_eq!(batch.after(), self.head.revision);
        for recorded in &batch.changes {
            let (task, revision) = (recorded.change.task_id, recorded.change.revision);
            let mut recorded = recorded.clone();
            match &recorded.change.after {
                Some(after) => _ = self.tasks.insert(task, after.clone()),
                None => {
                    self.purge(task);
                    recorded.change.before = None;
                }
            }
            self.changes.insert(revision, recorded);
            self.by_task.insert((task, revision));
        }
        self.head = batch.head;
        let requests = batch.requests.iter().cloned();
        self.requests.extend(requests.map(|request| (batch.at, request)));
        let is_purge = |recorded: &&RecordedChange| recorded.change.after.is_none();
        let purged: BTreeSet<TaskId> =
            batch.changes.iter().filter(is_purge).map(|recorded| recorded.change.task_id).collect();
        if !purged.is_empty() {
            let requests = self.requests.iter_mut().map(|(_, request)| request);
            requests
                .filter(|request| purged.contains(&request.answer.task_id()))
                .for_each(IdempotencyRecord::purge);
        }
        self.last_request += batch.requests.len() as RequestNumber;
        while self.first_request() <= batch.forget_requests && self.requests.pop_front().is_some() {
        }
    }

    /// Removes the task and the content of its changes.
    fn purge(&mut self, task: TaskId) {
        self.tasks.remove(&task);
        for (_, revision) in self.by_task.range((task, 0)..=(task, Revision::MAX)) {
            if let Some(recorded) = self.changes.get_mut(revision) {
                recorded.record = Vec::new();
                recorded.change.before = None;
                recorded.change.after = None;
            }
        }
    }

    fn first_request(&self) -> RequestNumber {
        self.last_request - self.requests.len() as RequestNumber + 1
    }

    pub(crate) fn find_request(&self, number: RequestNumber) -> Option<IdempotencyRecord> {
        let index = usize::try_from(number - self.first_request()).ok()?;
        self.requests.get(index).map(|(_, request)| request.clone())
    }

    pub(crate) fn compact(&mut self, due: &CompactionDue) -> Revision {
        let next = self.changes.range(self.compacted + 1..).take(COMPACTION_STEP);
        let passed: Vec<(TaskId, Revision, bool)> = next
            .map(|(_, recorded)| &recorded.change)
            .take_while(|change| due.covers(change.revision, change.at))
            .map(|change| (change.task_id, change.revision, change.action == Action::Purged))
            .collect();
        for (task, revision, purge) in passed {
            if let Some(superseded) = self.newest_before(task, revision) {
                self.delete(task, superseded);
            }
            if purge {
                self.delete(task, revision);
            } else if let Some(kept) = self.changes.get_mut(&revision) {
                kept.change.before = None; // its content was deleted
            }
            self.compacted = revision;
        }
        self.compacted
    }

    fn delete(&mut self, task: TaskId, revision: Revision) {
        self.by_task.remove(&(task, revision));
        self.changes.remove(&revision);
    }

    /// The task's newest change below the revision.
    fn newest_before(&self, task: TaskId, revision: Revision) -> Option<Revision> {
        self.by_task.range((task, 0)..(task, revision)).next_back().map(|(_, revision)| *revision)
    }

    fn in_range(&self, range: &ChangeRange) -> Vec<RecordedChange> {
        let ChangeRange { after, up_to, task, .. } = *range;
        let max = range.max.min(HISTORY_READ_MAX);
        match task {
            _ if after >= up_to => Vec::new(),
            None => {
                let found = self.changes.range(after + 1..=up_to);
                found.map(|(_, recorded)| recorded.clone()).take(max).collect()
            }
            Some(task) => {
                let found = self.by_task.range((task, after + 1)..=(task, up_to));
                found
                    .filter_map(|(_, revision)| self.changes.get(revision).cloned())
                    .take(max)
                    .collect()
            }
        }
    }

    fn tasks_at(&self, revision: Revision, after: TaskId, max: usize) -> Vec<Arc<Task>> {
        let Some(first) = after.checked_add(1) else { return Vec::new() };
        let then = |id: TaskId| {
            let newest = self.newest_before(id, revision.saturating_add(1))?;
            self.changes.get(&newest)?.change.after.clone()
        };
        // Ids grow with revisions: after the first task that was added later, all were.
        let ids = self.tasks.range(first..).map(|(id, _)| *id);
        ids.map_while(then).take(max.min(HISTORY_READ_MAX)).collect()
    }
}

/// The changes of a [`MemoryStore`].
struct MemoryHistory {
    log: Arc<RwLock<MemoryLog>>,
}

impl History for MemoryHistory {
    fn changes(&mut self, range: &ChangeRange) -> Result<Vec<RecordedChange>, HistoryError> {
        let log = self.log.read();
        if range.complete {
            refuse_compacted(range.after, log.compacted)?;
        }
        Ok(log.in_range(range))
    }

    fn tasks_at(
        &mut self,
        revision: Revision,
        after: TaskId,
        max: usize,
    ) -> Result<Vec<Arc<Task>>, HistoryError> {
        let log = self.log.read();
        refuse_compacted(revision, log.compacted)?;
        Ok(log.tasks_at(revision, after, max))
    }
}
