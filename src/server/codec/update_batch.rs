use std::array;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use protobuf::{CodedOutputStream, MessageField, rt::WireType};

use super::RequestError;
use crate::limits::{PACKED_BYTES_MAX, UPDATES_PER_MESSAGE_MAX};
use crate::model::{Change, RequestId, Revision, Task};
use crate::state::EncodedUpdates;
use crate::store::RecordedChange;
use crate::wire::proto::{self, TaskUpdate};
use crate::wire::{Encoded, record};

/// The number of `TaskUpdate.task`.
const TASK: u32 = 1;
/// The number of `TaskUpdate.more`.
const MORE: u32 = 5;
/// What `more` adds to each update, in bytes: the tag, and a length below 2 MiB.
const MORE_BYTES: usize = 4;
/// 1, 2, 4, .., 512 updates a message, and [`UPDATES_PER_MESSAGE_MAX`].
const PACKINGS: usize = UPDATES_PER_MESSAGE_MAX.ilog2() as usize + 2;

/// Updates that are sent together, encoded once for all streams that send them.
pub(crate) struct UpdateBatch {
    updates: Vec<Encoded>,
    /// No change that concerns the stream lies between this revision and the first update.
    previous: Revision,
    /// The bytes at the end of the first update that say so.
    previous_bytes: usize,
    /// The revision of the last update; `previous`, if there is none.
    last: Revision,
    /// The messages of several updates, made on demand.
    packed: [OnceLock<Vec<Encoded>>; PACKINGS],
    weight: Option<Arc<Weight>>,
}

/// Bytes that count until the batch is dropped.
struct Weight {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How many updates a message may hold. Rounded down to one of a few values, so that
/// streams share messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packing(usize);

impl Packing {
    /// From `WatchTasksRequest.max_updates_per_message`.
    pub(crate) fn new(max_updates: i32) -> Result<Packing, RequestError> {
        match usize::try_from(max_updates) {
            Ok(0) => Ok(Packing(0)),
            Ok(max) if max >= UPDATES_PER_MESSAGE_MAX => Ok(Packing(PACKINGS - 1)),
            Ok(max) => Ok(Packing(max.ilog2() as usize)),
            Err(_) => Err(RequestError::UpdatesPerMessage(max_updates)),
        }
    }

    fn updates_max(self) -> usize {
        (1 << self.0).min(UPDATES_PER_MESSAGE_MAX)
    }
}

impl EncodedUpdates for UpdateBatch {
    fn encode(previous: Revision, changes: &[&RecordedChange]) -> UpdateBatch {
        let (mut updates, mut before, mut previous_bytes) =
            (Vec::with_capacity(changes.len()), previous, 0);
        for recorded in changes {
            debug_assert!(recorded.change.revision > before, "updates are in revision order");
            let end = previous_field(before);
            if updates.is_empty() {
                previous_bytes = end.len();
            }
            updates.push(with_end(change_update(recorded), &end));
            before = recorded.change.revision;
        }
        UpdateBatch::new(updates, previous, previous_bytes, before)
    }

    fn concat(parts: &[Arc<UpdateBatch>]) -> UpdateBatch {
        let updates = parts.iter().flat_map(|part| part.updates.iter().cloned()).collect();
        let (previous, previous_bytes) =
            parts.first().map_or((0, 0), |first| (first.previous, first.previous_bytes));
        let last = parts.last().map_or(previous, |part| part.last);
        UpdateBatch::new(updates, previous, previous_bytes, last)
    }
}

impl UpdateBatch {
    fn new(
        updates: Vec<Encoded>,
        previous: Revision,
        previous_bytes: usize,
        last: Revision,
    ) -> UpdateBatch {
        let packed = array::from_fn(|_| OnceLock::new());
        UpdateBatch { updates, previous, previous_bytes, last, packed, weight: None }
    }

    /// The tasks of a snapshot.
    pub(crate) fn snapshot<'a>(tasks: impl IntoIterator<Item = &'a Task>) -> UpdateBatch {
        let updates = tasks.into_iter().map(|task| {
            let action = TaskUpdate { action: "SNAPSHOT".to_owned(), ..Default::default() };
            with_end(task_field(&record::encode(task)), Encoded::new(&action).as_bytes())
        });
        UpdateBatch::new(updates.collect(), 0, 0, 0)
    }

    /// The same updates for a client at this revision, if it cannot accept the first one
    /// as it is: nothing that concerns its stream lies between.
    pub(crate) fn for_client_at(self: Arc<Self>, revision: Revision) -> Arc<UpdateBatch> {
        let Some((first, rest)) = self.updates.split_first() else { return self };
        if self.previous <= revision {
            return self;
        }
        let bytes = first.as_bytes();
        let body = bytes[..bytes.len() - self.previous_bytes].to_vec();
        let end = previous_field(revision);
        let mut updates = vec![with_end(body, &end)];
        updates.extend_from_slice(rest);
        let mut batch = UpdateBatch::new(updates, revision, end.len(), self.last);
        batch.weight = self.weight.clone(); // it holds the same bytes
        Arc::new(batch)
    }

    /// Counts its bytes, and those of its messages, into a total until it is dropped.
    pub(crate) fn weighed(mut self, total: &Arc<AtomicUsize>) -> UpdateBatch {
        let (bytes, total) = (2 * self.bytes(), total.clone());
        total.fetch_add(bytes, Ordering::Relaxed);
        self.weight = Some(Arc::new(Weight { bytes, total }));
        self
    }

    /// The revision of a client that received all of it.
    pub(crate) fn last(&self) -> Revision {
        self.last
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// The messages to send, in order.
    pub(crate) fn messages(&self, packing: Packing) -> &[Encoded] {
        match &self.packed[packing.0] {
            _ if packing.0 == 0 || self.updates.len() < 2 => &self.updates,
            packed => packed.get_or_init(|| pack(&self.updates, packing.updates_max())),
        }
    }

    /// The size in memory, about.
    pub(crate) fn bytes(&self) -> usize {
        self.updates.iter().map(|update| update.as_bytes().len() + size_of::<Encoded>()).sum()
    }
}

/// RESET: the client forgets what it knows, a snapshot follows.
pub(crate) fn reset() -> TaskUpdate {
    TaskUpdate { action: "RESET".to_owned(), ..Default::default() }
}

/// SYNCED: everything up to this revision of the list was sent.
pub(crate) fn synced(list_id: &str, revision: Revision) -> TaskUpdate {
    let (action, list_id) = ("SYNCED".to_owned(), list_id.to_owned());
    TaskUpdate { action, revision, list_id, ..Default::default() }
}

/// PROGRESS: everything up to this revision was sent, after a time without updates.
pub(crate) fn progress(revision: Revision) -> TaskUpdate {
    TaskUpdate { action: "PROGRESS".to_owned(), revision, ..Default::default() }
}

/// A change as `ListChanges` returns it.
pub(crate) fn update(recorded: &RecordedChange) -> TaskUpdate {
    let task = match &recorded.change.after {
        Some(task) => record::to_message(task),
        None => without_content(&recorded.change),
    };
    TaskUpdate { task: MessageField::some(task), ..change_fields(&recorded.change) }
}

fn change_fields(change: &Change) -> TaskUpdate {
    TaskUpdate {
        action: change.action.name().to_owned(),
        revision: change.revision,
        request_id: change.request_id.as_ref().map_or("", RequestId::as_str).to_owned(),
        batch_revision: change.batch_revision,
        ..Default::default()
    }
}

/// What is left of a purged task.
fn without_content(change: &Change) -> proto::Task {
    proto::Task { id: change.task_id, revision: change.revision, ..Default::default() }
}

/// The encoded update without `previous_revision`. A message's fields may come in any order.
fn change_update(recorded: &RecordedChange) -> Vec<u8> {
    let mut bytes = match recorded.change.after {
        Some(_) => task_field(&recorded.record),
        None => task_field(Encoded::new(&without_content(&recorded.change)).as_bytes()),
    };
    bytes.extend_from_slice(Encoded::new(&change_fields(&recorded.change)).as_bytes());
    bytes
}

fn previous_field(previous_revision: Revision) -> Vec<u8> {
    Encoded::new(&TaskUpdate { previous_revision, ..Default::default() }).as_bytes().to_vec()
}

fn task_field(record: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(record.len() + 64);
    append_field(&mut bytes, TASK, record);
    bytes
}

fn with_end(mut body: Vec<u8>, end: &[u8]) -> Encoded {
    body.extend_from_slice(end);
    Encoded::from_bytes(body)
}

/// Appends an embedded message.
pub(super) fn append_field(bytes: &mut Vec<u8>, number: u32, message: &[u8]) {
    let mut out = CodedOutputStream::vec(bytes);
    let written = out
        .write_tag(number, WireType::LengthDelimited)
        .and_then(|()| out.write_raw_varint32(message.len() as u32))
        .and_then(|()| out.write_raw_bytes(message));
    // As in `Encoded::new`.
    written.and_then(|()| out.flush()).expect("writing to memory does not fail");
}

/// Appends `more` to updates that are encoded already: a message's fields may come in any
/// order.
fn pack(updates: &[Encoded], updates_max: usize) -> Vec<Encoded> {
    let mut messages = Vec::new();
    let mut rest = updates;
    while !rest.is_empty() {
        let (message, left) = rest.split_at(fitting(rest, updates_max));
        messages.push(one_message(message));
        rest = left;
    }
    messages
}

/// How many of the updates go into one message: at least one.
fn fitting(updates: &[Encoded], updates_max: usize) -> usize {
    let mut bytes = 0;
    let fits = |update: &&Encoded| {
        bytes += update.as_bytes().len() + MORE_BYTES;
        bytes <= PACKED_BYTES_MAX
    };
    updates.iter().take(updates_max).take_while(fits).count().max(1)
}

fn one_message(updates: &[Encoded]) -> Encoded {
    let [first, more @ ..] = updates else { return Encoded::from_bytes(Vec::new()) };
    if more.is_empty() {
        return first.clone();
    }
    let mut bytes = first.as_bytes().to_vec();
    for update in more {
        append_field(&mut bytes, MORE, update.as_bytes());
    }
    Encoded::from_bytes(bytes)
}

#[cfg(test)]
#[path = "update_batch_tests.rs"]
mod tests;
