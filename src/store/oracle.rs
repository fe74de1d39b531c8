//! For tests: the list that a store should hold, made by the model itself.

use std::sync::Arc;

use super::{Batch, CompactionDue, Event, Loaded, RecordedChange, RequestNumber, Store};
use crate::model::{
    Edit, Fingerprint, IdempotencyRecord, Mutation, Precondition, Request, RequestId, Revision,
    Task, TaskFields, TaskId, TaskList, TaskPatch, Timestamp, Title,
};

/// The list as it should be, and its clock.
pub(crate) struct Oracle {
    pub list: TaskList,
    pub clock: i64,
    pub last_request: RequestNumber,
    rng: Rng,
}

impl Oracle {
    pub(crate) fn of(loaded: &Loaded) -> Oracle {
        Oracle {
            list: loaded.list(u32::MAX),
            clock: 1_000,
            last_request: loaded.last_request,
            rng: Rng(0x9e37_79b9_7f4a_7c15),
        }
    }

    pub(crate) fn tasks(&self) -> Vec<Arc<Task>> {
        self.list.after(0).cloned().collect()
    }

    /// One batch: steps such as `add milk; done 1 #id; retitle 1 bread`, of which `#`
    /// gives a request id. Each takes a microsecond.
    pub(crate) fn batch(&mut self, script: &str) -> Batch {
        let mut batch = Batch::default();
        for step in script.split(';') {
            let request = parse(step.trim());
            self.clock += 1;
            batch.at = Timestamp(self.clock);
            let applied = self.list.apply(&request, batch.at).expect(step);
            batch.changes.extend(applied.changes.into_iter().map(RecordedChange::from));
            if let Some(request_id) = request.request_id.clone() {
                let fingerprint = Fingerprint::new(&request);
                let answer = applied.answer;
                batch.requests.push(IdempotencyRecord { request_id, fingerprint, answer });
                self.last_request += 1;
            }
        }
        batch.head = self.list.head();
        batch
    }

    /// A step that changes something, chosen at random. Half of them have a request id.
    pub(crate) fn some_step(&mut self) -> String {
        let clock = self.clock;
        let request_id = match self.rng.below(2) {
            0 => format!(" #r{clock}"),
            _ => String::new(),
        };
        let rng = &mut self.rng;
        if self.list.is_empty() || rng.below(3) == 0 {
            return format!("add task {}{request_id}", self.list.head().last_id + 1);
        }
        let index = rng.below(self.list.len() as u64) as usize;
        let task = self.list.after(0).nth(index).unwrap();
        let id = task.id;
        let step = match rng.below(4) {
            0 if task.deleted => format!("purge {id}"),
            _ if task.deleted => format!("restore {id}"),
            0 => format!("delete {id}"),
            1 if task.completed() => format!("reopen {id}"),
            1 => format!("done {id}"),
            _ => format!("retitle {id} at {clock}"),
        };
        step + &request_id
    }
}

/// Random numbers, the same in each run (xorshift).
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) % bound
    }
}

/// Commits the batch. Returns the event, or the error of an unknown outcome.
pub(crate) fn commit(store: &mut dyn Store, batch: &Batch) -> Result<Event, super::StoreError> {
    store.propose(Arc::new(batch.clone()));
    let event = store.next()?.expect("a store of one process reports immediately");
    assert!(store.next().unwrap().is_none(), "one event a proposal");
    Ok(event)
}

/// Commits the batch, which must succeed.
pub(crate) fn committed(store: &mut dyn Store, batch: &Batch) {
    match commit(store, batch) {
        Ok(Event::Committed) => {}
        other => panic!("{other:?}"),
    }
}

/// Compaction is due up to this revision, however young the changes are.
pub(crate) fn due_up_to(revision: Revision) -> CompactionDue {
    CompactionDue {
        up_to: revision,
        up_to_if_old: 0,
        made_before: Timestamp(0),
        future_from: Timestamp(i64::MAX),
    }
}

/// One step: a verb with its argument, then `?` and the expected revision, then `#` and
/// the request id, both optional.
pub(crate) fn parse(step: &str) -> Request {
    let (step, request_id) = step.split_once('#').unwrap_or((step, ""));
    let (step, expected) = step.split_once(" ?").unwrap_or((step, ""));
    let precondition = Precondition { expected_revision: expected.trim().parse().ok() };
    let (verb, argument) = step.trim().split_once(' ').unwrap();
    let (id, text) = argument.split_once(' ').unwrap_or((argument, ""));
    let title = |text| Title::new(text).unwrap();
    let edit = match verb {
        "add" => None,
        "done" => Some(Edit::Complete),
        "reopen" => Some(Edit::Reopen),
        "delete" => Some(Edit::Delete),
        "restore" => Some(Edit::Restore),
        "purge" => Some(Edit::Purge),
        "retitle" => Some(Edit::Update(TaskPatch { title: Some(title(text)) })),
        other => panic!("no verb {other}"),
    };
    let mutation = match edit {
        None => Mutation::Add(TaskFields { title: title(argument) }),
        Some(edit) => Mutation::Edit { id: id.parse::<TaskId>().unwrap(), edit },
    };
    Request { mutation, precondition, request_id: RequestId::new(request_id).unwrap() }
}
