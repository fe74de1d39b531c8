use std::array;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use protobuf::{CodedOutputStream, rt::WireType};

use super::{Encoded, convert, proto::TaskUpdate};
use crate::limits::{PACKED_BYTES_MAX, UPDATES_PER_MESSAGE_MAX};
use crate::model::{Change, Rejection, Task};

/// The number of `TaskUpdate.more`.
const MORE: u32 = 5;
/// What `more` adds to each update, in bytes: the tag, and a length below 2 MiB.
const MORE_BYTES: usize = 4;
/// 1, 2, 4, .., 512 updates a message, and [`UPDATES_PER_MESSAGE_MAX`].
const PACKINGS: usize = UPDATES_PER_MESSAGE_MAX.ilog2() as usize + 2;

/// Updates that are sent together, encoded once for all who get them.
pub struct Burst {
    updates: Vec<Encoded>,
    /// As messages of several updates, made when first needed.
    packed: [OnceLock<Vec<Encoded>>; PACKINGS],
    weight: Option<Weight>,
}

/// Bytes that count until the burst is gone.
struct Weight {
    bytes: usize,
    total: Arc<AtomicUsize>,
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.total.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How many updates a message may hold. Rounded down to one of few, so that watchers
/// share what is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing(usize);

impl Packing {
    /// From `WatchTasksRequest.max_updates_per_message`.
    pub fn new(max_updates: i32) -> Result<Packing, Rejection> {
        match usize::try_from(max_updates) {
            Ok(0) => Ok(Packing(0)),
            Ok(max) if max >= UPDATES_PER_MESSAGE_MAX => Ok(Packing(PACKINGS - 1)),
            Ok(max) => Ok(Packing(max.ilog2() as usize)),
            Err(_) => Err(Rejection::UpdatesPerMessage(max_updates)),
        }
    }

    fn updates_max(self) -> usize {
        (1 << self.0).min(UPDATES_PER_MESSAGE_MAX)
    }
}

impl Burst {
    /// Changes, in revision order.
    pub fn new<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Burst {
        Burst::of(changes.into_iter().map(convert::update))
    }

    /// Tasks of a snapshot.
    pub fn snapshot<'a>(tasks: impl IntoIterator<Item = &'a Task>) -> Burst {
        Burst::of(tasks.into_iter().map(convert::snapshot_update))
    }

    fn of(updates: impl Iterator<Item = TaskUpdate>) -> Burst {
        let updates = updates.map(|update| Encoded::new(&update)).collect();
        Burst { updates, packed: array::from_fn(|_| OnceLock::new()), weight: None }
    }

    /// Counts its bytes, and those of its messages, into a total as long as it is there.
    pub fn weighed(mut self, total: &Arc<AtomicUsize>) -> Burst {
        let (bytes, total) = (2 * self.bytes(), total.clone());
        total.fetch_add(bytes, Ordering::Relaxed);
        self.weight = Some(Weight { bytes, total });
        self
    }

    pub fn is_empty(&self) -> bool {
        self.updates.is_empty()
    }

    /// The messages to send, in order.
    pub fn messages(&self, packing: Packing) -> &[Encoded] {
        match &self.packed[packing.0] {
            _ if packing.0 == 0 || self.updates.len() < 2 => &self.updates,
            packed => packed.get_or_init(|| pack(&self.updates, packing.updates_max())),
        }
    }

    /// Bytes of its updates, about: each counts for a little more than it holds.
    pub fn bytes(&self) -> usize {
        self.updates.iter().map(|update| update.as_bytes().len() + size_of::<Encoded>()).sum()
    }
}

/// A message's fields may come in any order, so `more` is put behind an update that is
/// encoded already.
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
    {
        let mut out = CodedOutputStream::vec(&mut bytes);
        for update in more {
            let update = update.as_bytes();
            let written = out
                .write_tag(MORE, WireType::LengthDelimited)
                .and_then(|()| out.write_raw_varint32(update.len() as u32))
                .and_then(|()| out.write_raw_bytes(update));
            // As in `Encoded::new`.
            written.expect("writing to memory does not fail");
        }
    }
    Encoded::from_bytes(bytes)
}

#[cfg(test)]
#[path = "burst_tests.rs"]
mod tests;
