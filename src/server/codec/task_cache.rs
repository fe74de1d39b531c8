use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::update_batch::append_field;
use super::{CallError, PageQuery};
use crate::limits::{ENCODED_TASKS_BYTES_MAX, REPEATED_ANSWER_BYTES_MAX};
use crate::model::{Filter, Revision, Task, TaskId, TaskList};
use crate::wire::{Encoded, record};

/// Ids that are encoded together.
const CHUNK: TaskId = 64;
/// The number of `GetTasksResponse.tasks`.
const TASKS: u32 = 1;

/// The tasks of the newest list that was requested, encoded: the next listing encodes only
/// what has changed. Shared by the reader threads, which lock it for one chunk at a time.
#[derive(Default)]
pub(crate) struct TaskEncodingCache(Mutex<Chunks>);

#[derive(Default)]
struct Chunks {
    /// The version of the list that the chunks show.
    list: Option<TaskList>,
    by_index: HashMap<TaskId, Vec<(Filter, Arc<Chunk>)>>,
    /// The cost of all chunks.
    bytes: usize,
    /// The last answer that held everything.
    everything: Option<(Filter, Revision, Encoded)>,
}

/// The tasks among [`CHUNK`] ids that match one filter.
#[derive(Default)]
struct Chunk {
    /// Fields of a response, one after the other.
    bytes: Vec<u8>,
    /// Each task, and where its bytes end.
    ends: Vec<(TaskId, usize)>,
}

impl TaskEncodingCache {
    /// The page of this list.
    pub(crate) fn answer(&self, query: &PageQuery, list: &TaskList) -> Result<Encoded, CallError> {
        let after = query.after(list)?;
        let filter = query.filter();
        if let Some(answer) = self.0.lock().show(list, query) {
            return Ok(answer);
        }
        let mut page = query.page();
        page.reserve(list, after)?;
        let mut more = false;
        'chunks: for index in after / CHUNK..=list.head().last_id / CHUNK {
            let chunk = self.chunk(list, filter, index);
            for (id, task) in chunk.tasks().filter(|(id, _)| *id > after) {
                if !page.push(id, task) {
                    more = true;
                    break 'chunks;
                }
            }
        }
        let answer = page.end(list.list_id(), list.revision(), more);
        let is_repeatable = answer.as_bytes().len() <= REPEATED_ANSWER_BYTES_MAX;
        if query.is_everything() && is_repeatable {
            let everything = Some((filter.clone(), list.revision(), answer.clone()));
            self.0.lock().everything = everything;
        }
        Ok(answer)
    }

    fn chunk(&self, list: &TaskList, filter: &Filter, index: TaskId) -> Arc<Chunk> {
        if let Some(chunk) = self.0.lock().find(list, filter, index) {
            return chunk;
        }
        let chunk = Arc::new(Chunk::new(list, filter, index));
        self.0.lock().keep(list, filter, index, &chunk);
        chunk
    }
}

impl Chunks {
    /// Moves to this version of the list, unless it is older: forgets what has changed.
    /// The answer, if it is the last one that held everything.
    fn show(&mut self, list: &TaskList, query: &PageQuery) -> Option<Encoded> {
        match &self.list {
            Some(shown) if shown.list_id() != list.list_id() => *self = Chunks::default(),
            Some(shown) if shown.revision() >= list.revision() => {}
            Some(shown) => {
                for id in list.changed_since(shown) {
                    for (_, chunk) in self.by_index.remove(&(id / CHUNK)).into_iter().flatten() {
                        self.bytes -= chunk.cost();
                    }
                }
            }
            None => {}
        }
        if self.list.as_ref().is_none_or(|shown| shown.revision() < list.revision()) {
            self.list = Some(list.clone());
        }
        let (filter, revision, answer) = self.everything.as_ref()?;
        let is_same = query.is_everything()
            && (filter, *revision) == (query.filter(), list.revision())
            && self.shows(list);
        is_same.then(|| answer.clone())
    }

    fn shows(&self, list: &TaskList) -> bool {
        self.list.as_ref().is_some_and(|shown| {
            shown.revision() == list.revision() && shown.list_id() == list.list_id()
        })
    }

    fn find(&self, list: &TaskList, filter: &Filter, index: TaskId) -> Option<Arc<Chunk>> {
        let chunks = self.by_index.get(&index).filter(|_| self.shows(list))?;
        chunks.iter().find(|(of, _)| of == filter).map(|(_, chunk)| chunk.clone())
    }

    fn keep(&mut self, list: &TaskList, filter: &Filter, index: TaskId, chunk: &Arc<Chunk>) {
        let fits = self.bytes + chunk.cost() <= ENCODED_TASKS_BYTES_MAX;
        // Another thread may have kept it, or moved on to a newer version.
        if fits && self.shows(list) && self.find(list, filter, index).is_none() {
            self.bytes += chunk.cost();
            self.by_index.entry(index).or_default().push((filter.clone(), chunk.clone()));
        }
    }
}

impl Chunk {
    fn new(list: &TaskList, filter: &Filter, index: TaskId) -> Chunk {
        let mut chunk = Chunk::default();
        let first = index * CHUNK;
        let tasks = list.after(first - 1).take_while(|task| task.id - first < CHUNK);
        for task in tasks.filter(|task| filter.matches(task)) {
            append_field(&mut chunk.bytes, TASKS, &record::encode(task));
            chunk.ends.push((task.id, chunk.bytes.len()));
        }
        chunk
    }

    /// The size in memory, about; an empty chunk takes memory, too.
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
    let mut bytes = Vec::new();
    append_field(&mut bytes, TASKS, &record::encode(task));
    bytes
}

#[cfg(test)]
#[path = "task_cache_tests.rs"]
mod tests;
