use std::collections::HashMap;

use protobuf::{CodedOutputStream, Message, rt::WireType};

use super::{Encoded, PageQuery, convert};
use crate::limits::{ENCODED_TASKS_BYTES_MAX, REPEATED_ANSWER_BYTES_MAX};
use crate::model::{Filter, Rejection, Revision, Task, TaskId, TaskList};

/// Ids that are encoded together.
const CHUNK: TaskId = 64;
/// The number of `GetTasksResponse.tasks`.
const TASKS: u32 = 1;

/// The tasks of the newest list that was asked for, encoded: what a change leaves as it
/// was is not encoded again for the next listing.
#[derive(Default)]
pub struct Encodings {
    /// The version of the list that the chunks show.
    list: Option<TaskList>,
    chunks: HashMap<(Filter, TaskId), Chunk>,
    /// Of all chunks.
    bytes: usize,
    /// The last answer that held everything.
    everything: Option<(Filter, Revision, Encoded)>,
}

/// The tasks among [`CHUNK`] ids that one filter shows.
#[derive(Default)]
struct Chunk {
    /// As fields of a response, one behind the other.
    bytes: Vec<u8>,
    /// Each task, and where its bytes end.
    ends: Vec<(TaskId, usize)>,
}

impl Encodings {
    /// The page of this list.
    pub fn answer(&mut self, query: &PageQuery, list: &TaskList) -> Result<Encoded, Rejection> {
        let after = query.after(list)?;
        self.show(list);
        if query.is_everything()
            && let Some((filter, revision, answer)) = &self.everything
            && (*filter, *revision) == (query.filter(), list.revision())
        {
            return Ok(answer.clone());
        }
        let mut page = query.page();
        let mut more = false;
        for chunk in after / CHUNK..=list.last_id() / CHUNK {
            let filter = query.filter();
            more = self.with_chunk(list, filter, chunk, |chunk| -> Result<bool, Rejection> {
                for (id, task) in chunk.tasks().filter(|(id, _)| *id > after) {
                    if !page.push(id, task)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            })?;
            if more {
                break;
            }
        }
        let answer = page.end(list.list_id(), list.revision(), more);
        let is_repeatable = answer.as_bytes().len() <= REPEATED_ANSWER_BYTES_MAX;
        if query.is_everything() && is_repeatable {
            self.everything = Some((query.filter(), list.revision(), answer.clone()));
        }
        Ok(answer)
    }

    /// Forgets what has changed since the version that was shown before.
    fn show(&mut self, list: &TaskList) {
        match &self.list {
            Some(shown) if shown.list_id() == list.list_id() => {
                for id in list.changed_since(shown) {
                    for filter in Filter::ALL {
                        if let Some(chunk) = self.chunks.remove(&(filter, id / CHUNK)) {
                            self.bytes -= chunk.cost();
                        }
                    }
                }
            }
            Some(_) | None => *self = Encodings::default(),
        }
        self.list = Some(list.clone());
    }

    fn with_chunk<T>(
        &mut self,
        list: &TaskList,
        filter: Filter,
        index: TaskId,
        read: impl FnOnce(&Chunk) -> T,
    ) -> T {
        if let Some(chunk) = self.chunks.get(&(filter, index)) {
            return read(chunk);
        }
        let chunk = Chunk::new(list, filter, index);
        let result = read(&chunk);
        if self.bytes + chunk.cost() <= ENCODED_TASKS_BYTES_MAX {
            self.bytes += chunk.cost();
            self.chunks.insert((filter, index), chunk);
        }
        result
    }
}

impl Chunk {
    fn new(list: &TaskList, filter: Filter, index: TaskId) -> Chunk {
        let mut chunk = Chunk::default();
        let first = index * CHUNK;
        let tasks = list.after(first - 1).take_while(|task| task.id - first < CHUNK);
        for task in tasks.filter(|task| filter.shows(task)) {
            chunk.bytes.extend(field(task));
            chunk.ends.push((task.id, chunk.bytes.len()));
        }
        chunk
    }

    /// What it counts for in bytes, roughly; an empty one takes memory, too.
    fn cost(&self) -> usize {
        size_of::<Chunk>() * 2 + self.bytes.len() + self.ends.len() * size_of::<(TaskId, usize)>()
    }

    fn tasks(&self) -> impl Iterator<Item = (TaskId, &[u8])> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(_, end)| *end));
        starts.zip(&self.ends).map(|(start, (id, end))| (*id, &self.bytes[start..*end]))
    }
}

/// A task as a field of a response.
pub(super) fn field(task: &Task) -> Vec<u8> {
    let task = convert::task(task);
    let mut bytes = Vec::new();
    {
        let mut out = CodedOutputStream::vec(&mut bytes);
        let written = out
            .write_tag(TASKS, WireType::LengthDelimited)
            .and_then(|()| task.write_length_delimited_to(&mut out));
        // As in `Encoded::new`.
        written.expect("writing to memory does not fail");
    }
    bytes
}

#[cfg(test)]
#[path = "encodings_tests.rs"]
mod tests;
