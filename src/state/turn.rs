use std::collections::HashMap;
use std::sync::Arc;

use super::{Command, Notify, Reply, Snapshot, Subscription, WatchStart};
use crate::model::{
    Guard, Mutation, Outcome, Rejection, Remembered, RequestId, Task, TaskList, Timestamp,
};
use crate::store::{Batch, Store, StoreError};

/// One turn: commands applied to a draft of the list, and what they are to be told
/// once the draft is committed.
pub(super) struct Turn<F> {
    pub(super) draft: TaskList,
    pub(super) batch: Batch,
    mutations: Vec<Mutated>,
    pub(super) snapshots: Vec<Reply<Snapshot>>,
    pub(super) watches: Vec<(WatchStart, Notify, Reply<Subscription<F>>)>,
    /// Where in `batch.remembered` the requests of this turn are.
    remembered: HashMap<RequestId, usize>,
}

/// A mutation on the draft, with the answer to give if the draft is committed.
struct Mutated {
    reply: Reply<Arc<Task>>,
    answer: Result<Arc<Task>, Rejection>,
}

impl<F> Turn<F> {
    pub(super) fn new(list: &TaskList, now: Timestamp) -> Turn<F> {
        Turn {
            draft: list.clone(),
            batch: Batch { now, ..Batch::default() },
            mutations: Vec::new(),
            snapshots: Vec::new(),
            watches: Vec::new(),
            remembered: HashMap::new(),
        }
    }

    /// Later commands see what earlier ones did.
    pub(super) fn apply(
        &mut self,
        command: Command<F>,
        store: &mut dyn Store,
    ) -> Result<(), StoreError> {
        if command.expired() {
            command.reject(Rejection::Expired);
            return Ok(());
        }
        match command {
            Command::Mutate { mutation, guard, reply } => {
                let answer = self.mutate(mutation, guard, store)?;
                self.mutations.push(Mutated { reply, answer });
            }
            Command::Snapshot { reply } => self.snapshots.push(reply),
            Command::Watch { start, notify, reply } => self.watches.push((start, notify, reply)),
        }
        Ok(())
    }

    /// The outer error is the store's, the inner one the caller's.
    fn mutate(
        &mut self,
        mutation: Mutation,
        guard: Guard,
        store: &mut dyn Store,
    ) -> Result<Result<Arc<Task>, Rejection>, StoreError> {
        let Some(request_id) = guard.request_id.clone() else {
            return Ok(self.change(&mutation, &guard));
        };
        let content = Remembered::content(&mutation, &guard);
        let earlier = match self.remembered.get(&request_id) {
            Some(at) => Some(self.batch.remembered[*at].clone()),
            None => store.find_request(&request_id)?,
        };
        if let Some(earlier) = earlier {
            return Ok(match earlier.content == content {
                true => Ok(earlier.answer),
                false => Err(Rejection::RequestIdReused(request_id.as_str().to_owned())),
            });
        }
        let answer = self.change(&mutation, &guard);
        if let Ok(task) = &answer {
            self.remembered.insert(request_id.clone(), self.batch.remembered.len());
            self.batch.remembered.push(Remembered { request_id, content, answer: task.clone() });
        }
        Ok(answer)
    }

    fn change(&mut self, mutation: &Mutation, guard: &Guard) -> Result<Arc<Task>, Rejection> {
        match self.draft.apply(mutation, guard, self.batch.now)? {
            Outcome::Unchanged(task) => Ok(task),
            Outcome::Changed(change) => {
                let task = change.task.clone();
                self.batch.changes.push(change);
                Ok(task)
            }
        }
    }

    /// Answers the mutations: the state is committed, or there was nothing to commit.
    pub(super) fn answer_mutations(&mut self) {
        for mutated in self.mutations.drain(..) {
            mutated.reply.give(mutated.answer);
        }
    }

    /// Drops the draft. All of it: an answer that is no change, or a no, may have been
    /// worked out on changes that now never were.
    pub(super) fn reject_mutations(&mut self, why: &Rejection) {
        for mutated in self.mutations.drain(..) {
            mutated.reply.give(Err(why.clone()));
        }
    }
}
